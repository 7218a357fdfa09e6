// SPDX-License-Identifier: MIT
#include "cli/fleet/view.h"

#include <algorithm>

#include "agent/fleet/layout.h"
#include "maps/base/text.h"
#include "maps/document/parse_range_map.h"
#include "maps/trust/bundle.h"
#include "maps/trust/key_set.h"

namespace kudo {
namespace {

PublishedDocument read_published(const NatsEntry& entry, bool is_keys, WallTime now) {
    PublishedDocument published;
    published.age = std::max<std::chrono::nanoseconds>(now - entry.created, std::chrono::nanoseconds(0));
    const auto read = [&]() -> Result<void> {
        const auto bundle = KUDO_TRY(split_bundle(entry.value));
        if (is_keys) {
            const auto keys = KUDO_TRY(parse_key_set(bundle.document, entry.key));
            published.serial = keys.serial;
        } else {
            const auto map = KUDO_TRY(parse_range_map(bundle.document, entry.key));
            published.serial = map.serial;
            published.effective = map.effective;
        }
        return {};
    }();
    if (!read) published.problem = read.error().message;
    return published;
}

// "canary" of "ring.canary.map"; empty: not such a key.
std::string ring_of(const std::string& key) {
    const std::size_t end = key.rfind('.');
    if (!key.starts_with("ring.") || end <= 5) return "";
    std::string ring = key.substr(5, end - 5);
    return is_simple_name(ring) ? ring : "";
}

Result<void> read_rings(NatsConnection& connection, const std::string& fleet, WallTime now,
                        std::map<std::string, FleetRing>& rings) {
    auto bucket = connection.bucket(maps_bucket(fleet));
    // Nothing was published for this fleet yet: no error.
    if (!bucket && bucket.error().kind == ErrorKind::NotEnabled) return {};
    if (!bucket) return fail(std::move(bucket.error()));
    return bucket->for_each("ring.>", [&](const NatsEntry& entry) {
        const std::string ring = ring_of(entry.key);
        if (ring.empty()) return;
        if (entry.key == ring_map_key(ring)) rings[ring].map = read_published(entry, false, now);
        if (entry.key == ring_keys_key(ring)) rings[ring].keys = read_published(entry, true, now);
    });
}

} // namespace

std::optional<Wanted> FleetRing::wanted() const {
    if (!map || map->serial == 0) return std::nullopt;
    return Wanted{.serial = map->serial, .effective = map->effective};
}

Result<std::vector<FleetHost>> read_fleet_hosts(NatsConnection& connection, const std::string& fleet, WallTime now) {
    std::vector<FleetHost> hosts;
    auto bucket = connection.bucket(hosts_bucket(fleet));
    if (!bucket && bucket.error().kind == ErrorKind::NotEnabled) return hosts;
    if (!bucket) return fail(std::move(bucket.error()));
    KUDO_TRY(bucket->for_each(host_key(">"),
                              [&](const NatsEntry& entry) { hosts.push_back(read_fleet_host(entry, fleet, now)); }));
    std::ranges::sort(hosts, {}, &FleetHost::name);
    return hosts;
}

Result<FleetView> read_fleet(NatsConnection& connection, const std::string& fleet, WallTime now) {
    FleetView view;
    view.hosts = KUDO_TRY(read_fleet_hosts(connection, fleet, now));
    for (const FleetHost& host : view.hosts)
        if (host.report) view.rings.try_emplace(host.report->ring);
    KUDO_TRY(read_rings(connection, fleet, now, view.rings));
    return view;
}

} // namespace kudo
