// SPDX-License-Identifier: MIT
// Where metrics are served: "127.0.0.1:9475", "[::1]:9475", "unix:/run/kudo-agent/metrics.sock".
// Invariant: an address and no name; nothing is looked up.
#pragma once

#include <filesystem>
#include <string>

#include <netinet/in.h>

#include "agent/system/fd.h"
#include "maps/base/result.h"

namespace kudo {

struct MetricsAddress {
    std::filesystem::path path{}; // of a unix socket; empty: TCP
    sockaddr_in6 tcp{};           // sin6_family AF_INET: it is a sockaddr_in
    std::string text{};           // as it was given
    [[nodiscard]] bool is_loopback() const;
};
// BadInput says what was expected.
Result<MetricsAddress> parse_metrics_address(const std::string& text);

// A listening TCP socket, which does not block. Errors begin with the address.
Result<Fd> listen_on(const MetricsAddress& address);

} // namespace kudo
