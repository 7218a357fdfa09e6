// SPDX-License-Identifier: MIT
#include "agent/diagnosis/series.h"

#include <algorithm>
#include <functional>
#include <span>

#include <fmt/format.h>

#include "maps/base/abi_names.h"

namespace kudo {
namespace {

// A counter of either of the two types of 64 bits.
class Count {
public:
    Count(uint64_t& count) : plain_(&count) {}
    Count(unsigned long long& count) : wide_(&count) {}
    [[nodiscard]] uint64_t value() const { return plain_ ? *plain_ : *wide_; }
    void lower_by(uint64_t less) const {
        if (plain_)
            *plain_ -= less;
        else
            *wide_ -= less;
    }

private:
    uint64_t* plain_ = nullptr;
    unsigned long long* wide_ = nullptr;
};
using Counts = std::vector<Count>;

Counts counts_of(Directions& directions) {
    kudo_counter &in = directions[KUDO_INGRESS], &out = directions[KUDO_EGRESS];
    return {in.packets, in.bytes, out.packets, out.bytes};
}

std::string flow_name(const FlowRecord& flow) {
    return fmt::format("{}/{}/{}/{}/{}/{}", flow.protocol, flow.local.text(), flow.local_port, flow.remote.text(),
                       flow.remote_port, flow.interface_index);
}

std::string drop_name(const Drop& drop) {
    std::string name =
        fmt::format("drop/{:x}/{}/{}/{}", drop.location, drop.reason_number, drop.queue_class, drop.is_ours);
    if (drop.flow)
        name += fmt::format("/{}/{}/{}/{}/{}/{}/{}", drop.flow->protocol, drop.flow->local.text(),
                            drop.flow->local_port, drop.flow->remote.text(), drop.flow->remote_port,
                            drop.flow->interface_index, drop.flow->non_first_fragment);
    return name;
}

// All that is counted, but flows and drops: visit(name, counts).
template <typename Visit> void for_each_total(Diagnosis& diagnosis, const Visit& visit) {
    Statistics& statistics = diagnosis.statistics;
    visit("totals", counts_of(statistics.totals));
    for (std::size_t i = 0; i < statistics.reasons.size(); ++i)
        visit(fmt::format("reason/{}", reason_name(static_cast<kudo_reason>(i))), counts_of(statistics.reasons[i]));
    for (auto& [name, service] : statistics.services)
        for (std::size_t i = 0; i < service.classes.size(); ++i)
            visit(fmt::format("service/{}/{}", name, i), counts_of(service.classes[i]));
    visit("outside_flows", Counts{statistics.unrecorded_flow_packets, statistics.evicted_flow_packets});
    visit("evicted_drops", counts_of(diagnosis.drops_evicted));
    visit("missed_drops", Counts{Count(diagnosis.drops_missed)});
}

// A flow's own counters, and what is counted of its streams and its STUN.
template <typename Visit> void for_each_of_flow(FlowRecord& flow, const Visit& visit) {
    const std::string name = flow_name(flow);
    visit("flow/" + name, counts_of(flow.counters));
    for (RtpStream& stream : flow.streams)
        if (auto& quality = stream.quality)
            visit(fmt::format("stream/{}/{:x}/{}", name, stream.ssrc, static_cast<int>(stream.direction)),
                  Counts{quality->unique, quality->lost, quality->duplicate, quality->reordered, quality->late,
                         quality->unconfirmed, quality->restarts, quality->gaps.at_least_60, quality->gaps.at_least_120,
                         quality->gaps.at_least_250, quality->gaps.at_least_1000});
    if (auto& probe = flow.probe)
        visit("stun/" + name, Counts{probe->requests, probe->responses, probe->unanswered, probe->retransmitted,
                                     probe->remote_requests, probe->remote_responses, probe->mapped_changes});
}

// True if anything is left.
bool subtract(const std::string& name, const Counts& counts, const Series& before) {
    const auto then = before.find(name);
    const auto at_least = [](const Count& now, uint64_t old) { return now.value() >= old; };
    if (then != before.end() && std::ranges::equal(counts, then->second, at_least))
        for (std::size_t i = 0; i < counts.size(); ++i)
            counts[i].lower_by(then->second[i]);
    return std::ranges::any_of(counts, [](const Count& count) { return count.value() != 0; });
}

} // namespace

Series series_of(const Diagnosis& diagnosis, std::size_t max_flows) {
    Series series;
    const auto note = [&series](const std::string& name, const Counts& counts) {
        std::vector<uint64_t>& values = series[name];
        for (const Count& count : counts)
            values.push_back(count.value());
    };
    auto& readable = const_cast<Diagnosis&>(diagnosis); // is only read
    for_each_total(readable, note);
    for (std::size_t i = 0; i < std::min(max_flows, readable.statistics.flows.size()); ++i) {
        FlowRecord& flow = readable.statistics.flows[i];
        for_each_of_flow(flow, note);
        if (flow.probe && flow.probe->rtt)
            series["rtt/" + flow_name(flow)] = {flow.probe->rtt->count,
                                                static_cast<uint64_t>(1000 * flow.probe->rtt->total)};
    }
    for (DiagnosedDrop& drop : readable.drops)
        note(drop_name(drop.drop), counts_of(drop.drop.counters));
    return series;
}

void keep_growth(Diagnosis& diagnosis, const Series& before) {
    const auto lower = [&before](const std::string& name, const Counts& counts) { subtract(name, counts, before); };
    for_each_total(diagnosis, lower);
    std::vector<FlowRecord>& flows = diagnosis.statistics.flows;
    for (FlowRecord& flow : flows)
        for_each_of_flow(flow, lower);
    std::erase_if(flows, [](const FlowRecord& flow) {
        return flow.counters[KUDO_INGRESS].packets == 0 && flow.counters[KUDO_EGRESS].packets == 0;
    });
    std::erase_if(diagnosis.drops, [&](DiagnosedDrop& drop) {
        return !subtract(drop_name(drop.drop), counts_of(drop.drop.counters), before);
    });
}

std::size_t flows_without_past(const Diagnosis& diagnosis, const Series& before,
                               std::chrono::system_clock::time_point time) {
    return static_cast<std::size_t>(std::ranges::count_if(diagnosis.statistics.flows, [&](const FlowRecord& flow) {
        return flow.first_seen < time && !before.contains("flow/" + flow_name(flow));
    }));
}

} // namespace kudo
