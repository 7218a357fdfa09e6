// SPDX-License-Identifier: MIT
// What the programs know of RTP streams: which SSRC of which flow is audio or video, and why; and which repeats
// another. Invariant: what the programs wrote stays as it is; that one stream repeats another is concluded here.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "agent/datapath/datapath.h"
#include "agent/datapath/rtp_quality.h"
#include "bpf/abi.h"
#include "maps/base/result.h"
#include "maps/net/prefix.h"

namespace kudo {

struct RtpStream {
    uint32_t ssrc = 0;
    kudo_direction direction = KUDO_EGRESS;
    kudo_rtp_stream what{};
    std::optional<uint32_t> repeats{}; // the SSRC of the video that it retransmits (RTX, RFC 4588)
    // Nothing: the stream's row was being given to another stream. What it says of gaps is meant for audio, the frame
    // rate for video.
    std::optional<RtpQuality> quality{};
};

// By the bytes of the flow's key, struct kudo_flow4_key or kudo_flow6_key; of a flow, by direction and SSRC.
using RtpStreams = std::unordered_map<std::string, std::vector<RtpStream>>;
Result<RtpStreams> read_rtp_streams(const DataPath::Maps& maps);

// Where the incoming audio stream lies that has the most packets of those from `remote` by `interface` (ifindex) within
// the two seconds before `now`, jiffies; nothing: there is none.
struct IncomingAudio {
    uint32_t row = 0; // of the qualities
    uint32_t ssrc = 0;
    bool operator==(const IncomingAudio&) const = default;
};
Result<std::optional<IncomingAudio>> find_incoming_audio(const DataPath::Maps& maps, uint32_t interface,
                                                         const Address& remote, uint64_t now);
// Its newest packet. Nothing: the row is another stream's.
struct RtpArrival {
    std::chrono::nanoseconds arrival{}; // CLOCK_MONOTONIC
    uint32_t timestamp = 0, scale = 0;  // of the RTP header; 1024 ns a tick of it, 0: not known yet
    bool operator==(const RtpArrival&) const = default;
};
std::optional<RtpArrival> read_arrival(int qualities, const IncomingAudio& audio);

// Fills in `repeats` of one flow's streams. Retransmissions have the timestamps of their video, seconds later, by
// another payload type; other streams' timestamps begin anywhere. `ticks_per_second`: of jiffies.
void find_repeats(std::vector<RtpStream>& streams, uint64_t ticks_per_second);

// "audio", "video", "rtx", "unknown"
std::string_view rtp_kind(const RtpStream& stream);
// "each packet one audio frame after the last (960 ticks), at most 172 bytes"
std::string rtp_reason(const RtpStream& stream);

} // namespace kudo
