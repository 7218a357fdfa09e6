// SPDX-License-Identifier: MIT
// The responses to this host's DNS queries that the programs have kept, as text.
// Invariant: what others wrote is parsed in a process that can do nothing else.
#pragma once

#include <optional>
#include <vector>

#include "agent/datapath/datapath.h"
#include "agent/inspect/dns_message.h"
#include "bpf/abi.h"
#include "maps/base/result.h"

namespace kudo {

struct NamedResponse {
    uint64_t query = 0; // the hash that the query has in the kernel
    kudo_response row{};
    std::optional<DnsAnswer> answer; // nothing: it cannot be parsed
};

// The newest 128: an attacker with a name server that this host asks may have filled the table.
Result<std::vector<NamedResponse>> read_responses(const DataPath& data_path);

} // namespace kudo
