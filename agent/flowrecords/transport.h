// SPDX-License-Identifier: MIT
// A collector, by TCP, TLS (libcurl) or UDP: RFC 7011 section 10. For a process of its own: connecting waits.
// Invariant: nothing waits longer than its timeout; what a collector sends is not looked at.
#pragma once

#include <chrono>
#include <memory>
#include <span>
#include <string>

#include "agent/flowrecords/destination.h"
#include "maps/base/result.h"

namespace kudo {

struct TlsFiles {
    std::string ca{};               // bundle to verify the collector; empty: the system's
    std::string certificate, key{}; // of this host, if the collector asks for one
};

class Transport {
public:
    Transport() = default;
    Transport(const Transport&) = delete;
    Transport& operator=(const Transport&) = delete;
    virtual ~Transport() = default;
    // Returns when all of them have been handed over: by TCP and TLS, when the collector's kernel has acknowledged
    // them; by UDP, when none was refused within a moment, more cannot be known.
    virtual Result<void> send(std::span<const std::string> messages) = 0;
    // An Error: the connection is over. To be called when fd() is readable.
    virtual Result<void> check() = 0;
    [[nodiscard]] virtual int fd() const = 0;
};

Result<std::unique_ptr<Transport>> connect_to(const FlowDestination& destination, const TlsFiles& files,
                                              std::chrono::milliseconds timeout);

} // namespace kudo
