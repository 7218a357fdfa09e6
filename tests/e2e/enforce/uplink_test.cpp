// SPDX-License-Identifier: MIT
// A second uplink that comes while the service enforces: how soon it is enforced, and what is said of it.
// Invariant: whether it is enforced is told by a stranger's packets on it.
#include <poll.h>
#include <unistd.h>

#include <fmt/format.h>

#include "tests/e2e/enforce/enforce_fixture.h"

namespace kudo::test {
namespace {

using Clock = std::chrono::steady_clock;

class Uplink : public EnforceTest {
protected:
    // eth1 10.82.0.2/24, its far end 10.82.0.1; no route leads by it yet.
    void add_line() const {
        test_->in_host({"ip", "link", "add", "eth1", "type", "veth", "peer", "name", "eth1", "netns",
                        fmt::format("/proc/{}/fd/{}", getpid(), test_->far.fd())});
        test_->in_far({"ip", "address", "add", "10.82.0.1/24", "dev", "eth1"});
        test_->in_far({"ip", "link", "set", "eth1", "up"});
        test_->in_host({"ip", "address", "add", "10.82.0.2/24", "dev", "eth1"});
        test_->in_host({"ip", "link", "set", "eth1", "up"});
        EXPECT_TRUE(eventually([this] { return reaches(); })) << "the line carries nothing";
    }
    void lead_by_it(const char* metric) const {
        test_->in_host({"ip", "route", "add", "default", "via", "10.82.0.1", "dev", "eth1", "metric", metric});
    }
    // Does a stranger's datagram get in by it within 50 ms, one of three?
    [[nodiscard]] bool reaches() const {
        const Fd from = udp_socket(test_->far, {"10.82.0.1", 40000}),
                 at = udp_socket(test_->host, {"10.82.0.2", 40001});
        constexpr std::array<uint8_t, 20> payload{};
        for (int i = 0; i < 3; ++i) {
            send_datagram(from.get(), {"10.82.0.2", 40001}, payload);
            pollfd waiting{at.get(), POLLIN, 0};
            if (poll(&waiting, 1, 50) == 1) return true;
        }
        return false;
    }
};

TEST_F(Uplink, ThatComesIsEnforcedAndSaidWhateverItsMetric) {
    enforce({"--no-confirm"});
    const RunningService service(*test_, {"--reconcile-every", "1h"});
    add_line();
    const auto began = Clock::now();
    lead_by_it("700"); // eth0's is better: it would carry KUDO if that went
    EXPECT_TRUE(eventually([this] { return !reaches(); })) << service.log();
    fmt::print("enforced after {:.2f} s\n", std::chrono::duration<double>(Clock::now() - began).count());
    EXPECT_TRUE(eventually([&] { return service.log().find("eth1: packets are judged") != std::string::npos; }))
        << service.log();
    EXPECT_FALSE(strangers_pass()) << "eth0 stays enforced";
    const auto status = test_->status();
    EXPECT_EQ(status.at("interfaces").size(), 2U) << status.dump(1);
    EXPECT_EQ(status.at("healthy"), true) << status.dump(1);
    test_->in_host({"ip", "link", "del", "eth1"});
    EXPECT_TRUE(eventually([&] {
        return service.log().find("eth1: packets are not judged any more") != std::string::npos;
    })) << service.log();
}

TEST_F(Uplink, ThatCannotBeEnforcedIsSaidAndDegraded) {
    enforce({"--no-confirm", "--tc-hook", "clsact"});
    const RunningService service(*test_, {"--reconcile-every", "1h"});
    add_line();
    test_->in_host({"tc", "qdisc", "add", "dev", "eth1", "handle", "ffff:", "ingress"}); // where ours would be
    lead_by_it("700");
    EXPECT_TRUE(eventually([&] { return service.log().find("eth1: egress") != std::string::npos; })) << service.log();
    EXPECT_TRUE(eventually([this] { return reaches(); })) << "half a direction is not enforced";
    const Outcome told = test_->agent({"status"});
    EXPECT_EQ(told.status, 4);
    EXPECT_NE(told.out.find("eth1: no program on egress"), std::string::npos) << told.out;
    EXPECT_FALSE(strangers_pass()) << "eth0 stays enforced";
    test_->in_host({"tc", "qdisc", "del", "dev", "eth1", "ingress"});
}

// Its routes lead nowhere near KUDO: mode enforce is of the interfaces that do (docs/enforce.md), or of those named.
TEST_F(Uplink, ALineWithoutARouteToKudoIsNotEnforcedAndSaidToBe) {
    enforce({"--no-confirm"});
    const RunningService service(*test_, {"--reconcile-every", "1h"});
    add_line();
    EXPECT_TRUE(eventually([&] {
        return test_->agent({"status"}).out.find("not enforced: eth1") != std::string::npos;
    })) << test_->agent({"status"}).out;
    EXPECT_TRUE(eventually([this] { return reaches(); }));
    EXPECT_EQ(test_->status().at("not_enforced"), nlohmann::json({"eth1"}));
}

} // namespace
} // namespace kudo::test
