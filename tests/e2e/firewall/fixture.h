// SPDX-License-Identifier: MIT
// A host whose firewall denies by default, and lets KUDO through by the ruleset of docs/firewall.md.
// Invariant: what passes was sent and received for real; what does not pass was refused to the sender, or has not come
// within half a second.
#pragma once

#include <string>
#include <vector>

#include "tests/e2e/link_fixture.h"

namespace kudo::test {

inline constexpr const char* ours = "inet kudo_agent"; // the table

class FirewallTest : public LineTest {
protected:
    // `kudo-agent firewall sync` and more; throws if it fails.
    nlohmann::json sync(std::vector<std::string> more = {}) const;
    // The ruleset of docs/firewall.md, in the host.
    void deny_by_default() const;
    std::string nft(const std::string& command) const { return test_->in_host({"nft", command}); }
    [[nodiscard]] nlohmann::json tables() const;

    // A datagram from the host arrives. Answers: does one from there arrive after that?
    [[nodiscard]] bool sends(const Endpoint& to) const;
    [[nodiscard]] bool gets_answer(const Endpoint& from) const;
    // One that nobody has asked for.
    [[nodiscard]] bool gets_unasked(const Endpoint& from) const;
    // All of it for media over IPv4, TCP, and a stranger.
    void expect_only_kudo_passes() const;
    // Status: no drift, or a drift with these words.
    void expect_healthy() const;
    void expect_drift(const std::string& words) const;

private:
    [[nodiscard]] bool arrives(const Fd& from, const Endpoint& to, const Fd& receiver) const;
};

} // namespace kudo::test
