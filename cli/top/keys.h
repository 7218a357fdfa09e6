// SPDX-License-Identifier: MIT
// What top does with which key: the one list for the keys themselves, its help, --help and the manual page.
// Invariant: pure.
#pragma once

#include <span>
#include <string>
#include <string_view>

namespace kudo {

enum class Action {
    SortByRate,
    SortByLoss,
    SortByRoundTrip,
    SortByJitter,
    SortByProcess,
    SortByRemote,
    Reverse,
    Filter,
    Freeze,
    Open,
    Verdict,
    Back,
    Up,
    Down,
    PageUp,
    PageDown,
    First,
    Last,
    Help,
    Quit,
};

struct KeyBinding {
    char key; // 0: a key that types nothing
    Action action;
    std::string_view name;  // "r", "Enter"
    std::string_view label; // in the line at the bottom; empty: not there
    std::string_view text;
};
std::span<const KeyBinding> key_bindings();

// For --help and the manual page: one paragraph.
std::string keys_text();

} // namespace kudo
