// SPDX-License-Identifier: MIT
#include "agent/inspect/admission_cases.h"

#include <algorithm>

#include <fmt/format.h>
#include <netinet/in.h>

#include "bpf/admit.h"
#include "bpf/judge.h"

namespace kudo {
namespace {

std::string rule_name(const AllowRule& rule) {
    return rule.lifeline.empty() ? rule.text : fmt::format("lifeline {}: {}", rule.lifeline, rule.text);
}

bool covers(const AllowRule& rule, const Address& remote) {
    return std::ranges::any_of(rule.remotes, [&](const Prefix& prefix) { return prefix.contains(remote); });
}

bool is_dropped(kudo_reason reason) {
    return kudo_verdict_for(KUDO_ENFORCE, reason) == KUDO_DROP;
}

// Steps 5 and 6 of docs/enforce.md.
class Admission {
public:
    Admission(const kudo_policy& policy, const kudo_match* match, const std::vector<LearnedName>& names,
              std::vector<const AllowRule*> rules)
        : policy_(policy), match_(match), names_(names), rules_(std::move(rules)) {}

    [[nodiscard]] AdmissionCase judge(std::string packet, const kudo_subject& subject) const {
        AdmissionCase result{.packet = std::move(packet), .reason = by_map(subject)};
        result.admitted = !is_dropped(result.reason);
        if (result.admitted || result.reason == KUDO_REASON_UNSOLICITED) return result;
        const AllowRule* matching = nullptr;
        for (const AllowRule* rule : rules_) {
            const auto answer = kudo_put_to_rule(rule->rule, &subject);
            if (answer >= KUDO_ALLOW_ADMITS) {
                result.reason = rule->lifeline.empty() ? KUDO_REASON_ALLOWED : KUDO_REASON_LIFELINE;
                result.admitted = true;
                result.by = rule_name(*rule);
                return result;
            }
            if (answer == KUDO_ALLOW_MATCHES && !matching) matching = rule;
        }
        if (!matching) return result;
        result.reason = KUDO_REASON_UNSOLICITED;
        result.by = rule_name(*matching);
        return result;
    }

private:
    [[nodiscard]] kudo_reason by_map(const kudo_subject& subject) const {
        const bool incoming = subject.direction == KUDO_INGRESS;
        const kudo_judgement judgement = judge_packet(policy_, match_, names_, subject.protocol, subject.remote_port);
        const auto reason = static_cast<kudo_reason>(judgement.reason);
        if (kudo_is_of_map(judgement.reason) && incoming && (subject.opens || !subject.spoken))
            return KUDO_REASON_UNSOLICITED;
        if (reason != KUDO_REASON_ICMP) return reason;
        return incoming == (subject.is_request != 0) ? KUDO_REASON_ICMP_DENIED : KUDO_REASON_ICMP;
    }

    const kudo_policy& policy_;
    const kudo_match* match_;
    const std::vector<LearnedName>& names_;
    std::vector<const AllowRule*> rules_;
};

} // namespace

AdmissionCases admission_cases(const kudo_policy& policy, const kudo_match* match, const std::vector<AllowRule>& allow,
                               const Address& remote, const std::optional<PortRule>& port,
                               const std::vector<LearnedName>& names) {
    AdmissionCases result;
    std::vector<const AllowRule*> rules;
    for (const AllowRule& rule : allow) {
        if (!covers(rule, remote)) continue;
        rules.push_back(&rule);
        result.rules.push_back(rule_name(rule));
    }
    const Admission admission(policy, match, names, std::move(rules));
    const bool v4 = remote.family == Family::IPv4;
    kudo_subject subject{};
    subject.family = v4 ? 4 : 6;
    if (!port) {
        subject.kind = KUDO_ALLOW_ECHO;
        subject.protocol = v4 ? KUDO_PROTOCOL_ICMP : KUDO_PROTOCOL_ICMPV6;
        subject.is_request = 1;
        subject.direction = KUDO_EGRESS;
        result.cases.push_back(admission.judge("this host pings", subject));
        subject.direction = KUDO_INGRESS;
        result.cases.push_back(admission.judge("the remote pings", subject));
        return result;
    }
    subject.kind = KUDO_ALLOW_PROTOCOL;
    subject.protocol = port->protocol;
    subject.remote_port = port->port; // the local port is one that no rule names
    subject.direction = KUDO_EGRESS;
    subject.opens = port->protocol == IPPROTO_TCP;
    result.cases.push_back(admission.judge("this host opens", subject));
    subject.direction = KUDO_INGRESS;
    subject.opens = 0;
    subject.spoken = 1;
    result.cases.push_back(admission.judge("the remote answers", subject));
    subject.opens = port->protocol == IPPROTO_TCP;
    subject.spoken = 0;
    result.cases.push_back(admission.judge("the remote opens", subject));
    return result;
}

} // namespace kudo
