// SPDX-License-Identifier: MIT
#include "maps/document/overlaps.h"

#include <algorithm>
#include <tuple>

namespace kudo {
namespace {

struct Item {
    const Service* service;
    const Range* range;
    std::size_t position; // in the document
};

std::vector<Item> sorted_ranges(const RangeMap& map) {
    std::vector<Item> items;
    for (const Service& service : map.services) {
        for (const Range& range : service.ranges)
            items.push_back({&service, &range, items.size()});
    }
    std::ranges::sort(items, [](const Item& a, const Item& b) {
        return std::tie(a.range->prefix, a.position) < std::tie(b.range->prefix, b.position);
    });
    return items;
}

} // namespace

std::vector<Overlap> find_overlaps(const RangeMap& map) {
    struct Pair {
        Item inner, outer;
    };
    std::vector<Pair> pairs;
    std::vector<Item> around; // each contains the next
    for (const Item& item : sorted_ranges(map)) {
        while (!around.empty() && !around.back().range->prefix.contains(item.range->prefix))
            around.pop_back();
        if (!around.empty()) pairs.push_back({item, around.back()});
        if (around.empty() || around.back().range->prefix != item.range->prefix) around.push_back(item);
    }
    std::ranges::sort(pairs, {}, [](const Pair& pair) { return pair.inner.position; });
    std::vector<Overlap> overlaps;
    overlaps.reserve(pairs.size());
    for (const auto& [inner, outer] : pairs)
        overlaps.push_back({inner.service->name, outer.service->name, *inner.range, *outer.range});
    return overlaps;
}

} // namespace kudo
