// SPDX-License-Identifier: MIT
#include "agent/linerate/media_servers.h"

#include <netinet/in.h>

#include <cstring>

#include "agent/datapath/bpf_object.h"
#include "agent/datapath/flow_table.h"

namespace kudo {
namespace {

constexpr uint64_t of_a_meeting = 40; // packets; some probes, of `kudo-agent doctor` for instance, are fewer

} // namespace

Result<std::map<uint32_t, MediaServer>> read_media_servers(const DataPath& data_path, const TickClock& clock,
                                                           std::chrono::milliseconds quiet,
                                                           const std::set<uint16_t>& own,
                                                           const std::map<uint32_t, MediaServer>& present) {
    const auto since = clock.wall_time(clock.now()) - quiet;
    const auto cpus = KUDO_TRY(Mapped<const kudo_cpu>::map(data_path.maps().cpus.get(), "the counters"));
    const auto table =
        KUDO_TRY(read_flow_table(data_path.maps().flows4.get(), data_path.maps().flows6.get(), cpus.elements()));
    std::map<uint32_t, std::pair<uint64_t, MediaServer>> busiest; // by interface
    const auto look = [&](const auto& flows) {
        for (const auto& [key, flow] : flows) {
            kudo_judgement judgement{};
            std::memcpy(&judgement, &flow.judgement, sizeof judgement);
            if (judgement.verdict_and_class >> 4 != KUDO_CLASS_MEDIA || key.protocol != IPPROTO_UDP ||
                own.contains(key.local_port) || clock.wall_time(flow.last_seen) < since)
                continue;
            const auto& [in, out] = flow.directions;
            if (in.packets + out.packets < of_a_meeting) continue;
            const Family family = sizeof key.local == 4 ? Family::IPv4 : Family::IPv6;
            const MediaServer server{Address::from_bytes(family, &key.remote), Address::from_bytes(family, &key.local)};
            const auto now = present.find(key.interface);
            const bool is_present = now != present.end() && now->second == server;
            const uint64_t bytes = is_present ? UINT64_MAX : in.bytes + out.bytes;
            auto& best = busiest[key.interface];
            if (bytes >= best.first) best = {bytes, server};
        }
    };
    look(table.flows4);
    look(table.flows6);
    std::map<uint32_t, MediaServer> servers;
    for (const auto& [interface, best] : busiest)
        servers.emplace(interface, best.second);
    return servers;
}

} // namespace kudo
