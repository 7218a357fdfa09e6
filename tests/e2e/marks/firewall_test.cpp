// SPDX-License-Identifier: MIT
// --firewall-mark: what a host firewall matches on incoming packets, however ingress is attached.
// Invariant: the counters are nft's; every packet that they see is accounted for.
#include "tests/e2e/link_fixture.h"

#include <bpf/bpf.h>

#include "agent/datapath/datapath.h"

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
    // From media, a port that is not listed, and a stranger, each after this host has sent something there.
    void receive_all() {
        const Endpoint here{host_address, 50001};
        const Fd near = udp_socket(test_->host, here);
        for (const Endpoint& there : {Endpoint{media_address, 3478}, {media_address, 3479}, {stranger_address, 3478}}) {
            const Fd far = udp_socket(test_->far, there);
            send_datagrams(near.get(), there, far.get(), 1, 10);
            send_datagrams(far.get(), here, near.get(), packets, 100);
        }
    }
    [[nodiscard]] uint64_t marked() { return marks().at("ours"); }
    // One datagram from the far end's address to the host's.
    void receive(const Endpoint& there, const Endpoint& here) const {
        const Fd near = udp_socket(test_->host, here), far = udp_socket(test_->far, there);
        send_datagrams(far.get(), here, near.get(), 1, 100);
    }
    void send(const Endpoint& here, const Endpoint& there) const {
        const Fd near = udp_socket(test_->host, here), far = udp_socket(test_->far, there);
        send_datagrams(near.get(), there, far.get(), 1, 100);
    }
};

using Marked = std::map<std::string, uint64_t>;

TEST_P(FirewallMark, IsOnExactlyThePrioritisedPacketsAndKeepsTheOtherBits) {
    quieten();
    count_marks();
    enable_behind_somebodys_mark(GetParam(), {"--firewall-mark", "0x4b/0xff"}, other_bits);
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
    enable_behind_somebodys_mark(GetParam(), {"--firewall-mark", "0x4b/0xff", "--mode", "observe"}, other_bits);
    receive_all();
    EXPECT_EQ(marks(), (Marked{{"ours", 0}, {"ours_and_others", 0}, {"only_others", 3 * packets}, {"none", 0}}));
}

TEST_P(FirewallMark, IsNotSetOnWhatOnlyClaimsToComeFromKudo) {
    quieten();
    count_marks();
    enable_as(GetParam(), {"--firewall-mark", "0x4b/0xff"});
    receive({media_address, 3478}, {host_address, 50001});
    EXPECT_EQ(marked(), 0u) << "nothing was sent there";
    send({host_address, 50001}, {media_address, 3478});
    receive({media_address, 3478}, {host_address, 50001});
    EXPECT_EQ(marked(), 1u) << "the answer";
    receive({media_address, 3478}, {host_address, 50002});
    EXPECT_EQ(marked(), 1u) << "another port of this host";
}

TEST_P(FirewallMark, IsSetOnAnswersOverIPv6) {
    quieten();
    count_marks();
    apply_map_with_ipv6();
    enable_as(GetParam(), {"--firewall-mark", "0x4b/0xff"});
    receive({media_address6, 3478}, {host_address6, 50001});
    EXPECT_EQ(marked(), 0u);
    send({host_address6, 50001}, {media_address6, 3478});
    receive({media_address6, 3478}, {host_address6, 50001});
    EXPECT_EQ(marked(), 1u);
}

TEST_P(FirewallMark, EndsWithTheTimeForAnswers) {
    quieten();
    count_marks();
    enable_as(GetParam(), {"--firewall-mark", "0x4b/0xff"});
    send({host_address, 50001}, {media_address, 3478});
    auto data_path = DataPath::open(test_->instance);
    ASSERT_TRUE(data_path);
    const int map = data_path->maps().outgoing4.get();
    kudo_flow4_key key{};
    ASSERT_EQ(bpf_map_get_next_key(map, nullptr, &key), 0);
    uint64_t sent = 0;
    ASSERT_EQ(bpf_map_lookup_elem(map, &key, &sent), 0);
    const auto age = [&](uint64_t ns) {
        const uint64_t then = sent - ns;
        ASSERT_EQ(bpf_map_update_elem(map, &key, &then, BPF_EXIST), 0);
    };
    age(KUDO_ANSWERS_UDP - 60'000'000'000);
    receive({media_address, 3478}, {host_address, 50001});
    EXPECT_EQ(marked(), 1u);
    age(KUDO_ANSWERS_UDP);
    receive({media_address, 3478}, {host_address, 50001});
    EXPECT_EQ(marked(), 1u) << "too late";
}

// A table of its own: TCP's flags decide.
TEST_P(FirewallMark, IsOnTcpAnswersButOnNoSynThatComesIn) {
    test_->in_host({"nft", "add table inet fw; add chain inet fw in { type filter hook input priority 0; }; "
                           "add counter inet fw syn; add counter inet fw rest; "
                           "add rule inet fw in meta l4proto tcp tcp flags & (syn | ack) == syn meta mark and 0xff == "
                           "0x4b counter name syn; "
                           "add rule inet fw in meta l4proto tcp tcp flags & ack == ack meta mark and 0xff == 0x4b "
                           "counter name rest"});
    enable_as(GetParam(), {"--firewall-mark", "0x4b/0xff"});
    const TcpEnds outgoing{test_->host, {host_address, 50001}, test_->far, {media_address, 443}};
    EXPECT_EQ(transfer_tcp(outgoing, 1000, 1000).downloaded, 1000u);
    auto counted = marks();
    EXPECT_EQ(counted.at("syn"), 0u);
    EXPECT_GE(counted.at("rest"), 2u) << "SYN and ACK, data";
    // From that very address and port to the port that has just sent there, and to another.
    for (const uint16_t port : {uint16_t{50001}, uint16_t{22}}) {
        const TcpEnds incoming{test_->far, {media_address, 443}, test_->host, {host_address, port}};
        EXPECT_EQ(transfer_tcp(incoming, 1000, 0).uploaded, 1000u);
    }
    counted = marks();
    EXPECT_EQ(counted.at("syn"), 0u);
}

INSTANTIATE_TEST_SUITE_P(Ingress, FirewallMark, all_ingress_kinds, name_of_ingress);

} // namespace
} // namespace kudo::test
