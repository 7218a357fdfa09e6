// SPDX-License-Identifier: MIT
// IP protocols as people and JSON read them.
// Invariant: a name is part of a contract and never changes its meaning.
#pragma once

#include <cstdint>
#include <string>

namespace kudo {

std::string protocol_name(uint8_t protocol); // "udp"; the number where we have no name

} // namespace kudo
