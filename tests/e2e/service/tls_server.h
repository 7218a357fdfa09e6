// SPDX-License-Identifier: MIT
// A server that speaks one version of TLS and nothing after the handshake, in python3, and a configuration of OpenSSL
// that forbids nothing.
// Invariant: it listens on 127.0.0.1 of the thread's network namespace and ends with its object.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "tests/support/web_server.h"

namespace kudo::test {

class TlsServer {
public:
    // `version`: "TLSv1", "TLSv1_1", "TLSv1_2" or "TLSv1_3". `greeting` is sent in the clear before the handshake.
    // Returns once it listens; throws if it does not.
    TlsServer(std::filesystem::path folder, const TestAuthority::Pair& pair, const std::string& version,
              const std::string& greeting);
    [[nodiscard]] int port() const { return port_; }
    // What became of each: "through TLSv1.2", "refused: ...".
    [[nodiscard]] std::vector<std::string> handshakes() const;

private:
    std::filesystem::path folder_;
    std::optional<ServerProcess> process_;
    int port_ = 0;
};

// A file for OPENSSL_CONF: whatever a program does not refuse by itself is allowed.
std::string permissive_openssl_conf(const std::filesystem::path& folder);

} // namespace kudo::test
