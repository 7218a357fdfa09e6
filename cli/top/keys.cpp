// SPDX-License-Identifier: MIT
#include "cli/top/keys.h"

#include <array>

#include <fmt/format.h>

namespace kudo {

// In the order of the line at the bottom, whose end a narrow terminal leaves out.
std::span<const KeyBinding> key_bindings() {
    static constexpr std::array bindings = std::to_array<KeyBinding>({
        {'q', Action::Quit, "q", "quit", "end"},
        {'?', Action::Help, "?", "help", "these keys, and what the columns say"},
        {0, Action::Open, "Enter", "flow", "all that is known of the selected flow"},
        {'r', Action::SortByRate, "r", "rate", "sort by rate"},
        {'l', Action::SortByLoss, "l", "loss", "sort by the share that is lost, before this host or in it"},
        {'t', Action::SortByRoundTrip, "t", "RTT", "sort by round-trip time"},
        {'p', Action::SortByProcess, "p", "process", "sort by process"},
        {'/', Action::Filter, "/", "filter", "show only flows of which a column holds a text; empty: all"},
        {' ', Action::Freeze, "Space", "freeze", "stop reading, and go on"},
        {'v', Action::Verdict, "v", "verdict", "where packets are lost, why, and what to do"},
        {'j', Action::SortByJitter, "j", "jitter", "sort by jitter"},
        {'a', Action::SortByRemote, "a", "address", "sort by remote address"},
        {'R', Action::Reverse, "R", "reverse", "sort the other way round"},
        {0, Action::Back, "Esc", "", "back to the flows"},
        {0, Action::Up, "Up", "", "one line up"},
        {0, Action::Down, "Down", "", "one line down"},
        {0, Action::PageUp, "PageUp", "", "one screen up"},
        {0, Action::PageDown, "PageDown", "", "one screen down"},
        {0, Action::First, "Home", "", "to the first line"},
        {0, Action::Last, "End", "", "to the last line"},
    });
    return bindings;
}

std::string keys_text() {
    std::string text = "Keys:";
    for (const KeyBinding& binding : key_bindings())
        text += fmt::format("{} {}: {}", text.ends_with(':') ? "" : ";", binding.name, binding.text);
    return text + ".";
}

} // namespace kudo
