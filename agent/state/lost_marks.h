// SPDX-License-Identifier: MIT
// Marks (DSCP) that the network on the way loses, and the marks of a policy without them (--mark-fallback).
// Invariant: pure. A class whose mark is lost keeps its priority.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "bpf/abi.h"
#include "maps/base/time.h"
#include "maps/compile/compile.h"
#include "maps/net/prefix.h"

namespace kudo {

struct LostMark {
    uint8_t dscp = 0; // 1 to 63
    Time since{};     // when that was found
    Address server{}; // that was asked then
    bool operator==(const LostMark&) const = default;
};

// A mark and the classes that have it: "audio", "video".
struct MarkInUse {
    uint8_t dscp = 0;
    std::vector<std::string> treatments;
};
std::vector<MarkInUse> marks_in_use(const Marks& marks);

// Of those that were found, what a class still has.
std::vector<LostMark> still_in_use(std::vector<LostMark> lost, const Marks& marks);

Marks without_lost(Marks marks, const std::vector<LostMark>& lost);

} // namespace kudo
