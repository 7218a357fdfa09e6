// SPDX-License-Identifier: MIT
#include "maps/compile/trie_entries.h"

#include <algorithm>
#include <iterator>
#include <tuple>

#include <fmt/format.h>

#include "maps/base/text.h"
#include "maps/net/nat64.h"

namespace kudo {
namespace {

struct Item {
    Prefix prefix;
    const Range* range;
    std::size_t service; // position in the document
};

Result<std::vector<Item>> sorted_items(std::span<const SlottedService> services, std::span<const Prefix> nat64) {
    std::vector<Item> items;
    std::size_t ranges = 0, ipv6 = 0;
    for (std::size_t index = 0; index < services.size(); ++index) {
        for (const Range& range : services[index].service->ranges) {
            const bool ipv4 = range.prefix.address.family == Family::IPv4;
            ipv6 += ipv4 ? nat64.size() : 1;
            if (++ranges > KUDO_MAX_PREFIXES || ipv6 > KUDO_MAX_PREFIXES)
                return bad_input(
                    fmt::format("{}: more than {} ranges in the chosen services", range.path, KUDO_MAX_PREFIXES));
            items.push_back({range.prefix, &range, index});
            for (const Prefix& prefix : nat64)
                if (ipv4) items.push_back({embed(prefix, range.prefix), &range, index});
        }
    }
    std::ranges::sort(items, [](const Item& a, const Item& b) {
        return std::tie(a.prefix, a.service) < std::tie(b.prefix, b.service);
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

Result<std::vector<TrieEntry>> trie_entries(std::span<const SlottedService> services, std::span<const Prefix> nat64) {
    const auto items = KUDO_TRY(sorted_items(services, nat64));
    std::vector<TrieEntry> entries;
    std::vector<std::size_t> around; // positions in `entries`; each contains the next
    for (auto item = items.begin(); item != items.end();) {
        const Prefix& prefix = item->prefix;
        while (!around.empty() && !entries[around.back()].prefix.contains(prefix))
            around.pop_back();
        TrieEntry entry{prefix, {}, around.empty()};
        bool fits = true;
        auto last = item;
        for (; item != items.end() && item->prefix == prefix; last = item++)
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
