// SPDX-License-Identifier: MIT
// Which names have made addresses KUDO's: what the programs have learned from DNS responses (bpf/learn.bpf.h).
// Invariant: only what is valid now.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "agent/datapath/datapath.h"
#include "bpf/abi.h"
#include "maps/base/result.h"
#include "maps/net/prefix.h"

namespace kudo {

struct LearnedName {
    Address address;
    std::string name; // that was asked for; "": its response is not among the newest that are kept, and its domain is
                      // a wildcard
    std::optional<Address> server;     // whose response is kept, if that gave the address
    bool by_service = false;           // the service has asked it and entered the address: no program saw the response
    std::string domain;                // of the active policy, which the name is under; "": it has none
    std::vector<std::string> services; // of the domain, the most specific first
    std::chrono::system_clock::time_point until;
    kudo_learned_name row{};
};

// By name, then address. Those of `only`, if that is given, in the order in which the programs ask them.
Result<std::vector<LearnedName>> read_learned_names(const DataPath& data_path, const std::optional<Address>& only = {});

// How a packet of TCP, UDP or ICMP is judged: by its range, else by what DNS has given the address for.
kudo_judgement judge_packet(const kudo_policy& policy, const kudo_match* match, const std::vector<LearnedName>& names,
                            uint8_t protocol, uint16_t port);

} // namespace kudo
