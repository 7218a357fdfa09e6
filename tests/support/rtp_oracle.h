// SPDX-License-Identifier: MIT
// Streams of RTP packets with a network's and a sender's troubles, and what a reader of all of it counts, by sets and
// sums. Invariant: shares nothing with bpf/rtp_quality.h but the definition in words; a seed always makes the same
// stream.
#pragma once

#include <cstdint>
#include <map>
#include <ostream>
#include <random>
#include <set>
#include <vector>

namespace kudo::test {

struct ArrivingRtp {
    uint64_t arrival = 0; // ns
    uint16_t sequence = 0;
    uint32_t timestamp = 0;
    bool padding = false;
};

// What befalls a stream. Shares of packets.
struct RtpTroubles {
    uint32_t packets = 1500;
    uint32_t clock = 48000;
    bool video = false; // 30 pictures a second of one to eight packets; else frames of `frame_ms`
    uint32_t frame_ms = 20;
    double drop = 0, duplicate = 0, reorder = 0, late = 0, probe = 0;
    double burst = 0;      // begins a burst of up to 700 lost ones
    double jitter_ms = 0;  // each packet's delay, exponential
    bool wraps = false;    // begins shortly before the sequence numbers' end
    uint32_t restarts = 0; // of the sender, somewhere else
    uint32_t early = 0;    // packets of early media before, somewhere else
    uint32_t foreign = 0;  // single packets of far sequence numbers
};

std::vector<ArrivingRtp> make_rtp(const RtpTroubles& troubles, uint64_t seed, uint64_t begin);
// Any combination of troubles.
RtpTroubles random_troubles(std::mt19937_64& random);

struct RtpCounts {
    uint64_t unique = 0, lost = 0, pending = 0, duplicate = 0, reordered = 0, late = 0, unconfirmed = 0, restarts = 0;
    bool operator==(const RtpCounts&) const = default;
};
// Of anything that has the same.
template <typename T> RtpCounts counts_of(const T& all) {
    return {all.unique, all.lost, all.pending, all.duplicate, all.reordered, all.late, all.unconfirmed, all.restarts};
}
std::ostream& operator<<(std::ostream& out, const RtpCounts& counts);

struct RtpTruth : RtpCounts {
    uint64_t missing = 0; // of the lost and pending those that no restart has ended: found when the next packet came
    double jitter_ms = 0; // RFC 3550 section 6.4.1, by the true clock; begins anew with a restart
    struct Span {
        uint64_t received = 0, missing = 0;
        bool operator==(const Span&) const = default;
    };
    std::map<uint64_t, Span> seconds,
        slices;                          // by number: of 1 s, of 200 ms. Right if no packet is reordered over a border
    std::map<uint64_t, uint64_t> frames; // by second
};
RtpTruth truth_of(const std::vector<ArrivingRtp>& packets, uint32_t clock);

// The worst of windows of `length` numbers in a row, all of them within the stream; by share, then by size.
RtpTruth::Span worst_window(const std::map<uint64_t, RtpTruth::Span>& spans, uint64_t length);

} // namespace kudo::test
