// SPDX-License-Identifier: MIT
#include "cli/views/flow_cells.h"

#include <algorithm>

#include <fmt/format.h>

#include "agent/diagnosis/findings.h"
#include "agent/diagnosis/flow_findings.h"
#include "cli/terminal/units.h"

namespace kudo {

std::string service_cell(const FlowRecord& flow) {
    if (flow.service.empty() || flow.reason != KUDO_REASON_NAME) return text_or_dash(flow.service);
    return flow.service + (flow.named_by_tls ? " by TLS" : " by DNS");
}

std::string milliseconds_text(double value) {
    return value < 9.95 ? fmt::format("{:.1f} ms", value) : fmt::format("{:.0f} ms", value);
}

std::string loss_cell(const RtpLoss& loss) {
    if (loss.expected == 0) return "-";
    return loss.lost == 0 ? "0" : percent_text(loss.share());
}

std::optional<double> round_trip_ms(const FlowRecord& flow, const FlowDiagnosis* detail) {
    if (flow.probe && flow.probe->rtt) return flow.probe->rtt->p50;
    if (detail && detail->tcp) return std::chrono::duration<double, std::milli>(detail->tcp->rtt).count();
    return std::nullopt;
}

std::string round_trip_cell(const FlowRecord& flow, const FlowDiagnosis* detail) {
    const auto value = round_trip_ms(flow, detail);
    return value ? milliseconds_text(*value) : "-";
}

std::optional<double> jitter_ms(const FlowRecord& flow) {
    std::optional<double> worst;
    for (const RtpStream& stream : flow.streams)
        if (stream.direction == KUDO_INGRESS && stream.quality && stream.quality->jitter_ms)
            worst = std::max(worst.value_or(0), *stream.quality->jitter_ms);
    return worst;
}

std::string jitter_cell(const FlowRecord& flow) {
    const auto value = jitter_ms(flow);
    return value ? milliseconds_text(*value) : "-";
}

std::string processes_cell(const std::vector<SocketOwner>& processes, bool complete) {
    if (processes.empty()) return complete ? "-" : "?"; // not permitted to know
    const std::string& name = processes.front().name;
    return processes.size() == 1 ? name : fmt::format("{} +{}", name, processes.size() - 1);
}

std::string processes_cell(const FlowDiagnosis* detail) {
    return detail ? processes_cell(detail->processes, detail->processes_complete) : "-";
}

Table streams_table(std::span<const FlowRecord> flows, std::chrono::system_clock::time_point read_at) {
    Table table({{"RTP STREAM"},
                 {"FLOW", Align::Left, 4},
                 {"WAY"},
                 {"KIND"},
                 {"PACKETS", Align::Right},
                 {"LOST", Align::Right},
                 {"JITTER", Align::Right},
                 {"WORST 15 S", Align::Right, 1},
                 {"GAPS", Align::Right, 2},
                 {"FRAMES/S", Align::Right, 3},
                 {"WORST 0.2 S", Align::Right, 5},
                 {"LATE", Align::Right, 6},
                 {"TWICE", Align::Right, 6},
                 {"PROBES", Align::Right, 7},
                 {"WHY", Align::Left, 8}});
    for (const FlowRecord& flow : flows) {
        for (const RtpStream& stream : flow.streams) {
            const auto& quality = stream.quality;
            const auto share = [](const RtpLoss& loss) {
                return loss.expected == 0 ? "-" : percent_text(loss.share());
            };
            table.add(
                {fmt::format("{:#010x}", stream.ssrc), endpoint_text(flow.local, flow.local_port),
                 stream.direction == KUDO_EGRESS ? "out" : "in", std::string(rtp_kind(stream)),
                 count_text(quality ? quality->unique : stream.what.packets),
                 quality ? loss_cell(loss_of(*quality, read_at)) : "-",
                 quality && quality->jitter_ms ? milliseconds_text(*quality->jitter_ms) : "-",
                 quality ? share(quality->worst_15s) : "-",
                 quality && stream.what.kind == KUDO_RTP_AUDIO ? count_text(quality->gaps.at_least_60) : "-",
                 quality && stream.what.kind == KUDO_RTP_VIDEO ? fmt::format("{}", quality->frames_per_second) : "-",
                 quality ? share(quality->worst_200ms) : "-",
                 quality ? count_text(quality->reordered + quality->late) : "-",
                 quality ? count_text(quality->duplicate) : "-", count_text(stream.what.probes), rtp_reason(stream)});
        }
    }
    return table;
}

} // namespace kudo
