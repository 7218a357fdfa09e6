// SPDX-License-Identifier: MIT
#include "cli/commands/doctor.h"

#include <algorithm>
#include <memory>
#include <optional>

#include <unistd.h>

#include "agent/doctor/doctor.h"
#include "cli/arguments/mark_option.h"
#include "cli/arguments/options.h"
#include "cli/ranges/current_rules.h"
#include "cli/terminal/progress.h"
#include "cli/views/doctor_view.h"

namespace kudo {
namespace {

constexpr std::size_t max_named_servers = 24;

struct DoctorOptions {
    std::vector<std::string> regions, interfaces;
    bool teams = false, load = false;
    std::optional<Marks> marks;
    std::vector<Address> servers;
};

Result<std::vector<Address>> parse_servers(const std::vector<std::string>& texts) {
    std::vector<Address> servers;
    for (const std::string& text : texts)
        if (const Address server = KUDO_TRY(Address::parse(text)); std::ranges::find(servers, server) == servers.end())
            servers.push_back(server);
    if (servers.size() > max_named_servers)
        return bad_input(fmt::format("{} addresses; at most {}", servers.size(), max_named_servers));
    return servers;
}

// The desired state, where there is one, with what the options say otherwise.
Result<Subject> subject_of(const DoctorOptions& options, const GlobalOptions& global, std::string& note) {
    auto rules = KUDO_TRY(current_rules(global.instance));
    note = rules.note;
    Subject subject{.instance = global.instance, .desired = std::move(rules.state), .map = rules.maps.combined()};
    DesiredState& desired = subject.desired;
    if (desired.enabled)
        subject.enabled_marks =
            desired.mode != KUDO_OBSERVE && std::ranges::any_of(desired.marks, [](const kudo_mark& mark) {
                return (mark.flags & KUDO_MARK_DSCP) != 0;
            });
    if (!options.regions.empty()) desired.regions = normalised(options.regions);
    if (!options.interfaces.empty()) desired.interfaces = normalised(options.interfaces);
    subject.interfaces_given = !options.interfaces.empty();
    desired.teams |= options.teams;
    if (options.marks) desired.marks = *options.marks;
    if (desired.regions.empty())
        return bad_input(
            fmt::format("doctor needs --region, the region of your KUDO account, where nothing is enabled: "
                        "{}; for example: kudo-agent doctor --region ca",
                        regions_text(subject.map)));
    KUDO_TRY(check_regions(subject.map, desired.regions));
    if (options.load && options.servers.empty())
        return bad_input("--load sends what a call sends, so it needs --server, a STUN server that may be loaded");
    subject.servers = options.servers;
    subject.load = options.load;
    KUDO_TRY(examine(subject));
    return subject;
}

Result<int> doctor(const DoctorOptions& options, const GlobalOptions& global) {
    std::string note;
    const Subject subject = KUDO_TRY(subject_of(options, global, note));
    const DoctorReport report = [&] {
        Progress progress;
        const std::size_t all = doctor_checks().size();
        progress.show(fmt::format("{} checks ...", all));
        return run_doctor(subject, [&](const NamedReport& check, std::size_t ended) {
            progress.show(fmt::format("{} of {} checks: {}", ended, all, check.title));
        });
    }();
    KUDO_TRY(print_either(global.json, doctor_json(report, subject, note),
                          doctor_text(report, subject, note, colour_wanted())));
    return report.has_failed() ? exit_degraded : exit_done;
}

} // namespace

Run setup_doctor(CLI::App& app) {
    using Words = std::vector<std::string>;
    const auto options = std::make_shared<DoctorOptions>();
    app.add_option("--region", options->regions,
                   "Regions of your KUDO accounts: us, eu, ca, cn; default: those that are enabled")
        ->type_name("REGION[,REGION]")
        ->delimiter(',')
        ->allow_extra_args(false);
    app.add_flag("--teams", options->teams, "Include KUDO in Microsoft Teams");
    app.add_option("--interface", options->interfaces,
                   "As for enable, repeatable; default: those that are enabled, or lead to KUDO")
        ->type_name("IF")
        ->allow_extra_args(false);
    add_option<Words>(
        app, "--mark", options->marks,
        [](const Words& specs) -> Result<std::optional<Marks>> { return KUDO_TRY(parse_marks(specs)); },
        "As for enable, repeatable: the marks that are tried")
        ->type_name("CLASS=SPEC")
        ->allow_extra_args(false);
    add_option<Words>(app, "--server", options->servers, parse_servers,
                      "STUN and TURN server to ask instead of addresses in the media ranges, repeatable")
        ->type_name("ADDRESS")
        ->allow_extra_args(false);
    app.add_flag("--load", options->load, "Send what a call sends to the first --server, for 20 s");
    app.footer(
        "Changes nothing on this host. What is sent is in docs/doctor.md. It takes at most 15 s, with --load 21 s "
        "more.\n"
        "Exit status: 0 nothing fails, 4 something does, or not all could be looked at in time.\n"
        "Example: kudo-agent doctor --region ca");
    return [options](const GlobalOptions& global) { return doctor(*options, global); };
}

} // namespace kudo
