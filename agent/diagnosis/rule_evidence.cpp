// SPDX-License-Identifier: MIT
#include "agent/diagnosis/rule_evidence.h"

#include <netinet/in.h>
#include <sys/utsname.h>

#include <cstdio>

#include <fmt/format.h>

namespace kudo {

std::string point_text(const DropPoint& point) {
    const std::string name = name_of(point);
    return point.kind == DropPoint::Kind::Policy || point.text.empty() ? name : name + ": " + point.text;
}

bool is_shared_place(const Drop& drop) {
    return drop.place.starts_with("nf_hook_slow") || drop.place == "unknown";
}
bool frees_elsewhere(const Drop& drop) {
    static const bool nft_frees = [] {
        utsname kernel{};
        int major = 0, minor = 0;
        return uname(&kernel) == 0 && sscanf(kernel.release, "%d.%d", &major, &minor) == 2 &&
               (major > 6 || (major == 6 && minor >= 7));
    }();
    return nft_frees && drop.place.starts_with("nf_hook_slow");
}

bool counts_enough(const DropPoint& point, const Drop& drop) {
    const uint64_t packets = drop.counters[KUDO_INGRESS].packets + drop.counters[KUDO_EGRESS].packets;
    return !point.counter || (drop.flow && drop.flow->protocol == IPPROTO_TCP) || *point.counter >= packets;
}

std::string accept_words(const DropPoint& point, const FlowOfDrop& flow, kudo_direction direction) {
    if (point.legacy) return ".";
    const bool in = direction == KUDO_INGRESS;
    return fmt::format(", for this server: nft insert rule {} {} {} {} {} {} {} {} {} accept; for all ranges as "
                       "kudo-agent doctor tells it, and where your firewall keeps its rules.",
                       point.family, point.table, point.chain, flow.remote.family == Family::IPv6 ? "ip6" : "ip",
                       in ? "saddr" : "daddr", flow.remote.text(), flow.protocol == IPPROTO_TCP ? "tcp" : "udp",
                       in ? "sport" : "dport", flow.remote_port);
}

} // namespace kudo
