// SPDX-License-Identifier: MIT
// A host that enforces: what reaches it and what does not, and sessions from which commands are given.
// Invariant: whether a packet passes is told by its receiver, never by kudo-agent.
#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "tests/e2e/link_fixture.h"
#include "tests/support/running_service.h"

namespace kudo::test {

inline constexpr const char* asking_connection = "198.51.100.7 50022 10.77.0.2 22";
inline constexpr const char* other_connection = "198.51.100.7 50023 10.77.0.2 22";

// A server by which commands are given over the network, as by sshd: see login_server.c.
class LoginServer {
public:
    LoginServer(const NetworkNamespace& space, Endpoint at);
    LoginServer(const LoginServer&) = delete;
    LoginServer& operator=(const LoginServer&) = delete;
    ~LoginServer();

    // Throws if none comes about.
    [[nodiscard]] Fd connect(const NetworkNamespace& from, const std::string& source) const;
    // Of a command that is given by this connection, which ends with it. `folder`: for its output.
    [[nodiscard]] static Outcome run(const Fd& connection, std::vector<std::string> argv, const std::string& folder);

private:
    Endpoint at_;
    int pid_ = -1;
};

class EnforceTest : public LineTest {
protected:
    // `enable --region ca --mode enforce`, and more, by SSH_CONNECTION; throws if it fails.
    Outcome enforce(std::vector<std::string> more = {}, const std::string& ssh = asking_connection) const;
    // A --confirm-within that tests wait for: `seconds`, or longer where a command takes that long (KUDO_PATIENCE).
    [[nodiscard]] static std::chrono::seconds soon(int seconds);
    // `confirm` from a new session, with this SSH_CONNECTION, which nothing but the variable tells of.
    Outcome confirm(const std::string& ssh) const;
    // `confirm` by a new connection to this server.
    Outcome confirm_by(const LoginServer& server, const std::string& from = stranger_address) const;
    Outcome confirm_over(const Fd& connection) const;
    // `enable` as above by one SSH_CONNECTION and `confirm` by another, of one shell's session.
    Outcome enforce_and_confirm_in_one_session() const;

    // Does a datagram arrive, at most half a second later? From the host, or to it.
    [[nodiscard]] bool goes_out(const Endpoint& here, const Endpoint& there) const;
    [[nodiscard]] bool comes_in(const Endpoint& there, const Endpoint& here) const;
    // Both in one flow: first out, then in.
    [[nodiscard]] bool answers(const Endpoint& here, const Endpoint& there) const;
    // Does a TCP connection to a listener there come about?
    [[nodiscard]] bool connects(const NetworkNamespace& from, const std::string& source, const NetworkNamespace& to,
                                const Endpoint& listener) const;
    // A TCP connection from the host to a listener of the far end: both ends. Throws if it does not come about.
    struct Connection {
        Fd near, far;
    };
    [[nodiscard]] Connection connect_out(const Endpoint& listener) const;
    // The same to a listener of the host, from the far end's address.
    [[nodiscard]] Connection connect_in(const Endpoint& listener, const std::string& source) const;
    // A stranger's packets in mode prioritise pass, in mode enforce they do not.
    [[nodiscard]] bool strangers_pass() const;
    // Of the datagrams of a stranger that are sent every 10 ms from now on, when the last before the first that arrives
    // was sent: however long this process has to wait for a CPU, that one was still dropped. The first of all times if
    // none is, the last of all times if none arrives until `latest`.
    [[nodiscard]] std::chrono::steady_clock::time_point
    blocked_until(std::chrono::steady_clock::time_point latest) const;

    [[nodiscard]] std::string state_file() const { return test_->instance.state_dir.string() + "/state.json"; }
};

} // namespace kudo::test
