// SPDX-License-Identifier: MIT
// Which hook judges incoming packets, and how ingress moves from one to another while packets come in.
// Invariant: what our counters are compared with is counted by nft, behind all of our programs.
#include "tests/e2e/link_fixture.h"

#include <net/if.h>
#include <sys/socket.h>

#include <atomic>
#include <fstream>
#include <thread>

#include "agent/datapath/bpf_object.h"
#include "tests/support/foreign_program.h"
#include "tests/support/running_service.h"

namespace kudo::test {
namespace {

const Endpoint here{host_address, 50001}, media{media_address, 3478};

// Media datagrams to the host, as fast as they can be sent, for as long as the object lives.
class Flood {
public:
    explicit Flood(const TestHost& test) : near_(udp_socket(test.host, here)), far_(udp_socket(test.far, media)) {
        send_datagrams(far_.get(), here, near_.get(), 1, 100); // its link address is known from here on
        receiver_ = std::jthread([this](const std::stop_token& stop) {
            std::array<char, 2048> buffer{};
            while (!stop.stop_requested())
                if (recv(near_.get(), buffer.data(), buffer.size(), MSG_DONTWAIT) < 0) std::this_thread::yield();
        });
        sender_ = std::jthread([this](const std::stop_token& stop) {
            const std::array<uint8_t, 100> payload{};
            while (!stop.stop_requested()) {
                for (int i = 0; i < 32; i++)
                    send_datagram(far_.get(), here, payload);
                std::this_thread::sleep_for(std::chrono::microseconds(200));
            }
        });
    }

private:
    Fd near_, far_;
    std::jthread receiver_, sender_; // last: they end first
};

class IngressHooks : public LineTest {
protected:
    [[nodiscard]] std::string ingress() const { return test_->status().at("interfaces").at(0).at("ingress"); }
    [[nodiscard]] std::string link() const { return test_->in_host({"ip", "-d", "link", "show", "eth0"}); }
    [[nodiscard]] nlohmann::json report(std::vector<std::string> options) const {
        options.insert(options.begin(), {"enable", "--region", "ca", "--json"});
        const Outcome enabled = test_->agent(std::move(options));
        if (enabled.status != 0) throw std::runtime_error(enabled.err);
        return nlohmann::json::parse(enabled.out);
    }
    void count_with_nft() const {
        test_->in_host({"nft", "add table inet seen; add counter inet seen media; "
                               "add chain inet seen pre { type filter hook prerouting priority 0; }; "
                               "add rule inet seen pre udp dport 50001 counter name media"});
    }
    [[nodiscard]] uint64_t nft_counted() const {
        const auto listed = nlohmann::json::parse(test_->in_host({"nft", "-j", "list", "counters"}));
        return listed.at("nftables").at(1).at("counter").at("packets");
    }
    [[nodiscard]] uint64_t counted() const {
        return count_of(find_flow(test_->stats(), "udp", here, media).at("ingress")).packets;
    }
    // Until packets of the flood have come to the hook that is there now.
    void see_traffic() const {
        const uint64_t before = nft_counted();
        ASSERT_TRUE(eventually([&] { return nft_counted() > before + 500; }));
    }
    void set_mtu(const char* bytes) const {
        test_->in_host({"ip", "link", "set", "eth0", "mtu", bytes});
        test_->in_far({"ip", "link", "set", "eth0", "mtu", bytes});
    }
};

TEST_F(IngressHooks, TcIsTheDefaultAndXdpComesOnlyIfAskedForAndSaysWhatItCosts) {
    const auto plain = report({});
    EXPECT_EQ(plain.at("interfaces").at(0).at("ingress"), tc_hook_name());
    EXPECT_EQ(plain.at("warnings"), nlohmann::json::array());
    EXPECT_EQ(link().find("xdp"), std::string::npos) << link();
    EXPECT_EQ(test_->status().at("ingress"), "auto");
    EXPECT_NE(test_->agent({"status"}).out.find("ingress     auto: tc"), std::string::npos);

    const auto by_xdp = report({"--ingress", "xdp"});
    EXPECT_EQ(by_xdp.at("interfaces").at(0).at("ingress"), "xdp-native");
    ASSERT_EQ(by_xdp.at("warnings").size(), 1u) << by_xdp;
    for (const char* cost : {"eth0", "TSO", "MTU", "rings", "bond", "--ingress tc"})
        EXPECT_NE(by_xdp.at("warnings").at(0).get<std::string>().find(cost), std::string::npos) << cost;
    EXPECT_NE(link().find("name kudo_xdp"), std::string::npos) << link();
    EXPECT_EQ(test_->status().at("ingress"), "xdp");

    for (const char* choice : {"tc", "auto"}) {
        enable({"--ingress", "xdp"});
        EXPECT_EQ(report({"--ingress", choice}).at("interfaces").at(0).at("ingress"), tc_hook_name());
        EXPECT_EQ(link().find("xdp"), std::string::npos) << link();
        EXPECT_EQ(report({"--ingress", choice}).at("changed"), false);
    }
}

TEST_F(IngressHooks, CanBeChosenInTheConfigurationFile) {
    const std::string file = test_->write_file("kudo-agent.toml", "[enable]\nregion = \"ca\"\ningress = \"xdp\"\n");
    ASSERT_EQ(test_->agent({"--config", file, "enable"}).status, 0);
    EXPECT_EQ(ingress(), "xdp-native");
}

TEST_F(IngressHooks, XdpOfEitherKindContradictsTc) {
    const Outcome refused = test_->agent({"enable", "--region", "ca", "--ingress", "tc", "--xdp-generic"});
    EXPECT_EQ(refused.status, 2);
    EXPECT_NE(refused.err.find("--xdp-generic"), std::string::npos) << refused.err;
    EXPECT_EQ(test_->agent({"status"}).status, 3);
    enable({"--xdp-generic"});
    EXPECT_EQ(ingress(), "xdp-native") << "it is tried first";
}

TEST_F(IngressHooks, AForeignXdpProgramIsNoTroubleToTc) {
    const Fd other = attach_foreign_xdp(test_->host, "eth0", XDP_PASS);
    ASSERT_TRUE(other);
    const auto plain = report({});
    EXPECT_TRUE(plain.at("interfaces").at(0).at("note").is_null()) << plain;
    const auto status = test_->status();
    EXPECT_NE(status.at("interfaces").at(0).at("note").get<std::string>().find("runs on XDP"), std::string::npos)
        << status;
    const auto by_xdp = report({"--ingress", "xdp"});
    EXPECT_EQ(by_xdp.at("interfaces").at(0).at("ingress"), tc_hook_name());
    EXPECT_NE(by_xdp.at("interfaces").at(0).at("note").get<std::string>().find("another XDP program"),
              std::string::npos);
    EXPECT_EQ(link_info(other.get()).value().interface,
              inside<uint32_t>(test_->host, [] { return if_nametoindex("eth0"); }));
}

TEST_F(IngressHooks, WhyTheKernelRefusesXdpIsToldInItsWords) {
    try {
        test_->in_far({"ethtool", "-L", "eth0", "tx", "2"});
    } catch (const std::runtime_error& refused) {
        GTEST_SKIP() << "this kernel does not change a veth's queues: " << refused.what();
    }
    const auto refused = report({"--ingress", "xdp"});
    EXPECT_EQ(refused.at("interfaces").at(0).at("ingress"), tc_hook_name());
    const std::string note = refused.at("interfaces").at(0).at("note");
    EXPECT_NE(note.find("number of rx queues not less than peer tx queues"), std::string::npos) << note;
    EXPECT_NE(note.find("using tc"), std::string::npos) << note;
    EXPECT_EQ(link().find("xdp"), std::string::npos) << "asking has left something: " << link();
    test_->in_far({"ethtool", "-L", "eth0", "tx", "1"});
    EXPECT_EQ(report({"--ingress", "xdp"}).at("interfaces").at(0).at("ingress"), "xdp-native");
}

// Two buffers for each datagram, and more.
TEST_F(IngressHooks, JumboFramesPassNativeXdpAndAreCountedWhole) {
    set_mtu("9000");
    const auto enabled = report({"--ingress", "xdp"});
    if (!kernel_has_xdp_frags()) {
        EXPECT_EQ(enabled.at("interfaces").at(0).at("ingress"), tc_hook_name());
        EXPECT_NE(enabled.at("interfaces").at(0).at("note").get<std::string>().find("MTU"), std::string::npos);
        return;
    }
    ASSERT_EQ(enabled.at("interfaces").at(0).at("ingress"), "xdp-native") << enabled;
    constexpr unsigned packets = 500, size = 8000;
    const Endpoint stranger{stranger_address, 3478};
    const Fd near = udp_socket(test_->host, here), far = udp_socket(test_->far, media),
             other = udp_socket(test_->far, stranger);
    const auto before = count_of(test_->stats().at("reasons").at("stranger").at("ingress"));
    for (unsigned sent = 0; sent < packets; sent += 5) { // a socket has room for few of them
        send_datagrams(near.get(), media, far.get(), 5, size);
        send_datagrams(far.get(), here, near.get(), 5, size);
        send_datagrams(other.get(), here, near.get(), 5, size);
    }
    const auto stats = test_->stats();
    const auto flow = find_flow(stats, "udp", here, media);
    ASSERT_TRUE(flow.is_object());
    EXPECT_EQ(count_of(flow.at("ingress")), (Count{packets, packets * (size + 28)}));
    EXPECT_EQ(count_of(flow.at("egress")), (Count{packets, packets * (size + 28)}));
    const auto strangers = count_of(stats.at("reasons").at("stranger").at("ingress"));
    EXPECT_GE(strangers.packets - before.packets, packets);
    EXPECT_GE(strangers.bytes - before.bytes, packets * (size + 28));
    for (const char* reason : {"truncated_ip", "truncated_transport", "truncated_link"})
        EXPECT_EQ(stats.at("reasons").at(reason).at("ingress").at("packets"), 0) << reason;

    const TcpOutcome bulk =
        transfer_tcp({test_->host, {host_address, 50002}, test_->far, {media_address, 443}}, 5'000'000, 5'000'000);
    EXPECT_EQ(bulk.uploaded + bulk.downloaded, 10'000'000u);
    EXPECT_GE(
        count_of(find_flow(test_->stats(), "tcp", {host_address, 50002}, {media_address, 443}).at("ingress")).bytes,
        5'000'000u);

    // Where frames are large the driver is asked before XDP is taken off.
    EXPECT_EQ(report({"--ingress", "tc"}).at("interfaces").at(0).at("ingress"), tc_hook_name());
    EXPECT_EQ(link().find("xdp"), std::string::npos) << link();
    ASSERT_EQ(report({"--ingress", "xdp"}).at("interfaces").at(0).at("ingress"), "xdp-native");
    const Outcome disabled = test_->agent({"disable"});
    EXPECT_EQ(disabled.status, 0) << disabled.err;
    EXPECT_EQ(link().find("xdp"), std::string::npos) << link();
}

class MovingIngress : public IngressHooks, public testing::WithParamInterface<const char*> {};
INSTANTIATE_TEST_SUITE_P(TcHook, MovingIngress, testing::Values("auto", "clsact"));

TEST_P(MovingIngress, CountsEveryPacketOnceWhicheverWayItGoes) {
    count_with_nft();
    enable({"--tc-hook", GetParam()});
    {
        const Flood flood(*test_);
        for (int round = 0; round < 5; round++) {
            see_traffic();
            enable({"--tc-hook", GetParam(), "--ingress", "xdp"});
            EXPECT_EQ(ingress(), "xdp-native");
            see_traffic();
            enable({"--tc-hook", GetParam(), "--firewall-mark", "0x10", "--ingress", round % 2 ? "xdp" : "tc"});
            see_traffic();
            enable({"--tc-hook", GetParam()});
            EXPECT_EQ(link().find("xdp"), std::string::npos);
        }
    }
    EXPECT_GT(nft_counted(), 10'000u);
    EXPECT_EQ(counted(), nft_counted());
}

TEST_P(MovingIngress, FollowsEveryRtpPacketOnce) {
    count_with_nft();
    enable({"--tc-hook", GetParam()});
    uint64_t sent = 0;
    {
        const Fd near = udp_socket(test_->host, here), far = udp_socket(test_->far, media);
        send_datagrams(far.get(), here, near.get(), 1, 100); // its link address is known from here on
        const std::jthread sender([&](const std::stop_token& stop) {
            std::array<uint8_t, 172> rtp{0x80, 111, 0, 0, 0, 0, 0, 0, 0xa0, 0xd1, 0, 1};
            for (; !stop.stop_requested(); sent++) {
                const uint32_t timestamp = static_cast<uint32_t>(sent) * 960;
                rtp[2] = static_cast<uint8_t>(sent >> 8);
                rtp[3] = static_cast<uint8_t>(sent);
                for (int byte = 0; byte < 4; byte++)
                    rtp[4 + static_cast<std::size_t>(byte)] = static_cast<uint8_t>(timestamp >> (24 - 8 * byte));
                send_datagram(far.get(), here, rtp);
                std::this_thread::sleep_for(std::chrono::microseconds(50));
            }
        });
        for (int round = 0; round < 3; round++) {
            see_traffic();
            enable({"--tc-hook", GetParam(), "--ingress", "xdp"});
            see_traffic();
            enable({"--tc-hook", GetParam()});
        }
    }
    const auto flow = find_flow(test_->stats(), "udp", here, media);
    ASSERT_TRUE(flow.is_object());
    uint64_t followed = 0;
    for (const auto& stream : flow.at("rtp"))
        followed += stream.at("packets").get<uint64_t>();
    EXPECT_GT(sent, 1000u);
    EXPECT_EQ(count_of(flow.at("ingress")).packets, sent + 1);
    EXPECT_EQ(followed, sent);
}

TEST_F(IngressHooks, ThatMoveTakeNothingFromAnotherInstanceNorFromABridgeAbove) {
    count_with_nft();
    // The host's address moves to a bridge over eth0, and both are watched.
    put_bridge();
    const Instance second{test_->instance.bpffs.string() + "/second", test_->folder + "/second-state"};
    const auto of_second = [&](std::vector<std::string> arguments) {
        arguments.insert(arguments.begin(),
                         {KUDO_AGENT_PROGRAM, "--bpffs", second.bpffs, "--state-dir", second.state_dir});
        const Outcome outcome = inside<Outcome>(test_->host, [&] { return run_program(arguments); });
        EXPECT_EQ(outcome.status, 0) << outcome.err;
        return outcome.out;
    };
    of_second({"enable", "--region", "ca", "--interface", "eth0"});
    enable({"--interface", "eth0", "--interface", "br0"});
    {
        const Flood flood(*test_);
        for (int round = 0; round < 3; round++)
            for (const char* hook : {"xdp", "tc"}) {
                see_traffic();
                enable({"--interface", "eth0", "--interface", "br0", "--ingress", hook});
            }
        see_traffic();
    }
    const auto packets_of = [](const nlohmann::json& stats, const std::string& interface) {
        uint64_t packets = 0;
        for (const auto& flow : stats.at("flows"))
            if (flow.at("interface") == interface && flow.at("local_port") == here.port)
                packets += count_of(flow.at("ingress")).packets;
        return packets;
    };
    EXPECT_EQ(packets_of(test_->stats(), "eth0"), nft_counted());
    EXPECT_EQ(packets_of(test_->stats(), "br0"), nft_counted());
    EXPECT_EQ(packets_of(nlohmann::json::parse(of_second({"stats", "--json", "--flows"})), "eth0"), nft_counted());
    of_second({"disable"});
}

// The last version attached native XDP, and its state knows no such option.
TEST_F(IngressHooks, OfAnEarlierVersionMoveToTcWhenTheServiceStarts) {
    count_with_nft();
    enable({"--ingress", "xdp"});
    const std::string file = test_->instance.state_dir.string() + "/state.json";
    auto state = nlohmann::json::parse(std::ifstream(file));
    ASSERT_EQ(state.erase("ingress"), 1u);
    std::ofstream(file) << state;
    {
        const Flood flood(*test_);
        see_traffic();
        const Outcome status = test_->agent({"status"});
        EXPECT_EQ(status.status, 4) << status.out;
        EXPECT_NE(status.out.find("where tc is desired"), std::string::npos) << status.out;
        const RunningService service(*test_, {});
        EXPECT_EQ(test_->agent({"status"}).status, 0) << test_->agent({"status"}).out;
        EXPECT_EQ(ingress(), tc_hook_name());
        see_traffic();
    }
    EXPECT_EQ(counted(), nft_counted());
}

} // namespace
} // namespace kudo::test
