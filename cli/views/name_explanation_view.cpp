// SPDX-License-Identifier: MIT
#include "cli/views/name_explanation_view.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <nlohmann/json.hpp>

#include "cli/terminal/output.h"
#include "cli/views/explanation_view.h"
#include "cli/views/learned_name_view.h"
#include "maps/base/abi_names.h"

namespace kudo {
namespace {

std::vector<std::string> port_texts(const std::vector<PortRule>& ports) {
    std::vector<std::string> texts;
    for (const PortRule& port : ports)
        texts.push_back(port.text());
    return texts;
}

std::string counts_text(const NameExplanation::Domain& domain) {
    if (domain.counts) return domain.state.empty() ? "in effect" : domain.state;
    return domain.option.empty() ? "does not count" : "not chosen: " + domain.option;
}

std::string domains_text(const NameExplanation& explanation, bool colour) {
    Table table({{"DOMAIN"}, {"SERVICE"}, {"PORTS"}, {"COUNTS"}, {"LINE OF THE MAP"}});
    for (const auto& domain : explanation.domains)
        table.add({domain.domain, domain.service, fmt::format("{}", fmt::join(port_texts(domain.ports), " ")),
                   counts_text(domain), text_or_dash(domain.path)},
                  domain.counts ? Style::Plain : Style::Yellow);
    return table.empty() ? "" : table.text(colour);
}

std::string known_text(const NameExplanation& explanation, bool colour) {
    if (!explanation.looked_at_known) return "Whether DNS has given this host addresses for it is not known.\n";
    if (explanation.known.empty()) return "DNS has given this host no address for it that counts now.\n";
    std::vector<Column> columns{{"ADDRESS"}, {"BY"}, {"UNTIL"}, {"RANGE"}};
    if (explanation.port) columns.insert(columns.end(), {{"VERDICT"}, {"REASON"}});
    Table table(columns);
    for (const auto& known : explanation.known) {
        const auto& learned = known.learned;
        std::vector<std::string> row{learned.address.text(), answered_by_text(learned), until_text(learned),
                                     text_or_dash(known.range)};
        if (explanation.port) {
            row.emplace_back(verdict_name(known.rule.verdict));
            row.emplace_back(reason_name(known.rule.reason));
        }
        table.add(row);
    }
    return table.text(colour);
}

} // namespace

OrderedJson name_explanation_json(const NameExplanation& explanation) {
    OrderedJson domains = OrderedJson::array(), known = OrderedJson::array();
    for (const auto& domain : explanation.domains)
        domains.push_back({{"domain", domain.domain},
                           {"service", domain.service},
                           {"state", text_or_null(domain.state)},
                           {"counts", domain.counts},
                           {"option", text_or_null(domain.option)},
                           {"ports", port_texts(domain.ports)},
                           {"path", text_or_null(domain.path)}});
    for (const auto& each : explanation.known) {
        OrderedJson row = learned_name_json(each.learned);
        row["range"] = text_or_null(each.range);
        row["rule"] = explanation.port ? OrderedJson(each.rule) : OrderedJson(nullptr);
        known.push_back(std::move(row));
    }
    return {{"name", explanation.name},
            {"port", explanation.port ? OrderedJson(explanation.port->text()) : OrderedJson(nullptr)},
            {"map", {{"serial", explanation.serial}, {"source", explanation.source}}},
            {"mode", mode_name(explanation.options.mode)},
            {"regions", explanation.options.regions},
            {"optional_services", explanation.options.optional_services},
            {"exact_domains", explanation.options.exact_domains},
            {"domains", domains},
            {"addresses", explanation.looked_at_known ? known : OrderedJson(nullptr)},
            {"rules", explanation.rules},
            {"admission", admission_json(explanation.admission)},
            {"notes", explanation.notes}};
}

std::string name_explanation_text(const NameExplanation& explanation, bool colour) {
    std::string text =
        paint(explanation.name + (explanation.port ? " " + explanation.port->text() : ""), Style::Bold, colour) + "\n";
    if (const std::string domains = domains_text(explanation, colour); !domains.empty()) text += domains + "\n";
    text += known_text(explanation, colour);
    text += "\nAn address that DNS gives for it, and that is in no range:\n" + rules_text(explanation.rules, colour);
    text += admission_text(explanation.admission, explanation.options.admission, colour);
    text += fmt::format("by range map {} ({}), in mode {}\n", explanation.serial, explanation.source,
                        mode_name(explanation.options.mode));
    for (const std::string& note : explanation.notes)
        text += fmt::format("note: {}\n", one_line(note));
    return text;
}

} // namespace kudo
