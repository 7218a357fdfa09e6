// SPDX-License-Identifier: MIT
// What a middlebox on the way does to a call is recognised by its signature, and by no other name; normal traffic by
// none. Invariant: the middlebox is a real one: nftables, NAT, proxies in a namespace of its own.
#include <sys/socket.h>

#include <thread>

#include <fmt/format.h>

#include "tests/e2e/diagnosis/path_fixture.h"
#include "tests/support/ipv4_address.h"

namespace kudo::test {
namespace {

using namespace std::chrono_literals;
using Names = std::set<std::string>;

class Signatures : public PathTest {};

constexpr const char* forward_chain = "table ip box { chain forward { type filter hook forward priority 0; }; }\n";

// KUDO_NORMAL_SECONDS=600: for ten minutes.
TEST_F(Signatures, NormalTrafficHasNone) {
    enable();
    const char* const text = getenv("KUDO_NORMAL_SECONDS");
    const int seconds = text ? std::max(6, atoi(text)) : 6;
    uint16_t port = 42000;
    for (int left = seconds; left > 0; left -= 3) {
        Call normal = call(port);
        normal.settings.swap_every = 37;
        normal.settings.repeat_every = 53;
        normal.run(2500ms);
        ASSERT_GT(normal.received, 500U);
        transfer_tcp({test_->host, {host_address, port}, *server_, {media_address, 443}}, 20'000, 200'000);
        ++port;
        // The application ends; what is on its way comes to no socket.
        normal.close_host();
        normal.run(300ms);
        const Recognised seen = recognised();
        ASSERT_EQ(seen.names, Names{}) << seen.all;
        ASSERT_EQ(seen.where, "none") << seen.all;
    }
    const auto drops = test_->stats().at("drops");
    for (const auto& drop : drops)
        EXPECT_EQ(drop.at("loss"), false) << drop.dump(1);
}

TEST_F(Signatures, FloodControlThatBlocksForSeconds) {
    enable();
    nft_in_middlebox(forward_chain);
    Call flooded = call();
    flooded.settings.video_rate = 450;
    for (int i = 0; i < 3; ++i) {
        flooded.run(2s);
        nft_in_middlebox("add rule ip box forward udp sport 3478 drop");
        flooded.run(1300ms);
        nft_in_middlebox("flush chain ip box forward");
    }
    flooded.run(1s);
    ASSERT_LT(flooded.received, flooded.sent);
    const Recognised seen = recognised();
    EXPECT_EQ(seen.names, Names{"flood_control"}) << seen.all;
    EXPECT_EQ(seen.where, "before_host");
}

TEST_F(Signatures, FloodControlThatLimitsTheRate) {
    enable();
    nft_in_middlebox(forward_chain);
    Call limited = call();
    limited.settings.video_rate = 450;
    limited.run(2s);
    nft_in_middlebox("add rule ip box forward udp sport 3478 limit rate over 400/second burst 100 packets drop");
    limited.run(12s);
    ASSERT_LT(limited.received, limited.sent);
    const Recognised seen = recognised();
    EXPECT_EQ(seen.names, Names{"flood_control"}) << seen.all;
    EXPECT_NE(seen.all.find("400 packets/s"), std::string::npos) << seen.all;
}

TEST_F(Signatures, BlockedUdpAndMediaOverTcp) {
    enable();
    nft_in_middlebox(std::string(forward_chain) + "add rule ip box forward udp dport 3478 drop\n");
    Call blocked = call();
    blocked.settings.stun_every = 500ms;
    blocked.run(6500ms);
    EXPECT_EQ(blocked.responses, 0U);
    const Recognised alone = recognised();
    EXPECT_EQ(alone.names, Names{"udp_unanswered"}) << alone.all;
    transfer_tcp({test_->host, {host_address, 41000}, *server_, {media_address, 443}}, 1000, 400'000);
    const Recognised seen = recognised();
    EXPECT_EQ(seen.names, Names{"udp_blocked"}) << seen.all;
    EXPECT_EQ(seen.where, "before_host");
}

// A NAT that gives each session a port of its own, and forgets it after two seconds of silence.
constexpr const char* forgetful_nat = "table ip nat { chain post { type nat hook postrouting priority 100;\n"
                                      "oifname wan0 meta l4proto udp masquerade to :20000-60000 random; }; }\n";

TEST_F(Signatures, ANatWhoseSessionTimerIsShorterThanASilence) {
    enable();
    nft_in_middlebox(forgetful_nat);
    in_middlebox("sysctl -qw net.netfilter.nf_conntrack_udp_timeout=2 net.netfilter.nf_conntrack_udp_timeout_stream=2");
    Call muted = call();
    muted.run(2s);
    std::this_thread::sleep_for(21s);
    muted.run(1s);
    ASSERT_GE(muted.ports_seen.size(), 2U) << "the NAT did not forget";
    const Recognised seen = recognised();
    EXPECT_TRUE(seen.names.contains("session_timer")) << seen.all;
    EXPECT_FALSE(seen.names.contains("nat_rebinding")) << seen.all;
}

TEST_F(Signatures, ANatThatChangesThePortWithoutASilence) {
    enable();
    nft_in_middlebox(forgetful_nat);
    in_middlebox("sysctl -qw net.netfilter.nf_conntrack_udp_timeout=1 net.netfilter.nf_conntrack_udp_timeout_stream=1");
    Call rebound = call();
    rebound.settings.audio_rate = rebound.settings.video_rate = 0;
    rebound.settings.stun_every = 2500ms;
    rebound.run(8s);
    ASSERT_GE(rebound.ports_seen.size(), 2U) << "the NAT did not forget";
    const Recognised seen = recognised();
    EXPECT_EQ(seen.names, Names{"nat_rebinding"}) << seen.all;
}

// Accepts a connection, and gives it back when the peer has said something or `patience` is over.
Fd accept_one(const Fd& listener) {
    return Fd(accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
}

Fd tcp_listener(const NetworkNamespace& space, const char* address, uint16_t port) {
    return inside<Fd>(space, [&] {
        Fd listener(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
        const int on = 1;
        setsockopt(listener.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
        const sockaddr_in name = ipv4_address(address, port);
        if (bind(listener.get(), reinterpret_cast<const sockaddr*>(&name), sizeof name) != 0 ||
            listen(listener.get(), 8) != 0)
            throw std::runtime_error("cannot listen");
        return listener;
    });
}

Fd tcp_connection(const NetworkNamespace& space, const char* address, uint16_t port) {
    return inside<Fd>(space, [&] {
        Fd connection(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
        const sockaddr_in name = ipv4_address(address, port);
        if (connect(connection.get(), reinterpret_cast<const sockaddr*>(&name), sizeof name) != 0)
            throw std::runtime_error("cannot connect");
        return connection;
    });
}

TEST_F(Signatures, AProxyThatAnswersTlsInPlaceOfTheServer) {
    enable();
    nft_in_middlebox("table ip nat { chain pre { type nat hook prerouting priority -100;\n"
                     "iifname eth0 tcp dport 443 redirect to :8443; }; }\n");
    const Fd proxy = tcp_listener(test_->far, "0.0.0.0", 8443);
    const Fd connection = tcp_connection(test_->host, media_address, 443);
    const Fd accepted = accept_one(proxy);
    const std::string hello(300, 'h');
    ASSERT_EQ(send(connection.get(), hello.data(), hello.size(), 0), 300);
    Call inspected = call();
    inspected.settings.stun_delay = 40ms;
    inspected.run(2s);
    const Recognised seen = recognised();
    EXPECT_EQ(seen.names, Names{"tls_inspected"}) << seen.all;
}

TEST_F(Signatures, AResetRightAfterTheFirstMessage) {
    enable();
    const Fd server = tcp_listener(*server_, media_address, 443);
    for (int i = 0; i < 4; ++i) {
        const Fd connection = tcp_connection(test_->host, media_address, 443);
        Fd accepted = accept_one(server);
        const std::string hello(517, 'h');
        ASSERT_EQ(send(connection.get(), hello.data(), hello.size(), 0), 517);
        char buffer[1000];
        ASSERT_GT(recv(accepted.get(), buffer, sizeof buffer, 0), 0);
        const linger reset{.l_onoff = 1, .l_linger = 0};
        setsockopt(accepted.get(), SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
        accepted = Fd();
    }
    std::this_thread::sleep_for(2500ms);
    const Recognised seen = recognised();
    EXPECT_EQ(seen.names, Names{"tls_reset"}) << seen.all;
}

TEST_F(Signatures, ATunnelOnTheWay) {
    const Fd tun = open_tun(test_->host);
    in_host("ip link set tun0 addrgenmode none up");
    in_host("ip address add 10.88.0.2/24 dev tun0");
    in_host(fmt::format("ip route add {} dev tun0", media_address));
    enable();
    const Fd socket = udp_socket(test_->host, {"10.88.0.2", 40000});
    send_datagram(socket.get(), {media_address, 3478}, Bytes(100, 0x5a));
    EXPECT_EQ(next_from_tun(tun).destination, media_address);
    const Recognised seen = recognised();
    EXPECT_EQ(seen.names, Names{"tunnel"}) << seen.all;
}

// Requests of a call alone, and then beside `burst` of the host's datagrams of a kilobyte to `sink`, again after each
// pause.
void ask_beside_bulk(Call waiting, const NetworkNamespace& host, const Endpoint& sink, int burst,
                     std::chrono::milliseconds pause) {
    const Fd bulk = udp_socket(host, {host_address, 50000});
    std::atomic<bool> ended = false;
    waiting.settings.audio_rate = waiting.settings.video_rate = 0;
    waiting.settings.stun_every = 100ms;
    waiting.run(1s);
    std::thread filler([&] {
        while (!ended) {
            for (int i = 0; i < burst; ++i)
                send_datagram(bulk.get(), sink, Bytes(1000, 0));
            std::this_thread::sleep_for(pause);
        }
    });
    waiting.run(4s);
    ended = true;
    filler.join();
}

TEST_F(Signatures, AnUplinkThatIsFull) {
    in_host("tc qdisc replace dev eth0 root tbf rate 2mbit burst 5kb limit 60kb");
    enable();
    ask_beside_bulk(call(), test_->host, {stranger_address, 9}, 40, 10ms);
    const Recognised seen = recognised();
    EXPECT_TRUE(seen.names.contains("full_uplink")) << seen.all;
}

TEST_F(Signatures, PacketsThatTheNetworkLosesAtRandom) {
    enable();
    nft_in_middlebox(forward_chain);
    Call lossy = call();
    lossy.run(1s);
    nft_in_middlebox("add rule ip box forward udp sport 3478 @th,64,2 2 numgen random mod 25 0 drop"); // RTP, not STUN
    lossy.run(5s);
    nft_in_middlebox("flush chain ip box forward");
    lossy.run(3s);
    ASSERT_LT(lossy.received, lossy.sent);
    const Recognised seen = recognised();
    EXPECT_EQ(seen.names, Names{"network_loss"}) << seen.all;
    EXPECT_EQ(seen.where, "before_host");
}

TEST_F(Signatures, NothingComesInAnyMoreWhileThisHostGoesOn) {
    enable();
    nft_in_middlebox(forward_chain);
    Call silenced = call();
    silenced.run(2s);
    nft_in_middlebox("add rule ip box forward udp sport 3478 drop");
    silenced.run(24s);
    const Recognised seen = recognised();
    EXPECT_TRUE(seen.names.contains("inbound_ended")) << seen.all;
    EXPECT_EQ(seen.where, "before_host");
}

TEST_F(Signatures, AnApplicationWithASmallBufferThatDoesNotRead) {
    enable();
    const Endpoint here{host_address, 40000};
    const Fd slow = udp_socket(test_->host, here), server = udp_socket(*server_, {media_address, 3478});
    const int small = 4096;
    ASSERT_EQ(setsockopt(slow.get(), SOL_SOCKET, SO_RCVBUF, &small, sizeof small), 0);
    send_datagram(slow.get(), {media_address, 3478}, Bytes(100, 0x5a)); // what has not been asked for is no call's
    for (int i = 0; i < 200; ++i)
        send_datagram(server.get(), here, Bytes(500, 0x5a));
    const Recognised seen = recognised();
    EXPECT_EQ(seen.names, Names{"small_socket_buffer"}) << seen.all;
    EXPECT_EQ(seen.where, "application");
}

TEST_F(Signatures, AReversePathFilterThatSeesAnotherWay) {
    enable({"--interface", "eth0"});
    const Endpoint here{host_address, 40000};
    const Fd receiver = udp_socket(test_->host, here), server = udp_socket(*server_, {media_address, 3478});
    in_host("ip link add other0 up type veth peer name other1");
    in_host("ip link set other1 up");
    send_datagram(receiver.get(), {media_address, 3478}, Bytes(100, 0x5a));
    in_host("sysctl -qw net.ipv4.conf.all.rp_filter=1 net.ipv4.conf.eth0.rp_filter=1");
    in_host(fmt::format("ip route add {} dev other0", media_address));
    for (int i = 0; i < 50; ++i)
        send_datagram(server.get(), here, Bytes(200, 0x5a));
    const Recognised seen = recognised();
    EXPECT_EQ(seen.names, Names{"rp_filter"}) << seen.all;
    EXPECT_EQ(seen.where, "host");
}

TEST_F(Signatures, ANetworkThatLosesTheLaterFragmentsOfLargePackets) {
    enable();
    in_host("sysctl -qw net.ipv4.ipfrag_time=1");
    nft_in_middlebox(forward_chain);
    nft_in_middlebox("add rule ip box forward ip frag-off & 0x1fff != 0 drop");
    const Endpoint here{host_address, 40000};
    const Fd receiver = udp_socket(test_->host, here), server = udp_socket(*server_, {media_address, 3478});
    send_datagram(receiver.get(), {media_address, 3478}, Bytes(100, 0x5a));
    for (int i = 0; i < 20; ++i) {
        send_datagram(server.get(), here, Bytes(200, 0x5a));  // whole
        send_datagram(server.get(), here, Bytes(2500, 0x5a)); // in two
    }
    std::this_thread::sleep_for(2500ms);
    const Recognised seen = recognised();
    EXPECT_EQ(seen.names, Names{"fragments_lost"}) << seen.all;
    EXPECT_EQ(seen.where, "before_host");
}

TEST_F(Signatures, AMediaServerThatTheRangeMapLacks) {
    enable();
    Call elsewhere(test_->host, test_->far, {.host = {host_address, 40000}, .server = {stranger_address, 3478}});
    elsewhere.settings.audio_rate = elsewhere.settings.video_rate = 0;
    elsewhere.run(3s);
    ASSERT_GT(elsewhere.responses, 0U);
    const Recognised seen = recognised();
    EXPECT_EQ(seen.names, Names{"map_stale"}) << seen.all;
}

TEST_F(Signatures, ALineThatIsFullBehindThisHost) {
    enable();
    in_middlebox("tc qdisc replace dev wan0 root tbf rate 2mbit burst 5kb limit 60kb");
    ask_beside_bulk(call(), test_->host, {"192.168.9.2", 9}, 12, 20ms);
    const Recognised seen = recognised();
    EXPECT_EQ(seen.names, Names{"full_line"}) << seen.all;
}

} // namespace
} // namespace kudo::test
