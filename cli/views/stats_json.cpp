// SPDX-License-Identifier: MIT
#include "cli/views/stats_json.h"

#include <iterator>
#include <unordered_map>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "agent/inspect/protocol_name.h"
#include "cli/views/diagnosis_json.h"
#include "maps/base/abi_names.h"

namespace kudo {

static void to_json(OrderedJson& json, const RtpStream& stream) {
    json = {{"ssrc", fmt::format("{:#010x}", stream.ssrc)},
            {"direction", stream.direction == KUDO_EGRESS ? "egress" : "ingress"},
            {"kind", rtp_kind(stream)},
            {"why", rtp_reason(stream)},
            {"payload_type", stream.what.payload_type},
            {"packets", stream.what.packets},
            {"probes", stream.what.probes},
            {"largest", stream.what.largest},
            {"step", stream.what.step}};
    json["repeats"] = stream.repeats ? OrderedJson(fmt::format("{:#010x}", *stream.repeats)) : OrderedJson(nullptr);
}

static void to_json(OrderedJson& json, const QueueClass& part) {
    const auto or_null = [](const auto& number) { return number ? OrderedJson(*number) : OrderedJson(nullptr); };
    json = {{"carries", part.carries},
            {"packets", part.packets},
            {"bytes", part.bytes},
            {"backlog_packets", or_null(part.backlog_packets)},
            {"backlog_bytes", or_null(part.backlog_bytes)},
            {"drops", or_null(part.drops)},
            {"delay_us", or_null(part.delay_us)}};
}

static void to_json(OrderedJson& json, const QueueNumbers& queue) {
    json = {{"interface", queue.interface},
            {"direction", queue.direction},
            {"queue", queue.kind},
            {"classes", queue.classes}};
}

void to_json(OrderedJson& json, const StrayRemote& stray) {
    json = {{"remote", stray.remote.text()},
            {"name", text_or_null(stray.name)},
            {"requests", stray.requests},
            {"answers", stray.answers},
            {"first_seen", rfc3339_milliseconds(stray.first_seen)},
            {"last_seen", rfc3339_milliseconds(stray.last_seen)},
            {"interface", stray.interface}};
}

std::string where_text(const NamedAddress& named) {
    return named.address.text() + (named.within.empty() ? "" : " (in " + named.within + ")");
}

void to_json(OrderedJson& json, const NamedAddress& named) {
    json = {{"name", named.name},
            {"address", named.address.text()},
            {"service", named.service},
            {"within", text_or_null(named.within)},
            {"last_seen", rfc3339_milliseconds(named.last_seen)},
            {"interface", text_or_null(named.interface)}};
}

namespace {

template <typename Each> OrderedJson both_ways(const Directions& directions, Each each) {
    return {{"ingress", each(directions[KUDO_INGRESS])}, {"egress", each(directions[KUDO_EGRESS])}};
}

OrderedJson counters_json(const Directions& directions) {
    return both_ways(directions, [](const kudo_counter& counter) {
        return OrderedJson{{"packets", counter.packets}, {"bytes", counter.bytes}};
    });
}

OrderedJson rates_json(const Directions& directions, double seconds) {
    return both_ways(directions, [seconds](const kudo_counter& counter) {
        return OrderedJson{{"packets_per_second", static_cast<double>(counter.packets) / seconds},
                           {"bits_per_second", 8 * static_cast<double>(counter.bytes) / seconds}};
    });
}

OrderedJson growth_json(const Growth& growth) {
    OrderedJson services = OrderedJson::object();
    for (const auto& [name, service] : growth.services)
        services[name] = rates_json(service.total(), growth.seconds);
    return {{"seconds", growth.seconds},
            {"totals", rates_json(growth.totals, growth.seconds)},
            {"services", std::move(services)}};
}

// Writes flows by hand: a document of a million flows would need gigabytes. What recurs is made once.
class FlowWriter {
public:
    // `read_at`: when the flows were.
    explicit FlowWriter(std::chrono::system_clock::time_point read_at) : read_at_(read_at) {}

