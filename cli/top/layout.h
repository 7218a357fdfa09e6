// SPDX-License-Identifier: MIT
// The whole screen: what is shown, as lines.
// Invariant: pure; as many lines as the screen has, none wider than it. Whatever names hold, nothing of it acts on the
// terminal.
#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "cli/top/line.h"
#include "cli/top/reading.h"
#include "cli/top/state.h"

namespace kudo {

struct ScreenSize {
    std::size_t width = 80, height = 24;
    bool operator==(const ScreenSize&) const = default;
};
// Below, there is only a sentence.
inline constexpr ScreenSize least_screen{40, 8};
// Whatever a terminal says of itself.
inline constexpr ScreenSize largest_screen{1000, 500};

struct Pace {
    std::chrono::milliseconds interval{1000};
    bool slowed = false; // so that top itself takes little of a core
    std::string read_at; // of the clock: "20:15:03"; empty: nothing was read yet
};

// `flows`: chosen_flows(). Moves what `state` says of the position so that it is on the screen; `rows` is set to the
// lines that there are for flows, or for a page's text.
Lines layout(const Reading& reading, const std::vector<std::size_t>& flows, const Pace& pace, ScreenSize size,
             TopState& state, std::size_t& rows);

} // namespace kudo
