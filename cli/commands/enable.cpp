// SPDX-License-Identifier: MIT
// `kudo-agent enable`: sets the desired state and makes it so.
// Invariant: declarative: what is not named goes to its default, but the applied range map stays.
#include "cli/commands/enable.h"

#include <memory>

#include <fmt/format.h>

#include "agent/reconcile/reconcile.h"
#include "cli/arguments/mark_option.h"
#include "cli/ranges/current_rules.h"
#include "cli/terminal/output.h"
#include "cli/views/report.h"
#include "maps/base/text.h"
#include "maps/document/built_in.h"

namespace kudo {
namespace {

struct EnableOptions {
    std::vector<std::string> regions, interfaces, marks;
    bool teams = false, xdp_generic = false;
    std::string mode = "prioritise", tc_hook = "auto", firewall_mark = "none";
    std::string uplink = "auto", downlink = "auto", queue = "auto";
    bool replace_qdisc = false;
    uint32_t max_flows = 0; // 0: not given
};

Result<kudo_mode> parse_mode(const std::string& text) {
    if (text == "observe") return KUDO_OBSERVE;
    if (text == "prioritise" || text == "prioritize") return KUDO_PRIORITISE;
    if (text == "enforce")
        return bad_input(
            "--mode: enforce is not available yet: its safety net (keeping DNS, SSH and ARP alive) is not built; "
            "use prioritise");
    return bad_input(fmt::format("--mode: {} is not a mode; write observe or prioritise", quoted_text(text)));
}

Result<TcHook> parse_tc_hook(const std::string& text) {
    if (text == "auto") return TcHook::Auto;
    if (text == "tcx") return TcHook::Tcx;
    if (text == "clsact") return TcHook::Clsact;
    return bad_input(fmt::format("--tc-hook: {} is not a hook; write auto, tcx or clsact", quoted_text(text)));
}

Result<QueueSpec> parse_queues(const EnableOptions& options) {
    QueueSpec wish;
    auto uplink = KUDO_TRY(parse_line(options.uplink).in("--uplink"));
    auto downlink = KUDO_TRY(parse_line(options.downlink).in("--downlink"));
    wish.uplink = uplink;
    wish.downlink = downlink;
    wish.kind = queue_kind_of(options.queue);
    if (!wish.kind && options.queue != "auto")
        return bad_input(fmt::format("--queue: {} is not a queue; write auto, cake, htb, prio or pfifo_fast",
                                     quoted_text(options.queue)));
    wish.replace_qdisc = options.replace_qdisc;
    return wish;
}

tl::unexpected<Error> region_missing(const Instance& instance) {
    const auto current = current_rules(instance);
    return bad_input(
        fmt::format("enable needs --region, the region of your KUDO account: {}; for example: kudo-agent enable "
                    "--region ca",
                    regions_text(current ? current->maps.active.map : built_in_range_map())));
}

// The state that the options ask for, all but the range map.
Result<DesiredState> wanted_state(const EnableOptions& options, const Instance& instance) {
    DesiredState wanted;
    wanted.enabled = true;
    const auto mode = KUDO_TRY(parse_mode(options.mode));
    wanted.mode = mode;
    wanted.regions = normalised(options.regions);
    if (wanted.regions.empty()) return region_missing(instance);
    wanted.teams = options.teams;
    wanted.interfaces = normalised(options.interfaces);
    if (wanted.interfaces.empty() && !options.interfaces.empty()) return bad_input("--interface: the name is empty");
    wanted.xdp_generic = options.xdp_generic;
    const auto tc_hook = KUDO_TRY(parse_tc_hook(options.tc_hook));
    wanted.tc_hook = tc_hook;
    const auto marks = KUDO_TRY(parse_marks(options.marks));
    wanted.marks = marks;
    const auto firewall_mark = KUDO_TRY(parse_firewall_mark(options.firewall_mark));
    wanted.firewall_mark = firewall_mark.value;
    wanted.firewall_mark_mask = firewall_mark.mask;
    const auto queues = KUDO_TRY(parse_queues(options));
    wanted.queues = queues;
    return wanted;
}

Result<int> enable(const EnableOptions& options, const GlobalOptions& global) {
    auto wanted = KUDO_TRY(wanted_state(options, global.instance));
    const auto change = [&](DesiredState& state) -> Result<void> {
        // It keeps its size until disable.
        if (options.max_flows != 0 || state.enabled)
            wanted.max_flows = options.max_flows != 0 ? options.max_flows : state.max_flows;
        wanted.ranges = std::move(state.ranges);
        advance(wanted.ranges, global.acceptance.grace, current_time_point());
        state = wanted;
        return {};
    };
    auto report = KUDO_TRY(change_and_reconcile(global.instance, change));
    const auto rules = KUDO_TRY(current_rules(global.instance));
    const auto summary = KUDO_TRY(summarise(rules));
    for (std::string& warning : choice_warnings(rules.maps.active.map, wanted.compile_options()))
        report.warnings.push_back(std::move(warning));

    if (global.json) {
        KUDO_TRY(print_json(report_json(report, summary)));
        return exit_done;
    }
    const std::string headline =
        report.changed ? fmt::format("enabled: {}, generation {}\n", summary_text(summary), report.generation)
                       : "already enabled; nothing changed\n";
    KUDO_TRY(print(headline + report_text(report, colour_wanted()) + "next: kudo-agent stats\n"));
    return exit_done;
}

} // namespace

Run setup_enable(CLI::App& app) {
    const auto options = std::make_shared<EnableOptions>();
    app.add_option("--region", options->regions, "Regions of your KUDO accounts: us, eu, ca, cn")
        ->type_name("REGION[,REGION]")
        ->delimiter(',')
        ->allow_extra_args(false);
    app.add_flag("--teams", options->teams, "Also KUDO in Microsoft Teams");
    app.add_option("--mode", options->mode, "observe: count; prioritise: count and mark, never drop")
        ->type_name("MODE")
        ->capture_default_str();
    app.add_option("--interface", options->interfaces, "Repeatable; default: those with a default route")
        ->type_name("IF")
        ->allow_extra_args(false);
    app.add_flag("--xdp-generic", options->xdp_generic,
                 "Where a driver has no XDP, use the kernel's generic one before tc");
    app.add_option("--tc-hook", options->tc_hook, "auto, tcx or clsact")->type_name("HOOK")->capture_default_str();
    app.add_option("--mark", options->marks, "How a class leaves, repeatable; see below")
        ->type_name("CLASS=SPEC")
        ->allow_extra_args(false);
    app.add_option("--firewall-mark", options->firewall_mark,
                   "Mark of incoming prioritised packets, for a host firewall")
        ->type_name("VALUE[/MASK]")
        ->capture_default_str();
    app.add_option("--uplink", options->uplink, "What the line carries out, for a queue of ours: 20mbit, auto or off")
        ->type_name("RATE")
        ->capture_default_str();
    app.add_option("--downlink", options->downlink, "What the line carries in")
        ->type_name("RATE")
        ->capture_default_str();
    app.add_option("--queue", options->queue, "auto, cake, htb, prio or pfifo_fast")
        ->type_name("KIND")
        ->capture_default_str();
    app.add_flag("--replace-qdisc", options->replace_qdisc,
                 "Replace also a queue that an admin has made; disable puts it back");
    app.add_option("--max-flows", options->max_flows, "IPv4 flows to remember, a quarter of it for IPv6 (131072)")
        ->type_name("N")
        ->check(CLI::Range(1024, 8 * 1024 * 1024));
    app.footer(
        "What is not named goes to its default; the applied range map and the flow table's size stay.\n"
        "CLASS is audio, video, media (both), fallback (media over TCP) or control; SPEC is none, or dscp:NAME "
        "and priority:N, or one of them.\n"
        "RATE is in tc's units, a little below what the line really carries: packets then wait here, where the "
        "marks count, and not in the modem. Without one, auto only replaces a default queue that does not look at "
        "marks; off touches no queue. In a queue with classes of ours a class has its own, whatever its priority.\n"
        "Without MASK only the bits of VALUE are touched.\n"
        "Example: kudo-agent enable --region ca --uplink 19.5mbit --downlink 95mbit");
    return [options](const GlobalOptions& global) { return enable(*options, global); };
}

} // namespace kudo
