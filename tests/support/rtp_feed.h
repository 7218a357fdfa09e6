// SPDX-License-Identifier: MIT
// Gives arriving packets to bpf/rtp_quality.h, as the programs do.
// Invariant: the first one begins the stream.
#pragma once

#include <memory>
#include <vector>

#include "bpf/rtp_quality.h"
#include "tests/support/rtp_oracle.h"

namespace kudo::test {

inline std::unique_ptr<kudo_rtp_quality> quality_of(const std::vector<ArrivingRtp>& packets) {
    auto quality = std::make_unique<kudo_rtp_quality>();
    for (const ArrivingRtp& one : packets) {
        kudo_rtp_packet packet{};
        packet.ssrc = 0x11223344;
        packet.sequence = one.sequence;
        packet.timestamp = one.timestamp;
        packet.padding = one.padding;
        if (&one == &packets.front())
            kudo_begin_quality(quality.get(), &packet, one.arrival);
        else
            kudo_add_quality(quality.get(), &packet, one.arrival);
    }
    return quality;
}

} // namespace kudo::test
