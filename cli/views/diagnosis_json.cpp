// SPDX-License-Identifier: MIT
#include "cli/views/diagnosis_json.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "agent/diagnosis/flow_findings.h"
#include "agent/inspect/protocol_name.h"
#include "cli/views/stats_view.h"
#include "maps/base/abi_names.h"

namespace kudo {
namespace {

template <typename T> OrderedJson value_or_null(const std::optional<T>& value) {
    return value ? OrderedJson(*value) : OrderedJson(nullptr);
}

OrderedJson time_or_null(const std::optional<std::chrono::system_clock::time_point>& time) {
    return time ? OrderedJson(rfc3339_milliseconds(*time)) : OrderedJson(nullptr);
}

double milliseconds(std::chrono::microseconds time) {
    return static_cast<double>(time.count()) / 1000;
}

OrderedJson counter_json(const kudo_counter& counter) {
    return {{"packets", counter.packets}, {"bytes", counter.bytes}};
}

OrderedJson port_json(uint16_t port) {
    return port == 0 ? OrderedJson(nullptr) : OrderedJson(port);
}

OrderedJson process_json(const SocketOwner& process) {
    return {{"pid", process.pid},
            {"name", process.name},
            {"unit", text_or_null(process.unit)},
            {"container", text_or_null(process.container)}};
}

} // namespace

OrderedJson processes_json(const std::vector<SocketOwner>& processes) {
    OrderedJson list = OrderedJson::array();
    for (const SocketOwner& process : processes)
        list.push_back(process_json(process));
    return list;
}

namespace {

OrderedJson rule_json(const DropPoint& point) {
    return {{"name", name_of(point)},
            {"family", point.family},
            {"table", point.table},
            {"chain", point.chain},
            {"handle", point.handle == 0 ? OrderedJson(nullptr) : OrderedJson(point.handle)},
            {"text", text_or_null(point.text)},
            {"comment", text_or_null(point.comment)},
            {"undecided", point.undecided}};
}

OrderedJson owner_json(const DropOwner& owner) {
    if (owner.kind == DropOwner::Kind::Unknown) return nullptr;
    OrderedJson json = {
        {"kind", owner_kind_name(owner.kind)}, {"text", text_or_null(owner.text)}, {"certain", owner.certain}};
    if (owner.kind == DropOwner::Kind::Rule) {
        json["rules"] = OrderedJson::array();
        for (const DropPoint& point : owner.rules)
            json["rules"].push_back(rule_json(point));
    }
    if (owner.kind == DropOwner::Kind::Socket) {
        json["processes"] = processes_json(owner.processes);
        json["processes_complete"] = owner.processes_complete;
        json["receive_buffer"] = owner.receive_buffer == 0 ? OrderedJson(nullptr) : OrderedJson(owner.receive_buffer);
        json["queued"] = owner.receive_buffer == 0 ? OrderedJson(nullptr) : OrderedJson(owner.queued);
    }
    if (owner.kind == DropOwner::Kind::Queue) {
        json["device"] = owner.device;
        json["queue"] = owner.queue;
        json["carries"] = owner.carries;
    }
    if (owner.kind == DropOwner::Kind::Program) json["programs"] = owner.programs;
    return json;
}

OrderedJson loss_json(const RtpLoss& loss) {
    return loss.expected == 0 ? OrderedJson(nullptr) : OrderedJson(loss.share());
}

OrderedJson stream_json(const RtpStream& stream, std::chrono::system_clock::time_point now) {
    OrderedJson json = {{"ssrc", fmt::format("{:#010x}", stream.ssrc)},
                        {"direction", stream.direction == KUDO_EGRESS ? "egress" : "ingress"},
                        {"kind", rtp_kind(stream)}};
    if (!stream.quality) return json;
    const RtpQuality& quality = *stream.quality;
    json["packets"] = quality.unique;
    json["expected"] = quality.expected();
    json["lost"] = quality.lost;
    json["pending"] = quality.pending;
    json["missing"] = missing_of(quality, now);
    json["reordered"] = quality.reordered;
    json["duplicate"] = quality.duplicate;
    json["late"] = quality.late;
    json["restarts"] = quality.restarts;
    json["clock_rate"] = value_or_null(quality.clock_rate);
    json["jitter_ms"] = value_or_null(quality.jitter_ms);
    json["worst_200ms_loss"] = loss_json(quality.worst_200ms);
    json["worst_15s_loss"] = loss_json(quality.worst_15s);
    json["last_minute_loss"] = loss_json(quality.last_minute);
    json["gaps"] = {{"60ms", quality.gaps.at_least_60},
                    {"120ms", quality.gaps.at_least_120},
                    {"250ms", quality.gaps.at_least_250},
                    {"1000ms", quality.gaps.at_least_1000}};
    json["frames_per_second"] = quality.frames_per_second;
    json["outages"] = OrderedJson::array();
    for (const RtpOutage& outage : quality.outages)
        json["outages"].push_back({{"begin", rfc3339_milliseconds(outage.begin)},
                                   {"milliseconds", outage.duration.count()},
                                   {"missing", outage.missing},
                                   {"rate_before", outage.rate_before}});
    return json;
}

OrderedJson mapped_json(const std::optional<MappedAddress>& mapped) {
    return mapped ? OrderedJson{{"address", mapped->address}, {"port", mapped->port}} : OrderedJson(nullptr);
}

OrderedJson probe_json(const FlowProbe& probe) {
    OrderedJson json = {{"requests", probe.requests},
                        {"responses", probe.responses},
                        {"unanswered", probe.unanswered},
                        {"pending", probe.pending},
                        {"retransmitted", probe.retransmitted},
                        {"mapped", mapped_json(probe.mapped)},
                        {"mapped_changes", probe.mapped_changes},
                        {"last_change", nullptr},
                        {"last_request", time_or_null(probe.last_request)},
                        {"last_response", time_or_null(probe.last_response)},
                        {"last_inbound", time_or_null(probe.last_inbound)}};
    if (const auto& change = probe.last_change)
        json["last_change"] = {{"time", rfc3339_milliseconds(change->time)},
                               {"before", mapped_json(change->before)},
                               {"after", mapped_json(change->after)},
                               {"quiet_ms", change->quiet_before.count()}};
    return json;
}

OrderedJson tcp_json(const TcpState& tcp, const std::string& stall) {
    OrderedJson json = {{"rtt_ms", milliseconds(tcp.rtt)},
                        {"min_rtt_ms", tcp.min_rtt ? OrderedJson(milliseconds(*tcp.min_rtt)) : OrderedJson(nullptr)},
                        {"retransmits", tcp.retransmits},
                        {"congestion_window", tcp.congestion_window},
                        {"pacing_rate", value_or_null(tcp.pacing_rate)},
                        {"delivery_rate", value_or_null(tcp.delivery_rate)},
                        {"unacked", tcp.unacked},
                        {"stall", text_or_null(stall)}};
    return json;
}

OrderedJson network_json(const FlowRecord& flow, const FlowDiagnosis* detail,
                         std::chrono::system_clock::time_point now) {
    const bool tcp = detail && detail->tcp;
    if (flow.streams.empty() && !flow.probe && !tcp) return nullptr;
    OrderedJson json;
    json["rtt_ms"] = nullptr;
    if (flow.probe && flow.probe->rtt) {
        const RoundTrips& rtt = *flow.probe->rtt;
        json["rtt_ms"] = {
            {"p50", rtt.p50}, {"p99", rtt.p99}, {"min", rtt.min}, {"last", rtt.last}, {"count", rtt.count}};
    }
    json["stun"] = flow.probe ? probe_json(*flow.probe) : OrderedJson(nullptr);
    json["tcp"] = tcp ? tcp_json(*detail->tcp, detail->stall) : OrderedJson(nullptr);
    json["streams"] = OrderedJson::array();
    for (const RtpStream& stream : flow.streams)
        json["streams"].push_back(stream_json(stream, now));
    return json;
}

OrderedJson finding_json(const Finding& finding) {
    return {{"name", finding.name},
            {"where", loss_place_name(finding.where)},
            {"layer", text_or_null(finding.layer)},
            {"confidence", confidence_name(finding.confidence)},
            {"summary", finding.summary},
            {"evidence", finding.evidence},
            {"advice", text_or_null(finding.advice)},
            {"command", text_or_null(finding.command)},
            {"lost", finding.lost},
            {"share", finding.share},
            {"past", finding.past}};
}

} // namespace

OrderedJson verdict_json(const Verdict& verdict) {
    OrderedJson json = {{"where", loss_place_name(verdict.where)},
                        {"layer", text_or_null(verdict.layer)},
                        {"confidence", confidence_name(verdict.confidence)},
                        {"summary", verdict.summary},
                        {"evidence", verdict.evidence},
                        {"advice", text_or_null(verdict.advice)},
                        {"command", text_or_null(verdict.command)},
                        {"findings", OrderedJson::array()}};
    for (const Finding& finding : verdict.findings)
        json["findings"].push_back(finding_json(finding));
    return json;
}

OrderedJson drop_json(const Diagnosis& diagnosis, const DiagnosedDrop& drop) {
    OrderedJson flow = nullptr;
    if (const auto& key = drop.drop.flow) {
        const FlowRecord* const record = drop.flow ? &diagnosis.statistics.flows[*drop.flow] : nullptr;
        flow = {{"protocol", protocol_name(key->protocol)},
                {"local", key->local.text()},
                {"local_port", port_json(key->local_port)},
                {"remote", key->remote.text()},
                {"remote_port", port_json(key->remote_port)},
                {"interface", record && record->interface_index == key->interface_index ? OrderedJson(record->interface)
                                                                                        : text_or_null(drop.interface)},
                {"service", record ? text_or_null(record->service) : OrderedJson(nullptr)}};
    }
    return {{"layer", layer_name(drop.drop.layer)},
            {"reason", text_or_null(drop.drop.reason)},
            {"place", drop.drop.place},
            {"owner", owner_json(drop.owner)},
            {"flow", std::move(flow)},
            {"ingress", counter_json(drop.drop.counters[KUDO_INGRESS])},
            {"egress", counter_json(drop.drop.counters[KUDO_EGRESS])},
            {"loss", drop.drop.is_loss},
            {"ours", drop.drop.is_ours},
            {"namespace_known", drop.drop.namespace_known},
            {"first_seen", rfc3339_milliseconds(drop.drop.first_seen)},
            {"last_seen", rfc3339_milliseconds(drop.drop.last_seen)},
            {"advice", text_or_null(drop.advice)},
            {"command", text_or_null(drop.command)}};
}

OrderedJson flow_details_json(const FlowRecord& flow, const FlowDiagnosis* detail,
                              std::chrono::system_clock::time_point read_at) {
    OrderedJson json;
    json["network"] = network_json(flow, detail, read_at);
    json["host"] = nullptr;
    json["process"] = nullptr;
    json["processes"] = nullptr;
    json["diagnosis"] = nullptr;
    if (!detail) return json;
    json["host"] = {{"ingress", counter_json(detail->dropped[KUDO_INGRESS])},
                    {"egress", counter_json(detail->dropped[KUDO_EGRESS])}};
    if (!detail->processes.empty()) json["process"] = process_json(detail->processes.front());
    json["processes"] = detail->processes_complete || !detail->processes.empty() ? processes_json(detail->processes)
                                                                                 : OrderedJson(nullptr);
    json["diagnosis"] = {{"where", loss_place_name(detail->verdict.where)}, {"summary", detail->verdict.summary}};
    return json;
}

} // namespace kudo
