// SPDX-License-Identifier: MIT
// Questions to a range map.
// Invariant: regions() is sorted, each once, without "*".
#include "maps/document/range_map.h"

#include <algorithm>
#include <set>

namespace kudo {

std::vector<std::string> RangeMap::regions() const {
    std::set<std::string> names;
    for (const Service& service : services)
        names.insert(service.regions.begin(), service.regions.end());
    names.erase("*");
    return {names.begin(), names.end()};
}

const Service* RangeMap::find(std::string_view service) const {
    const auto found = std::ranges::find(services, service, &Service::name);
    return found == services.end() ? nullptr : &*found;
}

} // namespace kudo
