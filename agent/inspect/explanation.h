// SPDX-License-Identifier: MIT
// What would happen to packets of one remote address: decided by the same function as in the kernel.
// Invariant: pure; nothing is decided here that bpf/judge.h and bpf/admit.h do not decide.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "agent/inspect/admission_cases.h"
#include "agent/inspect/learned_names.h"
#include "maps/compile/compile.h"

namespace kudo {

struct Explanation {
    // What would happen to one kind of packet, both ways.
    struct Rule {
        std::string packet; // "udp/3478", "icmp", "any other port", "any packet"
        kudo_verdict verdict = KUDO_PASS;
        kudo_reason reason = KUDO_REASON_STRANGER;
        kudo_class class_ = KUDO_CLASS_NONE;
        std::string service;                 // empty: none
        std::string range;                   // that decided; empty: none
        std::string domain;                  // that decided, where no range did: "*.tokbox.com"; empty: none
        std::string path;                    // of either in the map: "services[0].ipv4[3]", "services[1].domains[0]"
        kudo_mark mark{};                    // on egress
        std::optional<kudo_mark> audio_mark; // of packets known to be audio; nothing: such packets carry none
        FirewallMark firewall_mark;          // on ingress
    };
    // A range of the map that holds the address, but of a service that the options leave out.
    struct NotChosen {
        std::string service, range, path;
        std::string option; // that would include it: "--region us", "--teams"; empty: none does
    };

    Address address;
    std::optional<Address> ipv4; // that the address stands for behind a NAT64, whose ranges are the IPv4 address's
    std::optional<PortRule> port;
    uint64_t serial = 0;
    std::string source; // of the map
    CompileOptions options;
    std::vector<Rule> rules;                 // one if a port was given
    std::optional<AdmissionCases> admission; // where packets are put to its rules: options.admission
    std::vector<NotChosen> not_chosen;
    std::vector<LearnedName> names; // what DNS has given the address for, with the domain and services of these options
    std::vector<std::string> notes; // whole sentences
};

// `names`: what DNS has given the address for (learned_names.h); it counts only where no range does.
Result<Explanation> explain(const RangeMap& map, const CompileOptions& options, const Address& address,
                            std::optional<PortRule> port, const std::vector<LearnedName>& names = {});

// `compiled`: `map` with these options.
Result<Explanation> explain(const RangeMap& map, const CompiledPolicy& compiled, const CompileOptions& options,
                            const Address& address, std::optional<PortRule> port,
                            const std::vector<LearnedName>& names = {});

// Where the map has the domain: "services[1].domains[0]"; "": nowhere, or it is of another map, one that is staged or
// retiring.
std::string domain_path(const RangeMap& map, std::string_view service, std::string_view domain);

// The options of `enable` that a service needs besides those given; empty: none makes it chosen.
std::string missing_options(const Service& service, CompileOptions options);

} // namespace kudo
