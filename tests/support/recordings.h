// SPDX-License-Identifier: MIT
// The recordings of tests/recordings: RTP as real encoders make it, and how each packet of them was treated.
// Invariant: payloads are filler of the recorded size; everything of the header is as recorded, but for the SSRC.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "tests/support/packet_builder.h"

namespace kudo::test {

struct RecordedPacket {
    unsigned stream = 0;
    uint16_t sequence = 0;
    uint32_t timestamp = 0;
    std::size_t size = 0; // bytes of the RTP packet, its header included
    bool marker = false, padding = false;
    uint8_t payload_type = 0;
};
struct Recording {
    std::string name;
    std::vector<std::string> kinds; // by stream: "audio", "video", "rtx"
    std::vector<std::string> shown; // as which it must be shown: its kind, or "unknown" where headers cannot tell
    std::vector<RecordedPacket> packets;
};
const std::vector<Recording>& recordings();
const Recording& recording(const std::string& name); // throws if there is none

constexpr uint32_t recorded_ssrc(unsigned stream) {
    return 0x1a2b0000 + stream;
}
Bytes rtp_bytes(const RecordedPacket& packet);
Bytes in_channel_data(const Bytes& inner); // TURN's, over UDP: without padding behind it

// How the packets of each recording's streams were treated, a row for a stream.
class DscpMatrix {
public:
    // `ef`: of each packet, in the recording's order.
    void add(const Recording& recording, const std::vector<bool>& ef);
    [[nodiscard]] std::string text() const;
    // What is not as it must be: audio that is EF for less than 99 % from its fifth packet with media on, or before it
    // was heard twice; video or retransmissions that are EF at all. Empty: nothing.
    [[nodiscard]] std::string wrong() const;

private:
    struct Row {
        std::string recording, kind;
        std::size_t packets = 0, probes_ef = 0, ef = 0;
        std::size_t judged = 0, judged_ef = 0; // from the fifth packet with media on
        std::size_t guessed = 0;               // EF among the first two
    };
    std::vector<Row> rows_;
};

} // namespace kudo::test
