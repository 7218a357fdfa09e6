// SPDX-License-Identifier: MIT
#include "agent/flowrecords/seen_flows.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstring>
#include <string>
#include <string_view>

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
                          .non_first_fragment = flow.non_first_fragment,
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

} // namespace

std::vector<SeenFlow> seen_flows(const Diagnosis& diagnosis) {
    const std::vector<FlowRecord>& flows = diagnosis.statistics.flows;
    std::vector<SeenFlow> all;
    all.reserve(flows.size());
    for (const FlowRecord& flow : flows)
        all.push_back(seen(flow, diagnosis.statistics.read_at, diagnosis.drops_measured));
    for (const DiagnosedDrop& drop : diagnosis.drops) {
        if (!drop.flow || !drop.drop.is_loss || drop.drop.is_ours || !diagnosis.drops_measured) continue;
        DataRecord& record = all[*drop.flow].record;
        for (std::size_t direction = 0; direction < KUDO_DIRECTIONS; direction++) {
            record.host_lost[direction] += drop.drop.counters[direction].packets;
            if (drop.drop.layer == DropLayer::Queue)
                record.queue_lost[direction] += drop.drop.counters[direction].packets;
        }
    }
    return all;
}

} // namespace kudo
