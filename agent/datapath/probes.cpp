// SPDX-License-Identifier: MIT
#include "agent/datapath/probes.h"

#include <arpa/inet.h>

#include <algorithm>
#include <cmath>
#include <span>

#include "agent/datapath/bpf_object.h"
#include "bpf/stun_probe.h"

namespace kudo {
namespace {

// The middle of a bucket, in ms: the inverse of kudo_rtt_bucket().
double middle_of(uint32_t bucket) {
    if (bucket < 8) return (bucket + 0.5) * 8 / 1000;
    const double octave = std::ldexp(1.0, static_cast<int>(bucket / 8) + 5);
    return octave * (1 + (bucket % 8 + 0.5) / 8) / 1000;
}

// The smallest bucket that has this share of all at or below it.
double percentile(std::span<const uint32_t> buckets, double share) {
    uint64_t all = 0, below = 0;
    for (const uint32_t count : buckets)
        all += count;
    const auto rank = std::max<uint64_t>(1, static_cast<uint64_t>(std::ceil(share * static_cast<double>(all))));
    for (uint32_t i = 0; i < buckets.size(); i++)
        if ((below += buckets[i]) >= rank) return middle_of(i);
    return 0;
}

double sum_of(std::span<const uint32_t> buckets) {
    double sum = 0;
    for (uint32_t i = 0; i < buckets.size(); i++)
        sum += buckets[i] * middle_of(i);
    return sum;
}

// How many took so long or longer, ms.
uint64_t count_from(std::span<const uint32_t> buckets, double bound) {
    uint64_t count = 0;
    for (uint32_t i = 0; i < buckets.size(); i++)
        if (middle_of(i) >= bound) count += buckets[i];
    return count;
}

std::optional<MappedAddress> mapped_of(const kudo_mapped_address& mapped) {
    char text[INET6_ADDRSTRLEN] = {};
    if (mapped.family == 0 || !inet_ntop(mapped.family == 4 ? AF_INET : AF_INET6, mapped.address, text, sizeof text))
        return std::nullopt;
    return MappedAddress{text, mapped.port};
}

std::optional<std::chrono::system_clock::time_point> time_of(uint64_t monotonic, const MonotonicClock& now) {
    if (monotonic == 0) return std::nullopt;
    return now.wall_time(monotonic);
}

template <typename Key> Result<void> read(int fd, const MonotonicClock& now, FlowProbes& probes) {
    return for_each_entry<Key, kudo_stun_probe>(fd, "the STUN probes", [&](const Key& key, const kudo_stun_probe& one) {
        probes.insert_or_assign(std::string(reinterpret_cast<const char*>(&key), sizeof key), describe(one, now));
    });
}

} // namespace

FlowProbe describe(const kudo_stun_probe& probe, const MonotonicClock& now) {
    FlowProbe result;
    result.requests = probe.requests;
    result.responses = probe.responses;
    for (const kudo_stun_transaction& one : probe.pending)
        if (one.sent != 0 && !one.answered && now.now() - one.sent < KUDO_STUN_PATIENCE) result.pending++;
    result.unanswered = probe.requests - std::min(probe.requests, probe.responses + result.pending);
    result.retransmitted = probe.retransmitted;
    result.remote_requests = probe.remote_requests;
    result.remote_responses = probe.remote_responses;
    if (probe.round_trips != 0) {
        const double min = probe.rtt_min / 1000.0;
        result.rtt = {.count = probe.round_trips,
                      .p50 = percentile(probe.rtts, 0.5),
                      .p99 = percentile(probe.rtts, 0.99),
                      .min = min,
                      .last = probe.rtt_last / 1000.0,
                      .total = sum_of(probe.rtts),
                      .slow = count_from(probe.rtts, std::max(3 * min, min + 60))};
    }
    result.mapped = mapped_of(probe.mapped);
    result.mapped_changes = probe.mapped_changes;
    const auto before = mapped_of(probe.mapped_before);
    if (probe.mapped_changes != 0 && before && result.mapped)
        result.last_change = {.before = *before,
                              .after = *result.mapped,
                              .time = now.wall_time(probe.changed),
                              .quiet_before = std::chrono::milliseconds(probe.changed_quiet / 1'000'000)};
    result.last_request = time_of(probe.last_request, now);
    result.last_response = time_of(probe.last_response, now);
    result.last_inbound = time_of(probe.last_inbound, now);
    return result;
}

Result<FlowProbes> read_probes(const DataPath::Maps& maps) {
    FlowProbes probes;
    KUDO_TRY(read<kudo_flow4_key>(maps.probes4.get(), MonotonicClock::read(), probes));
    KUDO_TRY(read<kudo_flow6_key>(maps.probes6.get(), MonotonicClock::read(), probes));
    return probes;
}

} // namespace kudo
