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

constexpr unsigned kept_looks = 40; // ten minutes

} // namespace

void MediaLoss::look(const std::vector<FlowRecord>& flows) {
    for (auto& [key, stream] : streams_)
        stream.unseen++;
    for (const FlowRecord& flow : flows)
        for (const RtpStream& of_flow : flow.streams) {
            if (of_flow.direction != KUDO_INGRESS || !of_flow.quality) continue;
            const auto [entry, is_new] = streams_.try_emplace(stream_key(flow, of_flow));
            Stream& stream = entry->second;
            const Packets now{of_flow.quality->unique, of_flow.quality->lost};
            // Lost ones may still come: then they are lost no more.
            if (now.received < stream.counted.received) stream.counted = {};
            if (has_looked_ || !is_new) {
                sum_.received += now.received - stream.counted.received;
                if (now.missing > stream.counted.missing) sum_.missing += now.missing - stream.counted.missing;
            }
            stream = {now, 0};
        }
    std::erase_if(streams_, [](const auto& entry) { return entry.second.unseen > kept_looks; });
    has_looked_ = true;
}

} // namespace kudo
