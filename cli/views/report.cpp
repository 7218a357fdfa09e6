// SPDX-License-Identifier: MIT
#include "cli/views/report.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "cli/terminal/output.h"
#include "maps/base/abi_names.h"

namespace kudo {

Result<PolicySummary> summarise(CurrentRules rules) {
    PolicySummary summary{rules.state, rules.maps.active.map.serial, rules.maps.active.source, 0, 0};
    if (!rules.state.enabled) return summary;
    const auto compiled = KUDO_TRY(compile_honoured(rules.maps, rules.state.compile_options()));
    summary.prefixes4 = compiled.entries4.size();
    summary.prefixes6 = compiled.entries6.size();
    return summary;
}

std::string summary_text(const PolicySummary& summary) {
    return fmt::format("region{} {}{}, mode {}, range map {} ({}), {} IPv4 and {} IPv6 ranges",
                       summary.state.regions.size() == 1 ? "" : "s", fmt::join(summary.state.regions, ", "),
                       summary.state.teams ? " with teams" : "", mode_name(summary.state.mode), summary.serial,
                       summary.source, summary.prefixes4, summary.prefixes6);
}

std::string queue_line(const std::string& interface, const char* direction, const QueueReport& queue) {
    std::string text = fmt::format("{} {}: ", interface, direction);
    if (queue.chosen.empty()) return text + fmt::format("no queue ({})\n", queue.why);
    if (queue.found.starts_with(queue.chosen + " (")) return text + fmt::format("{}: {}\n", queue.found, queue.why);
    return text + fmt::format("{} in place of {}: {}\n", queue.chosen, queue.found, queue.why);
}

OrderedJson queue_json(const QueueReport& queue) {
    OrderedJson result;
    result["found"] = queue.found;
    result["queue"] = text_or_null(queue.chosen);
    result["why"] = queue.why;
    result["healthy"] = queue.healthy;
    return result;
}

std::string report_text(const ReconcileReport& report, bool colour) {
    std::string text;
    Table table({{"INTERFACE"}, {"INGRESS"}, {"EGRESS"}, {"NOTE"}});
    for (const InterfaceReport& interface : report.interfaces)
        table.add({interface.name, interface.ingress, interface.egress, interface.note});
    if (!table.empty()) text += table.text(colour);
    for (const InterfaceReport& interface : report.interfaces) {
        text += queue_line(interface.name, "uplink", interface.queues.uplink);
        if (!interface.queues.downlink.chosen.empty())
            text += queue_line(interface.name, "downlink", interface.queues.downlink);
    }
    for (const std::string& warning : report.warnings)
        text += fmt::format("{} {}\n", paint("warning:", Style::Yellow, colour), one_line(warning));
    return text;
}

OrderedJson report_json(const ReconcileReport& report, const PolicySummary& summary) {
    OrderedJson interfaces = OrderedJson::array();
    for (const InterfaceReport& interface : report.interfaces) {
        OrderedJson item;
        item["name"] = interface.name;
        item["ingress"] = text_or_null(interface.ingress);
        item["egress"] = text_or_null(interface.egress);
        item["note"] = text_or_null(interface.note);
        item["uplink"] = queue_json(interface.queues.uplink);
        item["downlink"] = queue_json(interface.queues.downlink);
        interfaces.push_back(std::move(item));
    }
    OrderedJson result;
    result["changed"] = report.changed;
    result["enabled"] = summary.state.enabled;
    result["mode"] = mode_name(summary.state.mode);
    result["regions"] = summary.state.regions;
    result["teams"] = summary.state.teams;
    result["generation"] = report.generation;
    result["map"]["serial"] = summary.serial;
    result["map"]["source"] = summary.source;
    result["map"]["prefixes"]["ipv4"] = summary.prefixes4;
    result["map"]["prefixes"]["ipv6"] = summary.prefixes6;
    result["interfaces"] = std::move(interfaces);
    result["warnings"] = report.warnings;
    return result;
}

} // namespace kudo