    void append(std::string& text, const FlowRecord& flow, const FlowDiagnosis* detail) {
        const auto port = [](uint16_t number) { return number == 0 ? "null" : fmt::format("{}", number); };
        const auto counter = [](const kudo_counter& both) {
            return fmt::format(R"({{"packets":{},"bytes":{}}})", both.packets, both.bytes);
        };
        // Of class fallback TLS hides it.
        const std::string rtp = flow.class_ == KUDO_CLASS_MEDIA ? OrderedJson(flow.streams).dump() : "null";
        const bool has_details = detail || !flow.streams.empty() || flow.probe;
        const std::string details = has_details ? flow_details_json(flow, detail, read_at_).dump() : no_details_;
        fmt::format_to(
            std::back_inserter(text),
            R"({{"protocol":"{}","local":"{}","local_port":{},"remote":"{}","remote_port":{},)"
            R"("service":{},"class":"{}","range":{},"interface":{},"verdict":"{}","reason":"{}","named_by":{},)"
            R"("ingress":{},"egress":{},"first_seen":"{}","last_seen":"{}","rtp":{},{},"generation":{}}})",
            protocol_name(flow.protocol), flow.local.text(), port(flow.local_port), flow.remote.text(),
            port(flow.remote_port), quoted(flow.service), class_name(flow.class_),
            flow.service.empty() || flow.reason == KUDO_REASON_NAME ? "null" : '"' + flow.range.text() + '"',
            quoted(flow.interface), verdict_name(flow.verdict), reason_name(flow.reason),
            flow.reason != KUDO_REASON_NAME ? "null"
            : flow.named_by_tls             ? R"("tls")"
                                            : R"("dns")",
            counter(flow.counters[KUDO_INGRESS]), counter(flow.counters[KUDO_EGRESS]), time(flow.first_seen),
            time(flow.last_seen), rtp, std::string_view(details).substr(1, details.size() - 2), flow.generation);
    }

private:
    // As a JSON string; null for an empty one.
    const std::string& quoted(const std::string& name) {
        const auto [entry, added] = quoted_.try_emplace(name);
        if (added) entry->second = json_text(text_or_null(name), true);
        return entry->second;
    }
    const std::string& time(std::chrono::system_clock::time_point when) {
        const auto milliseconds = std::chrono::floor<std::chrono::milliseconds>(when);
        const auto [entry, added] = times_.try_emplace(milliseconds.time_since_epoch().count());
        if (added) entry->second = rfc3339_milliseconds(when);
        return entry->second;
    }

