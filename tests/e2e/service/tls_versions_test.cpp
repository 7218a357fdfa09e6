// SPDX-License-Identifier: MIT
// The service speaks TLS 1.2 or later with message servers and web servers, also where OpenSSL's configuration on the
// machine would allow less.
#include <gtest/gtest.h>

#include <algorithm>
#include <optional>

#include <fmt/format.h>

#include "tests/e2e/service/tls_server.h"
#include "tests/support/host_test.h"
#include "tests/support/minisign_key.h"
#include "tests/support/private_network.h"
#include "tests/support/running_service.h"

namespace kudo::test {
namespace {

using namespace std::chrono_literals;

constexpr const char* nats_greeting =
    R"(INFO {"server_id":"X","version":"2.9.10","proto":1,"max_payload":1048576,"tls_required":true})"
    "\r\n";

class TlsVersions : public HostTest {
protected:
    void SetUp() override {
        if (const std::string why = why_no_servers(); !why.empty()) GTEST_SKIP() << why;
        HostTest::SetUp();
        if (!test_) return;
        network_.emplace(test_->host);
        ASSERT_EQ(network_->why_not(), "");
        authority_.emplace(test_->folder, "ca");
        pair_ = authority_->sign("server", "IP:127.0.0.1");
        environment_ = "OPENSSL_CONF=" + permissive_openssl_conf(test_->folder);
    }
    // What became of the service's handshakes with a server of this one version.
    std::vector<std::string> nats(const std::string& version) {
        TlsServer server(test_->folder, pair_, version, nats_greeting);
        return handshakes(server, {"--nats", fmt::format("tls://127.0.0.1:{}", server.port()), "--nats-ca",
                                   authority_->certificate(), "--fleet", "acme", "--ring", "canary"});
    }
    std::vector<std::string> https(const std::string& version) {
        TlsServer server(test_->folder, pair_, version, "");
        return handshakes(server, {"--https", fmt::format("https://127.0.0.1:{}/map.json", server.port()), "--https-ca",
                                   authority_->certificate()});
    }
    static bool all_begin_with(const std::vector<std::string>& lines, const std::string& words) {
        return !lines.empty() &&
               std::ranges::all_of(lines, [&](const std::string& line) { return line.starts_with(words); });
    }

private:
    std::vector<std::string> handshakes(const TlsServer& server, std::vector<std::string> arguments) {
        MinisignKey(test_->folder + "/keys", "operator");
        arguments.insert(arguments.end(), {"--keys", test_->folder + "/keys"});
        const RunningService service(*test_, arguments, {environment_});
        eventually([&] { return !server.handshakes().empty(); });
        return server.handshakes();
    }

protected:
    std::optional<PrivateNetwork> network_;
    std::optional<TestAuthority> authority_;
    TestAuthority::Pair pair_;
    std::string environment_;
};

TEST_F(TlsVersions, AnOldServerTakesWhoeverSpeaksItsVersion) {
    // Otherwise the tests below would say nothing.
    const TlsServer server(test_->folder, pair_, "TLSv1_1", "");
    run_program({"env", environment_, "openssl", "s_client", "-tls1_1", "-connect",
                 fmt::format("127.0.0.1:{}", server.port())});
    EXPECT_EQ(server.handshakes(), std::vector<std::string>{"through TLSv1.1"});
}

TEST_F(TlsVersions, AMessageServerOfTls11IsRefused) {
    const auto handshakes = nats("TLSv1_1");
    EXPECT_TRUE(all_begin_with(handshakes, "refused: ")) << testing::PrintToString(handshakes);
}

TEST_F(TlsVersions, AMessageServerOfTls12IsSpokenTo) {
    const auto handshakes = nats("TLSv1_2");
    EXPECT_TRUE(all_begin_with(handshakes, "through TLSv1.2")) << testing::PrintToString(handshakes);
}

TEST_F(TlsVersions, AMessageServerOfTls13IsSpokenTo) {
    const auto handshakes = nats("TLSv1_3");
    EXPECT_TRUE(all_begin_with(handshakes, "through TLSv1.3")) << testing::PrintToString(handshakes);
}

TEST_F(TlsVersions, AWebServerOfTls11IsRefused) {
    const auto handshakes = https("TLSv1_1");
    EXPECT_TRUE(all_begin_with(handshakes, "refused: ")) << testing::PrintToString(handshakes);
}

TEST_F(TlsVersions, AWebServerOfTls12IsSpokenTo) {
    const auto handshakes = https("TLSv1_2");
    EXPECT_TRUE(all_begin_with(handshakes, "through TLSv1.2")) << testing::PrintToString(handshakes);
}

TEST_F(TlsVersions, AWebServerOfTls13IsSpokenTo) {
    const auto handshakes = https("TLSv1_3");
    EXPECT_TRUE(all_begin_with(handshakes, "through TLSv1.3")) << testing::PrintToString(handshakes);
}

} // namespace
} // namespace kudo::test
