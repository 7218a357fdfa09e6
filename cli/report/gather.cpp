// SPDX-License-Identifier: MIT
#include "cli/report/gather.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <optional>
#include <utility>

#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <pwd.h>
#include <unistd.h>

#include "agent/doctor/doctor.h"
#include "agent/inspect/status.h"
#include "agent/netlink/interfaces.h"
#include "cli/ranges/current_rules.h"
#include "cli/views/doctor_view.h"
#include "cli/views/status_view.h"
#include "cli/views/version_view.h"

namespace kudo {
namespace {

std::string host_name() {
    char name[256] = {};
    return gethostname(name, sizeof name - 1) == 0 ? name : "";
}

// People's accounts, as this host's own file has them: no directory server is asked.
std::vector<std::string> users_of_host() {
    constexpr uid_t first_person = 1000, nobody = 65534;
    std::vector<std::string> names;
    if (const char* user = getenv("SUDO_USER")) names.emplace_back(user);
    const std::unique_ptr<FILE, int (*)(FILE*)> file(fopen("/etc/passwd", "re"), fclose);
    while (const passwd* entry = file ? fgetpwent(file.get()) : nullptr)
        if (entry->pw_uid >= first_person && entry->pw_uid != nobody) names.emplace_back(entry->pw_name);
    return names;
}

bool is_chosen(const Service& service, const DesiredState& desired) {
    if (service.optional && !desired.teams) return false;
    return std::ranges::any_of(service.regions, [&](const std::string& region) {
        return region == "*" || std::ranges::find(desired.regions, region) != desired.regions.end();
    });
}

OrderedJson map_json(const CurrentRules& rules, const DesiredState& desired) {
    const AcceptedMap& accepted = rules.state.ranges.active;
    const RangeMap& map = rules.maps.active.map;
    OrderedJson services = OrderedJson::array();
    for (const Service& service : map.services) {
        if (!is_chosen(service, desired)) continue;
        OrderedJson ports = OrderedJson::array(), ranges = OrderedJson::array();
        for (const PortRule& port : service.ports)
            ports.push_back(port.text());
        for (const Range& range : service.ranges)
            ranges.push_back(range.prefix.text());
        services.push_back({{"name", service.name},
                            {"ports", std::move(ports)},
                            {"ranges", std::move(ranges)},
                            {"domains", service.domains}});
    }
    return {{"serial", map.serial},
            {"effective", rfc3339(map.effective)},
            {"source", rules.maps.active.source},
            {"built_in", accepted.hash.empty()},
            {"hash", text_or_null(accepted.hash)},
            {"signed_by", accepted.signed_by},
            {"services", std::move(services)}};
}

Identities identities_of(const RangeMap& honoured, const std::string& host, std::vector<std::string>& not_known) {
    Identities identities{.hosts = {host}, .users = users_of_host()};
    if (const auto dot = host.find('.'); dot != std::string::npos) identities.hosts.push_back(host.substr(0, dot));
    if (const auto own = own_addresses())
        identities.own.insert(own->begin(), own->end());
    else
        not_known.push_back("This host's own addresses cannot be read: " + own.error().message + ".");
    for (const Service& service : honoured.services) {
        for (const Range& range : service.ranges)
            identities.kudo.push_back(range.prefix);
        identities.kudo_domains.insert(identities.kudo_domains.end(), service.domains.begin(), service.domains.end());
    }
    return identities;
}

// An error's text within a sentence.
std::string clause(const Error& error) {
    std::string text = error.message;
    while (text.ends_with('.'))
        text.pop_back();
    return text;
}

Result<void> look_at_calls(const Instance& instance, std::chrono::seconds duration, ReportParts& parts) {
    auto diagnosis = [&]() -> Result<Diagnosis> {
        parts.recording = KUDO_TRY(record(instance, duration));
        return diagnose(instance);
    }();
    if (diagnosis) {
        parts.diagnosis = std::move(*diagnosis);
        return {};
    }
    if (diagnosis.error().kind == ErrorKind::NotPermitted) return fail(std::move(diagnosis.error()));
    parts.recording.reset();
    parts.why_no_diagnosis = clause(diagnosis.error());
    return {};
}

void check_network(Subject subject, const std::string& note, ReportParts& parts) {
    if (const auto examined = examine(subject); !examined) {
        parts.why_no_doctor = clause(examined.error());
        return;
    }
    parts.doctor = doctor_json(run_doctor(subject), subject, note);
}

} // namespace

Result<GatheredReport> gather_report(const Instance& instance, const ReportRequest& request) {
    const auto rules = KUDO_TRY(current_rules(instance));
    DesiredState desired = rules.state;
    if (!request.regions.empty()) desired.regions = normalised(request.regions);
    desired.teams |= request.teams;
    const RangeMap honoured = rules.maps.combined();
    KUDO_TRY(check_regions(honoured, desired.regions));
    if (desired.regions.empty())
        return bad_input(fmt::format("report needs --region, the region of your KUDO account, where nothing is "
                                     "enabled: {}; for example: kudo-agent report --region ca -o report.html",
                                     regions_text(honoured)));
    GatheredReport gathered;
    ReportParts& parts = gathered.parts;
    parts.made_at = std::chrono::system_clock::now();
    parts.host = host_name();
    parts.teams = desired.teams;
    gathered.identities = identities_of(honoured, parts.host, parts.not_known);
    KUDO_TRY(look_at_calls(instance, request.duration, parts));
    if (const auto status = read_status(instance))
        parts.status = status_json(*status);
    else
        parts.not_known.push_back("The state of kudo-agent cannot be read: " + clause(status.error()) + ".");
    parts.map = map_json(rules, desired);
    parts.version = version_view().json;
    if (request.doctor)
        check_network({.instance = instance, .desired = desired, .map = honoured}, rules.note, parts);
    else
        parts.why_no_doctor = request.why_no_doctor;
    return gathered;
}

} // namespace kudo
