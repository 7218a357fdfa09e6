// SPDX-License-Identifier: MIT
#include "agent/datapath/rtp_streams.h"

#include <algorithm>
#include <tuple>

#include <fmt/format.h>

#include "agent/datapath/bpf_object.h"
#include "bpf/rtp.h"

namespace kudo {
namespace {

template <typename Key> Result<void> read(int fd, RtpStreams& streams) {
    return for_each_entry<Key, kudo_rtp_stream>(fd, "the RTP streams", [&](const Key& key, const auto& stream) {
        const auto* bytes = reinterpret_cast<const char*>(&key.flow);
        streams[std::string(bytes, sizeof key.flow)].push_back(
            {.ssrc = key.ssrc, .direction = static_cast<kudo_direction>(key.direction), .what = stream});
    });
}

} // namespace

Result<RtpStreams> read_rtp_streams(int rtp4_fd, int rtp6_fd) {
    RtpStreams streams;
    KUDO_TRY(read<kudo_rtp4_key>(rtp4_fd, streams));
    KUDO_TRY(read<kudo_rtp6_key>(rtp6_fd, streams));
    for (auto& [flow, list] : streams)
        std::ranges::sort(list, {}, [](const RtpStream& stream) { return std::tuple(stream.direction, stream.ssrc); });
    return streams;
}

std::string rtp_reason(const kudo_rtp_stream& stream) {
    if (stream.kind == KUDO_RTP_UNKNOWN) return "its consecutive packets do not agree yet";
    switch (stream.evidence) {
    case KUDO_RTP_AUDIO_FRAME:
        return fmt::format("each packet one audio frame after the last ({} ticks), at most {} bytes", stream.step,
                           stream.largest);
    case KUDO_RTP_SHARED_TIMESTAMP:
        return fmt::format("several packets of up to {} bytes share a timestamp, as the parts of a video frame do",
                           stream.largest);
    default:
        return fmt::format("timestamps {} ticks apart, which no audio codec uses, at most {} bytes", stream.step,
                           stream.largest);
    }
}

} // namespace kudo
