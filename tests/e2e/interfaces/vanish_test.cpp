// SPDX-License-Identifier: MIT
// An interface that goes away and comes back as another one: what status says, and that enable heals it.
// Invariant: the counters of before stay.
#include "tests/e2e/link_fixture.h"

#include <net/if.h>

namespace kudo::test {
namespace {

struct Choice {
    const char* name;
    std::vector<std::string> options;
    bool somebodys_xdp;
};

class VanishedInterface : public LineTest, public testing::WithParamInterface<Choice> {
protected:
    void remove() const { test_->in_host({"ip", "link", "del", "eth0"}); } // its far end goes with it
    void bring_back() const {
        const std::string far_path = "/proc/" + std::to_string(getpid()) + "/fd/" + std::to_string(test_->far.fd());
        test_->in_host({"ip", "link", "add", "eth0", "type", "veth", "peer", "name", "eth0", "netns", far_path});
        test_->in_host({"ip", "address", "add", std::string(host_address) + "/24", "dev", "eth0"});
        test_->in_far({"ip", "address", "add", "10.77.0.1/24", "dev", "eth0"});
        test_->in_host({"ip", "link", "set", "eth0", "up"});
        test_->in_far({"ip", "link", "set", "eth0", "up"});
        test_->in_host({"ip", "route", "add", "default", "via", "10.77.0.1"});
        test_->add_far_address(std::string(media_address) + "/32");
    }
    int index() const {
        return inside<int>(test_->host, [] { return static_cast<int>(if_nametoindex("eth0")); });
    }
    void exchange(uint16_t port) const {
        const Endpoint local{host_address, port}, remote{media_address, 3478};
        const Fd near = udp_socket(test_->host, local), far = udp_socket(test_->far, remote);
        send_datagrams(near.get(), remote, far.get(), 100, 100);
        send_datagrams(far.get(), local, near.get(), 100, 100);
    }
    int status() const { return test_->agent({"status"}).status; }
};

TEST_P(VanishedInterface, IsSeenAsDegradedAndEnableHealsItWhenItIsBack) {
    if (GetParam().somebodys_xdp) attach_somebodys_xdp();
    enable(GetParam().options);
    EXPECT_EQ(status(), 0);
    exchange(50001);
    const int before = index();

    remove();
    EXPECT_EQ(status(), 4);
    const auto without = test_->stats();
    EXPECT_EQ(without.at("reasons").at("rule").at("ingress").at("packets"), 100);
    EXPECT_EQ(find_flow(without, "udp", {host_address, 50001}, {media_address, 3478}).at("interface"),
              "#" + std::to_string(before));

    bring_back();
    ASSERT_NE(index(), before);
    EXPECT_EQ(status(), 4); // nothing of ours is on the new one
    exchange(50002);
    EXPECT_EQ(test_->stats().at("reasons").at("rule").at("ingress").at("packets"), 100);

    if (GetParam().somebodys_xdp) attach_somebodys_xdp();
    enable(GetParam().options);
    EXPECT_EQ(status(), 0) << test_->agent({"status"}).out;
    exchange(50003);
    const auto healed = test_->stats();
    EXPECT_EQ(count_of(healed.at("reasons").at("rule").at("ingress")), (Count{200, 200 * 128}));
    EXPECT_EQ(count_of(healed.at("reasons").at("rule").at("egress")), (Count{200, 200 * 128}));
    const auto flow = find_flow(healed, "udp", {host_address, 50003}, {media_address, 3478});
    ASSERT_TRUE(flow.is_object());
    EXPECT_EQ(flow.at("interface"), "eth0");

    ASSERT_EQ(test_->agent({"disable"}).status, 0);
    EXPECT_FALSE(std::filesystem::exists(test_->instance.pins()));
    EXPECT_EQ(test_->in_host({"tc", "qdisc", "show", "dev", "eth0"}).find("clsact"), std::string::npos);
}

TEST_P(VanishedInterface, CanBeForgottenByDisable) {
    if (GetParam().somebodys_xdp) attach_somebodys_xdp();
    enable(GetParam().options);
    remove();
    const Outcome disabled = test_->agent({"disable"});
    EXPECT_EQ(disabled.status, 0) << disabled.err;
    EXPECT_FALSE(std::filesystem::exists(test_->instance.pins()));
    EXPECT_EQ(status(), 3);
}

INSTANTIATE_TEST_SUITE_P(
    Of, VanishedInterface,
    testing::Values(
        Choice{"TheDefaultRoute", {}, false}, Choice{"TheAdminsChoice", {"--interface", "eth0"}, false},
        Choice{"TheAdminsChoiceInXdp", {"--interface", "eth0", "--ingress", "xdp"}, false},
        Choice{"TheAdminsChoiceInTcx", {"--interface", "eth0", "--ingress", "xdp"}, true},
        Choice{"TheAdminsChoiceInClsact", {"--interface", "eth0", "--ingress", "xdp", "--tc-hook", "clsact"}, true}),
    [](const auto& choice) { return choice.param.name; });

} // namespace
} // namespace kudo::test
