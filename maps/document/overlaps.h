// SPDX-License-Identifier: MIT
// Ranges that lie inside others.
// Invariant: each inner range is reported once, with the most specific range around it; of equal ranges the later
// ones are inside the first. Time is that of a sort.
#pragma once

#include <string>
#include <vector>

#include "maps/document/range_map.h"

namespace kudo {

// Ranges that lie inside another range or stand twice. Normal (the vendor's list has them): reported, never refused.
struct Overlap {
    std::string inner_service, outer_service;
    Range inner, outer;
};
std::vector<Overlap> find_overlaps(const RangeMap& map);

} // namespace kudo
