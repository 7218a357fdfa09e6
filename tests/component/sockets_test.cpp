// SPDX-License-Identifier: MIT
// Sockets of a private network namespace, found by flow, with what the kernel tells of them.
#include <gtest/gtest.h>

#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <array>
#include <chrono>
#include <cstring>
#include <thread>

#include "agent/sockets/sockets.h"
#include "tests/component/line.h"
#include "tests/support/running_service.h"

namespace kudo::test {
namespace {

constexpr uint8_t udp[] = {IPPROTO_UDP}, tcp[] = {IPPROTO_TCP};

class SocketsOfFlows : public testing::Test {
protected:
    void SetUp() override {
        if (!line_.why_not().empty()) GTEST_SKIP() << line_.why_not();
    }

    static Sockets read(std::span<const uint8_t> protocols, std::span<const uint16_t> ports = {}) {
        auto sockets = Sockets::read(protocols, ports);
        if (!sockets) throw std::runtime_error(sockets.error().message);
        return std::move(*sockets);
    }
    static uint64_t cookie_of(const Fd& fd) {
        uint64_t cookie = 0;
        socklen_t size = sizeof cookie;
        getsockopt(fd.get(), SOL_SOCKET, SO_COOKIE, &cookie, &size);
        return cookie;
    }
    static void connect_to(const Fd& fd, const Address& to, uint16_t port) {
        sockaddr_storage storage{};
        const unsigned size = to_sockaddr(to, port, &storage);
        const int result = connect(fd.get(), reinterpret_cast<const sockaddr*>(&storage), size);
        if (result != 0 && errno != EINPROGRESS) throw std::runtime_error(strerror(errno));
    }
    // The cookies of those that a packet would be given to.
    static std::vector<uint64_t> of_flow(const Sockets& sockets, const Address& local, uint16_t port,
                                         const Address& remote, uint16_t remote_port, uint8_t protocol = IPPROTO_UDP) {
        std::vector<uint64_t> cookies;
        for (const Socket* socket : sockets.of_flow(protocol, local, port, remote, remote_port))
            cookies.push_back(socket->cookie);
        std::ranges::sort(cookies);
        return cookies;
    }
    using Cookies = std::vector<uint64_t>;

    struct Connection {
        Fd listener, host, far;
    };
    // The host connects to the far end.
    Connection connection(uint16_t port) const {
        const SocketOptions stream{.type = SOCK_STREAM};
        Connection all;
        all.listener = line_.far_socket(far_, port, stream);
        listen(all.listener.get(), 1);
        all.host = Line::host_socket(host_, 50000, stream);
        connect_to(all.host, far_, port);
        all.far = Fd(accept(all.listener.get(), nullptr, nullptr));
        return all;
    }
    static Socket only(const Sockets& sockets, const Address& local, uint16_t port, const Address& remote,
                       uint16_t remote_port, uint8_t protocol) {
        const auto found = sockets.of_flow(protocol, local, port, remote, remote_port);
        if (found.size() != 1) throw std::runtime_error(std::to_string(found.size()) + " sockets");
        return *found[0];
    }

