// SPDX-License-Identifier: MIT
#include "agent/datapath/rtp_streams.h"

#include <bpf/bpf.h>

#include <algorithm>
#include <cstring>
#include <tuple>

#include <fmt/format.h>

#include "agent/datapath/bpf_object.h"
#include "agent/datapath/clock.h"
#include "bpf/rtp.h"
#include "bpf/rtp_table.h"
#include "maps/base/abi_names.h"

namespace kudo {
namespace {

constexpr int64_t video_clock = 90000; // ticks a second: RFC 3551 section 5

// What the programs do not write while it is read: two readings are the same. Nothing: the row is another stream's by
// now, or is written all the time.
std::optional<RtpQuality> read_quality(int fd, uint32_t row, uint32_t ssrc) {
    kudo_rtp_quality now, before;
    if (bpf_map_lookup_elem(fd, &row, &now) != 0) return std::nullopt;
    for (int attempt = 0; attempt < 100; attempt++) {
        before = now;
        const MonotonicClock clock = MonotonicClock::read();
        if (bpf_map_lookup_elem(fd, &row, &now) != 0) return std::nullopt;
        if (std::memcmp(&now, &before, sizeof now) != 0) continue;
        if (now.ssrc != ssrc || now.unique == 0) return std::nullopt;
        return describe(now, clock);
    }
    return std::nullopt;
}

template <typename Bucket>
Result<void> read(int fd, uint32_t buckets, uint32_t (*quality_row)(uint32_t element, uint32_t way), int qualities,
                  RtpStreams& streams) {
    return for_each_entry<uint32_t, Bucket>(fd, "the RTP streams", [&](uint32_t element, const Bucket& bucket) {
        for (uint32_t way = 0; way < KUDO_RTP_WAYS; way++) {
            if (bucket.tags[way] == 0) continue;
            const auto& row = bucket.rows[way];
            const auto* bytes = reinterpret_cast<const char*>(&row.flow);
            streams[std::string(bytes, sizeof row.flow)].push_back(
                {.ssrc = row.ssrc,
                 .direction = element < buckets ? KUDO_INGRESS : KUDO_EGRESS,
                 .what = row.stream,
                 .repeats = {},
                 .quality = read_quality(qualities, quality_row(element, way), row.ssrc)});
        }
    });
}

template <typename Bucket>
Result<void> find_audio(int fd, uint32_t buckets, uint32_t (*quality_row)(uint32_t element, uint32_t way),
                        uint32_t interface, const Address& remote, uint64_t since, uint64_t& most,
                        std::optional<IncomingAudio>& found) {
    return for_each_entry<uint32_t, Bucket>(fd, "the RTP streams", [&](uint32_t element, const Bucket& bucket) {
        for (uint32_t way = 0; way < KUDO_RTP_WAYS && element < buckets; way++) { // those that come in
            const auto& row = bucket.rows[way];
            constexpr Family family = sizeof row.flow.remote == 4 ? Family::IPv4 : Family::IPv6;
            if (bucket.tags[way] == 0 || row.stream.kind != KUDO_RTP_AUDIO || row.flow.interface != interface ||
                row.stream.last_seen < since || row.stream.packets <= most ||
                Address::from_bytes(family, &row.flow.remote) != remote)
                continue;
            most = row.stream.packets;
            found = {quality_row(element, way), row.ssrc};
        }
    });
}

// Within 5 s behind what the video's timestamps are at that time, or 1 s ahead of it.
bool repeats(const RtpStream& stream, const RtpStream& video, uint64_t ticks_per_second) {
    const auto &one = stream.what, &other = video.what;
    if (stream.direction != video.direction || one.kind == KUDO_RTP_AUDIO || other.kind == KUDO_RTP_AUDIO ||
        one.payload_type == other.payload_type || one.packets >= other.packets)
        return false;
    const auto elapsed =
        static_cast<int64_t>(one.last_seen - other.last_seen) * video_clock / static_cast<int64_t>(ticks_per_second);
    const auto ahead = static_cast<int32_t>(one.timestamp - other.timestamp -
                                            static_cast<uint32_t>(elapsed)); // wraps as timestamps do
    return ahead >= -5 * video_clock && ahead <= video_clock;
}

} // namespace

Result<RtpStreams> read_rtp_streams(const DataPath::Maps& maps) {
    RtpStreams streams;
    const int qualities = maps.qualities.get();
    KUDO_TRY(read<kudo_rtp4_bucket>(maps.rtp4.get(), KUDO_RTP4_BUCKETS, kudo_quality_row4, qualities, streams));
    KUDO_TRY(read<kudo_rtp6_bucket>(maps.rtp6.get(), KUDO_RTP6_BUCKETS, kudo_quality_row6, qualities, streams));
    const uint64_t hertz = ticks_per_second();
    for (auto& [flow, list] : streams) {
        std::ranges::sort(list, {}, [](const RtpStream& stream) {
            return std::tuple(stream.direction, stream.ssrc, ~stream.what.last_seen);
        });
        // Two CPUs that enter a stream at once may give it two rows, of which one is found from then on.
        const auto again = std::unique(list.begin(), list.end(), [](const RtpStream& one, const RtpStream& other) {
            return one.direction == other.direction && one.ssrc == other.ssrc;
        });
        list.erase(again, list.end());
        find_repeats(list, hertz);
    }
    return streams;
}

Result<std::optional<IncomingAudio>> find_incoming_audio(const DataPath::Maps& maps, uint32_t interface,
                                                         const Address& remote, uint64_t now) {
    const uint64_t since = now - std::min(now, 2 * ticks_per_second());
    uint64_t most = 0;
    std::optional<IncomingAudio> found;
    if (remote.family == Family::IPv4)
        KUDO_TRY(find_audio<kudo_rtp4_bucket>(maps.rtp4.get(), KUDO_RTP4_BUCKETS, kudo_quality_row4, interface, remote,
                                              since, most, found));
    else
        KUDO_TRY(find_audio<kudo_rtp6_bucket>(maps.rtp6.get(), KUDO_RTP6_BUCKETS, kudo_quality_row6, interface, remote,
                                              since, most, found));
    return found;
}

std::optional<RtpArrival> read_arrival(int qualities, const IncomingAudio& audio) {
    kudo_rtp_quality quality;
    std::optional<RtpArrival> before;
    for (int attempt = 0; attempt < 4; attempt++) { // until two readings are the same: it is written meanwhile
        if (bpf_map_lookup_elem(qualities, &audio.row, &quality) != 0 || quality.ssrc != audio.ssrc)
            return std::nullopt;
        const RtpArrival now{std::chrono::nanoseconds(quality.media_arrival), quality.media_timestamp, quality.scale};
        if (now == before) return now;
        before = now;
    }
    return std::nullopt;
}

void find_repeats(std::vector<RtpStream>& streams, uint64_t ticks_per_second) {
    for (RtpStream& stream : streams) {
        const auto video = std::ranges::find_if(
            streams, [&](const RtpStream& other) { return repeats(stream, other, ticks_per_second); });
        if (video != streams.end()) stream.repeats = video->ssrc;
    }
}

std::string_view rtp_kind(const RtpStream& stream) {
    return stream.repeats ? "rtx" : rtp_kind_name(stream.what.kind);
}

std::string rtp_reason(const RtpStream& stream) {
    const kudo_rtp_stream& what = stream.what;
    if (stream.repeats)
        return fmt::format("repeats the timestamps of {:#010x} by another payload type", *stream.repeats);
    if (what.packets == 0) return "nothing but padding: probes of the bandwidth";
    if (what.kind == KUDO_RTP_UNKNOWN)
        return what.packets < 4 ? "too few packets yet" : "its consecutive packets do not agree yet";
    switch (what.evidence) {
    case KUDO_RTP_AUDIO_FRAME:
        return fmt::format("each packet one audio frame after the last ({} ticks), at most {} bytes", what.step,
                           what.largest);
    case KUDO_RTP_SHARED_TIMESTAMP:
        return fmt::format("several packets of up to {} bytes share a timestamp, as the parts of a video frame do",
                           what.largest);
    case KUDO_RTP_REPEATED_VIDEO:
        return "repeats the timestamps of a video of its flow";
    default:
        return fmt::format("timestamps {} ticks apart, which no audio codec uses, at most {} bytes", what.step,
                           what.largest);
    }
}

} // namespace kudo
