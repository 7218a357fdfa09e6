// SPDX-License-Identifier: MIT
// What changes from one range map to another.
// Invariant: only what the maps ask for is compared, not its order or spelling; first the old map's services in its
// order, then those that are new. Within a service removals of one kind precede its additions.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "maps/document/range_map.h"

namespace kudo {

// What changes from one map to another, by service; in document order.
struct MapDiff {
    struct Change {
        std::string service;
        std::string what;  // "range", "port", "domain", "region", "class", "optional", "service"
        std::string value; // "3.97.146.187/32"
        bool added = false;
    };
    std::vector<Change> changes; // empty: the maps ask for the same
    uint64_t old_serial = 0, new_serial = 0;
};
MapDiff diff(const RangeMap& old_map, const RangeMap& new_map);

} // namespace kudo
