// SPDX-License-Identifier: MIT
#include "agent/inspect/lifelines_there.h"

#include <netinet/in.h>

#include <algorithm>
#include <string_view>

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace kudo {
namespace {

constexpr uint16_t dns_port = 53, dns_over_tls_port = 853, ntp_port = 123;

struct RuleThere {
    kudo_allow rule{};
    std::vector<Prefix> remotes{}; // sorted, distinct
};

template <typename Key> Prefix prefix_of_key(Family family, const Key& key) {
    return {.address = Address::from_bytes(family, &key.address), .length = static_cast<uint8_t>(key.prefix_length)};
}

// A rule is also in the entries of longer prefixes within its own: see kudo_allow_match.
void add_remote(RuleThere& rule, const Prefix& prefix) {
    if (std::ranges::none_of(rule.remotes, [&](const Prefix& known) { return known.contains(prefix); }))
        rule.remotes.push_back(prefix);
}

template <typename Entries> void add_remotes(Family family, const Entries& entries, std::vector<RuleThere>& rules) {
    std::vector<std::pair<Prefix, const kudo_allow_match*>> by_length;
    for (const auto& [key, match] : entries)
        by_length.emplace_back(prefix_of_key(family, key), &match);
    std::ranges::stable_sort(by_length, {}, [](const auto& entry) { return entry.first.length; });
    for (const auto& [prefix, match] : by_length)
        for (const __u8 index : match->rules)
            if (index != 0 && index < rules.size()) add_remote(rules[index], prefix);
}

std::vector<RuleThere> lifeline_rules(const CompiledPolicy& compiled) {
    const kudo_policy& policy = *compiled.policy;
    std::vector<RuleThere> rules(std::min<std::size_t>(policy.allowed, KUDO_MAX_ALLOW));
    for (std::size_t i = 0; i < rules.size(); ++i)
        rules[i].rule = policy.allow[i];
    add_remotes(Family::IPv4, compiled.allow4, rules);
    add_remotes(Family::IPv6, compiled.allow6, rules);
    std::erase_if(rules, [](const RuleThere& rule) { return (rule.rule.flags & KUDO_ALLOW_LIFELINE) == 0; });
    for (RuleThere& rule : rules)
        std::ranges::sort(rule.remotes);
    return rules;
}

// As in the kernel: of prefixes within one another only the outer one can be told.
std::vector<Prefix> outermost(std::vector<Prefix> prefixes) {
    RuleThere rule;
    std::ranges::stable_sort(prefixes, {}, &Prefix::length);
    for (const Prefix& prefix : prefixes)
        add_remote(rule, prefix);
    std::ranges::sort(rule.remotes);
    return rule.remotes;
}

bool is_same_rule(const AllowRule& wanted, const RuleThere& there) {
    const kudo_allow &a = wanted.rule, &b = there.rule;
    return a.first_port == b.first_port && a.last_port == b.last_port && a.protocol == b.protocol && a.kind == b.kind &&
           a.flags == (b.flags & ~KUDO_ALLOW_LIFELINE) && outermost(wanted.remotes) == there.remotes;
}

// The lifeline that makes such rules.
std::string_view name_of(const kudo_allow& rule) {
    switch (rule.kind) {
    case KUDO_ALLOW_ARP:
        return "arp";
    case KUDO_ALLOW_NEIGHBOUR:
        return "neighbour-discovery";
    case KUDO_ALLOW_ICMP_ERROR:
        return "icmp-errors";
    case KUDO_ALLOW_DHCP:
        return "dhcp";
    case KUDO_ALLOW_ECHO:
        return "gateway";
    default:
        break;
    }
    if ((rule.flags & KUDO_ALLOW_FROM) != 0) return "ssh";
    if (rule.first_port == dns_port || (rule.protocol == IPPROTO_TCP && rule.first_port == dns_over_tls_port))
        return "dns";
    return rule.protocol == IPPROTO_UDP && rule.first_port == ntp_port ? "ntp" : "map-sources";
}

std::string text_of(const RuleThere& there) {
    const kudo_allow& rule = there.rule;
    const char* const word = (rule.flags & KUDO_ALLOW_FROM) == 0 ? "to"
                             : (rule.flags & KUDO_ALLOW_TO)      ? "with"
                                                                 : "from";
    const std::string what = rule.kind != KUDO_ALLOW_PROTOCOL
                                 ? std::string(name_of(rule))
                                 : fmt::format("{}/{}", rule.protocol == IPPROTO_TCP ? "tcp" : "udp", rule.first_port);
    std::vector<std::string> remotes;
    for (const Prefix& prefix : there.remotes)
        remotes.push_back(prefix.length == prefix.address.bits() ? prefix.address.text() : prefix.text());
    return fmt::format("{} {} {}", what, word, fmt::join(remotes, ","));
}

} // namespace

void read_lifelines_there(const CompiledPolicy& policy, std::vector<Lifeline>& lifelines) {
    for (const RuleThere& there : lifeline_rules(policy)) {
        Lifeline* owner = nullptr;
        std::string text;
        for (Lifeline& lifeline : lifelines)
            for (const AllowRule& rule : lifeline.rules)
                if (!owner && is_same_rule(rule, there)) {
                    owner = &lifeline;
                    text = rule.text;
                }
        if (!owner) {
            const auto named = std::ranges::find(lifelines, name_of(there.rule), &Lifeline::name);
            if (named == lifelines.end()) continue;
            owner = &*named;
            text = text_of(there);
        }
        owner->in_kernel.push_back(std::move(text));
    }
}

std::string lifeline_difference(const Lifeline& lifeline) {
    std::vector<std::string> missing, beyond = lifeline.in_kernel;
    for (const AllowRule& rule : lifeline.rules)
        if (const auto found = std::ranges::find(beyond, rule.text); found != beyond.end())
            beyond.erase(found);
        else
            missing.push_back(rule.text);
    std::string text;
    if (!missing.empty()) text = fmt::format("not in the kernel: {}", fmt::join(missing, "; "));
    if (!beyond.empty())
        text += fmt::format("{}in the kernel only: {}", text.empty() ? "" : "; ", fmt::join(beyond, "; "));
    return text;
}

} // namespace kudo
