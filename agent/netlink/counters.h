// SPDX-License-Identifier: MIT
// An interface's own counters, as its driver keeps them: IFLA_STATS64 (linux/if_link.h).
#pragma once

#include <cstdint>

#include "maps/base/result.h"

namespace kudo {

struct InterfaceCounters {
    uint64_t received = 0, sent = 0; // packets
};
Result<InterfaceCounters> read_counters(uint32_t interface);

} // namespace kudo
