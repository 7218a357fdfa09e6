// SPDX-License-Identifier: MIT
#include "maps/document/diff.h"
#include "maps/base/abi_names.h"

#include <unordered_set>

namespace kudo {
namespace {

using Values = std::vector<std::string>;

// One kind of thing that a service has.
struct Aspect {
    std::string_view what;
    Values (*values)(const Service&);
};

template <typename List> Values texts(const List& list) {
    Values values;
    for (const auto& item : list) {
        if constexpr (requires { item.prefix; })
            values.push_back(item.prefix.text());
        else
            values.push_back(item.text());
    }
    return values;
}

constexpr Aspect aspects[] = {
    {"class", [](const Service& s) -> Values { return {std::string(class_name(s.class_))}; }},
    {"optional", [](const Service& s) -> Values { return {s.optional ? "true" : "false"}; }},
    {"region", [](const Service& s) { return s.regions; }},
    {"port", [](const Service& s) { return texts(s.ports); }},
    {"range", [](const Service& s) { return texts(s.ranges); }},
    {"domain", [](const Service& s) { return s.domains; }},
};

// Appends a change for every value of `these` that is not among `those`.
void add_missing(MapDiff& diff, const Service& service, std::string_view what, const Values& these, const Values& those,
                 bool added) {
    std::unordered_set<std::string_view> known(those.begin(), those.end());
    for (const std::string& value : these) {
        if (known.insert(value).second) diff.changes.push_back({service.name, std::string(what), value, added});
    }
}

void compare(MapDiff& diff, const Service& old_service, const Service& new_service) {
    for (const auto& [what, values] : aspects) {
        const Values before = values(old_service), after = values(new_service);
        add_missing(diff, old_service, what, before, after, false);
        add_missing(diff, new_service, what, after, before, true);
    }
}

// A service that comes or goes: the service itself, then all it has.
void add_whole(MapDiff& diff, const Service& service, bool added) {
    diff.changes.push_back({service.name, "service", service.name, added});
    for (const auto& [what, values] : aspects)
        add_missing(diff, service, what, values(service), {}, added);
}

} // namespace

MapDiff diff(const RangeMap& old_map, const RangeMap& new_map) {
    MapDiff result;
    result.old_serial = old_map.serial;
    result.new_serial = new_map.serial;
    for (const Service& service : old_map.services) {
        if (const Service* other = new_map.find(service.name))
            compare(result, service, *other);
        else
            add_whole(result, service, false);
    }
    for (const Service& service : new_map.services) {
        if (!old_map.find(service.name)) add_whole(result, service, true);
    }
    return result;
}

} // namespace kudo
