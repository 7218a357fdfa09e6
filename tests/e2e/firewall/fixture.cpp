// SPDX-License-Identifier: MIT
#include "tests/e2e/firewall/fixture.h"

#include <arpa/inet.h>
#include <poll.h>
#include <sys/socket.h>

#include <fstream>
#include <sstream>
#include <stdexcept>

#include "tests/support/patience.h"

namespace kudo::test {
namespace {

// The block of the page that is a whole ruleset.
std::string documented_ruleset() {
    std::ifstream file(KUDO_DOCS "/firewall.md");
    std::stringstream page;
    page << file.rdbuf();
    const std::string text = page.str(), begin = "```nft\n";
    const auto first = text.find(begin);
    if (first == std::string::npos) throw std::runtime_error("docs/firewall.md has no ruleset");
    return text.substr(first + begin.size(), text.find("```\n", first + begin.size()) - first - begin.size());
}

} // namespace

nlohmann::json FirewallTest::sync(std::vector<std::string> more) const {
    more.insert(more.begin(), {"firewall", "sync", "--json"});
    const Outcome outcome = test_->agent(more);
    if (outcome.status != 0) throw std::runtime_error("firewall sync: " + outcome.out + outcome.err);
    return nlohmann::json::parse(outcome.out);
}

void FirewallTest::deny_by_default() const {
    test_->in_host({"nft", "-f", test_->write_file("nftables.conf", documented_ruleset())});
}

nlohmann::json FirewallTest::tables() const {
    nlohmann::json tables = nlohmann::json::array();
    for (const auto& entry : nlohmann::json::parse(test_->in_host({"nft", "-j", "list", "tables"})).at("nftables"))
        if (entry.contains("table"))
            tables.push_back(entry.at("table").at("family").get<std::string>() + " " +
                             entry.at("table").at("name").get<std::string>());
    return tables;
}

bool FirewallTest::arrives(const Fd& from, const Endpoint& to, const Fd& receiver) const {
    try {
        send_datagram(from.get(), to, std::vector<uint8_t>(100));
    } catch (const std::exception&) {
        return false; // EPERM: the output chain
    }
    pollfd waits{receiver.get(), POLLIN, 0};
    if (poll(&waits, 1, static_cast<int>(patient(std::chrono::milliseconds(500)).count())) != 1) return false;
    receive_datagram(receiver.get());
    return true;
}

bool FirewallTest::sends(const Endpoint& to) const {
    const bool ipv6 = to.address.find(':') != std::string::npos;
    return arrives(udp_socket(test_->host, {ipv6 ? host_address6 : host_address, 50001}), to,
                   udp_socket(test_->far, to));
}

bool FirewallTest::gets_answer(const Endpoint& from) const {
    const bool ipv6 = from.address.find(':') != std::string::npos;
    const Endpoint here{ipv6 ? host_address6 : host_address, 50002};
    const Fd near = udp_socket(test_->host, here), far = udp_socket(test_->far, from);
    return arrives(near, from, far) && arrives(far, here, near);
}

bool FirewallTest::gets_unasked(const Endpoint& from) const {
    const Endpoint here{host_address, 50003};
    const Fd near = udp_socket(test_->host, here);
    return arrives(udp_socket(test_->far, from), here, near);
}

void FirewallTest::expect_only_kudo_passes() const {
    EXPECT_TRUE(gets_answer({media_address, 3478}));
    const TcpEnds call{test_->host, {host_address, 50004}, test_->far, {region_address, 443}};
    EXPECT_EQ(transfer_tcp(call, 1000, 1000).downloaded, 1000u);
    EXPECT_FALSE(sends({media_address, 3479})) << "another port";
    EXPECT_FALSE(sends({stranger_address, 3478}));
    EXPECT_FALSE(gets_unasked({media_address, 3478}));
    EXPECT_FALSE(gets_unasked({stranger_address, 3478}));
}

void FirewallTest::expect_healthy() const {
    EXPECT_EQ(test_->status().at("drift"), nlohmann::json::array());
}

void FirewallTest::expect_drift(const std::string& words) const {
    const std::string drift = test_->status().at("drift").dump();
    EXPECT_NE(drift.find(words), std::string::npos) << drift;
}

} // namespace kudo::test
