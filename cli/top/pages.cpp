// SPDX-License-Identifier: MIT
#include "cli/top/pages.h"

#include <algorithm>
#include <string_view>
#include <vector>

#include <fmt/format.h>

#include "agent/diagnosis/flow_findings.h"
#include "cli/terminal/units.h"
#include "cli/top/keys.h"
#include "cli/top/sparkline.h"
#include "cli/views/diagnosis_text.h"
#include "cli/views/flow_cells.h"
#include "cli/views/stats_view.h"
#include "maps/base/abi_names.h"

namespace kudo {
namespace {

constexpr std::size_t field_width = 12;

// "process     chrome", wrapped below itself.
std::string field(std::string_view label, const std::string& text, std::size_t width) {
    return fmt::format("{:<{}}{}\n", label, field_width, wrapped(one_line(text), width, field_width, field_width));
}

std::string ago(std::chrono::nanoseconds age) {
    const std::string text = age_text(age);
    return text == "now" ? text : text + " ago";
}

std::string counted_text(const kudo_counter& counter, std::optional<double> rate) {
    return fmt::format("{} packets, {}, {}", count_text(counter.packets), bytes_text(counter.bytes),
                       rate ? bit_rate_text(*rate) : "rate not measured yet");
}

std::string process_text(const SocketOwner& process) {
    std::string text = fmt::format("{} (pid {})", process.name, process.pid);
    for (const std::string& where : {process.unit, process.container})
        if (!where.empty()) text += ", " + where;
    return text;
}

std::string processes_field(const FlowDiagnosis* detail, std::size_t width) {
    if (!detail || (detail->processes.empty() && detail->processes_complete))
        return field("process", "none has a socket of this flow now", width);
    std::string text, label = "process";
    for (const SocketOwner& process : detail->processes)
        text += field(std::exchange(label, ""), process_text(process), width);
    if (!detail->processes_complete) text += field(label, "? there may be others that this process may not see", width);
    return text;
}

std::string probe_field(const FlowProbe& probe, std::size_t width) {
    std::string text = fmt::format("{} requests, {} responses, {} unanswered, {} pending", probe.requests,
                                   probe.responses, probe.unanswered, probe.pending);
    if (probe.rtt)
        text += fmt::format("; round trip {} (median), {} (99 %)", milliseconds_text(probe.rtt->p50),
                            milliseconds_text(probe.rtt->p99));
    if (probe.mapped)
        text += fmt::format("; seen by the far side as {} port {}", probe.mapped->address, probe.mapped->port);
    return field("STUN", text, width);
}

std::string tcp_field(const FlowDiagnosis& detail, std::size_t width) {
    const TcpState& tcp = *detail.tcp;
    const auto ms = [](std::chrono::microseconds time) {
        return milliseconds_text(std::chrono::duration<double, std::milli>(time).count());
    };
    std::string text = fmt::format("round trip {} (varies by {}), {} segments sent again", ms(tcp.rtt),
                                   ms(tcp.rtt_variance), tcp.retransmits);
    if (!detail.stall.empty()) text += "; it stands still: " + detail.stall;
    return field("TCP", text, width);
}

std::string drops_fields(const Diagnosis& diagnosis, std::size_t flow, std::size_t width) {
    if (!diagnosis.drops_measured) return field("dropped", "? not measured: " + diagnosis.drops_why_not, width);
    std::string text, label = "dropped";
    for (const DiagnosedDrop& drop : diagnosis.drops) {
        if (drop.flow != flow) continue;
        const auto& counters = drop.drop.counters;
        text += field(std::exchange(label, ""),
                      fmt::format("{} in, {} out, at {}: {}{}{}", count_text(counters[KUDO_INGRESS].packets),
                                  count_text(counters[KUDO_EGRESS].packets), layer_name(drop.drop.layer),
                                  drop.drop.reason.empty() ? drop.drop.place : drop.drop.reason,
                                  drop.drop.is_loss ? "" : ", no loss",
                                  drop.owner.text.empty() ? "" : ", by " + drop.owner.text),
                      width);
    }
    return text.empty() ? field("dropped", "none of its packets, by this host", width) : text;
}

} // namespace

std::string flow_page(const Reading& reading, std::size_t place, std::size_t width) {
    const Diagnosis& diagnosis = *reading.diagnosis();
    const Statistics& statistics = diagnosis.statistics;
    const FlowRecord& flow = statistics.flows[place];
    const FlowDiagnosis* const detail = reading.detail(place);
    const auto rate = reading.rates().rate(place);
    const auto rate_of = [&](double FlowRate::*way) { return rate ? std::optional((*rate).*way) : std::nullopt; };
    std::string text = field("flow", flow_text(flow), width);
    text += field("interface", flow.interface, width);
    text += field("service",
                  flow.service.empty() ? "none"
                  : flow.reason == KUDO_REASON_NAME
                      ? fmt::format("{}, class {}", service_cell(flow), class_name(flow.class_))
                      : fmt::format("{}, class {}, range {}", flow.service, class_name(flow.class_), flow.range.text()),
                  width);
    text += field("judged", fmt::format("{}: {}", verdict_name(flow.verdict), reason_text(flow.reason)), width);
    text += field("in", counted_text(flow.counters[KUDO_INGRESS], rate_of(&FlowRate::in)), width);
    text += field("out", counted_text(flow.counters[KUDO_EGRESS], rate_of(&FlowRate::out)), width);
    const std::size_t columns = std::min(Rates::history, width - std::min(width, field_width));
    text += field("trend", sparkline(reading.rates().trend(place, columns), columns), width);
    text += field("seen",
                  fmt::format("first {}, last {}", ago(statistics.read_at - flow.first_seen),
                              ago(statistics.read_at - flow.last_seen)),
                  width);
    text += processes_field(detail, width);
    text += field("lost before", loss_cell(incoming_loss(flow, statistics.read_at)), width);
    text += drops_fields(diagnosis, place, width);
    if (flow.probe) text += probe_field(*flow.probe, width);
    if (detail && detail->tcp) text += tcp_field(*detail, width);
    if (detail && !detail->verdict.summary.empty()) {
        text += field("verdict", detail->verdict.summary, width);
        for (const std::string& sentence : detail->verdict.evidence)
            text += field("", sentence, width);
        if (!detail->verdict.advice.empty()) text += field("advice", detail->verdict.advice, width);
    }
    const Table streams = streams_table(std::span(&flow, 1), statistics.read_at);
    if (!streams.empty()) text += "\n" + streams.text(false, width);
    return text;
}

std::string verdict_page(const Diagnosis& diagnosis, std::size_t width) {
    const StatsView view{.drops = true, .width = width};
    return verdict_text(diagnosis, view) + "\n" + drops_text(diagnosis, view);
}

std::string help_page(std::size_t width) {
    std::string text;
    for (const KeyBinding& binding : key_bindings())
        text += field(binding.name, std::string(binding.text), width);
    text += "\n";
    text +=
        field("RATE", "in and out together, between the last two readings; bytes as on the wire, of layer 3", width);
    text +=
        field("TREND", "the rates of the last readings, the newest at the right; each flow has its own scale", width);
    text += field("LOST", "RTP packets that never reached this host, of those expected", width);
    text += field("HERE", "packets that this host's kernel has dropped", width);
    text += field("RTT", "round trip, by STUN, else as TCP has it", width);
    text += field("JITTER", "of the incoming RTP stream with the most (RFC 3550)", width);
    text += field("-, ?", "not measured; not known to this process", width);
    text += "\n" +
            wrapped("Loss, drops and the verdict are of the whole life of the counters, as in kudo-agent stats. "
                    "top reads once a second, or so often that it takes at most 2 % of a core.",
                    width) +
            "\n";
    return text;
}

} // namespace kudo
