// SPDX-License-Identifier: MIT
#include "cli/top/state.h"

#include <algorithm>
#include <utility>

namespace kudo {
namespace {

void sort_by(TopState& state, SortBy by) {
    state.reverse = false;
    state.sort = by;
    state.page = Page::Flows;
}

void open_page(TopState& state, Page page) {
    state.page = state.page == page ? Page::Flows : page;
    state.first_line = 0;
}

// By so many lines, up or down, within what there is. A page's own length is looked at when it is drawn.
void move_by(TopState& state, const OnScreen& screen, std::ptrdiff_t lines) {
    const auto moved = [lines](std::size_t from, std::size_t last) {
        const auto to = static_cast<std::ptrdiff_t>(from) + lines;
        return std::min(static_cast<std::size_t>(std::max<std::ptrdiff_t>(to, 0)), last);
    };
    constexpr std::size_t longest_page = 100'000;
    if (state.page != Page::Flows) {
        state.first_line = moved(state.first_line, longest_page);
        return;
    }
    if (screen.flows.empty()) return;
    state.selected = screen.flows[moved(selected_row(state, screen), screen.flows.size() - 1)];
}

void edit_filter(TopState& state, const TypedKey& key) {
    std::string& typed = *state.typed;
    if (key.action == Action::Back) {
        state.typed.reset();
    } else if (key.action == Action::Open) {
        state.filter = std::exchange(typed, {});
        state.typed.reset();
        state.first_row = 0;
    } else if (key.backspace) {
        if (!typed.empty()) typed.pop_back();
    } else if (key.character >= ' ' && key.character <= '~' && typed.size() < max_filter) {
        typed += key.character;
    }
}

std::optional<Action> action_of(const TypedKey& key) {
    if (key.action) return key.action;
    for (const KeyBinding& binding : key_bindings())
        if (binding.key != 0 && binding.key == key.character) return binding.action;
    return std::nullopt;
}

} // namespace

std::size_t selected_row(TopState& state, const OnScreen& screen) {
    std::size_t row = 0;
    if (state.selected) {
        const auto found = std::ranges::find(screen.flows, *state.selected);
        if (found != screen.flows.end()) row = static_cast<std::size_t>(found - screen.flows.begin());
    }
    const std::size_t rows = std::max<std::size_t>(screen.rows, 1);
    if (row < state.first_row) state.first_row = row;
    if (row >= state.first_row + rows) state.first_row = row - rows + 1;
    // No empty lines below the last row.
    state.first_row = std::min(state.first_row, screen.flows.size() - std::min(screen.flows.size(), rows));
    return row;
}

bool press(TopState& state, const TypedKey& key, const OnScreen& screen) {
    if (state.typed) {
        edit_filter(state, key);
        return true;
    }
    const auto action = action_of(key);
    if (!action) return true;
    const auto page = static_cast<std::ptrdiff_t>(std::max<std::size_t>(screen.rows, 1));
    constexpr std::ptrdiff_t all = 1'000'000'000;
    switch (*action) {
    case Action::SortByRate:
        sort_by(state, SortBy::Rate);
        break;
    case Action::SortByLoss:
        sort_by(state, SortBy::Loss);
        break;
    case Action::SortByRoundTrip:
        sort_by(state, SortBy::RoundTrip);
        break;
    case Action::SortByJitter:
        sort_by(state, SortBy::Jitter);
        break;
    case Action::SortByProcess:
        sort_by(state, SortBy::Process);
        break;
    case Action::SortByRemote:
        sort_by(state, SortBy::Remote);
        break;
    case Action::Reverse:
        state.reverse = !state.reverse;
        break;
    case Action::Filter:
        state.page = Page::Flows;
        state.typed = state.filter;
        break;
    case Action::Freeze:
        state.frozen = !state.frozen;
        break;
    case Action::Open:
        if (state.page == Page::Flows && !screen.flows.empty()) {
            state.selected = screen.flows[selected_row(state, screen)];
            open_page(state, Page::Flow);
        }
        break;
    case Action::Verdict:
        open_page(state, Page::Verdict);
        break;
    case Action::Help:
        open_page(state, Page::Help);
        break;
    case Action::Back:
        state.page = Page::Flows;
        break;
    case Action::Up:
        move_by(state, screen, -1);
        break;
    case Action::Down:
        move_by(state, screen, 1);
        break;
    case Action::PageUp:
        move_by(state, screen, -page);
        break;
    case Action::PageDown:
        move_by(state, screen, page);
        break;
    case Action::First:
        move_by(state, screen, -all);
        break;
    case Action::Last:
        move_by(state, screen, all);
        break;
    case Action::Quit:
        return false;
    }
    return true;
}

} // namespace kudo
