// SPDX-License-Identifier: MIT
#include "cli/views/status_view.h"

#include <algorithm>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "cli/arguments/command.h"
#include "cli/arguments/mark_option.h"
#include "cli/terminal/output.h"
#include "cli/terminal/units.h"
#include "cli/views/diff_view.h"
#include "cli/views/report.h"
#include "cli/views/stats_json.h"
#include "maps/base/abi_names.h"

namespace kudo {
namespace {

kudo_mode shown_mode(const Status& status) {
    return status.generation != 0 ? status.mode : status.desired.mode;
}

OrderedJson map_json(const Status& status) {
    OrderedJson map;
    map["serial"] = status.serial;
    map["effective"] = status.effective ? OrderedJson(rfc3339(*status.effective)) : OrderedJson(nullptr);
    map["source"] = text_or_null(status.map_source);
    map["prefixes"]["ipv4"] = status.prefixes4;
    map["prefixes"]["ipv6"] = status.prefixes6;
    return map;
}

OrderedJson interface_json(const InterfaceStatus& interface) {
    OrderedJson item;
    item["name"] = interface.name;
    item["ingress"] = text_or_null(interface.ingress);
    item["egress"] = text_or_null(interface.egress);
    item["healthy"] = interface.healthy;
    item["problem"] = text_or_null(interface.problem);
    item["uplink"] = queue_json(interface.queues.uplink);
    item["downlink"] = queue_json(interface.queues.downlink);
    return item;
}

OrderedJson staged_json(const Status& status) {
    const AcceptedMap* next = next_staged(status.desired.ranges);
    if (!next) return nullptr;
    OrderedJson result;
    result["serial"] = next->serial;
    result["effective"] = rfc3339(next->effective);
    result["source"] = next->source;
    result["early_additions"] = next->early;
    result["changes"] = status.staged_change ? diff_json(*status.staged_change)["changes"] : OrderedJson(nullptr);
    return result;
}

OrderedJson retiring_json(const RangeLedger& ledger) {
    OrderedJson result = OrderedJson::array();
    for (const RetiringMap& map : ledger.retiring) {
        OrderedJson item;
        item["serial"] = map.serial;
        item["remaining_seconds"] = map.remaining.count();
        result.push_back(std::move(item));
    }
    return result;
}

std::string ledger_text(const RangeLedger& ledger) {
    std::string text;
    for (const AcceptedMap& map : ledger.staged)
        text += fmt::format("  staged      {} ({}), takes effect at {}{}\n", map.serial, map.source,
                            rfc3339(map.effective), map.early ? ", its additions are honoured already" : "");
    for (const RetiringMap& map : ledger.retiring)
        text +=
            fmt::format("  retiring    what {} had and the map in effect has not, for {} more of running time\n",
                        map.serial == 0 ? "the built-in map" : fmt::format("{}", map.serial), age_text(map.remaining));
    if (ledger.rolled_back_from != 0)
        text += fmt::format("  rolled back from {}: maps that do not supersede it are held\n", ledger.rolled_back_from);
    return text;
}

std::string headline(const Status& status, bool colour) {
    if (is_healthy(status)) return paint("enabled, healthy", Style::Green, colour);
    if (status.desired.enabled) return paint("enabled, degraded", Style::Yellow, colour);
    if (status.leftovers)
        return paint("not enabled, but something of ours is left in the kernel", Style::Yellow, colour);
    return "not enabled";
}

std::string interfaces_text(const Status& status, bool colour) {
    Table table({{"INTERFACE"}, {"INGRESS"}, {"EGRESS"}, {"HEALTH"}, {"NOTE"}});
    for (const InterfaceStatus& interface : status.interfaces) {
        table.add({interface.name, interface.ingress.empty() ? "-" : interface.ingress,
                   interface.egress.empty() ? "-" : interface.egress, interface.healthy ? "healthy" : "degraded",
                   interface.problem},
                  interface.healthy ? Style::Plain : Style::Yellow);
    }
    if (table.empty()) return "";
    std::string text = "\n" + table.text(colour);
    for (const InterfaceStatus& interface : status.interfaces) {
        if (interface.queues.uplink.why.empty()) continue; // nothing is attached
        text += queue_line(interface.name, "uplink", interface.queues.uplink);
        if (!interface.queues.downlink.chosen.empty())
            text += queue_line(interface.name, "downlink", interface.queues.downlink);
    }
    return text;
}

OrderedJson stale_map_json(const Status& status) {
    OrderedJson result;
    result["suspected"] = !status.stale.empty();
    result["remotes"] = strays_json(status.stale.strays);
    result["names"] = moved_names_json(status.stale.moved_names);
    return result;
}

std::string seconds_text(std::chrono::system_clock::time_point time) {
    return rfc3339(std::chrono::floor<std::chrono::seconds>(time));
}

std::string strays_text(const Status& status, bool colour) {
    if (status.stale.strays.empty()) return "";
    Table table({{"ANSWERS FROM"}, {"NAME"}, {"INTERFACE"}, {"ANSWERED", Align::Right}, {"LAST"}});
    for (const StrayRemote& stray : status.stale.strays)
        table.add({stray.remote.text(), stray.name.empty() ? "-" : stray.name, stray.interface,
                   fmt::format("{} of {}", stray.answers, stray.requests), seconds_text(stray.last_seen)});
    return "\n" +
           paint("The range map may be stale: media servers answer this host at addresses that it lacks.",
                 Style::Yellow, colour) +
           "\n" + table.text(colour) +
           "KUDO's provider may add emergency capacity before the list of ranges says so. Media there is not\n"
           "recognised: not marked, and not queued as KUDO's. Other products' media servers answer on the same port,\n"
           "UDP 3478: if the addresses are theirs, nothing is wrong. One with a name is under a domain of the map.\n";
}

std::string moved_names_text(const Status& status, bool colour) {
    if (status.stale.moved_names.empty()) return "";
    Table table({{"NAME"}, {"NOW AT"}, {"SERVICE"}, {"LAST"}});
    for (const NamedAddress& named : status.stale.moved_names)
        table.add({named.name, named.address.text(), named.service, seconds_text(named.last_seen)});
    return "\n" +
           paint("The range map may be stale: DNS has names of its services at addresses that it lacks.", Style::Yellow,
                 colour) +
           "\n" + table.text(colour) +
           "This host has asked for them. What goes there is not recognised, and a firewall that follows the same "
           "list\n"
           "of ranges may block it.\n";
}

std::string stale_map_text(const Status& status, bool colour) {
    if (status.stale.empty()) return "";
    return strays_text(status, colour) + moved_names_text(status, colour) +
           fmt::format("kudo-agent ranges show has the map in use (serial {}); ask KUDO for a newer one.\n",
                       status.serial);
}

} // namespace

int exit_status(const Status& status) {
    if (!status.desired.enabled) return status.leftovers ? exit_degraded : exit_not_enabled;
    return is_healthy(status) ? exit_done : exit_degraded;
}

OrderedJson status_json(const Status& status) {
    OrderedJson result;
    result["enabled"] = status.desired.enabled;
    result["mode"] = mode_name(shown_mode(status));
    result["regions"] = status.desired.regions;
    result["teams"] = status.desired.teams;
    result["generation"] = status.generation;
    result["map"] = map_json(status);
    result["staged"] = staged_json(status);
    result["retiring"] = retiring_json(status.desired.ranges);
    const uint64_t rolled_back_from = status.desired.ranges.rolled_back_from;
    result["rolled_back_from"] = rolled_back_from == 0 ? OrderedJson(nullptr) : OrderedJson(rolled_back_from);
    result["alarms"] = status.alarms;
    result["interfaces"] = OrderedJson::array();
    for (const InterfaceStatus& interface : status.interfaces)
        result["interfaces"].push_back(interface_json(interface));
    result["healthy"] = is_healthy(status);
    result["drift"] = status.drift;
    result["leftovers"] = status.leftovers;
    result["stale_map"] = stale_map_json(status);
    result["content_hash"] = text_or_null(status.content_hash);
    return result;
}

std::string status_text(const Status& status, bool colour) {
    std::string text = headline(status, colour) + "\n";
    if (status.desired.enabled) {
        text += fmt::format("  mode        {}\n", mode_name(shown_mode(status)));
        text += fmt::format("  regions     {}{}\n", fmt::join(status.desired.regions, ", "),
                            status.desired.teams ? ", with teams" : "");
    }
    if (status.generation != 0) {
        text += fmt::format("  range map   {} ({}){}\n", status.serial, status.map_source,
                            status.effective ? ", effective from " + rfc3339(*status.effective) : "");
        text += fmt::format("  ranges      {} IPv4, {} IPv6\n", status.prefixes4, status.prefixes6);
        text += ledger_text(status.desired.ranges);
        text += fmt::format("  generation  {}\n", status.generation);
        for (int i = 0; i < KUDO_TREATMENTS; ++i)
            text += fmt::format("  {:<11} {}\n", treatment_name(static_cast<kudo_treatment>(i)),
                                mark_text(status.desired.marks[static_cast<std::size_t>(i)]));
    }
    text += interfaces_text(status, colour);
    if (!status.alarms.empty()) text += "\n" + paint("Alarms:", Style::Yellow, colour) + "\n";
    for (const std::string& alarm : status.alarms)
        text += fmt::format("  {}\n", one_line(alarm));
    text += stale_map_text(status, colour);
    if (!status.drift.empty()) text += "\nWhat differs from what is wanted:\n";
    for (const std::string& sentence : status.drift)
        text += fmt::format("  {}\n", one_line(sentence));
    if (status.desired.enabled && !is_healthy(status) && status.effective)
        text += "\nThe same kudo-agent enable again puts it right.\n";
    else if (!status.desired.enabled && status.leftovers)
        text += "\nkudo-agent disable removes it.\n";
    else if (!status.desired.enabled)
        text += "next: kudo-agent enable --region us (or eu, ca, cn)\n";
    return text;
}

} // namespace kudo
