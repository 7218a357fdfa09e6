// SPDX-License-Identifier: MIT
// What a person has chosen to see, and what each key changes of it.
// Invariant: pure; a flow stays selected while its row moves.
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string>

#include "cli/top/keys.h"
#include "cli/top/rates.h"

namespace kudo {

enum class SortBy { Rate, Loss, RoundTrip, Jitter, Process, Remote };
enum class Page { Flows, Flow, Verdict, Help };

struct TopState {
    Page page = Page::Flows;
    SortBy sort = SortBy::Rate;
    bool reverse = false;
    std::string filter{};               // ASCII; empty: none
    std::optional<std::string> typed{}; // the filter while it is typed
    bool frozen = false;
    std::optional<FlowKey> selected{}; // nothing: the first row
    std::size_t first_row = 0;         // of the flows, at the top
    std::size_t first_line = 0;        // of another page
};

// A key as terminals name it.
struct TypedKey {
    char character = 0;             // ASCII; 0: none
    std::optional<Action> action{}; // of a key that types nothing: Up, Open, Back, ...
    bool backspace = false;
};

// What is on the screen, as far as keys depend on it.
struct OnScreen {
    std::span<const FlowKey> flows; // filtered and sorted: all rows, shown or not
    std::size_t rows = 1;           // lines for rows, or for another page's text
};

constexpr std::size_t max_filter = 64;

// False: end.
bool press(TopState& state, const TypedKey& key, const OnScreen& screen);

// The row of the selected flow; the first, if it is not there. Moves `first_row` so that it is on the screen.
std::size_t selected_row(TopState& state, const OnScreen& screen);

} // namespace kudo
