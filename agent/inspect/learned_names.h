// SPDX-License-Identifier: MIT
// Which names have made addresses KUDO's: what the programs have learned from DNS responses (bpf/learn.bpf.h).
// Invariant: only what is valid now and what the active policy has a domain for.
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
    std::string name;                  // that was asked for; "": its response is no longer kept
    std::optional<Address> server;     // that gave the address, likewise
    std::vector<std::string> services; // the most specific first
    std::chrono::system_clock::time_point until;
    kudo_learned_name row{};
};

// By name, then address. Those of `only`, if that is given.
Result<std::vector<LearnedName>> read_learned_names(const DataPath& data_path, const std::optional<Address>& only = {});

} // namespace kudo
