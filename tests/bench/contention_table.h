// SPDX-License-Identifier: MIT
// The contention benchmark's figures, for people and as JSON, beside what they are compared with and what we want.
// Invariant: a comparison is with a case of the same run and direction.
#pragma once

#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "tests/bench/contention_case.h"

namespace kudo::bench {

struct ContentionRow {
    ContentionResult result;
    double idle_late = 0;                    // ms, p99 of its sender
    double idle_p99 = 0;                     // ms, of media on the idle line
    double bulk_without = 0;                 // Mbit/s, with the same load and no agent
    [[nodiscard]] double of_without() const; // %
    [[nodiscard]] double of_line() const;    // %
    // A sender more than a millisecond late: the machine was busy, and the delays are also its own.
    [[nodiscard]] bool noisy() const;
    // Whether anything is asked of this case, and of that what it misses.
    [[nodiscard]] bool has_goals() const;
    [[nodiscard]] std::vector<std::string> missed() const;
};

void print_header();
void print_row(const ContentionRow& row);
void print_legend();
nlohmann::ordered_json json_of(const ContentionRow& row);

} // namespace kudo::bench
