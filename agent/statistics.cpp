// SPDX-License-Identifier: MIT
#include "agent/statistics.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include <algorithm>
#include <cstring>

#include "agent/capabilities.h"
#include "agent/clock.h"
#include "agent/datapath.h"
#include "agent/generation.h"
#include "agent/interfaces.h"
#include "bpf/judge.h"

namespace kudo {

namespace {

void add(kudo_counter& sum, const kudo_counter& counter) {
    sum.packets += counter.packets;
    sum.bytes += counter.bytes;
}

Address address_of(__be32 address) {
    Address result;
    result.family = Family::IPv4;
    std::memcpy(result.bytes.data(), &address, sizeof address);
    return result;
}
Address address_of(const uint8_t (&address)[16]) {
    Address result;
    result.family = Family::IPv6;
    std::memcpy(result.bytes.data(), address, sizeof address);
    return result;
}

Result<void> read_counters(const DataPath& data_path, const ServiceSlots& slots, Statistics& statistics) {
    const int cpus = libbpf_num_possible_cpus();
    if (cpus < 1) return fail_errno("cannot count the CPUs", -cpus);
    std::vector<kudo_counters> per_cpu(static_cast<std::size_t>(cpus));
    const uint32_t key = 0;
    if (bpf_map_lookup_elem(data_path.maps().counters.get(), &key, per_cpu.data()) != 0)
        return fail_errno("cannot read the counters");
    std::array<Statistics::ServiceCounters, KUDO_MAX_SERVICES> services{};
    for (const kudo_counters& counters : per_cpu) {
        statistics.unrecorded_flow_packets += counters.unrecorded_flows;
        for (std::size_t direction = 0; direction < KUDO_DIRECTIONS; direction++) {
            for (std::size_t reason = 0; reason < KUDO_REASON_END; reason++) {
                add(statistics.reasons[reason][direction], counters.reasons[reason][direction]);
                add(statistics.totals[direction], counters.reasons[reason][direction]);
            }
            for (std::size_t slot = 1; slot < KUDO_MAX_SERVICES; slot++)
                for (std::size_t class_ = 0; class_ < KUDO_CLASSES; class_++)
                    add(services[slot].classes[class_][direction], counters.services[slot][class_][direction]);
        }
    }
    for (const auto& [name, slot] : slots)
        statistics.services[name] = services[slot];
    return {};
}

// Calls `take` with every entry of a hash map, read in batches.
template <typename Key, typename Take> Result<void> read_all(int fd, Take&& take) {
    constexpr uint32_t batch_size = 4096;
    std::vector<Key> keys(batch_size);
    std::vector<kudo_flow> values(batch_size);
    uint32_t position = 0;
    bool first = true;
    while (true) {
        uint32_t count = batch_size;
        LIBBPF_OPTS(bpf_map_batch_opts, options);
        const int error = bpf_map_lookup_batch(fd, first ? nullptr : &position, &position, keys.data(), values.data(),
                                               &count, &options);
        if (error != 0 && errno != ENOENT) return fail_errno("cannot read the flows");
        for (uint32_t i = 0; i < count; i++)
            take(keys[i], values[i]);
        if (error != 0) return {};
        first = false;
    }
}

Result<uint64_t> capacity(int fd) {
    bpf_map_info info{};
    uint32_t size = sizeof info;
    if (bpf_obj_get_info_by_fd(fd, &info, &size) != 0) return fail_errno("cannot read a map's size");
    return info.max_entries;
}

Result<void> read_flows(DataPath& data_path, const ServiceSlots& slots, Statistics& statistics) {
    auto clock = TickClock::read(data_path);
    if (!clock) return fail(std::move(clock.error()));
    auto interfaces = list_interfaces();
    if (!interfaces) return fail(std::move(interfaces.error()));
    std::map<uint32_t, std::string> interface_names;
    for (const Interface& interface : *interfaces)
        interface_names[interface.index] = interface.name;
    std::array<std::string, KUDO_MAX_SERVICES> service_names;
    for (const auto& [name, slot] : slots)
        service_names[slot] = name;

    const auto take = [&](const auto& key, const kudo_flow& flow) {
        kudo_judgement judgement{};
        std::memcpy(&judgement, &flow.judgement, sizeof judgement);
        FlowRecord record;
        record.protocol = key.protocol;
        record.local = address_of(key.local);
        record.remote = address_of(key.remote);
        record.local_port = key.local_port;
        record.remote_port = key.remote_port;
        record.interface_index = key.interface;
        const auto name = interface_names.find(key.interface);
        record.interface = name != interface_names.end() ? name->second : "#" + std::to_string(key.interface);
        record.service = service_names[judgement.service % KUDO_MAX_SERVICES];
        record.class_ = static_cast<kudo_class>(kudo_class_of(judgement));
        record.verdict = static_cast<kudo_verdict>(kudo_verdict_of(judgement));
        record.reason = static_cast<kudo_reason>(judgement.reason);
        record.range = prefix_of(record.remote, judgement.prefix_length);
        record.generation = judgement.generation;
        std::copy(std::begin(flow.directions), std::end(flow.directions), record.counters.begin());
        record.first_seen = clock->wall_time(flow.first_seen);
        record.last_seen = clock->wall_time(flow.last_seen);
        statistics.flows.push_back(std::move(record));
    };
    KUDO_TRY(read_all<kudo_flow4_key>(data_path.maps().flows4.get(), take));
    KUDO_TRY(read_all<kudo_flow6_key>(data_path.maps().flows6.get(), take));
    statistics.flow_entries = statistics.flows.size();
    const auto busy = [](const FlowRecord& flow) {
        return flow.counters[KUDO_INGRESS].bytes + flow.counters[KUDO_EGRESS].bytes;
    };
    std::stable_sort(statistics.flows.begin(), statistics.flows.end(),
                     [&](const FlowRecord& a, const FlowRecord& b) { return busy(a) > busy(b); });
    return {};
}

} // namespace

Directions Statistics::ServiceCounters::total() const {
    Directions sum{};
    for (const Directions& counters : classes)
        for (std::size_t direction = 0; direction < KUDO_DIRECTIONS; direction++)
            add(sum[direction], counters[direction]);
    return sum;
}

std::string_view reason_name(kudo_reason reason) {
#define KUDO_REASON_NAME(NAME, name, enforcement, text) #name,
    static constexpr std::string_view names[] = {KUDO_REASONS(KUDO_REASON_NAME)};
#undef KUDO_REASON_NAME
    return reason < KUDO_REASON_END ? names[reason] : "unknown";
}

std::string_view reason_text(kudo_reason reason) {
#define KUDO_REASON_TEXT(NAME, name, enforcement, text) text,
    static constexpr std::string_view texts[] = {KUDO_REASONS(KUDO_REASON_TEXT)};
#undef KUDO_REASON_TEXT
    return reason < KUDO_REASON_END ? texts[reason] : "unknown";
}

std::string_view verdict_name(kudo_verdict verdict) {
    switch (verdict) {
    case KUDO_PASS:
        return "pass";
    case KUDO_PRIORITISED:
        return "prioritise";
    case KUDO_DROP:
        return "drop";
    }
    return "unknown";
}

Result<Statistics> read_statistics(const Instance& instance) {
    KUDO_TRY(check_capabilities());
    KUDO_TRY(check_layout_is_ours(instance));
    auto data_path = DataPath::open(instance);
    if (!data_path) return fail(std::move(data_path.error()));
    auto slots = read_service_slots(*data_path);
    if (!slots) return fail(std::move(slots.error()));
    Statistics statistics;
    auto generation = active_generation(*data_path);
    if (!generation) return fail(std::move(generation.error()));
    statistics.generation = *generation;
    statistics.read_at = std::chrono::system_clock::now();
    KUDO_TRY(read_counters(*data_path, *slots, statistics));
    for (const Fd* flows : {&data_path->maps().flows4, &data_path->maps().flows6}) {
        auto size = capacity(flows->get());
        if (!size) return fail(std::move(size.error()));
        statistics.flow_capacity += *size;
    }
    KUDO_TRY(read_flows(*data_path, *slots, statistics));
    return statistics;
}

} // namespace kudo
