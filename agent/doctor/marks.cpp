// SPDX-License-Identifier: MIT
#include "agent/doctor/marks.h"

#include <algorithm>
#include <iterator>
#include <set>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "agent/doctor/hops.h"
#include "bpf/stun.h"
#include "maps/base/abi_names.h"
#include "maps/base/text.h"
#include "maps/net/dscp.h"

namespace kudo {
namespace {

using std::chrono::milliseconds;

constexpr MarkExchangeTimes exchange_times{.requests = 10, .gap = milliseconds(20), .all = milliseconds(2500)};
constexpr std::size_t max_servers = 2;
constexpr milliseconds hop_time{1000};
constexpr unsigned max_hops = 8;
// Of so many more must be lost than of unmarked ones that chance does not explain it: three of ten.
constexpr double losing = 0.3;
constexpr milliseconds late{30};

// Unmarked packets first.
std::vector<uint8_t> tried_marks(const std::vector<MarkInUse>& marks) {
    std::vector<uint8_t> dscps{0};
    std::ranges::transform(marks, std::back_inserter(dscps), &MarkInUse::dscp);
    return dscps;
}

std::string outcome_text(const MarkOutcome& outcome) {
    std::vector<std::string> came;
    for (const uint8_t dscp : outcome.answers)
        came.push_back(dscp_name(dscp));
    std::string text = fmt::format("{}: {} of {} answered", dscp_name(outcome.dscp), outcome.answered, outcome.sent);
    if (outcome.answered > 0)
        text += fmt::format(" in {:.1f} ms (median); answers come as {}",
                            static_cast<double>(outcome.median_rtt.count()) / 1000, fmt::join(came, ", "));
    return text;
}

// The farthest router that has quoted a packet with this mark, or any mark.
const HopOutcome* farthest(const std::vector<HopOutcome>& hops, std::optional<uint8_t> dscp) {
    const HopOutcome* found = nullptr;
    for (const HopOutcome& hop : hops)
        if ((!dscp || hop.sent == *dscp) && (!found || hop.ttl > found->ttl)) found = &hop;
    return found;
}

std::string where_lost(const std::vector<HopOutcome>& hops, uint8_t dscp) {
    const HopOutcome* seen = farthest(hops, dscp);
    const HopOutcome* unmarked = farthest(hops, uint8_t{0});
    if (!seen && unmarked)
        return fmt::format("no router quotes such a packet, and {} quotes unmarked ones: they are dropped there or "
                           "before",
                           unmarked->router.text());
    if (!seen) return "no router on the way tells where";
    return fmt::format("they come as far as {} (hop {}): dropped by it or behind it", seen->router.text(), seen->ttl);
}

// What was sent unmarked has a mark at the first router that tells: a rule of this host's has replaced the packet mark
// by which kudo-agent's programs leave it.
bool were_raised(const std::vector<HopOutcome>& hops) {
    const auto first = std::ranges::min_element(hops, {}, &HopOutcome::ttl);
    return first != hops.end() && std::ranges::any_of(hops, [&](const HopOutcome& hop) {
               return hop.ttl == first->ttl && hop.sent == 0 && hop.quoted != 0;
           });
}

// Of packets that were sent alike, the first router that has another mark than the one before it.
const HopOutcome* first_change(const std::vector<HopOutcome>& hops) {
    for (const HopOutcome& hop : hops)
        for (const HopOutcome& before : hops)
            if (before.sent == hop.sent && before.ttl < hop.ttl && before.quoted != hop.quoted) return &hop;
    return nullptr;
}

// "--mark audio=none --mark video=none"
std::string options_without(const std::vector<MarkInUse>& marks, const std::set<uint8_t>& lost) {
    std::string options;
    for (const MarkInUse& mark : marks)
        if (lost.contains(mark.dscp))
            for (const std::string& treatment : mark.treatments)
                options += fmt::format(" --mark {}=none", treatment);
    return options;
}

std::string enable_without(const Subject& subject, const std::set<uint8_t>& lost) {
    return fmt::format("kudo-agent enable --region {}{}{}", fmt::join(subject.desired.regions, ","),
                       subject.desired.teams ? " --teams" : "",
                       options_without(marks_in_use(subject.desired.marks), lost));
}
const char* lost_advice = "With the options that enable had before; or whoever runs that router lets marked packets "
                          "through.";

// kudo-agent's own programs raise the marks of these packets as they leave, so none of them is known to be unmarked.
// What is lost while others of the same moments pass is lost by its mark all the same.
CheckReport judge_while_enabled(const std::vector<MarkOutcome>& outcomes, const std::vector<HopOutcome>& hops,
                                const Subject& subject) {
    CheckReport report{.result = CheckResult::Skip};
    double least = 1;
    unsigned sent = 0, answered = 0;
    for (const MarkOutcome& outcome : outcomes) {
        sent += outcome.sent;
        answered += outcome.answered;
        least = std::min(least, outcome.loss());
        report.evidence.push_back(
            fmt::format("of {} that were sent as {}, before kudo-agent raised their marks, {} were "
                        "answered",
                        outcome.sent, dscp_name(outcome.dscp), outcome.answered));
    }
    std::set<uint8_t> lost;
    std::vector<std::string> names;
    for (const MarkOutcome& outcome : outcomes) {
        if (outcome.loss() - least < losing) continue;
        lost.insert(outcome.dscp);
        names.push_back(dscp_name(outcome.dscp));
    }
    if (!lost.empty()) {
        report.result = CheckResult::Fail;
        report.summary =
            fmt::format("packets sent as {} are lost where others pass; kudo-agent raises the marks of some "
                        "of them",
                        fmt::join(names, ", "));
        report.advice =
            "Run disable and then this, to see which marks; or whoever runs the network lets marked packets "
            "through.";
        if (!options_without(marks_in_use(subject.desired.marks), lost).empty())
            report.fix = enable_without(subject, lost);
    } else if (const HopOutcome* changed = first_change(hops)) {
        report.result = CheckResult::Warn;
        report.summary = fmt::format("marks are changed on the way: to {} at {} (hop {})", dscp_name(changed->quoted),
                                     changed->router.text(), changed->ttl);
        report.advice = "Whoever runs that router, or the one before it, trusts this host's marks.";
    } else {
        report.summary =
            fmt::format("marks cannot be compared while kudo-agent raises those of all these packets ({} of "
                        "{} were answered); run this before enable, or after disable",
                        answered, sent);
    }
    return report;
}

} // namespace

CheckReport judge_marks(const std::vector<MarkOutcome>& outcomes, const std::vector<HopOutcome>& hops,
                        const Subject& subject) {
    CheckReport report{.result = CheckResult::Pass, .summary = "marked packets come as far as unmarked ones"};
    if (subject.marks_cannot_be_kept() || (subject.marks_now && were_raised(hops)))
        return judge_while_enabled(outcomes, hops, subject);
    const MarkOutcome& unmarked = outcomes.front();
    for (const MarkOutcome& outcome : outcomes)
        report.evidence.push_back(outcome_text(outcome));
    if (unmarked.answered * 2 < unmarked.sent) {
        report.result = CheckResult::Skip;
        report.summary = "too many unmarked packets are lost to compare marked ones with them";
        return report;
    }
    const auto marks = marks_in_use(subject.desired.marks);
    std::set<uint8_t> lost, slow;
    std::vector<std::string> names;
    for (const MarkOutcome& outcome : outcomes) {
        if (outcome.dscp == 0) continue;
        if (outcome.loss() - unmarked.loss() >= losing) {
            lost.insert(outcome.dscp);
            names.push_back(dscp_name(outcome.dscp));
            report.evidence.push_back(fmt::format("{}: {}", dscp_name(outcome.dscp), where_lost(hops, outcome.dscp)));
        } else if (outcome.answered > 0 && outcome.median_rtt > unmarked.median_rtt + late) {
            slow.insert(outcome.dscp);
            names.push_back(dscp_name(outcome.dscp));
        }
    }
    std::vector<std::string> bleached;
    for (const auto& [dscp, treatments] : marks) { // at the first router that has it otherwise
        const auto changed = std::ranges::find_if(
            hops, [dscp = dscp](const HopOutcome& hop) { return hop.sent == dscp && hop.quoted != dscp; });
        if (changed != hops.end() && !lost.contains(dscp))
            bleached.push_back(fmt::format("{} is {} at {} (hop {})", dscp_name(dscp), dscp_name(changed->quoted),
                                           changed->router.text(), changed->ttl));
    }
    if (const HopOutcome* far = farthest(hops, std::nullopt))
        report.evidence.push_back(fmt::format("routers tell of marks as far as {} (hop {}); behind it nothing is known",
                                              far->router.text(), far->ttl));
    else
        report.evidence.emplace_back("no router on the way tells which marks arrive there");
    if (!lost.empty() || !slow.empty()) {
        report.result = lost.empty() ? CheckResult::Warn : CheckResult::Fail;
        report.summary = fmt::format("packets marked {} are {} where unmarked ones pass", fmt::join(names, ", "),
                                     lost.empty() ? "late" : "lost");
        if (!lost.empty()) report.summary += "; " + where_lost(hops, *lost.begin());
        lost.merge(slow);
        report.fix = enable_without(subject, lost);
        report.advice = lost_advice;
        return report;
    }
    if (!bleached.empty()) {
        report.result = CheckResult::Warn;
        report.summary = fmt::format("marks are changed on the way: {}", fmt::join(bleached, "; "));
        report.advice = "Whoever runs that router, or the one before it, trusts this host's marks; until then KUDO "
                        "waits like all other traffic behind it.";
    }
    return report;
}

MarkExchange ask_with_marks(Examination& examination) {
    if (!examination.media) return {.why_not = "no STUN server was asked"};
    const auto marks = marks_in_use(examination.subject.desired.marks);
    if (marks.empty()) return {.why_not = "no mark is in use"};
    std::vector<StunServer> servers;
    for (const DatagramProbe& probe : examination.media->datagrams)
        if (probe.response && probe.to.family == Family::IPv4 && servers.size() < max_servers &&
            std::ranges::find(servers, probe.to, &StunServer::address) == servers.end())
            servers.push_back({probe.to, KUDO_STUN_PORT});
    if (servers.empty()) return {.why_not = "no STUN server answers over UDP 3478; see media_udp"};
    OwnProbeSockets own;
    std::optional<ProbeSockets> sockets = examination.unmarked;
    if (!sockets) {
        auto opened = open_probe_sockets();
        if (!opened) return {.why_not = opened.error().message};
        own = std::move(*opened);
        sockets = {own[0].get(), own[1].get()};
    }
    return {.server = servers.front().address,
            .outcomes = exchange_marked(servers, tried_marks(marks), exchange_times, *sockets)};
}

CheckReport check_marks(Examination& examination) {
    const MarkExchange& exchange = examination.marks;
    if (exchange.outcomes.empty()) return skipped(exchange.why_not);
    auto hops = probe_hops(exchange.server, tried_marks(marks_in_use(examination.subject.desired.marks)), max_hops,
                           hop_time, examination.subject.unmarked ? KUDO_PROBE_MARK : 0);
    CheckReport report = judge_marks(exchange.outcomes, hops ? *hops : std::vector<HopOutcome>{}, examination.subject);
    if (!hops) report.evidence.push_back("routers on the way were not asked: " + hops.error().message);
    return report;
}

} // namespace kudo
