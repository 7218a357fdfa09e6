// SPDX-License-Identifier: MIT
// TLS names by real clients: curl, whose connections DNS shows nothing of, against openssl's server.
#include "tests/e2e/link_fixture.h"

#include <unistd.h>

#include <map>
#include <memory>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "tests/support/test_host_inside.h"
#include "tests/support/web_server.h"

namespace kudo::test {
namespace {

// Addresses of no range, as public ones are: no name makes special ones KUDO's.
constexpr const char *server4 = "18.156.200.9", *server6 = "2a05:d018::9";

class TlsNames : public LineTest {
protected:
    void SetUp() override {
        LineTest::SetUp();
        if (IsSkipped()) return;
        for (const char* address : {server4, server6})
            test_->add_far_address(address);
        const auto pair = TestAuthority(test_->folder, "ca").sign("server", "DNS:live.kudoway.ca");
        const std::string far = fmt::format("--net=/proc/{}/fd/{}", getpid(), test_->far.fd());
        for (const char* port : {"443", "8445"})
            servers_.push_back(std::make_unique<ServerProcess>(
                std::vector<std::string>{"nsenter", far, "openssl", "s_server", "-accept", port, "-cert",
                                         pair.certificate.string(), "-key", pair.key.string(), "-www", "-quiet"}));
        for (const int port : {443, 8445})
            get("warm.example", port); // until the server listens
    }
    // A page of the name, whose address nobody has asked DNS for.
    void get(const std::string& name, int port = 443, const std::string& address = server4) const {
        const std::string to = address.find(':') == std::string::npos ? address : "[" + address + "]";
        const std::string page = test_->in_host({"curl", "--silent", "--show-error", "--insecure", "--max-time", "20",
                                                 "--retry", "40", "--retry-delay", "1", "--retry-connrefused",
                                                 "--connect-to", fmt::format("{}:{}:{}:{}", name, port, to, port),
                                                 fmt::format("https://{}:{}/", name, port)});
        EXPECT_NE(page.find("s_server"), std::string::npos) << page;
    }
    [[nodiscard]] nlohmann::json stats() const {
        return nlohmann::json::parse(test_->agent({"stats", "--flows", "--json"}).out);
    }

    std::vector<std::unique_ptr<ServerProcess>> servers_;
};

TEST_F(TlsNames, OfCurlMakeItsConnectionsKudos) {
    enable({"--teams"});
    get("anvil.tokbox.com");
    get("www.example.com");
    get("teams-bot.kudoway.com", 8445);
    const auto json = stats();
    EXPECT_EQ(json.at("tls").at("named"), 2);
    EXPECT_EQ(json.at("tls").at("other"), 1);
    EXPECT_EQ(json.at("dns").at("learned"), 0);
    ASSERT_EQ(json.at("flows").size(), 2u) << json.at("flows").dump(2);
    std::map<int, std::string> services;
    for (const auto& flow : json.at("flows")) {
        EXPECT_EQ(flow.at("reason"), "name");
        EXPECT_EQ(flow.at("named_by"), "tls");
        EXPECT_EQ(flow.at("class"), "control");
        EXPECT_EQ(flow.at("range"), nullptr);
        EXPECT_GT(flow.at("egress").at("packets"), 2);
        EXPECT_GT(flow.at("ingress").at("packets"), 2);
        services[flow.at("remote_port")] = flow.at("service");
    }
    EXPECT_EQ(services, (std::map<int, std::string>{{443, "opentok"}, {8445, "teams"}}));
    const std::string text = test_->agent({"stats", "--flows"}).out;
    EXPECT_EQ(text.find("cannot be seen"), std::string::npos);
    EXPECT_NE(text.find("opentok by TLS"), std::string::npos) << text;
    const std::string explained = test_->agent({"explain", server4}).out;
    EXPECT_NE(explained.find("1 connection of opentok, 1 connection of teams counted by the name in the ClientHello"),
              std::string::npos)
        << explained;
}

TEST_F(TlsNames, AreReadFromHellosInSmallSegments) {
    enable();
    // No help of the card's: each segment goes through the program by itself.
    test_->in_host({"ethtool", "-K", "eth0", "tso", "off", "gso", "off"});
    test_->in_host({"ip", "link", "set", "eth0", "mtu", "300"});
    get("anvil.tokbox.com");
    EXPECT_EQ(stats().at("tls").at("named"), 1);
    EXPECT_EQ(stats().at("flows").size(), 1u);
}

TEST_F(TlsNames, AreReadOverIpv6) {
    enable();
    get("anvil.tokbox.com", 443, server6);
    EXPECT_EQ(stats().at("tls").at("named"), 1);
    const auto flows = stats().at("flows");
    ASSERT_EQ(flows.size(), 1u);
    EXPECT_EQ(flows[0].at("remote"), server6);
}

TEST_F(TlsNames, ThatAreHiddenAreSaidToBe) {
    test_->add_far_address("8.8.8.8/32");
    enable();
    get("dns.google", 443, "8.8.8.8");
    EXPECT_EQ(stats().at("tls").at("doh"), 1);
    const std::string text = test_->agent({"stats"}).out;
    EXPECT_NE(text.find("Names that cannot be seen here, since enable: 1 first packet of connections to"),
              std::string::npos)
        << text;
}

TEST_F(TlsNames, OpenNothingUnderEnforce) {
    enable({"--mode", "enforce", "--no-confirm"});
    const Outcome tried = inside<Outcome>(test_->host, [&] {
        return run_program({"curl", "--silent", "--insecure", "--max-time", "2", "--connect-to",
                            fmt::format("anvil.tokbox.com:443:{}:443", server4), "https://anvil.tokbox.com/"});
    });
    EXPECT_NE(tried.status, 0);
    EXPECT_EQ(stats().at("tls"), nullptr) << "nothing is looked at";
}

} // namespace
} // namespace kudo::test
