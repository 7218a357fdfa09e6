// SPDX-License-Identifier: MIT
#include "agent/flowrecords/seen_flows.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstring>
#include <string>
#include <string_view>
#include <unordered_map>

namespace kudo {
namespace {

template <std::size_t Size> void copy_text(char (&to)[Size], std::string_view text) {
    std::memcpy(to, text.data(), std::min(text.size(), Size - 1));
}

int64_t milliseconds_of(std::chrono::system_clock::time_point time) {
    return std::chrono::floor<std::chrono::milliseconds>(time.time_since_epoch()).count();
}

uint32_t microseconds_of(double milliseconds) {
    const double microseconds = std::round(milliseconds * 1000);
    return microseconds >= 0 && microseconds < unknown_time ? static_cast<uint32_t>(microseconds) : unknown_time;
}

// Of the incoming streams: what is missing of them, and the largest jitter.
void take_streams(const FlowRecord& flow, DataRecord& record) {
    for (const RtpStream& stream : flow.streams) {
        if (stream.direction != KUDO_INGRESS || !stream.quality) continue;
        record.upstream_lost =
            (record.upstream_lost == unknown_count ? 0 : record.upstream_lost) + stream.quality->lost;
        if (!stream.quality->jitter_ms) continue;
        const uint32_t jitter = microseconds_of(*stream.quality->jitter_ms);
        record.jitter_us = record.jitter_us == unknown_time ? jitter : std::max(record.jitter_us, jitter);
    }
}

FlowIdentity identity_of(const FlowRecord& flow) {
    FlowIdentity identity{.family = static_cast<uint8_t>(flow.local.family),
                          .protocol = flow.protocol,
                          .local_port = flow.local_port,
                          .remote_port = flow.remote_port,
                          .interface_index = flow.interface_index};
    std::copy(flow.local.bytes.begin(), flow.local.bytes.end(), identity.local);
    std::copy(flow.remote.bytes.begin(), flow.remote.bytes.end(), identity.remote);
    return identity;
}

SeenFlow seen(const FlowRecord& flow, std::chrono::system_clock::time_point now, bool drops_measured) {
    SeenFlow seen;
    DataRecord& record = seen.record;
    record.flow = identity_of(flow);
    copy_text(record.service, flow.service);
    copy_text(record.interface, flow.interface);
    record.class_ = flow.class_;
    record.verdict = flow.verdict;
    record.reason = flow.reason;
    record.first_seen = record.start = milliseconds_of(flow.first_seen);
    record.stop = std::max(record.start, milliseconds_of(flow.last_seen));
    std::copy(flow.counters.begin(), flow.counters.end(), record.counters);
    take_streams(flow, record);
    if (flow.probe && flow.probe->rtt) record.rtt_us = microseconds_of(flow.probe->rtt->p50);
    if (drops_measured)
        for (std::size_t direction = 0; direction < KUDO_DIRECTIONS; direction++)
            record.host_lost[direction] = record.queue_lost[direction] = 0;
    seen.age = std::max<int64_t>(0, milliseconds_of(now) - record.first_seen);
    return seen;
}

void merge(SeenFlow& flow, const SeenFlow& more) {
    DataRecord& record = flow.record;
    for (std::size_t direction = 0; direction < KUDO_DIRECTIONS; direction++) {
        record.counters[direction].packets += more.record.counters[direction].packets;
        record.counters[direction].bytes += more.record.counters[direction].bytes;
    }
    record.first_seen = record.start = std::min(record.start, more.record.start);
    record.stop = std::max(record.stop, more.record.stop);
    flow.age = std::max(flow.age, more.age);
}

struct Hash {
    std::size_t operator()(const FlowIdentity& flow) const {
        return std::hash<std::string_view>()({reinterpret_cast<const char*>(&flow), sizeof flow});
    }
};

} // namespace

std::vector<SeenFlow> seen_flows(const Diagnosis& diagnosis) {
    const std::vector<FlowRecord>& flows = diagnosis.statistics.flows;
    std::vector<SeenFlow> all;
    all.reserve(flows.size());
    std::vector<std::size_t> places; // of the diagnosis' flows in `all`
    places.reserve(flows.size());
    std::unordered_map<FlowIdentity, std::size_t, Hash> portless; // only these can be the same
    for (const FlowRecord& flow : flows) {
        SeenFlow one = seen(flow, diagnosis.statistics.read_at, diagnosis.drops_measured);
        std::size_t place = all.size();
        if (flow.local_port == 0 && flow.remote_port == 0)
            place = portless.try_emplace(one.record.flow, place).first->second;
        places.push_back(place);
        if (place == all.size())
            all.push_back(one);
        else
            merge(all[place], one);
    }
    for (const DiagnosedDrop& drop : diagnosis.drops) {
        if (!drop.flow || !drop.drop.is_loss || drop.drop.is_ours || !diagnosis.drops_measured) continue;
        DataRecord& record = all[places[*drop.flow]].record;
        for (std::size_t direction = 0; direction < KUDO_DIRECTIONS; direction++) {
            record.host_lost[direction] += drop.drop.counters[direction].packets;
            if (drop.drop.layer == DropLayer::Queue)
                record.queue_lost[direction] += drop.drop.counters[direction].packets;
        }
    }
    return all;
}

} // namespace kudo
