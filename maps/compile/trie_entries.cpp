// SPDX-License-Identifier: MIT
#include "maps/compile/trie_entries.h"

#include <algorithm>
#include <iterator>
#include <tuple>

#include <fmt/format.h>

#include "maps/base/text.h"

namespace kudo {
namespace {

struct Item {
    const Range* range;
    std::size_t service; // position in the document
};

Result<std::vector<Item>> sorted_items(std::span<const SlottedService> services) {
    std::vector<Item> items;
    for (std::size_t index = 0; index < services.size(); ++index) {
        for (const Range& range : services[index].service->ranges) {
            if (items.size() == KUDO_MAX_PREFIXES)
                return bad_input(
                    fmt::format("{}: more than {} ranges in the chosen services", range.path, KUDO_MAX_PREFIXES));
            items.push_back({&range, index});
        }
    }
    std::ranges::sort(items, [](const Item& a, const Item& b) {
        return std::tie(a.range->prefix, a.service) < std::tie(b.range->prefix, b.service);
    });
    return items;
}

// Appends unless the service is listed already, more specifically. False: no room.
bool add_candidate(kudo_match& match, kudo_candidate candidate) {
    for (kudo_candidate& place : match.candidates) {
        if (place.service == candidate.service) return true;
        if (place.service != 0) continue;
        place = candidate;
        return true;
    }
    return false;
}

tl::unexpected<Error> too_many_services(const Range& range, std::span<const SlottedService> services) {
    std::vector<std::string> names;
    for (const auto& [service, slot] : services) {
        if (std::ranges::any_of(service->ranges, [&](const Range& r) { return r.prefix.contains(range.prefix); }))
            names.push_back(service->name);
    }
    return bad_input(fmt::format("{}: {} services cover {} ({}); at most {} may", range.path, names.size(),
                                 range.prefix.text(), joined(names), KUDO_MAX_CANDIDATES));
}

} // namespace

Result<std::vector<TrieEntry>> trie_entries(std::span<const SlottedService> services) {
    const auto items = KUDO_TRY(sorted_items(services));
    std::vector<TrieEntry> entries;
    std::vector<std::size_t> around; // positions in `entries`; each contains the next
    for (auto item = items.begin(); item != items.end();) {
        const Prefix& prefix = item->range->prefix;
        while (!around.empty() && !entries[around.back()].prefix.contains(prefix))
            around.pop_back();
        TrieEntry entry{prefix, {}, around.empty()};
        bool fits = true;
        auto last = item;
        for (; item != items.end() && item->range->prefix == prefix; last = item++)
            fits = add_candidate(entry.match, {services[item->service].slot, prefix.length}) && fits;
        if (!around.empty()) {
            for (const kudo_candidate& candidate : entries[around.back()].match.candidates)
                fits = (candidate.service == 0 || add_candidate(entry.match, candidate)) && fits;
        }
        if (!fits) return too_many_services(*last->range, services);
        around.push_back(entries.size());
        entries.push_back(entry);
    }
    return entries;
}

} // namespace kudo
