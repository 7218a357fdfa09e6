// SPDX-License-Identifier: MIT
// What the programs know of RTP streams: which SSRC of which flow is audio or video, and why.
// Invariant: read as the programs wrote it; nothing is judged here.
#pragma once

#include <string>
#include <unordered_map>
#include <vector>

#include "bpf/abi.h"
#include "maps/base/result.h"

namespace kudo {

struct RtpStream {
    uint32_t ssrc = 0;
    kudo_direction direction = KUDO_EGRESS;
    kudo_rtp_stream what{};
};

// By the bytes of the flow's key, struct kudo_flow4_key or kudo_flow6_key; of a flow, by direction and SSRC.
using RtpStreams = std::unordered_map<std::string, std::vector<RtpStream>>;
Result<RtpStreams> read_rtp_streams(int rtp4_fd, int rtp6_fd);

// "each packet one audio frame after the last (960 ticks), at most 172 bytes"
std::string rtp_reason(const kudo_rtp_stream& stream);

} // namespace kudo
