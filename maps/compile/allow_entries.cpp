// SPDX-License-Identifier: MIT
#include "maps/compile/allow_entries.h"

#include <algorithm>
#include <map>

#include <fmt/format.h>
#include <netinet/in.h>

#include "bpf/admit.h"
#include "maps/base/text.h"

namespace kudo {
namespace {

void set_ports(__u64* words, const kudo_allow& rule) {
    for (uint32_t port = rule.first_port; port <= rule.last_port; ++port)
        words[kudo_allow_port_bit(static_cast<__u16>(port)) / 64] |=
            1ull << kudo_allow_port_bit(static_cast<__u16>(port)) % 64;
}

// DHCP's are told by the local port.
void fill_port_prefilters(kudo_policy& policy, const kudo_allow& rule) {
    if (rule.kind == KUDO_ALLOW_DHCP) {
        set_ports(policy.allow_local_ports, {.first_port = KUDO_DHCP4_CLIENT, .last_port = KUDO_DHCP4_CLIENT});
        set_ports(policy.allow_local_ports, {.first_port = KUDO_DHCP6_CLIENT, .last_port = KUDO_DHCP6_CLIENT});
        return;
    }
    if (rule.kind != KUDO_ALLOW_PROTOCOL) return;
    if (rule.protocol != IPPROTO_TCP && rule.protocol != IPPROTO_UDP && rule.protocol != 0) return;
    if (rule.flags & KUDO_ALLOW_FROM) set_ports(policy.allow_local_ports, rule);
    if (rule.flags & KUDO_ALLOW_TO) set_ports(policy.allow_remote_ports, rule);
}

} // namespace

Result<void> add_allow_rules(std::span<const AllowRule> rules, CompiledPolicy& compiled) {
    kudo_policy& policy = *compiled.policy;
    if (rules.size() >= KUDO_MAX_ALLOW)
        return bad_input(
            fmt::format("{} allow rules and lifelines; at most {} may be", rules.size(), KUDO_MAX_ALLOW - 1));
    policy.allowed = static_cast<__u32>(rules.size()) + 1;
    std::map<Prefix, kudo_allow_match> matches;
    for (std::size_t i = 0; i < rules.size(); ++i) {
        kudo_allow& rule = policy.allow[i + 1];
        rule = rules[i].rule;
        if (!rules[i].lifeline.empty()) rule.flags |= KUDO_ALLOW_LIFELINE;
        fill_port_prefilters(policy, rule);
        for (const Prefix& remote : rules[i].remotes)
            matches.try_emplace(remote);
    }
    for (auto& entry : matches) {
        const Prefix& prefix = entry.first;
        kudo_allow_match& match = entry.second;
        std::vector<std::string> covering;
        for (std::size_t i = 0; i < rules.size(); ++i) {
            if (std::ranges::none_of(rules[i].remotes, [&](const Prefix& remote) { return remote.contains(prefix); }))
                continue;
            if (covering.size() < KUDO_MAX_ALLOW_CANDIDATES) match.rules[covering.size()] = static_cast<__u8>(i + 1);
            covering.push_back(quoted_text(rules[i].text));
        }
        if (covering.size() > KUDO_MAX_ALLOW_CANDIDATES)
            return bad_input(fmt::format("{} allow rules and lifelines cover {} ({}); at most {} may", covering.size(),
                                         prefix.text(), joined(covering), KUDO_MAX_ALLOW_CANDIDATES));
        if (prefix.address.family == Family::IPv4)
            compiled.allow4.emplace_back(key4(prefix), match);
        else
            compiled.allow6.emplace_back(key6(prefix), match);
    }
    return {};
}

} // namespace kudo
