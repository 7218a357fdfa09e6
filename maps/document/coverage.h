// SPDX-License-Identifier: MIT
// What a list of ranges covers, as a whole: it does not matter how the list is cut into prefixes.
// Invariant: intervals are sorted and neither overlap nor touch; building takes one sort, a query one binary search.
#pragma once

#include <span>
#include <vector>

#include "maps/document/range_map.h"

namespace kudo {

class Coverage {
public:
    explicit Coverage(std::span<const Range> ranges);
    // Every address of it, by one range or by several together.
    [[nodiscard]] bool holds(const Prefix& prefix) const;

private:
    struct Interval {
        Address first, last;
    };
    std::vector<Interval> intervals_;
};

// The last address of a prefix.
Address last_of(const Prefix& prefix);

} // namespace kudo
