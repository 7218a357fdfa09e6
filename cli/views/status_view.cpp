// SPDX-License-Identifier: MIT
#include "cli/views/status_view.h"

#include <algorithm>
#include <map>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <nlohmann/json.hpp>

#include "cli/arguments/mark_option.h"
#include "cli/terminal/output.h"
#include "cli/terminal/units.h"
#include "cli/views/diff_view.h"
#include "cli/views/enforcement_view.h"
#include "cli/views/report.h"
#include "cli/views/stats_json.h"
#include "maps/base/abi_names.h"
#include "maps/base/text.h"
#include "maps/net/dscp.h"

namespace kudo {

static void to_json(OrderedJson& json, const InterfaceStatus& interface) {
    json = {{"name", interface.name},
            {"ingress", text_or_null(interface.ingress)},
            {"egress", text_or_null(interface.egress)},
            {"healthy", interface.healthy},
            {"problem", text_or_null(fmt::format("{}", fmt::join(texts_of(interface.problems), "; ")))},
            {"note", text_or_null(interface.note)},
            {"uplink", interface.queues.uplink},
            {"downlink", interface.queues.downlink}};
}

static void to_json(OrderedJson& json, const ServiceRoute& route) {
    json = {{"service", route.service},
            {"family", route.family == Family::IPv4 ? "ipv4" : "ipv6"},
            {"interfaces", route.interfaces}};
}

namespace {

OrderedJson staged_json(const Status& status) {
    const AcceptedMap* next = next_staged(status.desired.ranges);
    if (!next) return nullptr;
    return {{"serial", next->serial},
            {"effective", rfc3339(next->effective)},
            {"source", next->source},
            {"early_additions", next->early},
            {"changes", status.staged_change ? diff_json(*status.staged_change)["changes"] : OrderedJson(nullptr)}};
}

OrderedJson retiring_json(const Status& status) {
    OrderedJson list = OrderedJson::array();
    const auto& retiring = status.desired.ranges.retiring;
    for (std::size_t at = 0; at < retiring.size(); at++) {
        const auto& what = status.what_retires;
        list.push_back({{"serial", retiring[at].serial},
                        {"remaining_seconds", retiring[at].remaining.count()},
                        {"ranges", what ? OrderedJson(what->at(at).ranges) : OrderedJson()},
                        {"domains", what ? OrderedJson(what->at(at).domains) : OrderedJson()}});
    }
    return list;
}

std::string ledger_text(const Status& status) {
    const RangeLedger& ledger = status.desired.ranges;
    std::string text;
    for (const AcceptedMap& map : ledger.staged)
        text += fmt::format("  staged      {} ({}), takes effect at {}{}\n", map.serial, map.source,
                            rfc3339(map.effective), map.early ? ", its additions apply already" : "");
    for (std::size_t at = 0; at < ledger.retiring.size(); at++) {
        const RetiringMap& map = ledger.retiring[at];
        std::string what = "ranges and domains";
        if (status.what_retires) {
            const auto [ranges, domains] = status.what_retires->at(at);
            if (ranges == 0 && domains == 0) continue; // newer maps have only added
            what = ranges == 0 ? "" : counted(ranges, "range");
            if (domains != 0) what += (what.empty() ? "" : " and ") + counted(domains, "domain");
        }
        text +=
            fmt::format("  retiring    {} of {} that the map in effect lacks, for another {} of running time\n", what,
                        map.serial == 0 ? "the built-in map" : fmt::format("{}", map.serial), age_text(map.remaining));
    }
    if (ledger.rolled_back_from != 0)
        text += fmt::format("  rolled back from {}: maps that do not supersede the rollback are held\n",
                            ledger.rolled_back_from);
    return text;
}

bool is_losing(const Losses& losses) {
    return losses && losses->is_degraded();
}

OrderedJson losses_json(const Losses& losses) {
    if (!losses) return nullptr;
    const bool any = !losses->worst_flow.empty();
    return {{"measured", losses->measured},
            {"text", losses_text(*losses)},
            {"period_seconds", losses->period ? OrderedJson(losses->period->count()) : OrderedJson(nullptr)},
            {"packets", losses->period ? OrderedJson(losses->packets) : OrderedJson(nullptr)},
            {"worst_share", losses->worst_share},
            {"worst_flow", text_or_null(losses->worst_flow)},
            {"layer", any ? OrderedJson(losses->layer) : OrderedJson(nullptr)}};
}

std::string headline(const Status& status, bool colour, const Losses& losses) {
    if (is_healthy(status) && is_losing(losses))
        return paint("enabled, but this host loses packets", Style::Yellow, colour);
    if (is_healthy(status)) return paint("enabled, healthy", Style::Green, colour);
    if (status.desired.enabled) return paint("enabled, degraded", Style::Yellow, colour);
    if (status.leftovers)
        return paint("not enabled, but kudo-agent objects are left in the kernel", Style::Yellow, colour);
    return "not enabled";
}

std::string interfaces_text(const Status& status, bool colour) {
    Table table({{"INTERFACE"}, {"INGRESS"}, {"EGRESS"}, {"HEALTH"}, {"NOTE"}});
    for (const InterfaceStatus& interface : status.interfaces) {
        table.add(
            {interface.name, text_or_dash(interface.ingress), text_or_dash(interface.egress),
             interface.healthy ? "healthy" : "degraded",
             interface.healthy ? interface.note : fmt::format("{}", fmt::join(texts_of(interface.problems), "; "))},
            interface.healthy ? Style::Plain : Style::Yellow);
    }
    if (table.empty()) return "";
    std::string text = "\n" + table.text(colour);
    for (const InterfaceStatus& interface : status.interfaces) {
        if (!interface.queues.uplink.why.empty()) // else nothing is attached
            text += queues_text(interface.name, interface.queues);
    }
    return text;
}

// "  routes      media, region-ca: by eth0"
std::string routes_text(const Status& status) {
    std::map<std::string, std::vector<std::string>> by_way; // services
    for (const ServiceRoute& route : status.routes) {
        std::string way =
            route.interfaces.empty() ? "no route" : fmt::format("by {}", fmt::join(route.interfaces, ", "));
        if (route.family == Family::IPv6) way += " over IPv6";
        by_way[std::move(way)].push_back(route.service);
    }
    std::string text;
    for (const auto& [way, services] : by_way)
        text += fmt::format("  {:<11} {}: {}\n", text.empty() ? "routes" : "", fmt::join(services, ", "), way);
    return text;
}

std::string seconds_text(std::chrono::system_clock::time_point time) {
    return rfc3339(std::chrono::floor<std::chrono::seconds>(time));
}

std::string strays_text(const Status& status, bool colour) {
    if (status.stale.strays.empty()) return "";
    Table table({{"ANSWERS FROM"}, {"NAME"}, {"INTERFACE"}, {"ANSWERED", Align::Right}, {"LAST"}});
    for (const StrayRemote& stray : status.stale.strays)
        table.add({stray.remote.text(), text_or_dash(stray.name), stray.interface,
                   fmt::format("{} of {}", stray.answers, stray.requests), seconds_text(stray.last_seen)});
    return "\n" +
           paint("The range map may be stale: media servers answer this host at addresses that it lacks.",
                 Style::Yellow, colour) +
           "\n" + table.text(colour) +
           "KUDO's provider may add emergency capacity before it is in the list of ranges. Media there is not "
           "recognised: not marked, and not queued as KUDO's. Other products' media servers answer on the same port, "
           "UDP 3478: if the addresses are theirs, nothing is wrong. An address with a name is under a domain of the "
           "map.\n";
}

std::string moved_names_text(const Status& status, bool colour) {
    if (status.stale.moved_names.empty()) return "";
    Table table({{"NAME"}, {"NOW AT"}, {"SERVICE"}, {"LAST"}});
    for (const NamedAddress& named : status.stale.moved_names)
        table.add({named.name, where_text(named), named.service, seconds_text(named.last_seen)});
    return "\n" +
           paint("The range map may be stale: DNS has names of its services at addresses that it lacks, or has for "
                 "media.",
                 Style::Yellow, colour) +
           "\n" + table.text(colour) +
           "This host has queried them. Traffic to them is recognised by the name alone, or by media's ports where it "
           "is in media's ranges, and a firewall that follows the same list of ranges may block it.\n";
}

std::string stale_map_text(const Status& status, bool colour) {
    if (status.stale.empty()) return "";
    return strays_text(status, colour) + moved_names_text(status, colour) +
           fmt::format("kudo-agent ranges show has the map in use (serial {}); ask KUDO for a newer one.\n",
                       status.serial);
}

// What the person who reads it can do.
std::string hint(const Status& status) {
    if (std::ranges::none_of(status.drift, &Difference::enable_corrects))
        return "Running the same kudo-agent enable again does not correct it: what is in the way is named above.";
    if (!std::ranges::all_of(status.drift, &Difference::enable_corrects))
        return "Run the same kudo-agent enable again to correct a part of it; what is in the way of the rest is named "
               "above.";
    return "Run the same kudo-agent enable again to correct it.";
}

std::vector<std::string> classes_of(const DesiredState& desired, const LostMark& lost) {
    for (const MarkInUse& mark : marks_in_use(desired.marks))
        if (mark.dscp == lost.dscp) return mark.treatments;
    return {};
}

std::string lost_marks_text(const DesiredState& desired) {
    std::string text;
    for (const LostMark& lost : desired.lost_marks)
        text +=
            fmt::format("  lost mark   {}: found at {}, asking {}; {} has no DSCP meanwhile\n", dscp_name(lost.dscp),
                        rfc3339(lost.since), lost.server.text(), fmt::join(classes_of(desired, lost), ", "));
    return text;
}

OrderedJson lost_marks_json(const DesiredState& desired) {
    OrderedJson list = OrderedJson::array();
    for (const LostMark& lost : desired.lost_marks)
        list.push_back({{"dscp", dscp_name(lost.dscp)},
                        {"since", rfc3339(lost.since)},
                        {"server", lost.server.text()},
                        {"classes", classes_of(desired, lost)}});
    return list;
}

} // namespace

int exit_status(const Status& status, const Losses& losses) {
    if (!status.desired.enabled) return status.leftovers ? exit_degraded : exit_not_enabled;
    return is_healthy(status) && !is_losing(losses) ? exit_done : exit_degraded;
}

OrderedJson status_json(const Status& status, const Losses& losses) {
    const uint64_t rolled_back_from = status.desired.ranges.rolled_back_from;
    return {
        {"enabled", status.desired.enabled},
        {"mode", mode_name(shown_mode(status))},
        {"enforcement", enforcement_json(status)},
        {"rehearsal", rehearsal_json(status)},
        {"allow", status.desired.enabled ? status.desired.allow : std::vector<std::string>{}},
        {"lifelines", lifelines_json(status)},
        {"regions", status.desired.regions},
        {"teams", status.desired.teams},
        {"exact_domains", status.desired.exact_domains},
        {"ingress", ingress_hook_name(status.desired.ingress)},
        {"generation", status.generation},
        {"map",
         {{"serial", status.serial},
          {"effective", status.effective ? OrderedJson(rfc3339(*status.effective)) : OrderedJson(nullptr)},
          {"source", text_or_null(status.map_source)},
          {"prefixes", {{"ipv4", status.prefixes4}, {"ipv6", status.prefixes6}, {"nat64", status.nat64}}}}},
        {"staged", staged_json(status)},
        {"retiring", retiring_json(status)},
        {"rolled_back_from", rolled_back_from == 0 ? OrderedJson(nullptr) : OrderedJson(rolled_back_from)},
        {"alarms", status.alarms},
        {"interfaces", status.interfaces},
        {"routes", status.routes},
        {"mark_fallback", status.desired.enabled && status.desired.mark_fallback},
        {"lost_marks", lost_marks_json(status.desired)},
        {"firewall", {{"sync", status.desired.firewall == FirewallSync::On}, {"rules", status.firewall_rules}}},
        {"losses", losses_json(losses)},
        {"healthy", is_healthy(status)},
        {"drift", texts_of(status.drift)},
        {"leftovers", status.leftovers},
        {"not_checked", status.unknown},
        {"not_enforced", status.not_enforced},
        {"stale_map",
         {{"suspected", !status.stale.empty()}, {"remotes", status.stale.strays}, {"names", status.stale.moved_names}}},
        {"content_hash", text_or_null(status.content_hash)}};
}

std::string status_text(const Status& status, bool colour, const Losses& losses) {
    std::string text = headline(status, colour, losses) + "\n";
    if (status.desired.enabled && losses)
        text += fmt::format("  {:<11} {}\n", "losses",
                            paint(losses_text(*losses), is_losing(losses) ? Style::Red : Style::Plain, colour));
    if (status.desired.enabled) {
        text += fmt::format("  mode        {}\n", mode_text(status));
        text += fmt::format("  regions     {}{}\n", fmt::join(status.desired.regions, ", "),
                            status.desired.teams ? ", with teams" : "");
        if (status.desired.exact_domains) text += "  domains     exact names only, no wildcards\n";
    }
    if (status.desired.enabled)
        text += fmt::format("  ingress     {}{}\n", ingress_hook_name(status.desired.ingress),
                            status.desired.ingress != IngressHook::Auto ? ""
                            : status.desired.uses_xdp()                 ? ": xdp"
                                                                        : ": tc");
    if (status.generation != 0) {
        text += fmt::format("  range map   {} ({}){}\n", status.serial, status.map_source,
                            status.effective ? ", effective from " + rfc3339(*status.effective) : "");
        text += fmt::format("  ranges      {} IPv4, {} IPv6\n", status.prefixes4, status.prefixes6);
        text += ledger_text(status);
        text += fmt::format("  generation  {}\n", status.generation);
        const Marks marks = status.desired.marks_in_effect();
        for (int i = 0; i < KUDO_TREATMENTS; ++i)
            text += fmt::format("  {:<11} {}\n", treatment_name(static_cast<kudo_treatment>(i)),
                                mark_text(marks[static_cast<std::size_t>(i)]));
        text += lost_marks_text(status.desired);
    }
    text += admission_text(status);
    if (status.desired.firewall == FirewallSync::On)
        text += fmt::format("  firewall    nftables sets in table inet kudo_agent, used by {}\n",
                            counted(status.firewall_rules.size(), "rule"));
    text += routes_text(status);
    text += interfaces_text(status, colour);
    if (!status.alarms.empty()) text += "\n" + paint("Alarms:", Style::Yellow, colour) + "\n";
    for (const std::string& alarm : status.alarms)
        text += fmt::format("  {}\n", one_line(alarm));
    text += stale_map_text(status, colour);
    if (!status.not_enforced.empty())
        text += fmt::format("not enforced: {}: no route to KUDO leads by it, or another was named with --interface\n",
                            fmt::join(status.not_enforced, ", "));
    for (const std::string& program : status.unknown)
        text += fmt::format("not checked: {} (its name takes CAP_SYS_ADMIN to read)\n", program);
    if (!status.drift.empty()) text += "\nDrift:\n";
    for (const Difference& difference : status.drift)
        text += fmt::format("  {}\n", one_line(difference.text));
    if (status.desired.enabled && !is_healthy(status) && status.effective)
        text += "\n" + hint(status) + "\n";
    else if (!status.desired.enabled && status.leftovers)
        text += "\nRun kudo-agent disable to remove them.\n";
    else if (!status.desired.enabled)
        text += "next: kudo-agent enable --region us (or eu, ca, cn)\n";
    return fitted(text);
}

} // namespace kudo
