// SPDX-License-Identifier: MIT
#include "cli/views/stats_view.h"

#include <fmt/format.h>
#include <netinet/in.h>

namespace kudo {
namespace {

kudo_counter added(const kudo_counter& before, const kudo_counter& now) {
    if (now.packets < before.packets || now.bytes < before.bytes) return now;
    return {now.packets - before.packets, now.bytes - before.bytes};
}

Directions added(const Directions& before, const Directions& now) {
    return {added(before[KUDO_INGRESS], now[KUDO_INGRESS]), added(before[KUDO_EGRESS], now[KUDO_EGRESS])};
}

} // namespace

Growth growth(const Statistics& before, const Statistics& now, double seconds) {
    Growth result;
    result.seconds = seconds > 0 ? seconds : 1;
    result.totals = added(before.totals, now.totals);
    for (const auto& [name, service] : now.services) {
        const auto old = before.services.find(name);
        Statistics::ServiceCounters& sum = result.services[name];
        sum = service;
        if (old == before.services.end()) continue;
        for (std::size_t i = 0; i < sum.classes.size(); ++i)
            sum.classes[i] = added(old->second.classes[i], service.classes[i]);
    }
    return result;
}

std::string protocol_name(uint8_t protocol) {
    constexpr std::pair<uint8_t, const char*> names[] = {
        {IPPROTO_TCP, "tcp"},   {IPPROTO_UDP, "udp"}, {IPPROTO_ICMP, "icmp"}, {IPPROTO_ICMPV6, "icmpv6"},
        {IPPROTO_SCTP, "sctp"}, {IPPROTO_ESP, "esp"}, {IPPROTO_GRE, "gre"},
    };
    for (const auto& [number, name] : names)
        if (number == protocol) return name;
    return fmt::format("{}", protocol);
}

} // namespace kudo
