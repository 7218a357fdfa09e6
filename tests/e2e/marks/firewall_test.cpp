// SPDX-License-Identifier: MIT
// --firewall-mark: what a host firewall matches on incoming packets, however ingress is attached.
// Invariant: the counters are nft's; every packet that they see is accounted for.
#include "tests/e2e/link_fixture.h"

namespace kudo::test {
namespace {

constexpr unsigned packets = 100;
constexpr uint32_t other_bits = 0xabcd1200;

class FirewallMark : public LineTest, public testing::WithParamInterface<IngressKind> {
protected:
    // Counters of the input chain by mark, for UDP.
    void count_marks() {
        std::string script = "add table inet fw; add chain inet fw in { type filter hook input priority 0; }";
        for (const auto& [name, match] : {std::pair{"ours", "meta mark and 0xff == 0x4b"},
                                          {"ours_and_others", "meta mark == 0xabcd124b"},
                                          {"only_others", "meta mark == 0xabcd1200"},
                                          {"none", "meta mark == 0"}})
            script += std::string("; add counter inet fw ") + name + "; add rule inet fw in meta l4proto udp " + match +
                      " counter name " + name;
        test_->in_host({"nft", script});
    }
    std::map<std::string, uint64_t> marks() {
        std::map<std::string, uint64_t> result;
        const auto listed = nlohmann::json::parse(test_->in_host({"nft", "-j", "list", "counters"}));
        for (const auto& entry : listed.at("nftables"))
            if (entry.contains("counter")) result[entry.at("counter").at("name")] = entry.at("counter").at("packets");
        return result;
    }
    // Media, a port that is not listed, and a stranger.
    void receive_all() {
        const Endpoint here{host_address, 50001};
        const Fd near = udp_socket(test_->host, here);
        for (const Endpoint& there : {Endpoint{media_address, 3478}, {media_address, 3479}, {stranger_address, 3478}})
            send_datagrams(udp_socket(test_->far, there).get(), here, near.get(), packets, 100);
    }
};

using Marked = std::map<std::string, uint64_t>;

TEST_P(FirewallMark, IsOnExactlyThePrioritisedPacketsAndKeepsTheOtherBits) {
    quieten();
    count_marks();
    attach_somebodys_mark(other_bits);
    enable_as(GetParam(), {"--firewall-mark", "0x4b/0xff"});
    receive_all();
    EXPECT_EQ(marks(),
              (Marked{{"ours", packets}, {"ours_and_others", packets}, {"only_others", 2 * packets}, {"none", 0}}));

    // Beside XDP there are two programs on ingress: each packet is counted once.
    const auto stats = test_->stats();
    EXPECT_EQ(stats.at("reasons").at("rule").at("ingress").at("packets"), packets);
    EXPECT_EQ(stats.at("totals").at("ingress").at("packets"), 3 * packets);
    EXPECT_TRUE(somebodys_xdp_stands());
}

TEST_P(FirewallMark, IsNotThereUnlessAskedForNorAfterItWasTakenBack) {
    quieten();
    count_marks();
    enable_as(GetParam());
    receive_all();
    EXPECT_EQ(marks(), (Marked{{"ours", 0}, {"ours_and_others", 0}, {"only_others", 0}, {"none", 3 * packets}}));
    enable_as(GetParam(), {"--firewall-mark", "0x4b/0xff"});
    receive_all();
    EXPECT_EQ(marks(), (Marked{{"ours", packets}, {"ours_and_others", 0}, {"only_others", 0}, {"none", 5 * packets}}));
    enable_as(GetParam());
    receive_all();
    EXPECT_EQ(marks(), (Marked{{"ours", packets}, {"ours_and_others", 0}, {"only_others", 0}, {"none", 8 * packets}}));
    EXPECT_EQ(test_->stats().at("totals").at("ingress").at("packets"), 9 * packets);
}

TEST_P(FirewallMark, IsNotSetByObserve) {
    quieten();
    count_marks();
    attach_somebodys_mark(other_bits);
    enable_as(GetParam(), {"--firewall-mark", "0x4b/0xff", "--mode", "observe"});
    receive_all();
    EXPECT_EQ(marks(), (Marked{{"ours", 0}, {"ours_and_others", 0}, {"only_others", 3 * packets}, {"none", 0}}));
}

INSTANTIATE_TEST_SUITE_P(Ingress, FirewallMark,
                         testing::Values(IngressKind::XdpNative, IngressKind::Tcx, IngressKind::Clsact),
                         [](const auto& kind) {
                             return kind.param == IngressKind::XdpNative ? "BesideXdp"
                                    : kind.param == IngressKind::Tcx     ? "InTcx"
                                                                         : "InClsact";
                         });

} // namespace
} // namespace kudo::test
