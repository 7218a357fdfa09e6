// SPDX-License-Identifier: MIT
// `kudo-agent fleet status`: what the hosts of each ring have; stragglers by name.
// Invariant: read-only. What the server has is shown unverified: hosts verify it, and so does promote.
#include "cli/commands/fleet_status.h"

#include <memory>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "cli/arguments/duration.h"
#include "cli/arguments/nats_options.h"
#include "cli/fleet/text.h"
#include "cli/fleet/view.h"
#include "cli/terminal/output.h"
#include "cli/terminal/units.h"
#include "maps/base/text.h"

namespace kudo {
namespace {

struct FleetStatusOptions {
    std::string silent_after = "15m";
    bool hosts = false;
    NatsOptions nats;
};

struct RingStatus {
    std::string name;
    FleetRing ring;
    RingCount count;
};

struct FleetStatus {
    FleetView view;
    std::vector<RingStatus> rings;
    RingCount unreadable;

    [[nodiscard]] bool is_healthy() const {
        bool healthy = unreadable.hosts == 0;
        for (const RingStatus& status : rings) {
            healthy &= status.count.stragglers.empty();
            for (const auto& document : {status.ring.map, status.ring.keys})
                healthy &= !document || document->problem.empty();
        }
        return healthy;
    }
};

OrderedJson document_json(const std::optional<PublishedDocument>& document, bool is_map) {
    if (!document) return nullptr;
    OrderedJson json{{"serial", serial_json(document->serial)}};
    if (is_map) json["effective"] = document->serial == 0 ? OrderedJson() : OrderedJson(rfc3339(document->effective));
    json["age_seconds"] = std::chrono::floor<std::chrono::seconds>(document->age).count();
    json["problem"] = text_or_null(document->problem);
    return json;
}

OrderedJson serials_json(const std::map<uint64_t, std::size_t>& serials) {
    OrderedJson json = OrderedJson::object();
    for (const auto& [serial, hosts] : serials)
        json[fmt::format("{}", serial)] = hosts;
    return json;
}

// Every host of the ring, the good ones included.
OrderedJson members_json(const FleetStatus& status, const std::string& ring) {
    OrderedJson list = OrderedJson::array();
    for (const FleetHost& host : status.view.hosts) {
        if (!host.report || host.report->ring != ring) continue;
        const HostReport& report = *host.report;
        list.push_back({{"host", host.name},
                        {"identity", text_or_null(report.identity)},
                        {"serial", serial_json(report.serial)},
                        {"staged", serial_json(report.staged_serial)},
                        {"key_set", serial_json(report.key_set_serial)},
                        {"content_hash", text_or_null(report.content_hash)},
                        {"mode", text_or_null(report.mode)},
                        {"health", report.health},
                        {"version", text_or_null(report.version)},
                        {"age_seconds", std::chrono::floor<std::chrono::seconds>(host.age).count()}});
    }
    return list;
}

OrderedJson status_json(const FleetStatus& status, const FleetStatusOptions& options) {
    OrderedJson rings = OrderedJson::array();
    for (const auto& [name, ring, count] : status.rings)
        rings.push_back({{"ring", name},
                         {"map", document_json(ring.map, true)},
                         {"key_set", document_json(ring.keys, false)},
                         {"hosts", count.hosts},
                         {"good", count.good},
                         {"serials", serials_json(count.by_serial)},
                         {"staged", count.staged},
                         {"staged_serials", serials_json(count.by_staged_serial)},
                         {"degraded", count.degraded},
                         {"silent", count.silent},
                         {"clashing", count.clashing},
                         {"alarmed", count.alarmed},
                         {"stragglers", stragglers_json(count.stragglers)}});
    if (options.hosts)
        for (OrderedJson& ring : rings)
            ring["members"] = members_json(status, ring["ring"].get<std::string>());
    return {{"fleet", options.nats.fleet},
            {"hosts", status.view.hosts.size()},
            {"healthy", status.is_healthy()},
            {"rings", rings},
            {"unreadable", stragglers_json(status.unreadable.stragglers)}};
}

// "2022040100: 97, 2022030100: 3", the newest first.
std::string serials_text(const std::map<uint64_t, std::size_t>& serials) {
    constexpr std::size_t most = 4;
    std::string text;
    std::size_t shown = 0;
    for (auto entry = serials.rbegin(); entry != serials.rend() && shown < most; ++entry, ++shown)
        text += fmt::format("{}{}: {}", shown == 0 ? "" : ", ",
                            entry->first == 0 ? "none" : fmt::format("{}", entry->first), entry->second);
    if (serials.size() > most) text += fmt::format(", {} others", serials.size() - most);
    return text.empty() ? "-" : text;
}

std::string document_text(const std::optional<PublishedDocument>& document) {
    if (!document) return "-";
    return document->serial == 0 ? "unreadable" : fmt::format("{}", document->serial);
}

std::string status_text(const FleetStatus& status, const FleetStatusOptions& options, bool colour) {
    std::string text = fmt::format("fleet {}: {} in {}\n\n", options.nats.fleet,
                                   counted(status.view.hosts.size(), "host"), counted(status.rings.size(), "ring"));
    Table table({{"RING"},
                 {"MAP", Align::Right},
                 {"KEYS", Align::Right},
                 {"HOSTS", Align::Right},
                 {"GOOD", Align::Right},
                 {"STAGED", Align::Right},
                 {"DEGRADED", Align::Right},
                 {"SILENT", Align::Right},
                 {"ALARMS", Align::Right},
                 {"HOSTS BY SERIAL"}});
    std::vector<Straggler> stragglers;
    std::string problems;
    for (const auto& [name, ring, count] : status.rings) {
        const auto number = [](std::size_t value) { return fmt::format("{}", value); };
        table.add({name, document_text(ring.map), document_text(ring.keys), number(count.hosts), number(count.good),
                   number(count.staged), number(count.degraded), number(count.silent), number(count.alarmed),
                   serials_text(count.by_serial)});
        stragglers.insert(stragglers.end(), count.stragglers.begin(), count.stragglers.end());
        for (const auto& document : {ring.map, ring.keys})
            if (document && !document->problem.empty()) problems += "problem: " + one_line(document->problem) + "\n";
    }
    stragglers.insert(stragglers.end(), status.unreadable.stragglers.begin(), status.unreadable.stragglers.end());
    if (!table.empty()) text += table.text(colour);
    if (!problems.empty()) text += "\n" + problems;
    if (!stragglers.empty()) text += "\n" + stragglers_text(stragglers, colour);
    return text;
}

Result<int> run_fleet_status(const FleetStatusOptions& options, const GlobalOptions& global) {
    KUDO_TRY(check_nats_options(options.nats));
    const auto silent_after = KUDO_TRY(parse_duration("--silent-after", options.silent_after));
    auto connection = KUDO_TRY(NatsConnection::open(options.nats));
    const auto clock = std::chrono::system_clock::now();
    const auto now = std::chrono::floor<std::chrono::seconds>(clock);
    FleetStatus status;
    status.view = KUDO_TRY(read_fleet(connection, options.nats.fleet, clock));
    settle_names(status.view.hosts, silent_after);
    for (const auto& [name, ring] : status.view.rings)
        status.rings.push_back({name, ring, count_ring(status.view.hosts, name, ring.wanted(), silent_after, now)});
    status.unreadable = count_ring(status.view.hosts, "", std::nullopt, silent_after, now);
    if (global.json)
        KUDO_TRY(print_json(status_json(status, options)));
    else
        KUDO_TRY(print(status_text(status, options, colour_wanted())));
    return status.is_healthy() ? exit_done : exit_degraded;
}

} // namespace

Run setup_fleet_status(CLI::App& app) {
    const auto options = std::make_shared<FleetStatusOptions>();
    app.add_option("--silent-after", options->silent_after, "A host that has not reported for this long is silent")
        ->type_name("TIME")
        ->capture_default_str();
    app.add_flag("--hosts", options->hosts, "With --json: every host, not only the stragglers");
    add_nats_options(app, options->nats)->required();
    app.footer("GOOD: healthy, and the ring's map is in effect, or staged if its date is in the future.\n"
               "Exit status: 0 every host is good, 4 there are stragglers.");
    return [options](const GlobalOptions& global) {
        options->nats.fleet = global.acceptance.fleet;
        return run_fleet_status(*options, global);
    };
}

} // namespace kudo