    Line line_;
    Address host_ = address("10.77.0.2"), far_ = address("10.77.0.1");
    Address host6_ = address("fd77::2"), far6_ = address("fd77::1");
};

TEST_F(SocketsOfFlows, AnUnconnectedUdpSocketIsFoundByItsLocalPort) {
    const Fd any = Line::host_socket(address("0.0.0.0"), 40000), own = Line::host_socket(host6_, 40001);
    const Sockets sockets = read(udp);
    EXPECT_EQ(of_flow(sockets, host_, 40000, far_, 3478), Cookies{cookie_of(any)});
    EXPECT_EQ(of_flow(sockets, host6_, 40001, far6_, 3478), Cookies{cookie_of(own)});
    EXPECT_EQ(of_flow(sockets, host6_, 40000, far6_, 3478), Cookies{}) << "an IPv4 socket takes no IPv6";
    EXPECT_EQ(of_flow(sockets, host_, 40002, far_, 3478), Cookies{});
}

TEST_F(SocketsOfFlows, ASocketOfIPv6TakesIPv4UnlessItWasToldNotTo) {
    const Fd dual = Line::host_socket(address("::"), 40010);
    const Fd only_v6 = Line::host_socket(address("::"), 40011, {.only_v6 = true});
    const Sockets sockets = read(udp);
    EXPECT_EQ(of_flow(sockets, host_, 40010, far_, 3478), Cookies{cookie_of(dual)});
    EXPECT_EQ(of_flow(sockets, host6_, 40010, far6_, 3478), Cookies{cookie_of(dual)});
    EXPECT_EQ(of_flow(sockets, host_, 40011, far_, 3478), Cookies{});
    EXPECT_EQ(of_flow(sockets, host6_, 40011, far6_, 3478), Cookies{cookie_of(only_v6)});
}

TEST_F(SocketsOfFlows, TheConnectedOneComesBeforeTheBoundOneAndThatBeforeAny) {
    const SocketOptions shared{.reuse_port = true};
    const Fd any = Line::host_socket(address("0.0.0.0"), 40020, shared),
             bound = Line::host_socket(host_, 40020, shared);
    const Fd connected = Line::host_socket(host_, 40020, shared);
    connect_to(connected, far_, 3478);
    const Sockets sockets = read(udp);
    EXPECT_EQ(of_flow(sockets, host_, 40020, far_, 3478), Cookies{cookie_of(connected)});
    EXPECT_EQ(of_flow(sockets, host_, 40020, far_, 3479), Cookies{cookie_of(bound)});
    EXPECT_EQ(of_flow(sockets, address("127.0.0.1"), 40020, far_, 3479), Cookies{cookie_of(any)});
}

TEST_F(SocketsOfFlows, ThoseOfAReusedPortAreAllCandidates) {
    const SocketOptions shared{.reuse_port = true};
    const Fd one = Line::host_socket(host_, 40030, shared), other = Line::host_socket(host_, 40030, shared);
    Cookies both{cookie_of(one), cookie_of(other)};
    std::ranges::sort(both);
    EXPECT_EQ(of_flow(read(udp), host_, 40030, far_, 3478), both);
}

TEST_F(SocketsOfFlows, TheKernelSendsOnlyThePortsAskedFor) {
    std::vector<Fd> open;
    for (uint16_t port = 41000; port < 41020; port++)
        open.push_back(Line::host_socket(host_, port));
    for (const std::vector<uint16_t>& ports :
         {std::vector<uint16_t>{41003}, {41000, 41019}, {41001, 41002, 41007, 9}, {9}}) {
        std::vector<uint16_t> found;
        const Sockets sockets = read(udp, ports);
        for (const Socket& socket : sockets.all())
            found.push_back(socket.local_port);
        std::vector<uint16_t> wanted = ports;
        std::erase(wanted, 9); // nobody has it
        EXPECT_EQ(found, wanted);
    }
}

TEST_F(SocketsOfFlows, AFullReceiveBufferShowsItsSizeWhatWaitsAndWhatWasDropped) {
    const Fd full = Line::host_socket(host_, 40040, {.receive_buffer = 8192});
    const Fd sender = line_.far_socket(far_, 3478);
    for (int count = 0; count < 200; count++)
        send_datagram(sender, host_, 40040, 1000);
    const Socket socket = only(read(udp), host_, 40040, far_, 3478, IPPROTO_UDP);
    ASSERT_TRUE(socket.memory && socket.memory->drops);
    EXPECT_EQ(socket.memory->receive_buffer, 16384U);
    EXPECT_GT(socket.memory->receive_used, 4096U);
    EXPECT_EQ(socket.memory->receive_used, socket.receive_queue);
    std::size_t read_count = 0;
    char buffer[2000];
    while (recv(full.get(), buffer, sizeof buffer, MSG_DONTWAIT) > 0)
        read_count++;
    EXPECT_EQ(read_count + *socket.memory->drops, 200U);
}

TEST_F(SocketsOfFlows, ATcpConnectionIsFoundByItsFourPartsElseItsListener) {
    const Connection both = connection(443);
    const Sockets sockets = read(tcp);
    const Socket socket = only(sockets, host_, 50000, far_, 443, IPPROTO_TCP);
    EXPECT_EQ(socket.cookie, cookie_of(both.host));
    EXPECT_EQ(socket.state, 1);
    ASSERT_TRUE(socket.tcp);
    EXPECT_GT(socket.tcp->rtt.count(), 0);
    EXPECT_GT(socket.tcp->congestion_window, 0U);
    EXPECT_EQ(socket.tcp->retransmits, 0U);
    EXPECT_EQ(stall_of(socket), TcpStall::None);
    const Fd listener = Line::host_socket(address("0.0.0.0"), 8443, {.type = SOCK_STREAM});
    listen(listener.get(), 1);
    EXPECT_EQ(of_flow(read(tcp), host_, 8443, far_, 5, IPPROTO_TCP), Cookies{cookie_of(listener)});
}

TEST_F(SocketsOfFlows, LossShowsAsRetransmissionsAndSilenceAsAStall) {
    const Connection both = connection(443);
    const std::string data(200'000, 'k');
    const auto state = [&] { return only(read(tcp), host_, 50000, far_, 443, IPPROTO_TCP); };
    // Every tenth segment is lost on the way.
    line_.load_far_rules("table inet loss { chain in { type filter hook prerouting priority 0;"
                         " tcp dport 443 meta length > 500 numgen inc mod 10 3 drop; }\n}");
    std::jthread reader([&] {
        std::vector<char> buffer(65536);
        for (std::size_t got = 0; got < data.size();) {
            const ssize_t size = recv(both.far.get(), buffer.data(), buffer.size(), 0);
            if (size <= 0) return;
            got += static_cast<std::size_t>(size);
        }
    });
    ASSERT_EQ(send(both.host.get(), data.data(), data.size(), 0), static_cast<ssize_t>(data.size()));
    reader.join();
    const Socket lossy = state();
    EXPECT_GT(lossy.tcp->retransmits, 0U);
    EXPECT_GT(lossy.tcp->bytes_retransmitted.value_or(0), 0U);
    EXPECT_GE(lossy.tcp->bytes_sent.value_or(0), data.size());
    // Nothing gets through.
    line_.load_far_rules("flush ruleset\ntable inet loss { chain in { type filter hook prerouting priority 0;"
                         " tcp dport 443 drop; }\n}");
    ASSERT_EQ(send(both.host.get(), data.data(), 1000, 0), 1000);
    EXPECT_TRUE(eventually([&] { return stall_of(state()) == TcpStall::Unanswered; }));
    EXPECT_NE(stall_text(state()).find("no acknowledgement for"), std::string::npos) << stall_text(state());
}

TEST_F(SocketsOfFlows, WhatThisHostItselfDropsIsNotTakenForTheNetworks) {
    const Connection both = connection(443);
    Line::load_rules("table inet loss { chain out { type filter hook output priority 0; tcp dport 443 drop; }\n}");
    ASSERT_EQ(send(both.host.get(), "kudo", 4, 0), 4);
    const auto state = [&] { return only(read(tcp), host_, 50000, far_, 443, IPPROTO_TCP); };
    EXPECT_TRUE(eventually([&] { return stall_of(state()) == TcpStall::NotLeaving; }));
    EXPECT_EQ(stall_text(state()), "4 B do not leave this host, though the peer takes them");
}

TEST_F(SocketsOfFlows, AClosedWindowAndAnUnansweredRequestAreStallsOfTheirOwn) {
    const Connection both = connection(443);
    fcntl(both.host.get(), F_SETFL, O_NONBLOCK);
    const std::string data(1 << 20, 'k');
    // Until the far end, which does not read, takes no more.
    EXPECT_TRUE(eventually([&] {
        while (send(both.host.get(), data.data(), data.size(), 0) > 0) {
        }
        return stall_of(only(read(tcp), host_, 50000, far_, 443, IPPROTO_TCP)) == TcpStall::ZeroWindow;
    }));
    Line::load_rules("table inet loss { chain out { type filter hook postrouting priority 0; tcp dport 444 drop; }\n}");
    const Fd asking = Line::host_socket(host_, 50001, {.type = SOCK_STREAM});
    fcntl(asking.get(), F_SETFL, O_NONBLOCK);
    sockaddr_storage storage{};
    const unsigned size = to_sockaddr(far_, 444, &storage);
    (void)connect(asking.get(), reinterpret_cast<const sockaddr*>(&storage), size);
    EXPECT_TRUE(eventually([&] {
        const Sockets sockets = read(tcp);
        const auto found = sockets.of_flow(IPPROTO_TCP, host_, 50001, far_, 444);
        return !found.empty() && stall_of(*found[0]) == TcpStall::Connecting;
    }));
}

} // namespace
} // namespace kudo::test
