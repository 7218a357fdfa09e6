// SPDX-License-Identifier: MIT
#include "cli/views/explanation_view.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "cli/arguments/mark_option.h"
#include "cli/terminal/output.h"
#include "cli/views/learned_name_view.h"
#include "maps/base/abi_names.h"
#include "maps/compile/combine.h"
#include "maps/net/dscp.h"

namespace kudo {
namespace {

using Rule = Explanation::Rule;

OrderedJson mark_json(const kudo_mark& mark) {
    const bool dscp = mark.flags & KUDO_MARK_DSCP, priority = mark.flags & KUDO_MARK_PRIORITY;
    return {{"dscp", dscp ? OrderedJson(dscp_name(mark.dscp)) : OrderedJson(nullptr)},
            {"priority", priority ? OrderedJson(mark.priority) : OrderedJson(nullptr)}};
}

std::string ingress_action(const Rule& rule) {
    if (rule.verdict == KUDO_DROP) return "dropped";
    if (rule.firewall_mark.mask) return "passes, firewall mark " + firewall_mark_text(rule.firewall_mark);
    return "passes";
}

std::string egress_action(const Rule& rule) {
    if (rule.verdict == KUDO_DROP) return "dropped";
    if (rule.verdict != KUDO_PRIORITISED) return "passes";
    std::string mark = "passes, " + mark_text(rule.mark);
    if (!rule.audio_mark || mark_text(*rule.audio_mark) == mark_text(rule.mark)) return mark;
    return fmt::format("{}; audio {}", mark, mark_text(*rule.audio_mark));
}

std::string path_text(const Explanation& explanation, const Rule& rule) {
    const std::string_view state = parts_of(rule.service).state;
    if (state == "early") return fmt::format("{} of a map that is staged; see kudo-agent status", rule.path);
    if (state == "retiring") return fmt::format("{} of a map that is retiring; see kudo-agent status", rule.path);
    return fmt::format("{} of range map {} ({})", rule.path, explanation.serial, explanation.source);
}

std::string one_rule(const Explanation& explanation, const Rule& rule) {
    std::string text;
    if (!rule.service.empty()) {
        text += fmt::format("  service  {}, class {}\n", rule.service, class_name(rule.class_));
        if (!rule.range.empty()) text += fmt::format("  range    {}\n", rule.range);
        if (!rule.domain.empty()) text += fmt::format("  domain   {}\n", rule.domain);
        text += fmt::format("  line     {}\n", path_text(explanation, rule));
    } else {
        text += fmt::format("  map      {} ({})\n", explanation.serial, explanation.source);
    }
    text += fmt::format("  verdict  {}, in mode {}\n", verdict_name(rule.verdict), mode_name(explanation.options.mode));
    text += fmt::format("  reason   {}: {}\n", reason_name(rule.reason), reason_text(rule.reason));
    text += fmt::format("  ingress  {}\n", ingress_action(rule));
    text += fmt::format("  egress   {}\n", egress_action(rule));
    return text;
}

} // namespace

std::string rules_text(const std::vector<Explanation::Rule>& rules, bool colour) {
    Table table(
        {{"PACKET"}, {"SERVICE"}, {"CLASS"}, {"VERDICT"}, {"REASON"}, {"INGRESS"}, {"EGRESS"}, {"LINE OF THE MAP"}});
    for (const Rule& rule : rules) {
        table.add(
            {rule.packet, text_or_dash(rule.service), std::string(class_name(rule.class_)),
             std::string(verdict_name(rule.verdict)), std::string(reason_name(rule.reason)), ingress_action(rule),
             egress_action(rule),
             rule.path.empty() ? "-" : fmt::format("{} {}", rule.path, rule.range.empty() ? rule.domain : rule.range)});
    }
    return table.text(colour);
}

namespace {

std::string every_rule(const Explanation& explanation, bool colour) {
    return rules_text(explanation.rules, colour) + fmt::format("by range map {} ({}), in mode {}\n", explanation.serial,
                                                               explanation.source, mode_name(explanation.options.mode));
}

} // namespace

std::string admission_text(const std::optional<AdmissionCases>& admission, kudo_admission how, bool colour) {
    if (!admission) return "";
    Table table(
        {{how == KUDO_ADMISSION_ENFORCE ? "ADMISSION" : "ADMISSION (REHEARSED)"}, {"VERDICT"}, {"REASON"}, {"BY"}});
    for (const AdmissionCase& each : admission->cases)
        table.add({each.packet, each.admitted ? "admitted" : "dropped", std::string(reason_name(each.reason)),
                   text_or_dash(each.by)});
    return "\n" + table.text(colour);
}

static void to_json(OrderedJson& json, const AdmissionCase& each) {
    json = {{"packet", each.packet},
            {"admitted", each.admitted},
            {"reason", reason_name(each.reason)},
            {"by", text_or_null(each.by)}};
}

void to_json(OrderedJson& json, const Explanation::Rule& rule) {
    const OrderedJson decision = {{"verdict", verdict_name(rule.verdict)}, {"reason", reason_name(rule.reason)}};
    json = {{"packet", rule.packet},
            {"service", text_or_null(rule.service)},
            {"class", class_name(rule.class_)},
            {"range", text_or_null(rule.range)},
            {"domain", text_or_null(rule.domain)},
            {"path", text_or_null(rule.path)},
            {"ingress", decision},
            {"egress", decision}};
    json["ingress"]["firewall_mark"] =
        rule.firewall_mark.mask ? OrderedJson(firewall_mark_text(rule.firewall_mark)) : OrderedJson(nullptr);
    json["egress"].update(mark_json(rule.mark));
    json["egress"]["audio"] = rule.audio_mark ? mark_json(*rule.audio_mark) : OrderedJson(nullptr);
}

static void to_json(OrderedJson& json, const Explanation::NotChosen& not_chosen) {
    json = {{"service", not_chosen.service},
            {"range", not_chosen.range},
            {"path", not_chosen.path},
            {"option", text_or_null(not_chosen.option)}};
}

OrderedJson admission_json(const std::optional<AdmissionCases>& admission) {
    if (!admission) return nullptr;
    return {{"cases", admission->cases}, {"rules", admission->rules}};
}

OrderedJson explanation_json(const Explanation& explanation) {
    OrderedJson names = OrderedJson::array();
    for (const LearnedName& name : explanation.names)
        names.push_back(learned_name_json(name));
    return {{"address", explanation.address.text()},
            {"nat64", explanation.ipv4 ? OrderedJson(explanation.ipv4->text()) : OrderedJson(nullptr)},
            {"port", explanation.port ? OrderedJson(explanation.port->text()) : OrderedJson(nullptr)},
            {"map", {{"serial", explanation.serial}, {"source", explanation.source}}},
            {"mode", mode_name(explanation.options.mode)},
            {"regions", explanation.options.regions},
            {"optional_services", explanation.options.optional_services},
            {"rules", explanation.rules},
            {"admission", admission_json(explanation.admission)},
            {"not_chosen", explanation.not_chosen},
            {"names", names},
            {"notes", explanation.notes}};
}

std::string explanation_text(const Explanation& explanation, bool colour) {
    const std::string title =
        explanation.address.text() + (explanation.port ? " " + explanation.port->text() : std::string());
    std::string text = paint(title, Style::Bold, colour) + "\n";
    if (explanation.rules.size() == 1)
        text += one_rule(explanation, explanation.rules.front());
    else
        text += every_rule(explanation, colour);
    text += admission_text(explanation.admission, explanation.options.admission, colour);
    if (explanation.admission)
        for (const std::string& rule : explanation.admission->rules)
            text += fmt::format("holds the address: {}\n", one_line(rule));
    if (!explanation.names.empty()) text += "\n" + learned_names_text(explanation.names, colour);
    for (const auto& [service, range, path, option] : explanation.not_chosen)
        text += fmt::format("not chosen: service {} has {} ({}); {}\n", service, range, path,
                            option.empty() ? "it is optional, and no option of this version includes it"
                                           : fmt::format("enable with {} to include it", option));
    for (const std::string& note : explanation.notes)
        text += fmt::format("note: {}\n", one_line(note));
    return text;
}

} // namespace kudo
