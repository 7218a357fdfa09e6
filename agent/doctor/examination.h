// SPDX-License-Identifier: MIT
// What the checks of one sequence have found out so far, for those behind them: the servers that answer, the names'
// addresses.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "agent/doctor/check.h"
#include "agent/doctor/names.h"
#include "agent/doctor/stream_probe.h"
#include "agent/doctor/subject.h"
#include "agent/doctor/tls_probe.h"
#include "agent/stun/datagram_probe.h"
#include "agent/stun/mark_exchange.h"

namespace kudo {

struct MediaServers {
    std::vector<DatagramProbe> datagrams; // Binding and Allocate of each address
    std::vector<StreamProbe> streams;
    std::vector<TlsProbe> tls; // of some of the addresses
    std::string problem{};     // why nothing could be sent; empty: it could
};

struct MarkExchange {
    Address server{};                    // the first that was asked
    std::vector<MarkOutcome> outcomes{}; // the first is unmarked; empty: nothing was asked
    std::string why_not{};
};

// Of one reading of this host's rules.
struct FirewallReports {
    CheckReport out{}, in{};
};

struct Examination {
    const Subject& subject;
    std::optional<MediaServers> media{};
    std::optional<std::vector<NameAnswer>> names{};
    std::vector<NameAnswer> teams{}; // of optional services
    std::vector<TlsProbe> region{};
    std::optional<FirewallReports> firewall{};
    MarkExchange marks{.why_not = "nothing was asked"};
    std::optional<ProbeSockets> unmarked{}; // Subject::unmarked, as this process has them
};

} // namespace kudo
