// SPDX-License-Identifier: MIT
// What the map says of a name, which addresses DNS has given for it, and what a packet to them would meet.
// Invariant: pure; a name is under a domain exactly where the kernel's programs find it to be (bpf/domains.h).
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "agent/inspect/explanation.h"

namespace kudo {

struct NameExplanation {
    // A domain of a service of the map that the name is, or is under.
    struct Domain {
        std::string domain, service, path; // path: "services[1].domains[0]"
        std::string state;                 // "", "early", "retiring"
        bool counts = false;               // for the options given
        std::string option;                // where it does not: what would make it count; empty: none does
        std::vector<PortRule> ports;
    };
    struct Known {
        LearnedName learned;
        std::string range;      // that has the address, and so decides; empty: none
        Explanation::Rule rule; // with a port
        [[nodiscard]] bool by_range() const { return !range.empty(); }
    };
    std::string name;
    std::optional<PortRule> port;
    uint64_t serial = 0;
    std::string source; // of the map
    CompileOptions options;
    std::vector<Domain> domains; // the most specific first
    // What packets meet to an address that DNS gives for the name and that is in no range; one if a port was given.
    std::vector<Explanation::Rule> rules;
    std::optional<AdmissionCases> admission; // and whether it is admitted, where packets are put to its rules
    bool looked_at_known = true;             // else `known` is not known
    std::vector<Known> known;
    std::vector<std::string> notes; // whole sentences
};

// As range maps write names: lower case, no final dot. BadInput: an address, a wildcard, other characters.
Result<std::string> parse_host_name(std::string_view text);

// The hash that this host's queries for the name have in the kernel.
uint64_t query_hash(std::string_view name, bool ipv6);

// `learned`: all that DNS has given addresses for.
Result<NameExplanation> explain_name(const RangeMap& map, const CompileOptions& options, const std::string& name,
                                     std::optional<PortRule> port, const std::vector<LearnedName>& learned);

} // namespace kudo
