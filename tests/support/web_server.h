// SPDX-License-Identifier: MIT
// Web servers for the tests of sources: nginx, and one that misbehaves in python3; certificates for them by openssl.
// Invariant: they listen on 127.0.0.1 alone, keep all their files in the given folder, and end with their object, or
// with the test's process if that is killed.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace kudo::test {

inline constexpr const char* nginx_program = "/usr/sbin/nginx"; // not in everybody's PATH

// Which of the programs that this needs is not installed; empty: none is missing.
std::string why_no_servers();

// A certificate authority, and what it signs. Throws where openssl fails.
class TestAuthority {
public:
    // `name`: files in `folder` begin with it.
    TestAuthority(std::filesystem::path folder, const std::string& name);
    [[nodiscard]] std::filesystem::path certificate() const { return base_ + ".crt"; }
    struct Pair {
        std::filesystem::path certificate, key;
    };
    // `subject`: "IP:127.0.0.1", "DNS:maps.example".
    [[nodiscard]] Pair sign(const std::string& name, const std::string& subject) const;

private:
    std::filesystem::path folder_;
    std::string base_;
};

// A program that ends with its object.
class ServerProcess {
public:
    explicit ServerProcess(std::vector<std::string> argv);
    ServerProcess(const ServerProcess&) = delete;
    ServerProcess& operator=(const ServerProcess&) = delete;
    ~ServerProcess();
    [[nodiscard]] bool is_running() const;

private:
    int pid_;
};

// Has something begun to listen on it, within 20 s and while `server` runs?
bool listens(int port, const ServerProcess& server);

// The configuration of an nginx whose folder is `folder`, serving folder/www on https://127.0.0.1:`port`/, and on
// http://127.0.0.1:`plain_port`/. Each answer is a line of folder/access.log:
//   GET /map.json 200 inm=[...] ims=[...] encoding=[...] port=8443
// `more`: more of its server block.
std::string nginx_configuration(const std::filesystem::path& folder, const TestAuthority::Pair& pair, int port,
                                int plain_port, const std::string& more);

// The argv of the server that misbehaves. It writes its port into folder/odd.port once it listens, and a line for each
// request into folder/odd.log: "SECONDS PATH", and "SECONDS PATH sent BYTES" when the client has hung up. What it does
// is said by the path: see web_server.cpp.
std::vector<std::string> odd_server(const std::filesystem::path& folder, const TestAuthority::Pair& pair);

} // namespace kudo::test
