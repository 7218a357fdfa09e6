// SPDX-License-Identifier: MIT
// A host that enforces: what reaches it and what does not, and sessions from which commands are given.
// Invariant: whether a packet passes is told by its receiver, never by kudo-agent.
#pragma once

#include <string>
#include <vector>

#include "tests/e2e/link_fixture.h"
#include "tests/support/running_service.h"

namespace kudo::test {

inline constexpr const char* asking_connection = "198.51.100.7 50022 10.77.0.2 22";
inline constexpr const char* other_connection = "198.51.100.7 50023 10.77.0.2 22";

class EnforceTest : public LineTest {
protected:
    // `enable --region ca --mode enforce`, and more, by SSH_CONNECTION; throws if it fails.
    Outcome enforce(std::vector<std::string> more = {}, const std::string& ssh = asking_connection) const;
    // `confirm` from a new session, with this SSH_CONNECTION.
    Outcome confirm(const std::string& ssh) const;
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
    // A stranger's packets in mode prioritise pass, in mode enforce they do not.
    [[nodiscard]] bool strangers_pass() const;

    [[nodiscard]] std::string state_file() const { return test_->instance.state_dir.string() + "/state.json"; }
};

} // namespace kudo::test
