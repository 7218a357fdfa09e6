// SPDX-License-Identifier: MIT
// The table of flows: which columns fit, and what is in them.
// Invariant: pure; a column keeps its place and its width while numbers change. "-": there is nothing to measure, or
// not yet; "?": this process may not know.
#pragma once

#include <span>

#include "cli/top/line.h"
#include "cli/top/reading.h"
#include "cli/top/state.h"

namespace kudo {

class FlowColumns {
public:
    // `long_addresses`: there are IPv6 ones.
    FlowColumns(std::size_t width, bool long_addresses);
    [[nodiscard]] Line titles(const TopState& state) const;
    [[nodiscard]] Line row(const Reading& reading, std::size_t flow) const;

private:
    std::vector<std::size_t> widths_; // by column; 0: left out
};

} // namespace kudo
