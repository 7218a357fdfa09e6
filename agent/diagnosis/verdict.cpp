// SPDX-License-Identifier: MIT
#include "agent/diagnosis/verdict.h"

#include <algorithm>
#include <map>
#include <tuple>

#include <fmt/format.h>
#include <netinet/in.h>

#include "agent/diagnosis/flow_findings.h"
#include "agent/diagnosis/host_findings.h"
#include "agent/diagnosis/network_findings.h"
#include "maps/base/abi_names.h"
#include "maps/base/text.h"

namespace kudo {
namespace {

// What was looked at, where nothing was found.
std::vector<std::string> looked_at(const Diagnosis& diagnosis, const std::vector<std::size_t>& flows) {
    uint64_t packets = 0, received = 0, missing = 0, hidden = 0;
    for (const std::size_t index : flows) {
        const FlowRecord& flow = diagnosis.statistics.flows[index];
        packets += flow.counters[KUDO_INGRESS].packets + flow.counters[KUDO_EGRESS].packets;
        if (flow.class_ == KUDO_CLASS_FALLBACK) ++hidden;
        for (const RtpStream& stream : flow.streams)
            if (stream.direction == KUDO_INGRESS && stream.quality) {
                received += stream.quality->unique;
                missing += missing_of(*stream.quality, diagnosis.statistics.read_at);
            }
    }
    std::vector<std::string> evidence = {
        fmt::format("{} of {} with KUDO", counted(packets, "packet"), counted(flows.size(), "flow"))};
    if (received > 0)
        evidence.push_back(fmt::format("{} received, {} missing", counted(received, "RTP packet"), missing));
    if (diagnosis.drops_measured) evidence.emplace_back("this host's kernel has dropped none of them");
    if (hidden > 0)
        evidence.push_back(fmt::format("of these {} over TCP 443, where TLS hides what is missing of the media",
                                       counted(hidden, "flow")));
    return evidence;
}

Verdict nothing_found(const Diagnosis& diagnosis, const std::vector<std::size_t>& flows) {
    Verdict verdict;
    verdict.evidence = looked_at(diagnosis, flows);
    if (!diagnosis.drops_measured) {
        verdict.where = LossPlace::Unknown;
        verdict.summary = "It is not known whether this host drops KUDO's packets: " + diagnosis.drops_why_not;
        verdict.command = "kudo-agent status";
        verdict.advice = "See why the drops are not measured.";
        return verdict;
    }
    const bool any_traffic = std::ranges::any_of(
        flows, [&](std::size_t index) { return diagnosis.statistics.flows[index].counters[KUDO_INGRESS].packets > 0; });
    verdict.where = LossPlace::None;
    if (!any_traffic) {
        verdict.summary =
            flows.empty() ? "There is no traffic with KUDO yet." : "KUDO has sent nothing to this host yet.";
        return verdict;
    }
    verdict.summary = "No loss was seen in what comes in, nor in this host.";
    return verdict;
}

void add(std::vector<Finding>& all, std::vector<Finding> more) {
    for (Finding& finding : more)
        all.push_back(std::move(finding));
}

} // namespace

std::string_view loss_place_name(LossPlace place) {
    switch (place) {
    case LossPlace::None:
        return "none";
    case LossPlace::BeforeHost:
        return "before_host";
    case LossPlace::Host:
        return "host";
    case LossPlace::Policy:
        return "policy";
    case LossPlace::Application:
        return "application";
    case LossPlace::Unknown:
        break;
    }
    return "unknown";
}

std::string_view confidence_name(Confidence confidence) {
    switch (confidence) {
    case Confidence::Certain:
        return "certain";
    case Confidence::Likely:
        return "likely";
    case Confidence::Possible:
        break;
    }
    return "possible";
}

std::string_view who_can_help(LossPlace place) {
    switch (place) {
    case LossPlace::BeforeHost:
        return "whoever runs the network and the firewalls between this host and KUDO";
    case LossPlace::Host:
        return "this host's administrator";
    case LossPlace::Application:
        return "the application's owner, or whoever set it up on this host";
    case LossPlace::Policy:
        return "whoever decides the range map and the mode of kudo-agent";
    default:
        return "";
    }
}

Verdict verdict_of(std::vector<Finding> findings, Verdict nothing) {
    std::ranges::stable_sort(findings, [](const Finding& a, const Finding& b) {
        return std::tuple(a.past, !a.lately, -a.share, a.confidence, b.lost) <
               std::tuple(b.past, !b.lately, -b.share, b.confidence, a.lost);
    });
    // What has lost nothing is worth to know, but no verdict; nor is what is over.
    const auto loss =
        std::ranges::find_if(findings, [](const Finding& finding) { return !finding.past && finding.share > 0; });
    Verdict verdict = std::move(nothing);
    if (loss != findings.end()) {
        std::rotate(findings.begin(), loss, loss + 1);
        const Finding& worst = findings.front();
        verdict = {.where = worst.where,
                   .layer = worst.layer,
                   .confidence = worst.confidence,
                   .summary = worst.summary,
                   .evidence = worst.evidence,
                   .advice = worst.advice,
                   .command = worst.command};
    } else if (!findings.empty() && findings.front().past && verdict.where == LossPlace::None) {
        verdict.summary = "No loss was seen in the last ten minutes; earlier: " + findings.front().summary;
    }
    verdict.findings = std::move(findings);
    return verdict;
}

void judge_losses(Diagnosis& diagnosis) {
    std::vector<const DiagnosedDrop*> drops;
    std::map<std::size_t, std::vector<const DiagnosedDrop*>> drops_of; // by flow
    for (const DiagnosedDrop& drop : diagnosis.drops) {
        drops.push_back(&drop);
        if (drop.flow) drops_of[*drop.flow].push_back(&drop);
    }
    std::vector<Finding> all = host_findings(diagnosis, drops);
    std::vector<std::size_t> flows;
    for (std::size_t i = 0; i < diagnosis.statistics.flows.size(); ++i) {
        const FlowRecord& flow = diagnosis.statistics.flows[i];
        if (flow.class_ == KUDO_CLASS_NONE) continue;
        flows.push_back(i);
        const bool worth_it = diagnosis.flows.contains(i) || !flow.streams.empty() || flow.probe;
        if (!worth_it) continue;
        std::vector<Finding> own = flow_findings(diagnosis, i);
        add(all, own);
        add(own, host_findings(diagnosis, drops_of[i], i));
        diagnosis.flows[i].verdict = verdict_of(std::move(own), nothing_found(diagnosis, {i}));
    }
    add(all, network_findings(diagnosis));
    diagnosis.verdict = verdict_of(std::move(all), nothing_found(diagnosis, flows));
}

} // namespace kudo
