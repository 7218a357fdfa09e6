// SPDX-License-Identifier: MIT
// Lifelines: the allow rules that kudo-agent adds by itself in mode enforce, for what a host needs to stay reachable.
// They are made from what the host is like now, at each reconcile. What each admits: docs/enforce.md.
// Invariant: pure; what the host is like is in LifelineFacts, see host_facts.h. A lifeline is left out only by its
// name.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "agent/lifelines/session.h"
#include "maps/allow/allow_rule.h"
#include "maps/base/result.h"
#include "maps/net/prefix.h"

namespace kudo {

// What --lifeline says of one: off, or only for these remotes.
struct LifelineSetting {
    std::string name;
    bool off = false;
    std::vector<Prefix> only{}; // sorted, distinct; empty: whatever the remote
    bool operator==(const LifelineSetting&) const = default;
};

// A server that range maps come from, as far as its name could be resolved.
struct MapSource {
    std::string name;                 // "ranges.example.com:443"
    uint16_t port = 0;                // TCP, host order
    std::vector<Address> addresses{}; // sorted, distinct; empty: not resolved yet
    std::vector<Address> left_out{};  // that its name has too, beyond max_source_addresses; sorted, distinct
    bool operator==(const MapSource&) const = default;
};

inline constexpr std::size_t max_resolvers = 16, max_gateways = 32, max_source_addresses = 64;

// What of the host they are made from.
struct LifelineFacts {
    std::vector<Address> resolvers{}; // that queries leave this host for, in the order of resolv.conf(5)
    bool only_stub = false;           // the resolver is on this host, and whom that asks is not known
    bool queries_allowed = false;     // a rule of the administrator admits queries, to whatever servers
    std::string resolvers_unread{};   // why they are those of before, or none; empty: they are those of now
    std::size_t more_resolvers = 0;   // that are left out
    std::vector<Address> gateways{};  // of default routes; sorted, distinct
    std::string gateways_unread{};    // why they are not known
    std::size_t more_gateways = 0;    // that are left out
    std::string ssh{};                // Session::ssh of whoever enabled enforce
    std::vector<MapSource> sources{}; // as the service has told them
    bool sources_known = false;       // it has
};

struct Lifeline {
    std::string name;
    std::vector<AllowRule> rules{}; // with `lifeline` set; none where it is off, or there is nothing to admit
    bool off = false;
    std::vector<Prefix> only{};           // as LifelineSetting
    std::string note{};                   // why it has no rules, or not all; a clause; may be empty
    bool stale = false;                   // the note says that they are those of before
    bool reduced = false;                 // the note says that there are more than fit
    bool unknown = false;                 // the note says that whom it is to admit is not known, and how to tell
    std::vector<std::string> in_kernel{}; // as status has read them back; see agent/inspect/lifelines_there.h
};

// Their names, in the order in which they are listed.
std::span<const std::string_view> lifeline_names();

// "NAME=off" or "NAME=PREFIX[,PREFIX]". Several of one name add up; off and prefixes of one name are BadInput, like an
// unknown name. In the order of lifeline_names().
Result<std::vector<LifelineSetting>> parse_lifelines(const std::vector<std::string>& specs);
std::string lifeline_text(const LifelineSetting& setting); // as it is written

// Does the rule admit queries to UDP 53 that this host opens, to any remote?
bool admits_queries(const kudo_allow& rule);

// All of them, in the order of lifeline_names(), also those that are off. Where whom the resolver on this host asks is
// not known, dns is for the prefixes that it is restricted to.
std::vector<Lifeline> make_lifelines(const LifelineFacts& facts, std::span<const LifelineSetting> settings);

// 127.0.0.0/8, ::1
bool is_on_loopback(const Address& address);

} // namespace kudo
