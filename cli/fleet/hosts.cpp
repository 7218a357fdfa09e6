// SPDX-License-Identifier: MIT
#include "cli/fleet/hosts.h"

#include <algorithm>
#include <map>
#include <set>

#include <fmt/format.h>

#include "agent/fleet/layout.h"
#include "cli/terminal/output.h"
#include "cli/terminal/units.h"
#include "maps/base/text.h"

namespace kudo {
namespace {

bool holds(const HostReport& report, const Wanted& wanted, Time now) {
    if (wanted.is_key_set) return report.key_set_serial == wanted.serial;
    return report.serial == wanted.serial || (wanted.effective > now && report.staged_serial == wanted.serial);
}

std::string held_text(const HostReport& report, const Wanted& wanted) {
    if (wanted.is_key_set)
        return fmt::format("has {}, not key set {}",
                           report.key_set_serial == 0 ? "its administrator's keys"
                                                      : fmt::format("key set {}", report.key_set_serial),
                           wanted.serial);
    std::string text = report.serial == 0 ? "has no map" : fmt::format("has {}", report.serial);
    if (report.staged_serial != 0) text += fmt::format(", {} staged", report.staged_serial);
    return fmt::format("{}, not {}", text, wanted.serial);
}

bool has(const std::vector<Complaint>& complaints, Complaint::Kind kind) {
    return std::ranges::find(complaints, kind, &Complaint::kind) != complaints.end();
}

bool belongs(const FleetHost& host, const std::string& ring) {
    return ring.empty() ? !host.report : host.report && host.report->ring == ring;
}

} // namespace

FleetHost read_fleet_host(const NatsEntry& entry, const std::string& fleet, WallTime now) {
    FleetHost host;
    const std::string prefix = host_key("");
    const std::string name = entry.key.starts_with(prefix) ? entry.key.substr(prefix.size()) : entry.key;
    host.name = escaped(name, 253);
    host.age = std::max<std::chrono::nanoseconds>(now - entry.created, std::chrono::nanoseconds(0));
    auto report = parse_host_report(entry.value, "its report");
    if (!report)
        host.problem = report.error().message;
    else if (name != report->host &&
             (report->identity.empty() || entry.key != host_key(report->host, report->identity)))
        host.problem = "its report is from another host, " + report->host;
    else if (report->fleet != fleet)
        host.problem = "its report is from another fleet, " + report->fleet;
    else
        host.report = std::move(*report);
    if (host.report) host.name = host.report->host;
    return host;
}

void settle_names(std::vector<FleetHost>& hosts, std::chrono::seconds silent_after) {
    const auto supersedes = [&](const FleetHost& other, const FleetHost& host) {
        if (&other == &host || !other.report || other.name != host.name) return false;
        const HostReport &now = *other.report, &before = *host.report;
        if (before.identity.empty() && !now.identity.empty() && other.age <= host.age) return true;
        if (!before.machine.empty() && before.machine == now.machine && before.time <= now.booted) return true;
        return host.age > silent_after && other.age <= silent_after;
    };
    std::map<std::string, std::vector<const FleetHost*>> by_name;
    for (const FleetHost& host : hosts)
        if (host.report) by_name[host.name].push_back(&host);
    std::set<const FleetHost*> superseded;
    for (const auto& [name, rows] : by_name)
        for (const FleetHost* host : rows)
            if (std::ranges::any_of(rows, [&](const FleetHost* other) { return supersedes(*other, *host); }))
                superseded.insert(host);
    std::vector<FleetHost> kept;
    std::map<std::string, std::size_t> live;
    for (const FleetHost& host : hosts) {
        if (superseded.contains(&host)) continue;
        kept.push_back(host);
        if (host.report && host.age <= silent_after) ++live[host.name];
    }
    for (FleetHost& host : kept)
        if (host.report && host.age <= silent_after) host.namesakes = live[host.name] - 1;
    hosts = std::move(kept);
}

std::vector<Complaint> complaints(const FleetHost& host, const std::optional<Wanted>& wanted,
                                  std::chrono::seconds silent_after, Time now) {
    using Kind = Complaint::Kind;
    std::vector<Complaint> list;
    if (host.age > silent_after) list.push_back({Kind::Silent, "silent for " + age_text(host.age)});
    if (!host.report) {
        list.push_back({Kind::Unreadable, host.problem});
        return list;
    }
    if (host.namesakes > 0)
        list.push_back(
            {Kind::Clash, fmt::format("machine {} is one of {} that report under this name",
                                      host.report->identity.empty() ? "of an older version" : host.report->identity,
                                      host.namesakes + 1)});
    for (const std::string& alarm : host.report->alarms)
        list.push_back({Kind::Alarm, "alarm: " + alarm});
    if (host.report->health != health_good) {
        std::string text = host.report->health;
        for (const std::string& problem : host.report->problems)
            text += (&problem == &host.report->problems.front() ? ": " : ", ") + problem;
        list.push_back({Kind::Unhealthy, std::move(text)});
    }
    if (wanted && !holds(*host.report, *wanted, now)) list.push_back({Kind::Behind, held_text(*host.report, *wanted)});
    return list;
}

std::string Straggler::text() const {
    std::string result;
    for (const Complaint& complaint : complaints)
        result += (result.empty() ? "" : "; ") + complaint.text;
    return result;
}

RingCount count_ring(const std::vector<FleetHost>& hosts, const std::string& ring, const std::optional<Wanted>& wanted,
                     std::chrono::seconds silent_after, Time now) {
    RingCount count;
    for (const FleetHost& host : hosts) {
        if (!belongs(host, ring)) continue;
        ++count.hosts;
        if (host.report) {
            ++count.by_serial[host.report->serial];
            if (host.report->staged_serial != 0) {
                ++count.staged;
                ++count.by_staged_serial[host.report->staged_serial];
            }
        }
        auto list = complaints(host, wanted, silent_after, now);
        if (list.empty()) {
            ++count.good;
            continue;
        }
        count.silent += has(list, Complaint::Kind::Silent);
        count.degraded += has(list, Complaint::Kind::Unhealthy);
        count.clashing += has(list, Complaint::Kind::Clash);
        count.alarmed += has(list, Complaint::Kind::Alarm);
        count.unreadable += has(list, Complaint::Kind::Unreadable);
        count.stragglers.push_back({&host, std::move(list)});
    }
    std::ranges::sort(count.stragglers, {}, [](const Straggler& straggler) { return straggler.host->name; });
    return count;
}

std::vector<std::string> reasons_against(const RingCount& ring, const RingCount& unreadable, double required_percent) {
    std::vector<std::string> reasons;
    if (ring.hosts == 0) reasons.emplace_back("no host of the ring has reported");
    if (ring.clashing > 0)
        reasons.push_back(
            fmt::format("{} of {} machines report under a name that another one has too", ring.clashing, ring.hosts));
    if (ring.alarmed > 0) reasons.push_back(fmt::format("alarms on {} of {} hosts", ring.alarmed, ring.hosts));
    // A host that is silent or unreadable may have it or not: it counts in the total of the percentage.
    const std::size_t all = ring.hosts + unreadable.hosts;
    const auto enough = [&](std::size_t number) {
        return static_cast<double>(number) * 100 >= required_percent * static_cast<double>(all);
    };
    if (ring.hosts == 0 || enough(ring.good)) return reasons;
    reasons.push_back(
        fmt::format("{} of {} hosts are healthy and have it; {:g}% are required", ring.good, all, required_percent));
    const std::size_t unknown = ring.silent + unreadable.hosts;
    if (unknown > 0 && enough(ring.good + unknown))
        reasons.push_back(counted(unknown, "host") + " unknown: silent, or with a report that cannot be read");
    return reasons;
}

} // namespace kudo
