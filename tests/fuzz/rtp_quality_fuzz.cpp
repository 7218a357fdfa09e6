// SPDX-License-Identifier: MIT
// libFuzzer target: any packets of one RTP stream, at any times, against the oracle.
// Built with -fsanitize=fuzzer,address,undefined.
// Invariant: every count is the oracle's, whatever comes; no window has more than the stream.
#include <cstdint>
#include <cstdlib>
#include <vector>

#include "tests/support/rtp_feed.h"

namespace {

void require(bool condition) {
    if (!condition) std::abort();
}

// Six bytes for each: how its sequence number differs from the last one's, how long after it, its timestamp.
std::vector<kudo::test::ArrivingRtp> packets_of(const uint8_t* data, std::size_t size) {
    std::vector<kudo::test::ArrivingRtp> packets;
    kudo::test::ArrivingRtp packet{.arrival = 100'000'000'000};
    for (; size >= 6; data += 6, size -= 6) {
        packet.sequence = static_cast<uint16_t>(packet.sequence + (data[0] << 8 | data[1]));
        packet.arrival += uint64_t{data[2]} << (data[3] & 31); // up to 9 minutes
        packet.padding = (data[3] & 128) != 0;
        packet.timestamp += static_cast<uint32_t>(data[4] << 8 | data[5]) << (data[3] >> 5 & 3) * 4;
        packets.push_back(packet);
    }
    return packets;
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, std::size_t size) {
    const auto packets = packets_of(data, size);
    if (packets.empty()) return 0;
    const auto quality = kudo::test::quality_of(packets);
    const kudo::test::RtpTruth truth = kudo::test::truth_of(packets, 48000);
    uint64_t seen = 0;
    for (const uint64_t word : quality->seen)
        seen += kudo_count_bits(word);
    require(quality->unique == truth.unique);
    require(quality->lost == truth.lost);
    require(quality->extent - seen == truth.pending);
    require(quality->expected == truth.unique + truth.lost + truth.pending);
    require(quality->duplicate == truth.duplicate);
    require(quality->reordered == truth.reordered);
    require(quality->late == truth.late);
    require(quality->unconfirmed == truth.unconfirmed);
    require(quality->restarts == truth.restarts);
    for (const kudo_rtp_span& span : {quality->worst_slice, quality->worst_15s, quality->recent})
        require(span.missing <= truth.unique + truth.lost + truth.pending && span.received <= truth.unique);
    require(quality->scale == 0 || quality->jitter < 17'000'000'000);
    return 0;
}
