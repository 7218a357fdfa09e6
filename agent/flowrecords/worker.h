// SPDX-License-Identifier: MIT
// What the confined process of a destination does: takes batches of records, hands them over, says how that went.
#pragma once

#include <chrono>
#include <cstdint>

#include "agent/flowrecords/destination.h"
#include "agent/flowrecords/transport.h"

namespace kudo {

struct WorkerSettings {
    FlowDestination destination; // a collector or the journal
    TlsFiles tls{};
    uint32_t enterprise = 0, domain = 0;
    std::chrono::milliseconds templates_every{}; // over UDP, RFC 7011 section 8.1
    std::chrono::milliseconds timeout{};         // to connect, and for each step of the collector
};

// Until the other end of the socket is closed.
void run_worker(int socket, const WorkerSettings& settings);

} // namespace kudo
