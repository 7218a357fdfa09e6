// SPDX-License-Identifier: MIT
#include "agent/datapath/rtp_quality.h"

#include <algorithm>

#include "bpf/rtp_quality.h"

namespace kudo {
namespace {

constexpr uint64_t second_ns = 1'000'000'000;

RtpLoss loss_of(const kudo_rtp_span& span) {
    return {span.missing, uint64_t{span.missing} + span.received};
}

// The second's bin; zeros for one that the stream did not have, or that is too long ago.
kudo_rtp_bin bin_of(const kudo_rtp_quality& quality, int64_t second) {
    if (second > quality.second || second < quality.first_second || second + KUDO_RTP_BINS <= quality.second) return {};
    return quality.bins[second % KUDO_RTP_BINS];
}

kudo_rtp_span sum(const kudo_rtp_quality& quality, int64_t first, int64_t last) {
    kudo_rtp_span span{};
    for (int64_t second = first; second <= last; second++) {
        const kudo_rtp_bin bin = bin_of(quality, second);
        span.received += bin.received;
        span.missing += bin.missing;
    }
    return span;
}

// The programs judge a window when the next one has ended; what they have not judged yet is judged here.
kudo_rtp_span worst_slice(const kudo_rtp_quality& quality) {
    kudo_rtp_span worst = quality.worst_slice;
    kudo_rtp_keep_worse(&worst, &quality.last_slice);
    kudo_rtp_keep_worse(&worst, &quality.slice);
    return worst;
}

kudo_rtp_span worst_seconds(const kudo_rtp_quality& quality, uint64_t now) {
    const int64_t newest = quality.second, first = quality.first_second;
    const int64_t ended = static_cast<int64_t>(now / second_ns) - 1;
    if (ended - first < KUDO_RTP_WORST_SECONDS - 1) return sum(quality, first, newest);
    kudo_rtp_span worst = quality.worst_15s;
    for (int64_t last = newest - 1; last <= std::min(newest, ended); last++) {
        const kudo_rtp_span window = sum(quality, last - KUDO_RTP_WORST_SECONDS + 1, last);
        if (last - first >= KUDO_RTP_WORST_SECONDS - 1) kudo_rtp_keep_worse(&worst, &window);
    }
    // A stream that has ended was shorter.
    if (newest - first < KUDO_RTP_WORST_SECONDS - 1) return sum(quality, first, newest);
    return worst;
}

std::optional<uint32_t> clock_rate_of(uint32_t scale) {
    if (scale == 0) return std::nullopt;
    for (const uint32_t rate : {8000u, 16000u, 48000u, 90000u})
        if (kudo_rtp_scale_of(rate) == scale) return rate;
    return std::nullopt;
}

} // namespace

RtpQuality describe(const kudo_rtp_quality& quality, const MonotonicClock& now) {
    const auto current = static_cast<int64_t>(now.now() / second_ns);

    RtpQuality result;
    result.unique = quality.unique;
    result.lost = quality.lost;
    for (uint32_t behind = std::min<uint32_t>(quality.extent, KUDO_RTP_SEEN_WINDOW); behind-- > 0;) {
        const auto number = static_cast<uint16_t>(quality.highest - behind);
        if (!kudo_bit_is_set(quality.seen, number % KUDO_RTP_SEEN_WINDOW)) result.pending_numbers.push_back(number);
    }
    result.pending = result.pending_numbers.size();
    result.duplicate = quality.duplicate;
    result.reordered = quality.reordered;
    result.late = quality.late;
    result.unconfirmed = quality.unconfirmed;
    result.restarts = quality.restarts;
    result.clock_rate = clock_rate_of(quality.scale);
    if (quality.scale != 0) result.jitter_ms = static_cast<double>(quality.jitter) / 16 / 1e6;
    result.gaps = {quality.gaps[0], quality.gaps[1], quality.gaps[2], quality.gaps[3]};
    result.frames_per_second = bin_of(quality, current - 1).frames;
    result.worst_200ms = loss_of(worst_slice(quality));
    result.worst_15s = loss_of(worst_seconds(quality, now.now()));
    const kudo_rtp_span minute = sum(quality, current - 59, current);
    result.last_minute = loss_of(minute);
    result.received_last_minute = minute.received;
    for (int64_t second = int64_t{quality.second} - KUDO_RTP_BINS + 1; second <= quality.second; second++) {
        if (second < quality.first_second) continue;
        const kudo_rtp_bin bin = bin_of(quality, second);
        result.seconds.push_back({.begin = now.wall_time(static_cast<uint64_t>(second) * second_ns),
                                  .received = bin.received,
                                  .missing = bin.missing,
                                  .frames = bin.frames,
                                  .repeated = bin.repeated});
    }
    for (uint8_t i = 0; i < KUDO_RTP_OUTAGES; i++) {
        const auto& outage = quality.outages[static_cast<uint8_t>(quality.outage_count + i) % KUDO_RTP_OUTAGES];
        if (outage.begin == 0) continue;
        result.outages.push_back({.begin = now.wall_time(outage.begin),
                                  .duration = std::chrono::milliseconds(outage.milliseconds),
                                  .missing = outage.missing,
                                  .rate_before = outage.rate});
    }
    result.first_packet = now.wall_time(quality.first_arrival);
    result.last_packet = now.wall_time(quality.arrival);
    return result;
}

} // namespace kudo