    std::chrono::system_clock::time_point read_at_;
    const std::string no_details_ = flow_details_json({}, nullptr, {}).dump();
    std::unordered_map<std::string, std::string> quoted_;
    std::unordered_map<int64_t, std::string> times_; // by millisecond: the kernel's ticks are coarser
};

std::string_view admission_name(kudo_admission admission) {
    return admission == KUDO_ADMISSION_ENFORCE ? "enforce" : admission == KUDO_ADMISSION_REHEARSE ? "rehearse" : "none";
}

OrderedJson denied_json(const Diagnosis& diagnosis) {
    const Denied& denied = diagnosis.statistics.denied;
    const auto number_or_null = [](uint16_t port) { return port == 0 ? OrderedJson(nullptr) : OrderedJson(port); };
    OrderedJson would_drop = OrderedJson::object(), flows = OrderedJson::array();
    for (std::size_t i = 0; i < denied.would_drop.size(); ++i)
        if (denied.would_drop[i][KUDO_INGRESS].packets + denied.would_drop[i][KUDO_EGRESS].packets != 0)
            would_drop[std::string(reason_name(static_cast<kudo_reason>(i)))] = counters_json(denied.would_drop[i]);
    for (std::size_t i = 0; i < denied.flows.size(); ++i) {
        const DeniedFlow& flow = denied.flows[i];
        const auto owners = diagnosis.denied.find(i);
        flows.push_back(
            {{"protocol", protocol_name(flow.protocol)},
             {"local", flow.local.text()},
             {"local_port", number_or_null(flow.local_port)},
             {"remote", flow.remote.text()},
             {"remote_port", number_or_null(flow.remote_port)},
             {"interface", flow.interface},
             {"name", text_or_null(flow.name)},
             {"processes",
              owners != diagnosis.denied.end() ? processes_json(owners->second.processes) : OrderedJson::array()},
             {"reason", reason_name(flow.reason())},
             {"ingress",
              {{"packets", flow.counters[KUDO_INGRESS].packets}, {"bytes", flow.counters[KUDO_INGRESS].bytes}}},
             {"egress", {{"packets", flow.counters[KUDO_EGRESS].packets}, {"bytes", flow.counters[KUDO_EGRESS].bytes}}},
             {"first_seen", rfc3339_milliseconds(flow.first_seen)},
             {"last_seen", rfc3339_milliseconds(flow.last_seen)}});
    }
    return {{"admission", admission_name(denied.admission)},
            {"would_drop", std::move(would_drop)},
            {"untracked_packets", denied.untracked_packets},
            {"capacity", denied.capacity},
            {"flows", std::move(flows)}};
}

// All but the flows.
OrderedJson frame_json(const Diagnosis& diagnosis, const StatsView& view) {
    const Statistics& statistics = diagnosis.statistics;
    OrderedJson reasons, services = OrderedJson::object();
    for (std::size_t i = 0; i < statistics.reasons.size(); ++i)
        reasons[std::string(reason_name(static_cast<kudo_reason>(i)))] = counters_json(statistics.reasons[i]);
    for (const auto& [name, service] : statistics.services) {
        services[name] = counters_json(service.total());
        for (std::size_t i = 0; i < service.classes.size(); ++i)
            services[name]["classes"][std::string(class_name(static_cast<kudo_class>(i)))] =
                counters_json(service.classes[i]);
    }
    OrderedJson dns;
    for (std::size_t i = 0; i < statistics.dns.size(); ++i)
        dns[std::string(dns_outcome_name(static_cast<kudo_dns_outcome>(i)))] = statistics.dns[i];
    OrderedJson tls; // null: see docs/names.md
    if (statistics.denied.admission == KUDO_ADMISSION_NONE)
        for (std::size_t i = 0; i < statistics.tls.size(); ++i)
            tls[std::string(tls_outcome_name(static_cast<kudo_tls_outcome>(i)))] = statistics.tls[i];
    OrderedJson result = {
        {"verdict", verdict_json(diagnosis.verdict)},
        {"generation", statistics.generation},
        {"read_at", rfc3339_milliseconds(statistics.read_at)},
        {"since", diagnosis.since ? OrderedJson(rfc3339_milliseconds(statistics.read_at - *diagnosis.since))
                                  : OrderedJson(nullptr)},
        {"totals", counters_json(statistics.totals)},
        {"reasons", std::move(reasons)},
        {"services", std::move(services)},
        {"dns", std::move(dns)},
        {"tls", std::move(tls)},
        {"flows", OrderedJson::array()},
        {"flow_table", {{"entries", statistics.flow_entries}, {"capacity", statistics.flow_capacity}}},
        {"unrecorded_flow_packets", statistics.unrecorded_flow_packets},
        {"evicted_flow_packets", statistics.evicted_flow_packets},
        {"queues", statistics.queues},
        {"strays", statistics.stale.strays},
        {"moved_names", statistics.stale.moved_names}};
    result["rates"] = view.growth ? growth_json(*view.growth) : OrderedJson(nullptr);
    result["drops"] = OrderedJson::array();
    for (const DiagnosedDrop& drop : diagnosis.drops)
        result["drops"].push_back(drop_json(diagnosis, drop));
    result["denied"] = denied_json(diagnosis);
    result["drops_measured"] = diagnosis.drops_measured;
    result["drops_not_measured_because"] = text_or_null(diagnosis.drops_why_not);
    result["evicted_drops"] = counters_json(diagnosis.drops_evicted);
    result["missed_drops"] = diagnosis.drops_missed;
    result["conntrack"] = diagnosis.conntrack
                              ? OrderedJson{{"count", diagnosis.conntrack->count}, {"max", diagnosis.conntrack->max}}
                              : OrderedJson(nullptr);
    result["not_known"] = diagnosis.gaps;
    return result;
}

} // namespace

std::string flow_json(const FlowRecord& flow, std::chrono::system_clock::time_point read_at,
                      const FlowDiagnosis* detail) {
    std::string text;
    FlowWriter(read_at).append(text, flow, detail);
    return text;
}

Result<void> write_stats_json(const Diagnosis& diagnosis, const StatsView& view, bool one_line, const Write& write) {
    constexpr std::size_t piece = 1 << 20;
    std::string text = json_text(frame_json(diagnosis, view), one_line);
    // Within a string the quotes would be escaped, and those of "denied" come later.
    const std::string place = one_line ? R"("flows":[])" : R"("flows": [])";
    const std::size_t middle = text.find(place) + place.size() - 1;
    const std::string rest = text.substr(middle) + "\n";
    text.resize(middle);
    FlowWriter writer(diagnosis.statistics.read_at);
    const char* separator = one_line ? "" : "\n    ";
    const std::vector<FlowRecord>& flows = diagnosis.statistics.flows;
    for (std::size_t i = 0; i < flows.size(); ++i) {
        text += separator;
        const auto detail = diagnosis.flows.find(i);
        writer.append(text, flows[i], detail != diagnosis.flows.end() ? &detail->second : nullptr);
        separator = one_line ? "," : ",\n    ";
        if (text.size() < piece) continue;
        KUDO_TRY(write(text));
        text.clear();
    }
    if (!flows.empty() && !one_line) text += "\n  ";
    return write(text + rest);
}

} // namespace kudo
