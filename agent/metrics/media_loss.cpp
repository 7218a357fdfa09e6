// SPDX-License-Identifier: MIT
#include "agent/metrics/media_loss.h"

#include <functional>
#include <string>

#include <fmt/format.h>

namespace kudo {
namespace {

uint64_t stream_key(const FlowRecord& flow, const RtpStream& stream) {
    return std::hash<std::string>()(fmt::format("{} {} {} {} {} {}", flow.local.text(), flow.local_port,
                                                flow.remote.text(), flow.remote_port, flow.interface_index,
                                                stream.ssrc));
}

uint64_t growth(uint64_t before, uint64_t now) {
    return now >= before ? now - before : now;
}

} // namespace

void MediaLoss::look(const std::vector<FlowRecord>& flows) {
    std::unordered_map<uint64_t, Packets> now;
    for (const FlowRecord& flow : flows)
        for (const RtpStream& stream : flow.streams) {
            if (stream.direction != KUDO_INGRESS || !stream.quality) continue;
            const uint64_t key = stream_key(flow, stream);
            const Packets counted{stream.quality->unique, stream.quality->lost};
            now[key] = counted;
            if (!has_looked_) continue;
            const auto before = streams_.find(key);
            const Packets last = before == streams_.end() ? Packets() : before->second;
            sum_.received += growth(last.received, counted.received);
            sum_.missing += growth(last.missing, counted.missing);
        }
    streams_ = std::move(now);
    has_looked_ = true;
}

} // namespace kudo
