// SPDX-License-Identifier: MIT
// The fixture of the tests of a whole fleet of one: a host with the agent enabled, a message server on its loopback,
// and an operator with a key, all in the host's network namespace.
// Invariant: the test's thread is in that namespace too, so whatever it starts or connects is.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "tests/support/host_test.h"
#include "tests/support/minisign_key.h"
#include "tests/support/nats_server.h"
#include "tests/support/private_network.h"

namespace kudo::test {

// One media range, for region ca and the audience acme.
std::string fleet_map_text(uint64_t serial, const std::string& range);

class FleetHostTest : public HostTest {
protected:
    void SetUp() override;
    // Writes the file and its signature by the operator; returns its path.
    [[nodiscard]] std::string signed_file(const std::string& name, const std::string& text) const;
    // `kudo-agent fleet WORDS`, on this server, for fleet acme.
    [[nodiscard]] Outcome fleet(std::vector<std::string> words) const;
    // For ring canary; it must succeed.
    void publish_map(uint64_t serial, const std::string& range) const;
    // Behind "run": host web-1 in ring canary.
    [[nodiscard]] std::vector<std::string> service_arguments(const std::string& reread_every = "2s") const;
    // Of the map in the kernel.
    [[nodiscard]] uint64_t serial() const { return test_->status().at("map").at("serial"); }
    [[nodiscard]] bool comes_to(uint64_t wanted) const;

    std::optional<PrivateNetwork> network_;
    std::optional<NatsServer> server_; // on every address of the host
    std::string keys_;
    std::optional<MinisignKey> key_;
    std::string operator_credentials_; // a file; empty: none is needed
};

} // namespace kudo::test
