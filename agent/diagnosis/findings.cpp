// SPDX-License-Identifier: MIT
#include "agent/diagnosis/findings.h"

#include <fmt/format.h>
#include <netinet/in.h>

namespace kudo {
namespace {

std::string five_tuple_text(uint8_t number, const Address& from, uint16_t from_port, const Address& to,
                            uint16_t to_port) {
    const char* protocol = number == IPPROTO_TCP ? "tcp" : number == IPPROTO_UDP ? "udp" : "ip";
    return fmt::format("{} {} to {}", protocol, endpoint_text(from, from_port), endpoint_text(to, to_port));
}

} // namespace

std::string flow_text(const FlowRecord& flow) {
    return five_tuple_text(flow.protocol, flow.local, flow.local_port, flow.remote, flow.remote_port);
}

std::string flow_text(const FlowOfDrop& flow, kudo_direction direction) {
    if (direction == KUDO_EGRESS)
        return five_tuple_text(flow.protocol, flow.local, flow.local_port, flow.remote, flow.remote_port);
    return five_tuple_text(flow.protocol, flow.remote, flow.remote_port, flow.local, flow.local_port);
}

std::string percent_text(double share) {
    const double percent = 100 * share;
    if (percent == 0) return "0 %";
    if (percent < 0.01) return "< 0.01 %";
    if (percent < 1) return fmt::format("{:.2f} %", percent);
    return percent < 9.95 ? fmt::format("{:.1f} %", percent) : fmt::format("{:.0f} %", percent);
}

std::string part_text(uint64_t part, uint64_t whole) {
    return fmt::format("{} of {} packets ({})", part, whole,
                       percent_text(whole == 0 ? 0 : static_cast<double>(part) / static_cast<double>(whole)));
}

bool is_past(const Diagnosis& diagnosis, std::chrono::system_clock::time_point last) {
    return diagnosis.statistics.read_at - last > findings_are_recent;
}

uint64_t dropped_here(const Diagnosis& diagnosis, std::size_t flow, kudo_direction direction) {
    const auto found = diagnosis.flows.find(flow);
    return found == diagnosis.flows.end() ? 0 : found->second.dropped[direction].packets;
}

kudo_direction direction_of(const Drop& drop) {
    return drop.counters[KUDO_EGRESS].packets > 0 ? KUDO_EGRESS : KUDO_INGRESS;
}

} // namespace kudo
