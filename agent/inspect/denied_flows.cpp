// SPDX-License-Identifier: MIT
#include "agent/inspect/denied_flows.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>

#include <algorithm>
#include <map>

#include "agent/datapath/clock.h"
#include "agent/datapath/denied.h"
#include "agent/datapath/generation.h"
#include "agent/netlink/interfaces.h"
#include "agent/state/enforcement.h"

namespace kudo {
namespace {

// services(5)
std::string service_name(uint16_t port, uint8_t protocol) {
    if (port == 0 || (protocol != IPPROTO_TCP && protocol != IPPROTO_UDP)) return "";
    servent entry{}, *found = nullptr;
    char buffer[1024];
    if (getservbyport_r(htons(port), protocol == IPPROTO_TCP ? "tcp" : "udp", &entry, buffer, sizeof buffer, &found) !=
        0)
        return "";
    return found ? found->s_name : "";
}

class NamedRows {
public:
    static Result<NamedRows> make(DataPath& data_path, const std::vector<NamedAddress>& names) {
        NamedRows rows(KUDO_TRY(TickClock::read(data_path)));
        const auto interfaces = KUDO_TRY(list_interfaces());
        for (const Interface& interface : interfaces)
            rows.interfaces_[interface.index] = interface.name;
        for (const NamedAddress& named : names)
            rows.names_.try_emplace(named.address, named.name); // the newest is first
        return rows;
    }

    template <typename Key> [[nodiscard]] DeniedFlow flow(const Key& key, const kudo_denied& row) const {
        const Family family = sizeof key.local == 4 ? Family::IPv4 : Family::IPv6;
        DeniedFlow flow{.protocol = key.protocol,
                        .local = Address::from_bytes(family, &key.local),
                        .remote = Address::from_bytes(family, &key.remote),
                        .local_port = key.local_port,
                        .remote_port = key.remote_port,
                        .interface = interface_name(key.interface),
                        .first_seen = clock_.wall_time(row.first_seen),
                        .last_seen = clock_.wall_time(row.last_seen),
                        .name = {}};
        std::ranges::copy(row.directions, flow.counters.begin());
        for (std::size_t i = 0; i < KUDO_DIRECTIONS; ++i)
            flow.reasons[i] = static_cast<kudo_reason>(row.reasons[i]);
        flow.name = name_of(flow);
        return flow;
    }

private:
    explicit NamedRows(TickClock clock) : clock_(clock) {}
    [[nodiscard]] std::string interface_name(uint32_t index) const {
        const auto name = interfaces_.find(index);
        return name != interfaces_.end() ? name->second : "#" + std::to_string(index);
    }
    [[nodiscard]] std::string name_of(const DeniedFlow& flow) const {
        if (const auto name = names_.find(flow.remote); name != names_.end()) return name->second;
        const bool remote_serves = flow.remote_port <= flow.local_port;
        const std::string first = service_name(remote_serves ? flow.remote_port : flow.local_port, flow.protocol);
        return first.empty() ? service_name(remote_serves ? flow.local_port : flow.remote_port, flow.protocol) : first;
    }

    TickClock clock_;
    std::map<uint32_t, std::string> interfaces_;
    std::map<Address, std::string> names_;
};

} // namespace

kudo_reason DeniedFlow::reason() const {
    return reasons[counters[KUDO_EGRESS].packets > counters[KUDO_INGRESS].packets ? KUDO_EGRESS : KUDO_INGRESS];
}

Result<Denied> read_denied_flows(DataPath& data_path, const kudo_counters& counters,
                                 const std::vector<NamedAddress>& names) {
    Denied denied;
    if (const auto policy = read_active_policy(data_path.maps()); policy && policy->generation != 0)
        denied.admission = admission_now(*policy, HostMoment::now());
    for (std::size_t reason = 0; reason < KUDO_REASON_END; ++reason)
        std::ranges::copy(counters.would_drop[reason], denied.would_drop[reason].begin());
    denied.untracked_packets = counters.denied_untracked;
    const DeniedTable table = KUDO_TRY(read_denied(data_path.maps()));
    denied.capacity = table.capacity;
    const NamedRows rows = KUDO_TRY(NamedRows::make(data_path, names));
    for (const auto& [key, row] : table.flows4)
        denied.flows.push_back(rows.flow(key, row));
    for (const auto& [key, row] : table.flows6)
        denied.flows.push_back(rows.flow(key, row));
    std::ranges::stable_sort(denied.flows, std::greater{}, &DeniedFlow::packets);
    return denied;
}

} // namespace kudo
