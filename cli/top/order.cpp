// SPDX-License-Identifier: MIT
#include "cli/top/order.h"

#include <algorithm>
#include <cctype>
#include <functional>
#include <string_view>
#include <utility>

#include "agent/diagnosis/flow_findings.h"
#include "agent/inspect/protocol_name.h"
#include "cli/views/flow_cells.h"
#include "cli/views/stats_view.h"
#include "maps/base/abi_names.h"

namespace kudo {
namespace {

bool holds(std::string_view text, std::string_view part) {
    const auto same = [](char a, char b) {
        return std::tolower(static_cast<unsigned char>(a)) == std::tolower(static_cast<unsigned char>(b));
    };
    return std::search(text.begin(), text.end(), part.begin(), part.end(), same) != text.end() || part.empty();
}

bool passes(const FlowRecord& flow, const FlowDiagnosis* detail, const std::string& filter) {
    if (filter.empty()) return true;
    if (detail)
        for (const SocketOwner& process : detail->processes)
            if (holds(process.name, filter) || holds(process.unit, filter) || holds(process.container, filter))
                return true;
    return holds(endpoint_text(flow.remote, flow.remote_port), filter) ||
           holds(endpoint_text(flow.local, flow.local_port), filter) || holds(protocol_name(flow.protocol), filter) ||
           holds(flow.service, filter) || holds(class_name(flow.class_), filter) || holds(flow.interface, filter) ||
           holds(reason_name(flow.reason), filter) || holds(verdict_name(flow.verdict), filter);
}

std::optional<double> number_of(const Reading& reading, std::size_t flow, SortBy by) {
    const FlowRecord& record = reading.diagnosis()->statistics.flows[flow];
    const FlowDiagnosis* const detail = reading.detail(flow);
    switch (by) {
    case SortBy::Rate:
        if (const auto rate = reading.rates().rate(flow)) return rate->both();
        return std::nullopt;
    case SortBy::Loss:
        return lost_share(*reading.diagnosis(), record, detail);
    case SortBy::RoundTrip:
        return round_trip_ms(record, detail);
    case SortBy::Jitter:
        return jitter_ms(record);
    case SortBy::Process:
    case SortBy::Remote:
        break;
    }
    return std::nullopt;
}

// Those with a key in order, then the others. `before(a, b)` of keys.
template <typename Key, typename Before>
std::vector<std::size_t> in_order(std::vector<std::pair<std::optional<Key>, std::size_t>> rows, bool reverse,
                                  Before before) {
    std::ranges::stable_sort(rows, [&](const auto& a, const auto& b) {
        if (!a.first || !b.first) return a.first.has_value() && !b.first;
        return reverse ? before(*b.first, *a.first) : before(*a.first, *b.first);
    });
    std::vector<std::size_t> flows;
    flows.reserve(rows.size());
    for (const auto& [key, flow] : rows)
        flows.push_back(flow);
    return flows;
}

} // namespace

std::optional<double> lost_share(const Diagnosis& diagnosis, const FlowRecord& flow, const FlowDiagnosis* detail) {
    std::optional<double> share;
    if (const RtpLoss loss = incoming_loss(flow, diagnosis.statistics.read_at); loss.expected > 0) share = loss.share();
    if (!diagnosis.drops_measured) return share;
    uint64_t packets = 0, dropped = 0;
    for (std::size_t way = 0; way < KUDO_DIRECTIONS; ++way) {
        packets += flow.counters[way].packets;
        if (detail) dropped += detail->dropped[way].packets;
    }
    // Some of what is dropped was never counted.
    packets = std::max(packets, dropped);
    const double here = packets == 0 ? 0 : static_cast<double>(dropped) / static_cast<double>(packets);
    return std::max(share.value_or(0), here);
}

std::vector<std::size_t> chosen_flows(const Reading& reading, const TopState& state) {
    if (!reading.diagnosis()) return {};
    const auto& flows = reading.diagnosis()->statistics.flows;
    const auto rows_by = [&]<typename Key>(auto key_of_flow, std::optional<Key> /*type*/) {
        std::vector<std::pair<std::optional<Key>, std::size_t>> rows;
        rows.reserve(flows.size());
        for (std::size_t i = 0; i < flows.size(); ++i)
            if (passes(flows[i], reading.detail(i), state.filter)) rows.emplace_back(key_of_flow(i), i);
        return rows;
    };
    if (state.sort == SortBy::Process) {
        const auto name = [&](std::size_t flow) -> std::optional<std::string_view> {
            const FlowDiagnosis* const detail = reading.detail(flow);
            if (!detail || detail->processes.empty()) return std::nullopt;
            return detail->processes.front().name;
        };
        return in_order(rows_by(name, std::optional<std::string_view>()), state.reverse, std::less<>());
    }
    if (state.sort == SortBy::Remote) {
        const auto address = [&](std::size_t flow) {
            return std::optional(std::pair(flows[flow].remote, flows[flow].remote_port));
        };
        return in_order(rows_by(address, std::optional<std::pair<Address, uint16_t>>()), state.reverse, std::less<>());
    }
    const auto number = [&](std::size_t flow) { return number_of(reading, flow, state.sort); };
    return in_order(rows_by(number, std::optional<double>()), state.reverse, std::greater<>());
}

} // namespace kudo
