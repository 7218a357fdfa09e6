// SPDX-License-Identifier: MIT
#include "cli/views/report.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <nlohmann/json.hpp>

#include "cli/terminal/output.h"
#include "maps/base/abi_names.h"
#include "maps/document/built_in.h"

namespace kudo {

PolicySummary summarise(const DesiredState& state, const ReconcileReport& report) {
    if (report.generation != 0)
        return {state, report.serial, report.source, report.prefixes4, report.prefixes6, report.nat64};
    const AcceptedMap& active = state.ranges.active;
    const bool built_in = active.hash.empty();
    return {state,
            built_in ? built_in_range_map().serial : active.serial,
            built_in ? "built-in" : active.source,
            report.prefixes4,
            report.prefixes6,
            report.nat64};
}

std::string summary_text(const PolicySummary& summary) {
    return fmt::format("region{} {}{}, mode {}, range map {} ({}), {} IPv4 and {} IPv6 ranges",
                       summary.state.regions.size() == 1 ? "" : "s", fmt::join(summary.state.regions, ", "),
                       summary.state.teams ? " with teams" : "", mode_name(summary.state.mode), summary.serial,
                       summary.source, summary.prefixes4, summary.prefixes6);
}

static std::string queue_line(const std::string& interface, const char* direction, const QueueReport& queue) {
    std::string text = fmt::format("{} {}: ", interface, direction);
    if (queue.chosen.empty()) return text + fmt::format("no queue ({})\n", queue.why);
    if (!queue.ours) return text + fmt::format("{}: {}\n", queue.found, queue.why);
    return text + fmt::format("{} in place of {}: {}\n", queue.chosen, queue.found, queue.why);
}

std::string queues_text(const std::string& interface, const InterfaceQueues& queues) {
    return queue_line(interface, "uplink", queues.uplink) +
           (queues.downlink.chosen.empty() ? "" : queue_line(interface, "downlink", queues.downlink));
}

void to_json(OrderedJson& json, const QueueReport& queue) {
    json = {
        {"found", queue.found}, {"queue", text_or_null(queue.chosen)}, {"why", queue.why}, {"healthy", queue.healthy}};
    json["rate"] = queue.rate ? OrderedJson(*queue.rate) : OrderedJson();
    json["follows"] = nullptr;
    if (queue.follows)
        json["follows"] = {
            {"min", queue.follows->min}, {"max", queue.follows->max}, {"state", text_or_null(queue.following)}};
}

static void to_json(OrderedJson& json, const InterfaceReport& interface) {
    json = {{"name", interface.name},
            {"ingress", text_or_null(interface.ingress)},
            {"egress", text_or_null(interface.egress)},
            {"note", text_or_null(interface.note)},
            {"uplink", interface.queues.uplink},
            {"downlink", interface.queues.downlink}};
}

std::string report_text(const ReconcileReport& report, bool colour) {
    std::string text;
    Table table({{"INTERFACE"}, {"INGRESS"}, {"EGRESS"}, {"NOTE"}});
    for (const InterfaceReport& interface : report.interfaces)
        table.add({interface.name, text_or_dash(interface.ingress), text_or_dash(interface.egress), interface.note});
    if (!table.empty()) text += table.text(colour);
    for (const InterfaceReport& interface : report.interfaces)
        if (!interface.queues.uplink.why.empty()) text += queues_text(interface.name, interface.queues);
    for (const Problem& problem : report.problems)
        text += fmt::format("{} {}\n", paint("degraded:", Style::Yellow, colour), one_line(problem.text()));
    for (const std::string& warning : report.warnings)
        text += fmt::format("{} {}\n", paint("warning:", Style::Yellow, colour), one_line(warning));
    return text;
}

static OrderedJson problems_json(const ReconcileReport& report) {
    auto list = OrderedJson::array();
    for (const Problem& problem : report.problems)
        list.push_back({{"object", problem.object}, {"problem", problem.text()}});
    return list;
}

OrderedJson report_json(const ReconcileReport& report, const PolicySummary& summary) {
    return {{"changed", report.changed},
            {"enabled", summary.state.enabled},
            {"mode", mode_name(summary.state.mode)},
            {"regions", summary.state.regions},
            {"teams", summary.state.teams},
            {"generation", report.generation},
            {"map",
             {{"serial", summary.serial},
              {"source", summary.source},
              {"prefixes", {{"ipv4", summary.prefixes4}, {"ipv6", summary.prefixes6}, {"nat64", summary.nat64}}}}},
            {"interfaces", report.interfaces},
            {"problems", problems_json(report)},
            {"warnings", report.warnings}};
}

} // namespace kudo
