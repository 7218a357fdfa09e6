// SPDX-License-Identifier: MIT
#include "cli/commands/enforce_options.h"

#include <algorithm>
#include <filesystem>

#include <fmt/format.h>

#include "agent/diagnosis/diagnosis.h"
#include "agent/system/lock.h"
#include "agent/system/uptime.h"
#include "cli/arguments/duration.h"
#include "cli/arguments/options.h"
#include "cli/terminal/output.h"
#include "cli/terminal/units.h"
#include "cli/views/stats_text.h"
#include "maps/allow/allow_rule.h"

namespace kudo {
namespace {

constexpr std::chrono::seconds default_confirm_within{60};
constexpr std::chrono::seconds max_confirm_within = std::chrono::days(1);

// They are kept as they were written.
Result<std::vector<std::string>> parse_allow_rules(const std::vector<std::string>& rules) {
    for (const std::string& rule : rules)
        KUDO_TRY(parse_allow_rule(rule));
    return rules;
}

// A check of one element of a list, whose line in the config file is told then. Of a command that was not named nothing
// is wrong.
template <typename Parse> auto each_by(const CLI::App& app, Parse parse) {
    return [&app, parse](const std::string& text) -> std::string {
        if (!app.parsed()) return "";
        const auto parsed = parse(text);
        return parsed ? "" : parsed.error().message;
    };
}

} // namespace

void setup_enforcement(CLI::App& app, EnableOptions& options) {
    using Words = std::vector<std::string>;
    add_option<Words>(app, "--allow", options.desired.allow, parse_allow_rules,
                      "What mode enforce lets through besides KUDO, repeatable; see below")
        ->type_name("RULE")
        ->allow_extra_args(false)
        ->check(each_by(app, parse_allow_rule), "", "");
    add_option<Words>(app, "--lifeline", options.desired.lifelines, parse_lifelines,
                      "Leave a lifeline out or restrict it to prefixes, repeatable; see below")
        ->type_name("NAME=off|PREFIX[,PREFIX]")
        ->allow_extra_args(false)
        ->check(each_by(app, [](const std::string& text) { return parse_lifelines({text}); }), "", "");
    const auto read_duration = [](const std::string& text) { return parse_duration(text); };
    add_option(app, "--confirm-within", options.confirm_within, read_duration,
               "End mode enforce unless kudo-agent confirm is given in this time")
        ->type_name("T")
        ->default_str(duration_text(default_confirm_within));
    app.add_flag("--no-confirm", options.no_confirm, "Enforce without a confirmation: a mistake may lock you out");
    add_option(app, "--dry-run", options.rehearse_for, read_duration,
               "Count for T, such as 24h, what mode enforce would drop, and drop nothing")
        ->type_name("T");
}

Result<void> check_enforcement(const EnableOptions& options) {
    const bool enforce = options.desired.mode == KUDO_ENFORCE;
    const auto within = options.confirm_within;
    if (options.no_confirm && within && *within != std::chrono::seconds(0))
        return bad_input("--confirm-within asks for a confirmation, --no-confirm for none");
    if (!options.no_confirm && within == std::chrono::seconds(0))
        return bad_input("--confirm-within 0 would enforce without a way back; if that is meant, add --no-confirm");
    if (within && *within > max_confirm_within)
        return bad_input(fmt::format("--confirm-within: at most {}", duration_text(max_confirm_within)));
    if (enforce && options.rehearse_for)
        return bad_input("--dry-run counts what mode enforce would drop while another mode is in effect: give it with "
                         "--mode prioritise, then --mode enforce without it");
    if (enforce && std::ranges::find(options.desired.interfaces, "lo") != options.desired.interfaces.end())
        return bad_input("--interface lo: mode enforce leaves what this host says to itself alone");
    if (enforce && !options.no_confirm) {
        KUDO_TRY(
            check_kernel_times().in("cannot tell when an unconfirmed mode enforce is to end (--no-confirm: never)"));
        if (read_uptime().boot.empty())
            return fail("/proc/sys/kernel/random/boot_id cannot be read: an unconfirmed mode enforce could not be told "
                        "from one of before a reboot (--no-confirm: never ends)");
    }
    return {};
}

void begin_admission(const EnableOptions& options, const DesiredState& before, DesiredState& desired) {
    const HostMoment now = HostMoment::now();
    desired.enforcement = {};
    desired.rehearsal.reset();
    if (desired.mode == KUDO_ENFORCE) {
        const auto within = options.confirm_within.value_or(default_confirm_within);
        const bool enforced = before.enabled && before.mode == KUDO_ENFORCE;
        desired.enforcement = begin_enforcement(
            {.within = options.no_confirm ? std::nullopt : std::optional(within), .session = own_session()},
            enforced ? &before.enforcement : nullptr, enforce_the_same(before, desired), now);
    } else if (options.rehearse_for && *options.rehearse_for > std::chrono::seconds(0)) {
        desired.rehearsal = {.begin = now.wall, .end = now.wall + *options.rehearse_for};
    }
}

EnforceOutlook enforce_outlook(const EnableOptions& options, const Instance& instance) {
    constexpr std::size_t flows_shown = 10;
    if (options.desired.mode != KUDO_ENFORCE) return {};
    const auto before = load_desired_state(instance);
    if (!before || (before->enabled && before->in_effect().mode == KUDO_ENFORCE)) return {};
    const auto diagnosis = before->enabled ? diagnose(instance) : Result<Diagnosis>(fail("not enabled"));
    const bool rehearsed = before->enabled && before->rehearsal;
    if (rehearsed && diagnosis) {
        const Rehearsal& rehearsal = *before->rehearsal;
        const auto length = std::min(rehearsal.end, wall_time()) - rehearsal.begin;
        const auto denied = denied_text(*diagnosis, {.width = output_width(), .colour = colour_wanted()}, flows_shown);
        return {.text = fmt::format("rehearsed for {}: {}\n", age_text(length),
                                    denied.empty() ? "nothing would have been dropped" : denied)};
    }
    std::string known = "what it drops is not known beforehand";
    if (diagnosis) {
        const Directions& strangers = diagnosis->statistics.reasons[KUDO_REASON_STRANGER];
        known = fmt::format(
            "of the packets of strangers so far ({} in, {} out) it would have dropped what no allow rule or "
            "lifeline admits, and which those are is not known",
            count_text(strangers[KUDO_INGRESS].packets), count_text(strangers[KUDO_EGRESS].packets));
    }
    return {.warning =
                fmt::format("mode enforce without a rehearsal: {}; kudo-agent enable with --dry-run 24h counts it "
                            "by flow, process and name",
                            known)};
}

bool service_runs(const Instance& instance) {
    std::error_code ignored;
    remove_unlocked_file(instance.service_lock()); // of one that was killed
    return std::filesystem::exists(instance.service_lock(), ignored);
}

std::string next_text(const Status& status) {
    const Enforcement& enforcement = status.desired.enforcement;
    if (status.desired.in_effect().deadline == 0) return "next: kudo-agent stats\n";
    return fmt::format(
        "next: kudo-agent confirm, from a new login or connection, within {}; else nothing is dropped any "
        "more\n",
        duration_text(enforcement.within));
}

} // namespace kudo
