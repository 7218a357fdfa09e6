// SPDX-License-Identifier: MIT
// Numbers in units that people think in. Exact ones are what --json is for.
// Invariant: at most four characters of digits, then the unit; what rounds up to 1000 is written in the next unit.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

namespace kudo {

std::string count_text(uint64_t number);            // "99999", "1.2 M"
std::string bytes_text(uint64_t bytes);             // "999 B", "3.4 MB"
std::string packet_rate_text(double per_second);    // "12", "1.2 k"
std::string bit_rate_text(double bits_per_second);  // "800 bit/s", "3.4 Mbit/s"
std::string age_text(std::chrono::nanoseconds age); // "now", "3 s", "5 min", "2 h", "4 d"

} // namespace kudo
