// SPDX-License-Identifier: MIT
// Statistics for programs, and their growth. Used by the stats command.
// Invariant: see stats_view.h.
#include "cli/stats_view.h"

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

OrderedJson service_json(const Statistics::ServiceCounters& service) {
    OrderedJson result = directions_json(service.total());
    for (std::size_t i = 0; i < service.classes.size(); ++i)
        result["classes"][std::string(class_name(static_cast<kudo_class>(i)))] = directions_json(service.classes[i]);
    return result;
}

OrderedJson rate_json(const kudo_counter& counter, double seconds) {
    OrderedJson result;
    result["packets_per_second"] = static_cast<double>(counter.packets) / seconds;
    result["bits_per_second"] = 8 * static_cast<double>(counter.bytes) / seconds;
    return result;
}

OrderedJson rates_json(const Directions& directions, double seconds) {
    OrderedJson result;
    result["ingress"] = rate_json(directions[KUDO_INGRESS], seconds);
    result["egress"] = rate_json(directions[KUDO_EGRESS], seconds);
    return result;
}

OrderedJson growth_json(const Growth& growth) {
    OrderedJson result;
    result["seconds"] = growth.seconds;
    result["totals"] = rates_json(growth.totals, growth.seconds);
    result["services"] = OrderedJson::object();
    for (const auto& [name, service] : growth.services)
        result["services"][name] = rates_json(service.total(), growth.seconds);
    return result;
}

OrderedJson port_json(uint16_t port) {
    return port == 0 ? OrderedJson(nullptr) : OrderedJson(port);
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
    switch (protocol) {
    case IPPROTO_TCP:
        return "tcp";
    case IPPROTO_UDP:
        return "udp";
    case IPPROTO_ICMP:
        return "icmp";
    case IPPROTO_ICMPV6:
        return "icmpv6";
    case IPPROTO_SCTP:
        return "sctp";
    case IPPROTO_ESP:
        return "esp";
    case IPPROTO_GRE:
        return "gre";
    default:
        return fmt::format("{}", protocol);
    }
}

OrderedJson flow_json(const FlowRecord& flow) {
    OrderedJson result;
    result["protocol"] = protocol_name(flow.protocol);
    result["local"] = flow.local.text();
    result["local_port"] = port_json(flow.local_port);
    result["remote"] = flow.remote.text();
    result["remote_port"] = port_json(flow.remote_port);
    result["service"] = text_or_null(flow.service);
    result["class"] = class_name(flow.class_);
    result["range"] = flow.service.empty() ? OrderedJson(nullptr) : OrderedJson(flow.range.text());
    result["interface"] = flow.interface;
    result["verdict"] = verdict_name(flow.verdict);
    result["reason"] = reason_name(flow.reason);
    result.update(directions_json(flow.counters));
    result["first_seen"] = rfc3339_milliseconds(flow.first_seen);
    result["last_seen"] = rfc3339_milliseconds(flow.last_seen);
    result["generation"] = flow.generation;
    return result;
}

OrderedJson stats_json(const Statistics& statistics, const StatsView& view) {
    OrderedJson result;
    result["generation"] = statistics.generation;
    result["read_at"] = rfc3339_milliseconds(statistics.read_at);
    result["totals"] = directions_json(statistics.totals);
    result["reasons"] = OrderedJson::object();
    for (std::size_t i = 0; i < statistics.reasons.size(); ++i)
        result["reasons"][std::string(reason_name(static_cast<kudo_reason>(i)))] =
            directions_json(statistics.reasons[i]);
    result["services"] = OrderedJson::object();
    for (const auto& [name, service] : statistics.services)
        result["services"][name] = service_json(service);
    result["flows"] = OrderedJson::array();
    for (const FlowRecord& flow : statistics.flows)
        result["flows"].push_back(flow_json(flow));
    result["flow_table"]["entries"] = statistics.flow_entries;
    result["flow_table"]["capacity"] = statistics.flow_capacity;
    result["unrecorded_flow_packets"] = statistics.unrecorded_flow_packets;
    if (view.growth) result["rates"] = growth_json(*view.growth);
    result["drops"] = OrderedJson::array();
    result["drops_measured"] = false;
    return result;
}

} // namespace kudo
