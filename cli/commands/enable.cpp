// SPDX-License-Identifier: MIT
#include "cli/commands/enable.h"

#include <algorithm>
#include <memory>
#include <optional>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "agent/attach/attachment.h"
#include "agent/inspect/status.h"
#include "agent/reconcile/plan.h"
#include "agent/reconcile/reconcile.h"
#include "cli/arguments/mark_option.h"
#include "cli/arguments/options.h"
#include "cli/commands/enforce_options.h"
#include "cli/ranges/current_rules.h"
#include "cli/views/report.h"
#include "cli/views/status_view.h"
#include "maps/document/built_in.h"
#include "maps/net/nat64.h"

namespace kudo {
namespace {

Result<kudo_mode> parse_mode(const std::string& text) {
    return one_of<kudo_mode>({{"observe", KUDO_OBSERVE},
                              {"prioritise", KUDO_PRIORITISE},
                              {"prioritize", KUDO_PRIORITISE},
                              {"enforce", KUDO_ENFORCE}})(text);
}

Result<TcHook> parse_tc_hook(const std::string& text) {
    return one_of<TcHook>({{"auto", TcHook::Auto}, {"tcx", TcHook::Tcx}, {"clsact", TcHook::Clsact}})(text);
}

Result<IngressHook> parse_ingress(const std::string& text) {
    return one_of<IngressHook>({{"auto", IngressHook::Auto}, {"tc", IngressHook::Tc}, {"xdp", IngressHook::Xdp}})(text);
}

Result<std::optional<QueueKind>> parse_queue(const std::string& text) {
    std::vector<std::pair<std::string, std::optional<QueueKind>>> kinds = {{"auto", std::nullopt}};
    for (const QueueKind kind : queue_kinds)
        kinds.emplace_back(queue_kind_name(kind), kind);
    return one_of(std::move(kinds))(text);
}

Result<std::vector<std::string>> parse_interfaces(const std::vector<std::string>& names) {
    auto interfaces = normalised(names);
    if (interfaces.empty()) return bad_input("the name is empty");
    return interfaces;
}

Result<std::vector<Prefix>> parse_nat64_prefixes(const std::vector<std::string>& texts) {
    std::vector<Prefix> prefixes;
    for (const std::string& text : texts)
        prefixes.push_back(KUDO_TRY(parse_nat64_prefix(text)));
    std::ranges::sort(prefixes);
    prefixes.erase(std::unique(prefixes.begin(), prefixes.end()), prefixes.end());
    return prefixes;
}

tl::unexpected<Error> region_missing(const Instance& instance) {
    const auto current = current_rules(instance);
    return bad_input(
        fmt::format("enable needs --region, the region of your KUDO account: {}; for example: kudo-agent enable "
                    "--region ca",
                    regions_text(current ? current->maps.active.map : built_in_range_map())));
}

// What native XDP costs, where it was chosen: none of it shows in the kernel's settings of the interface itself.
void add_xdp_costs(ReconcileReport& report) {
    std::vector<std::string> names;
    for (const InterfaceReport& interface : report.interfaces)
        if (interface.ingress == hook_name(Hook::XdpNative)) names.push_back(interface.name);
    if (names.empty()) return;
    report.warnings.push_back(
        fmt::format("native XDP on {} turns off receive offloads (bulk TCP into a virtio or veth interface falls to "
                    "half the rate or less, a veth's peer loses TSO), limits the MTU, resets the rings of many "
                    "devices, and keeps a bond from "
                    "taking ports without XDP; --ingress tc does not",
                    fmt::join(names, ", ")));
}

bool shapes(const QueueSpec& queues) {
    return queues.uplink.has_rate() || queues.downlink.has_rate();
}

// What the kernel shows and reconciling has not told already.
void add_drift(ReconcileReport& report, const Status& status) {
    for (Difference& difference : untold_drift(status, report))
        report.problems.push_back({"", Error{ErrorKind::Degraded, std::move(difference.text), 0}});
}

// What the options say; without max_flows, which keeps its size until disable, and the range map.
Result<DesiredState> wanted(const EnableOptions& options, const GlobalOptions& global) {
    DesiredState desired = options.desired;
    desired.enabled = true;
    desired.regions = normalised(desired.regions);
    if (desired.regions.empty()) return region_missing(global.instance);
    if (desired.xdp_generic && desired.ingress == IngressHook::Tc)
        return bad_input("--xdp-generic asks for XDP, --ingress tc for none");
    if (desired.mark_fallback && desired.mode == KUDO_OBSERVE)
        return bad_input("--mark-fallback: mode observe marks no packet");
    if (desired.mark_fallback && marks_in_use(desired.marks).empty())
        return bad_input("--mark-fallback: --mark leaves no class a DSCP that could be lost");
    KUDO_TRY(check_enforcement(options));
    return desired;
}

// And what it keeps of the state before.
void keep_of(const DesiredState& state, const EnableOptions& options, DesiredState& desired) {
    if (desired.max_flows == 0) desired.max_flows = state.enabled ? state.max_flows : default_max_flows;
    desired.map_sources = state.map_sources;
    desired.resolvers = state.resolvers;
    if (desired.mark_fallback && state.enabled && state.mark_fallback)
        desired.lost_marks = still_in_use(state.lost_marks, desired.marks);
    begin_admission(options, state, desired);
    desired.ranges = state.ranges;
    desired.firewall = state.enabled ? state.firewall : FirewallSync::Off; // a command of its own
}

// What it would do now. Nothing is changed.
Result<int> check(const EnableOptions& options, const GlobalOptions& global) {
    DesiredState desired = KUDO_TRY(wanted(options, global));
    const Status status = KUDO_TRY(read_status(global.instance));
    keep_of(status.desired, options, desired);
    KUDO_TRY(make_plan(global.instance, desired, Asked::Everything, false, nullptr)); // what enable would refuse
    const bool options_differ = !is_same(status.desired, desired);
    std::vector<std::string> corrects, stays;
    if (status.desired.enabled)
        for (const Difference& difference : status.drift)
            (difference.enable_corrects ? corrects : stays).push_back(difference.text);
    const bool changes = options_differ || !corrects.empty();
    std::string text = !status.desired.enabled ? "would enable\n"
                       : options_differ        ? "would change the options\n"
                       : changes               ? "would correct:\n"
                                               : "would change nothing\n";
    OrderedJson options_json = OrderedJson::object();
    if (status.desired.enabled && options_differ) {
        const auto changed = option_changes(status.desired, desired);
        for (const auto& [name, from, to] : changed) {
            text += fmt::format("  {}: {} -> {}\n", name, from, to);
            options_json[name] = {{"from", OrderedJson::parse(from)}, {"to", OrderedJson::parse(to)}};
        }
        if (changed.empty()) text += "  how mode enforce is confirmed\n";
    }
    for (const std::string& difference : corrects)
        text += fmt::format("  {}\n", difference);
    if (!stays.empty()) text += "would stay degraded:\n";
    for (const std::string& difference : stays)
        text += fmt::format("  {}\n", difference);
    KUDO_TRY(print_either(global.json,
                          OrderedJson{{"would_change", changes},
                                      {"enabled", status.desired.enabled},
                                      {"options_differ", options_differ},
                                      {"options", options_json},
                                      {"would_correct", corrects},
                                      {"would_stay", stays}},
                          text));
    return exit_done;
}

Result<int> enable(const EnableOptions& options, const GlobalOptions& global) {
    DesiredState desired = KUDO_TRY(wanted(options, global));
    const auto change = [&](DesiredState& state) -> Result<void> {
        keep_of(state, options, desired);
        advance(desired.ranges, global.acceptance.grace, current_time_point());
        state = desired;
        return {};
    };
    const EnforceOutlook outlook = enforce_outlook(options, global.instance);
    auto report = KUDO_TRY(change_and_reconcile(global.instance, change));
    if (!outlook.warning.empty()) report.warnings.push_back(outlook.warning);
    // Asked of the kernel, like `status`: what was done may not be what is there.
    const Status status = KUDO_TRY(read_status(global.instance));
    // Another command may have been given meanwhile.
    desired.enforcement.published = status.desired.enforcement.published; // noted by whoever has published it
    desired.enforcement.last_login = status.desired.enforcement.last_login;
    desired.map_sources = status.desired.map_sources; // told by the service
    desired.resolvers = status.desired.resolvers;     // read meanwhile
    desired.lost_marks = status.desired.lost_marks;   // found by the service
    const bool still_desired = is_same(status.desired, desired);
    if (still_desired) add_drift(report, status);
    add_xdp_costs(report);
    const auto rules = KUDO_TRY(current_rules(global.instance));
    const auto summary = summarise(rules.state, report);
    for (std::string& warning : choice_warnings(rules.maps.active.map, desired.compile_options()))
        report.warnings.push_back(std::move(warning));
    if (desired.mode == KUDO_OBSERVE && shapes(desired.queues))
        report.warnings.push_back(
            "mode observe marks no packet: with --uplink or --downlink KUDO's packets wait in the "
            "queue with all other traffic");

    if (desired.mode == KUDO_ENFORCE)
        for (const Lifeline& lifeline : status.lifelines)
            if (!lifeline.off && lifeline.rules.empty() && !lifeline.note.empty() && !lifeline.unknown) // else degraded
                report.warnings.push_back(fmt::format("lifeline {}: {}", lifeline.name, lifeline.note));
    if (desired.mark_fallback && !service_runs(global.instance))
        report.warnings.emplace_back(
            "--mark-fallback: the service, kudo-agent run, does not run, and only it finds lost marks");
    if (desired.mode == KUDO_ENFORCE && !service_runs(global.instance))
        report.warnings.emplace_back(
            "the service, kudo-agent run, does not run: other name servers, gateways and interfaces "
            "are followed by the next command only");

    if (desired.queues.follows() && !service_runs(global.instance))
        report.warnings.emplace_back("the service, kudo-agent run, does not run: a rate does not follow the line and "
                                     "stays as it is");

    const std::string headline =
        report.changed ? fmt::format("enabled: {}, generation {}\n", summary_text(summary), report.generation)
                       : "already enabled; nothing changed\n";
    KUDO_TRY(print_either(global.json, report_json(report, summary),
                          fitted(headline + report_text(report, colour_wanted()) + outlook.text + next_text(status))));
    return still_desired ? exit_status(status) : exit_done;
}

} // namespace

// A new option: its field in DesiredState, and its lines here and in docs/commands.md.
Run setup_enable(CLI::App& app) {
    using Words = std::vector<std::string>;
    const auto options = std::make_shared<EnableOptions>();
    DesiredState* const desired = &options->desired;
    desired->max_flows = 0; // not given
    app.add_option("--region", desired->regions, "Regions of your KUDO accounts: us, eu, ca, cn")
        ->type_name("REGION[,REGION]")
        ->delimiter(',')
        ->allow_extra_args(false);
    app.add_flag("--teams", desired->teams, "Include KUDO in Microsoft Teams");
    add_option(
        app, "--mode", desired->mode, parse_mode,
        "observe: count; prioritise: count and mark, never drop; enforce: drop all that is not KUDO's or allowed")
        ->type_name("MODE")
        ->default_str("prioritise");
    add_option<Words>(app, "--interface", desired->interfaces, parse_interfaces,
                      "Interface to attach to, repeatable; default: those by which KUDO is reached")
        ->type_name("IF")
        ->allow_extra_args(false);
    setup_enforcement(app, *options);
    add_option<Words>(app, "--nat64", desired->nat64, parse_nat64_prefixes,
                      "Prefix of a NAT64 besides 64:ff9b::/96, repeatable; IPv4 ranges also count behind it")
        ->type_name("PREFIX")
        ->allow_extra_args(false);
    app.add_flag("--exact-domains", desired->exact_domains,
                 "Of the range map's domains count only exact names, no wildcards (*.tokbox.com)");
    add_option(app, "--ingress", desired->ingress, parse_ingress,
               "Hook that judges incoming packets: auto, tc or xdp; see below")
        ->type_name("HOOK")
        ->default_str("auto");
    app.add_flag("--xdp-generic", desired->xdp_generic,
                 "As --ingress xdp, and where a driver has no native XDP also try generic XDP");
    add_option(app, "--tc-hook", desired->tc_hook, parse_tc_hook,
               "Kind of tc hook, where tc is used (always on egress): auto, tcx or clsact")
        ->type_name("HOOK")
        ->default_str("auto");
    add_option<Words>(app, "--mark", desired->marks, parse_marks,
                      "DSCP and priority of a class on egress, repeatable; see below")
        ->type_name("CLASS=SPEC")
        ->allow_extra_args(false);
    app.add_flag("--mark-fallback", desired->mark_fallback,
                 "While the network loses packets with a DSCP, send that class without it");
    const auto read_firewall_mark = [state = desired](const std::string& text) -> Result<uint32_t> {
        const auto mark = KUDO_TRY(parse_firewall_mark(text));
        state->firewall_mark = mark.value;
        return mark.mask;
    };
    add_option(app, "--firewall-mark", desired->firewall_mark_mask, read_firewall_mark,
               "skb mark of incoming prioritised packets, for a host firewall to match")
        ->type_name("VALUE[/MASK]")
        ->default_str("none");
    add_option(app, "--uplink", desired->queues.uplink, parse_line,
               "Rate to shape outgoing traffic to: 20mbit, auto-rate:2mbit-50mbit (follows the line), auto or off")
        ->type_name("RATE")
        ->default_str("auto");
    add_option(app, "--downlink", desired->queues.downlink, parse_line,
               "Rate to shape incoming traffic to: 18mbit, auto-rate:2mbit-50mbit (follows the line), auto or off")
        ->type_name("RATE")
        ->default_str("auto");
    const auto checks = std::make_shared<bool>(false);
    app.add_flag("--check", *checks, "Only say what these options would change; change nothing");
    std::string kinds = "auto";
    for (const QueueKind kind : queue_kinds)
        kinds += fmt::format(", {}", queue_kind_name(kind));
    add_option(app, "--queue", desired->queues.kind, parse_queue, "Queueing discipline: " + kinds)
        ->type_name("KIND")
        ->default_str("auto");
    app.add_flag("--replace-qdisc", desired->queues.replace_qdisc,
                 "Also replace a qdisc configured by the administrator; disable restores it");
    app.add_option("--max-flows", desired->max_flows,
                   "Capacity of the IPv4 flow table, a quarter of it for IPv6 (131072)")
        ->type_name("N")
        ->check(CLI::Range(1024, 8 * 1024 * 1024));
    app.footer(
        "Options that are not given return to their defaults; the applied range map and the flow table's capacity "
        "stay.\n"
        "CLASS is audio, video, media (both), fallback (media over TCP) or control; SPEC is none, or dscp:NAME "
        "and priority:N, or one of them.\n"
        "--ingress auto is tc, which costs other traffic nothing, as long as no packet is dropped, and native XDP in "
        "mode "
        "enforce. xdp is native XDP where the driver has it and no other XDP program is attached, else tc. Native XDP "
        "turns off receive offloads (a virtio or veth interface receives bulk TCP at half the rate or less; a veth's "
        "peer "
        "also loses TSO), limits the MTU (on kernels before 5.18 to one page), resets the rings of many devices when "
        "it "
        "comes or goes, and keeps a bond from taking ports without XDP.\n"
        "RULE is PROTOCOL[/PORT[-PORT]] and from REMOTE, who opens, or to REMOTE, whom this host opens to: \"tcp/22 "
        "from "
        "203.0.113.0/24\", \"udp/51820 to 198.51.100.7\", icmp. PROTOCOL is tcp, udp, icmp (echo), esp, ah, gre, ipip, "
        "ip6, proto/N or any; REMOTE is any, or addresses and prefixes with commas between.\n"
        "NAME is a lifeline: arp, neighbour-discovery, icmp-errors, dhcp, dns, ntp, ssh, gateway or map-sources; "
        "status "
        "lists what they admit.\n"
        "RATE is in tc's units, slightly below what the line really carries: packets then queue here, where the marks "
        "count, and not in the modem. Without a rate, auto only replaces a default qdisc that ignores marks; off "
        "changes "
        "no qdisc. In a classful qdisc of kudo-agent a class has its own queue, whatever its priority.\n"
        "Without MASK only the bits of VALUE are set.\n"
        "Example: kudo-agent enable --region ca --uplink 19.5mbit --downlink 95mbit");
    return [options, checks](const GlobalOptions& global) {
        return *checks ? check(*options, global) : enable(*options, global);
    };
}

} // namespace kudo
