// SPDX-License-Identifier: MIT
#include "agent/inspect/statistics.h"
#include "agent/datapath/pin_folder.h"

#include <algorithm>
#include <cstring>

#include "agent/attach/attachment.h"
#include "agent/datapath/clock.h"
#include "agent/datapath/datapath.h"
#include "agent/datapath/flow_table.h"
#include "agent/datapath/generation.h"
#include "agent/datapath/slot_names.h"
#include "agent/inspect/totals.h"
#include "agent/netlink/interfaces.h"
#include "agent/state/desired_state.h"
#include "agent/state/range_store.h"
#include "agent/system/capabilities.h"
#include "bpf/judge.h"

namespace kudo {
namespace {

void add(kudo_counter& sum, const kudo_counter& counter) {
    sum.packets += counter.packets;
    sum.bytes += counter.bytes;
}

void take_counters(const kudo_counters& counters, const ServiceSlots& slots, Statistics& statistics) {
    statistics.unrecorded_flow_packets = counters.untracked_packets;
    std::copy_n(std::begin(counters.dns), KUDO_ANSWER_END, statistics.dns.begin());
    std::copy_n(std::begin(counters.tls), KUDO_TLS_END, statistics.tls.begin());
    for (std::size_t direction = 0; direction < KUDO_DIRECTIONS; direction++) {
        for (std::size_t reason = 0; reason < KUDO_REASON_END; reason++) {
            add(statistics.reasons[reason][direction], counters.reasons[reason][direction]);
            add(statistics.totals[direction], counters.reasons[reason][direction]);
        }
        for (const auto& [name, slot] : slots)
            for (std::size_t class_ = 0; class_ < KUDO_CLASSES; class_++)
                add(statistics.services[name].classes[class_][direction], counters.services[slot][class_][direction]);
    }
}

// A packet with a service has a flow: kudo_judge(). The reasons were read before the flows, so that what comes in
// between is no difference.
uint64_t evicted_packets(const Statistics& statistics) {
    uint64_t judged = 0, in_flows = statistics.unrecorded_flow_packets;
    for (const kudo_reason reason : {KUDO_REASON_RULE, KUDO_REASON_PORT_NOT_LISTED, KUDO_REASON_ICMP,
                                     KUDO_REASON_OTHER_PROTOCOL, KUDO_REASON_LATER_FRAGMENT, KUDO_REASON_NAME})
        for (const kudo_counter& counter : statistics.reasons[reason])
            judged += counter.packets;
    for (const FlowRecord& flow : statistics.flows)
        for (const kudo_counter& counter : flow.counters)
            in_flows += counter.packets;
    return judged - std::min(judged, in_flows);
}

Result<void> read_flows(DataPath& data_path, std::span<const kudo_cpu> cpus, const SlotNames& names,
                        Statistics& statistics) {
    auto clock = KUDO_TRY(TickClock::read(data_path));
    auto interfaces = KUDO_TRY(list_interfaces());
    std::map<uint32_t, std::string> interface_names;
    for (const Interface& interface : interfaces)
        interface_names[interface.index] = interface.name;
    auto streams = KUDO_TRY(read_rtp_streams(data_path.maps()));
    auto probes = KUDO_TRY(read_probes(data_path.maps()));

    const auto record_of = [&](const auto& key, const kudo_flow& flow) {
        kudo_judgement judgement{};
        std::memcpy(&judgement, &flow.judgement, sizeof judgement);
        FlowRecord record;
        record.protocol = key.protocol;
        const Family family = sizeof key.local == 4 ? Family::IPv4 : Family::IPv6;
        record.local = Address::from_bytes(family, &key.local);
        record.remote = Address::from_bytes(family, &key.remote);
        record.local_port = key.local_port;
        record.remote_port = key.remote_port;
        record.non_first_fragment = key.non_first_fragment != 0;
        record.interface_index = key.interface;
        const auto name = interface_names.find(key.interface);
        record.interface = name != interface_names.end() ? name->second : "#" + std::to_string(key.interface);
        // Generation numbers may wrap.
        const SlotName& service = names[judgement.service % KUDO_MAX_SERVICES];
        if (static_cast<int32_t>(judgement.generation - service.since) >= 0) record.service = service.name;
        record.class_ = static_cast<kudo_class>(kudo_class_of(judgement));
        record.verdict = static_cast<kudo_verdict>(kudo_verdict_of(judgement));
        record.reason = static_cast<kudo_reason>(judgement.reason);
        record.named_by_tls = record.reason == KUDO_REASON_NAME && judgement.prefix_length == KUDO_BY_TLS_NAME;
        record.range = judgement.reason == KUDO_REASON_NAME ? prefix_of(record.remote, record.remote.bits())
                                                            : prefix_of(record.remote, judgement.prefix_length);
        record.generation = judgement.generation;
        std::copy(std::begin(flow.directions), std::end(flow.directions), record.counters.begin());
        record.first_seen = clock.wall_time(flow.first_seen);
        record.last_seen = clock.wall_time(flow.last_seen);
        if (record.class_ == KUDO_CLASS_MEDIA) {
            const std::string bytes(reinterpret_cast<const char*>(&key), sizeof key);
            if (const auto found = streams.find(bytes); found != streams.end()) record.streams = found->second;
            if (const auto found = probes.find(bytes); found != probes.end()) record.probe = found->second;
        }
        return record;
    };
    auto table = KUDO_TRY(read_flow_table(data_path.maps().flows4.get(), data_path.maps().flows6.get(), cpus));
    // Busiest first, by light handles: a record is ten times as heavy.
    const std::size_t flows4 = table.flows4.size();
    std::vector<std::pair<uint64_t, uint32_t>> order;
    const auto enter = [&order](const auto& rows) {
        for (const auto& [key, flow] : rows)
            order.emplace_back(flow.directions[KUDO_INGRESS].bytes + flow.directions[KUDO_EGRESS].bytes, order.size());
    };
    order.reserve(flows4 + table.flows6.size());
    enter(table.flows4);
    enter(table.flows6);
    std::stable_sort(order.begin(), order.end(), [](const auto& a, const auto& b) { return a.first > b.first; });
    statistics.flows.reserve(order.size());
    for (const auto& [bytes, index] : order) {
        if (index < flows4)
            statistics.flows.push_back(record_of(table.flows4[index].first, table.flows4[index].second));
        else
            statistics.flows.push_back(
                record_of(table.flows6[index - flows4].first, table.flows6[index - flows4].second));
    }
    statistics.flow_entries = table.rows;
    statistics.evicted_flow_packets = evicted_packets(statistics);
    return {};
}

enum class FlowsToo { No, Yes };

// What was counted for the names of these slots.
Result<Statistics> read_counted(DataPath& data_path, const SlotNames& names, FlowsToo flows_too) {
    Statistics statistics;
    auto generation = KUDO_TRY(active_generation(data_path.maps()));
    statistics.generation = generation;
    statistics.read_at = std::chrono::system_clock::now();
    auto cpus = KUDO_TRY(Mapped<const kudo_cpu>::map(data_path.maps().cpus.get(), "the counters"));
    take_counters(sum_counters(cpus.elements()), slots_of(names), statistics);
    if (flows_too == FlowsToo::No) return statistics;
    for (const Fd* flows : {&data_path.maps().flows4, &data_path.maps().flows6}) {
        auto size = KUDO_TRY(map_size(flows->get()));
        statistics.flow_capacity += size;
    }
    KUDO_TRY(read_flows(data_path, cpus.elements(), names, statistics));
    return statistics;
}

Result<void> read_queues(const DataPath& data_path, Statistics& statistics) {
    auto interfaces = KUDO_TRY(list_interfaces());
    const std::set<uint32_t> ours = attached_interfaces(data_path.folder());
    for (const Interface& interface : interfaces) {
        if (!ours.contains(interface.index)) continue;
        std::ranges::move(KUDO_TRY(read_queue_numbers(interface)), std::back_inserter(statistics.queues));
    }
    return {};
}

Result<void> read_stale(const Instance& instance, DataPath& data_path, Statistics& statistics) {
    statistics.stale = KUDO_TRY(read_drift(data_path));
    // By then every name that this host has asked for and the programs have kept, also those that are no drift.
    const auto cpus = KUDO_TRY(Mapped<const kudo_cpu>::map(data_path.maps().cpus.get(), "the counters"));
    statistics.denied =
        KUDO_TRY(read_denied_flows(data_path, sum_counters(cpus.elements()), statistics.stale.moved_names));
    if (statistics.denied.admission != KUDO_ADMISSION_ENFORCE)
        for (FlowRecord& flow : statistics.flows) // judged when it was, and packets of it pass now
            if (flow.verdict == KUDO_DROP) flow.verdict = KUDO_PASS;
    if (statistics.stale.empty()) return {};
    // A map that cannot be read is for `status` to tell.
    if (const auto desired = load_desired_state(instance)) {
        if (const auto maps = load_honoured_maps(instance, *desired)) {
            judge_by_map(statistics.stale, maps->combined(), desired->compile_options());
            return {};
        }
    }
    judge_without_map(statistics.stale);
    return {};
}

// A slot may go to another name while we read what was counted for it.
Result<Statistics> read_steadily(DataPath& data_path, FlowsToo flows_too) {
    for (int attempt = 0; attempt < 10; attempt++) {
        const auto names = KUDO_TRY(read_slot_names(data_path.maps()));
        auto statistics = KUDO_TRY(read_counted(data_path, names, flows_too));
        const auto after = KUDO_TRY(read_slot_names(data_path.maps()));
        if (after != names) continue;
        KUDO_TRY(read_queues(data_path, statistics));
        return statistics;
    }
    return fail("the services change too quickly to be counted; try again");
}

Result<DataPath> open_to_count(const Instance& instance) {
    KUDO_TRY(check_capabilities());
    KUDO_TRY(check_layout_is_ours(instance));
    return DataPath::open(instance);
}

} // namespace

Directions Statistics::ServiceCounters::total() const {
    Directions sum{};
    for (const Directions& counters : classes)
        for (std::size_t direction = 0; direction < KUDO_DIRECTIONS; direction++)
            add(sum[direction], counters[direction]);
    return sum;
}

Result<Statistics> read_statistics(const Instance& instance) {
    auto data_path = KUDO_TRY(open_to_count(instance));
    auto statistics = KUDO_TRY(read_steadily(data_path, FlowsToo::Yes));
    KUDO_TRY(read_stale(instance, data_path, statistics));
    return statistics;
}

Result<Statistics> read_totals(const Instance& instance) {
    auto data_path = KUDO_TRY(open_to_count(instance));
    return read_steadily(data_path, FlowsToo::No);
}

} // namespace kudo
