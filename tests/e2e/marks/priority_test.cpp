// SPDX-License-Identifier: MIT
// skb->priority of outgoing packets: as a tc program behind ours sees it, and as a queue obeys it.
// Invariant: see link_fixture.h; the observer is attached after ours and so runs after it.
#include "tests/e2e/link_fixture.h"

#include <sys/socket.h>

namespace kudo::test {
namespace {

class Priority : public LineTest {
protected:
    // The priority with which a frame passes the observer; -1: none, or several, did.
    int seen_for(const Packet& packet) {
        const FrameSender sender(test_->host, "eth0");
        return added([&] { sender.send(packet.bytes()); });
    }
    int seen_for_datagram(int socket, const std::string& remote) {
        return added([&] { send_datagram(socket, {remote, 3478}, Bytes(100)); });
    }
    static Packet tcp(const std::string& remote) {
        return Ethernet{} / IPv4{.source = host_address, .destination = remote} / Tcp{.source_port = 50001} /
               Payload(10);
    }

private:
    template <typename Send> int added(const Send& send) {
        const auto before = priorities_seen();
        send();
        const auto after = priorities_seen();
        int priority = -1;
        for (std::size_t i = 0; i < after.size(); i++) {
            if (after[i] == before[i]) continue;
            if (priority != -1 || after[i] != before[i] + 1) return -1;
            priority = static_cast<int>(i);
        }
        return priority;
    }
};

TEST_F(Priority, IsThatOfTheClass) {
    quieten();
    enable();
    attach_priority_observer();
    const Fd socket = udp_socket(test_->host, {host_address, 50002});
    EXPECT_EQ(seen_for_datagram(socket.get(), media_address), 6);
    EXPECT_EQ(seen_for(tcp(media_address)), 6);
    EXPECT_EQ(seen_for(tcp(region_address)), 4);
    EXPECT_EQ(seen_for_datagram(socket.get(), stranger_address), 0);
    EXPECT_EQ(seen_for(tcp(stranger_address)), 0);
}

TEST_F(Priority, RespectsAHigherOneOfTheApplication) {
    quieten();
    enable();
    attach_priority_observer();
    const Fd socket = udp_socket(test_->host, {host_address, 50002});
    for (const auto& [wanted, expected] : {std::pair{7, 7}, {5, 6}, {15, 15}, {0, 6}}) {
        ASSERT_EQ(setsockopt(socket.get(), SOL_SOCKET, SO_PRIORITY, &wanted, sizeof wanted), 0);
        EXPECT_EQ(seen_for_datagram(socket.get(), stranger_address), wanted);
        EXPECT_EQ(seen_for_datagram(socket.get(), media_address), expected);
    }
}

TEST_F(Priority, IsWhatTheAdminAsksFor) {
    quieten();
    enable({"--mark", "media=priority:3", "--mark", "fallback=none", "--mark", "control=priority:9"});
    attach_priority_observer();
    const Fd socket = udp_socket(test_->host, {host_address, 50002});
    EXPECT_EQ(seen_for_datagram(socket.get(), media_address), 3);
    EXPECT_EQ(seen_for(tcp(media_address)), 0);
    EXPECT_EQ(seen_for(tcp(region_address)), 9);
}

TEST_F(Priority, IsNotSetByObserve) {
    quieten();
    enable({"--mode", "observe"});
    attach_priority_observer();
    const Fd socket = udp_socket(test_->host, {host_address, 50002});
    EXPECT_EQ(seen_for_datagram(socket.get(), media_address), 0);
    EXPECT_EQ(seen_for(tcp(region_address)), 0);
}

// A line of 1 Mbit/s behind pfifo_fast: a bulk of datagrams that fits into the socket's send buffer, then 10 of media.
constexpr std::size_t bulk_packets = 60, media_packets = 10;

class PriorityInAQueue : public LineTest {
protected:
    // How many of bulk arrive before the last of media?
    std::size_t bulk_before_media() {
        test_->in_host({"tc", "qdisc", "add", "dev", "eth0", "root", "handle", "1:", "tbf", "rate", "1mbit", "burst",
                        "3000", "limit", "1000000"});
        test_->in_host({"tc", "qdisc", "add", "dev", "eth0", "parent", "1:1", "pfifo_fast"});
        const Fd bulk = udp_socket(test_->host, {host_address, 50001}),
                 media = udp_socket(test_->host, {host_address, 50002});
        Capture capture(test_->far, "eth0");
        for (std::size_t i = 0; i < bulk_packets; i++)
            send_datagram(bulk.get(), {stranger_address, 9}, Bytes(1000));
        for (std::size_t i = 0; i < media_packets; i++)
            send_datagram(media.get(), {media_address, 3478}, Bytes(200));
        capture.wait_for_received(bulk_packets + media_packets);
        std::size_t bulk_seen = 0, media_seen = 0;
        for (const Frame& frame : capture.finish()) {
            const auto seen = see_frame(frame.bytes);
            if (!seen) continue;
            if (seen->destination == media_address && ++media_seen == media_packets) return bulk_seen;
            if (seen->destination == stranger_address) bulk_seen++;
        }
        throw std::runtime_error("media was lost");
    }
};

TEST_F(PriorityInAQueue, LetsMediaOvertakeBulk) {
    quieten();
    enable();
    EXPECT_LT(bulk_before_media(), bulk_packets / 3);
}

TEST_F(PriorityInAQueue, LeavesTheOrderAloneWithoutMarks) {
    quieten();
    enable({"--mark", "media=none"});
    EXPECT_EQ(bulk_before_media(), bulk_packets);
}

} // namespace
} // namespace kudo::test
