// SPDX-License-Identifier: MIT
#include "cli/commands/firewall_sync.h"

#include <algorithm>
#include <memory>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "agent/firewall_sets/sets.h"
#include "agent/reconcile/reconcile.h"
#include "cli/arguments/options.h"

namespace kudo {
namespace {

OrderedJson sets_json(const FirewallSetsThere& there) {
    OrderedJson list = OrderedJson::array();
    for (std::size_t set = 0; set < firewall_set_names.size(); set++)
        if (there.present[set])
            list.push_back({{"name", firewall_set_names[set]},
                            {"elements", there.elements[set].size()},
                            {"rules", there.rules[set]}});
    return list;
}

std::string sets_text(const FirewallSetsThere& there) {
    std::string text;
    std::size_t rules = 0;
    for (std::size_t set = 0; set < firewall_set_names.size(); set++) {
        if (!there.present[set]) continue;
        text += fmt::format("  {:<14} {} elements, {}\n", firewall_set_names[set], there.elements[set].size(),
                            counted(there.rules[set].size(), "rule"));
        rules += there.rules[set].size();
    }
    if (!text.empty() && rules == 0)
        text += "No rule refers to them yet: docs/firewall.md has a whole ruleset that does.\n";
    return text;
}

// What of all that a reconcile has found is about the sets.
const Problem* problem_of(const ReconcileReport& report) {
    const auto found = std::ranges::find(report.problems, std::string(firewall_object), &Problem::object);
    return found == report.problems.end() ? nullptr : &*found;
}

Result<int> sync(bool off, const GlobalOptions& global) {
    const auto change = [&](DesiredState& state) -> Result<void> {
        if (!state.enabled)
            return fail(Error{ErrorKind::NotEnabled,
                              "not enabled; run kudo-agent enable first: the sets follow its "
                              "policy",
                              0});
        if (!off)
            state.firewall = FirewallSync::On;
        else if (state.firewall == FirewallSync::On)
            state.firewall = FirewallSync::Removing;
        return {};
    };
    const auto report = KUDO_TRY(change_and_reconcile(global.instance, change, Asked::Nothing));
    const Problem* problem = problem_of(report);
    if (off && !problem)
        KUDO_TRY(change_state(global.instance, [](DesiredState& state) -> Result<void> {
            if (state.firewall == FirewallSync::Removing) state.firewall = FirewallSync::Off;
            return {};
        }));
    // Asked of the kernel: what was done may not be what is there.
    const auto there = read_firewall_sets();
    std::string text = off ? "nftables sets are no longer kept\n"
                           : "nftables sets in table inet kudo_agent are kept equal to the policy\n";
    if (there && !off) text += sets_text(*there);
    OrderedJson problems = OrderedJson::array();
    for (const Problem& each : report.problems) {
        problems.push_back({{"object", each.object}, {"problem", each.error.message}});
        text += "problem: " + one_line(each.text()) + "\n";
    }
    for (const std::string& warning : report.warnings)
        text += "note: " + one_line(warning) + "\n";
    KUDO_TRY(print_either(global.json,
                          {{"changed", report.changed},
                           {"sync", !off},
                           {"table", "inet kudo_agent"},
                           {"sets", there ? sets_json(*there) : OrderedJson(nullptr)},
                           {"problems", std::move(problems)},
                           {"warnings", report.warnings}},
                          text));
    return report.problems.empty() ? exit_done : exit_degraded;
}

} // namespace

Run setup_firewall_sync(CLI::App& app) {
    const auto off = std::make_shared<bool>(false);
    app.add_flag("--off", *off, "Remove the sets, and keep them no longer");
    app.footer("The sets: kudo4, kudo6 (addresses); kudo4_tcp, kudo4_udp, kudo6_tcp, kudo6_udp (address . port);\n"
               "kudo4_services, kudo6_services (address . protocol . port).\n"
               "Rules that refer to them are the administrator's: docs/firewall.md.");
    return [off](const GlobalOptions& global) { return sync(*off, global); };
}

} // namespace kudo
