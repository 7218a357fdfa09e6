// SPDX-License-Identifier: MIT
#include "cli/commands/explain.h"

#include <map>
#include <memory>
#include <optional>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <nlohmann/json.hpp>

#include "agent/inspect/explanation.h"
#include "agent/inspect/name_explanation.h"
#include "agent/inspect/statistics.h"
#include "cli/arguments/options.h"
#include "cli/ranges/current_rules.h"
#include "cli/views/explanation_view.h"
#include "cli/views/name_explanation_view.h"
#include "maps/base/text.h"

namespace kudo {
namespace {

// An address or a name.
struct Remote {
    std::optional<Address> address{};
    std::string name{};
};

Result<Remote> parse_remote(const std::string& text) {
    if (const auto address = Address::parse(text)) return Remote{.address = *address};
    return Remote{.name = KUDO_TRY(parse_host_name(text))};
}

struct ExplainOptions {
    Remote remote;
    std::optional<PortRule> port;
    std::vector<std::string> regions;
    bool teams = false;
};

// The options in force, or those that are assumed, which is told in `notes`.
Result<CompileOptions> options_for(const CurrentRules& rules, const RangeMap& honoured, const ExplainOptions& given,
                                   std::vector<std::string>& notes) {
    CompileOptions options = KUDO_TRY(rules.state.compile_options(rules.state.lifeline_facts()));
    const auto regions = normalised(given.regions);
    if (!rules.note.empty()) notes.push_back(rules.note);
    if (!regions.empty() || given.teams) {
        if (rules.state.enabled)
            notes.emplace_back("Evaluated with the options of this command, not with those that are enabled.");
        options.optional_services.clear();
        if (given.teams) options.optional_services = {"teams"};
    }
    if (!regions.empty()) {
        options.regions = regions;
    } else if (!rules.state.enabled) {
        options.regions = honoured.regions();
        notes.push_back(fmt::format("{}; evaluated as with --region {}.",
                                    rules.note.empty() ? "Nothing is enabled" : "What is enabled is not known",
                                    fmt::join(options.regions, ",")));
    } else if (given.teams) {
        options.regions = rules.state.regions;
    }
    return options;
}

// What DNS has given: for names, or for one address. Nothing, and a note why: that could not be looked at.
std::optional<std::vector<LearnedName>> learned_names(const GlobalOptions& global, const std::optional<Address>& only,
                                                      std::vector<std::string>& notes) {
    auto learned = [&]() -> Result<std::vector<LearnedName>> {
        auto data_path = KUDO_TRY(DataPath::open(global.instance));
        return read_learned_names(data_path, only);
    }();
    if (learned) return std::move(*learned);
    notes.push_back("What DNS has given for the map's domains could not be looked at: " + learned.error().message +
                    ".");
    return std::nullopt;
}

// Connections to the address that a ClientHello has named: such a name is theirs alone.
std::string tls_note(const Instance& instance, const Address& address) {
    const auto statistics = read_statistics(instance);
    if (!statistics) return ""; // said already: what DNS has given could not be looked at
    std::map<std::string, std::size_t> connections;
    for (const FlowRecord& flow : statistics->flows)
        if (flow.named_by_tls && flow.remote == address) connections[flow.service]++;
    std::vector<std::string> texts;
    for (const auto& [service, count] : connections)
        texts.push_back(fmt::format("{} of {}", counted(count, "connection"), service));
    if (texts.empty()) return "";
    return fmt::format("To the address {} counted by the name in the ClientHello, which is a connection's alone: "
                       "kudo-agent stats --flows lists them.",
                       joined(texts));
}

Result<int> run_explain_name(const ExplainOptions& given, const GlobalOptions& global) {
    std::vector<std::string> notes;
    const auto rules = KUDO_TRY(current_rules(global.instance));
    const RangeMap honoured = rules.maps.combined();
    const CompileOptions options = KUDO_TRY(options_for(rules, honoured, given, notes));
    KUDO_TRY(check_regions(honoured, options.regions));
    const auto names = learned_names(global, {}, notes);
    auto explanation = KUDO_TRY(
        explain_name(honoured, options, given.remote.name, given.port, names.value_or(std::vector<LearnedName>{})));
    explanation.looked_at_known = names.has_value();
    explanation.source = rules.maps.active.source;
    explanation.notes.insert(explanation.notes.end(), notes.begin(), notes.end());
    KUDO_TRY(print_either(global.json, name_explanation_json(explanation),
                          name_explanation_text(explanation, colour_wanted())));
    return exit_done;
}

Result<int> run_explain(const ExplainOptions& given, const GlobalOptions& global) {
    if (!given.remote.address) return run_explain_name(given, global);
    const Address as_given = *given.remote.address, address = ipv4_of_mapped(as_given).value_or(as_given);
    std::vector<std::string> notes;
    if (address != as_given) notes.push_back(fmt::format("On the wire {} is {}.", as_given.text(), address.text()));
    const auto rules = KUDO_TRY(current_rules(global.instance));
    const RangeMap honoured = rules.maps.combined();
    const CompileOptions options = KUDO_TRY(options_for(rules, honoured, given, notes));
    KUDO_TRY(check_regions(honoured, options.regions));
    const auto names = learned_names(global, address, notes);
    auto explanation =
        KUDO_TRY(explain(honoured, options, address, given.port, names.value_or(std::vector<LearnedName>{})));
    explanation.source = rules.maps.active.source;
    if (names) notes.push_back(tls_note(global.instance, address));
    std::erase(notes, "");
    explanation.notes.insert(explanation.notes.end(), notes.begin(), notes.end());
    KUDO_TRY(print_either(global.json, explanation_json(explanation), explanation_text(explanation, colour_wanted())));
    return exit_done;
}

} // namespace

Run setup_explain(CLI::App& app) {
    const auto options = std::make_shared<ExplainOptions>();
    add_option(app, "ADDRESS", options->remote, parse_remote, "Remote address, IPv4 or IPv6, or a name")
        ->required()
        ->type_name("");
    add_option(app, "PORT", options->port, PortRule::parse, "Remote port: udp/3478, tcp/443; default: every rule")
        ->type_name("");
    app.add_option("--region", options->regions, "As if enabled with these regions")
        ->type_name("REGION[,REGION]")
        ->delimiter(',')
        ->allow_extra_args(false);
    app.add_flag("--teams", options->teams, "As if enabled with --teams");
    app.footer("Examples: kudo-agent explain 168.100.64.1 udp/3478; kudo-agent explain live.kudoway.ca tcp/443\n"
               "Of a name: by which domain of the map it counts, and which addresses DNS has given this host for it.");
    return [options](const GlobalOptions& global) { return run_explain(*options, global); };
}

} // namespace kudo
