// SPDX-License-Identifier: MIT
// What the network did to one RTP stream, in units for people: loss by sequence numbers, jitter, gaps, frame rate, the
// last minute second by second, outages. What exactly is counted: bpf/rtp_quality.h.
// Invariant: expected() = unique + lost + pending; received packets = unique + duplicate + late + unconfirmed.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <vector>

#include "agent/datapath/clock.h"
#include "bpf/abi.h"

namespace kudo {

// Packets of some time: lost (for windows that are still young: missing) and expected.
struct RtpLoss {
    uint64_t lost = 0;
    uint64_t expected = 0;
    [[nodiscard]] double share() const {
        return expected == 0 ? 0 : static_cast<double>(lost) / static_cast<double>(expected);
    }
};

// One second of arrival time: seconds of CLOCK_MONOTONIC, so their borders are not those of the wall clock's.
struct RtpSecond {
    std::chrono::system_clock::time_point begin;
    uint32_t received = 0; // for the first time, reordered ones too
    uint32_t missing = 0;  // in the second in which they were found missing, which is when the next packet came
    uint32_t frames = 0;   // new timestamps
    uint32_t repeated = 0; // duplicate and late packets
};

// 250 ms or longer without a packet of the stream, and packets missing between. One that has not ended is not in the
// list: see RtpQuality::last_packet.
struct RtpOutage {
    std::chrono::system_clock::time_point begin; // the last packet before
    std::chrono::milliseconds duration{};
    uint32_t missing = 0;     // packets
    uint32_t rate_before = 0; // packets a second: the larger of the last two seconds, of which the last may be in part
};

// Of audio: silences that were not meant. `at_least_60`: of 60 ms and more, and so on, so each contains the next.
struct RtpGaps {
    uint64_t at_least_60 = 0, at_least_120 = 0, at_least_250 = 0, at_least_1000 = 0;
};

struct RtpQuality {
    uint64_t unique = 0;      // received, each sequence number once
    uint64_t lost = 0;        // not received before 511 higher ones; also what was missing when a sender restarted
    uint64_t pending = 0;     // missing among the newest 512: may still come
    uint64_t duplicate = 0;   // received again
    uint64_t reordered = 0;   // of `unique`: received after a higher one
    uint64_t late = 0;        // older than the newest 512: counted as lost or duplicate before; not subtracted
    uint64_t unconfirmed = 0; // more than 3000 away from the others, and not two in a row: of whatever sender
    uint64_t restarts = 0;    // began again more than 3000 away
    [[nodiscard]] uint64_t expected() const { return unique + lost + pending; }
    std::vector<uint16_t> pending_numbers{}; // their sequence numbers, oldest first

    std::optional<uint32_t> clock_rate{}; // of the timestamps, Hz: 8000, 16000, 48000, 90000; nothing: unknown
    std::optional<double> jitter_ms{};    // RFC 3550 section 6.4.1, now; nothing: clock rate unknown
    RtpGaps gaps{};
    uint32_t frames_per_second = 0; // new timestamps in the last whole second before now
    RtpLoss worst_200ms{};          // of the windows of 200 ms that follow each other: the largest share
    RtpLoss worst_15s{};            // the same of any 15 whole seconds in a row; of a shorter stream: all its life
    RtpLoss last_minute{};          // the last 60 s, of which this one is in part: missing as lost
    uint64_t received_last_minute = 0;

    // The last 64 s up to the newest packet's, oldest first; not older than the stream.
    std::vector<RtpSecond> seconds{};
    std::vector<RtpOutage> outages{}; // the last four, oldest first
    std::chrono::system_clock::time_point first_packet{}, last_packet{};
};

// `quality`: as the programs wrote it, not while they write it. `now`: of when it was read.
RtpQuality describe(const kudo_rtp_quality& quality, const MonotonicClock& now);

} // namespace kudo
