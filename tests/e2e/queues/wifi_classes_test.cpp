// SPDX-License-Identifier: MIT
// A queue as it is made on Wi-Fi, on a line without a radio: skb->priority says the user priority, and the queue's
// classifier finds the class. What goes over the air: tests/kernels/wifi.
// Invariant: the real program on egress, told that the interface is Wi-Fi; the queue is built, read and judged by the
// agent's own code.
#include <bpf/bpf.h>
#include <net/if.h>
#include <sys/socket.h>

#include "agent/datapath/datapath.h"
#include "agent/queues/root.h"
#include "agent/queues/tree.h"
#include "tests/e2e/link_fixture.h"
#include "tests/support/stun_message.h"

namespace kudo::test {
namespace {

class WifiClasses : public LineTest {
protected:
    // Enabled, and the program on egress told that eth0 is Wi-Fi.
    void enable_as_wifi(std::vector<std::string> more = {}) {
        enable(std::move(more));
        const DataPath data_path = DataPath::open(test_->instance).value();
        const auto index = inside<uint32_t>(test_->host, [] { return if_nametoindex("eth0"); });
        const uint32_t element = index % KUDO_INTERFACES;
        kudo_interface entry{};
        const int map = data_path.maps().interfaces.get();
        ASSERT_EQ(bpf_map_lookup_elem(map, &element, &entry), 0);
        ASSERT_EQ(entry.index, index);
        std::ranges::copy(wifi_priorities, entry.egress);
        ASSERT_EQ(bpf_map_update_elem(map, &element, &entry, BPF_EXIST), 0);
        slot_ = {test_->instance.layout(), index, "eth0", std::to_string(index), data_path.instance(), true};
    }
    // False: the kernel does not have the kind.
    bool ensure(QueueKind kind) {
        plan_ = uplink_plan({}, {.uplink = {ShaperSpec::Kind::Rate, 20'000'000}, .kind = kind}, 1500, true);
        return inside<bool>(test_->host, [&] {
            const auto made = ensure_root(slot_, plan_, true);
            if (!made && made.error().message.find("lacks the qdiscs") != std::string::npos) return false;
            EXPECT_TRUE(made) << made.error().message;
            EXPECT_TRUE(made->healthy) << made->why;
            for (const uint32_t priority : made->priorities)
                EXPECT_EQ(priority, 0u) << "the queue asks for a class id, and there would be no user priority";
            return true;
        });
    }
    [[nodiscard]] bool is_healthy() const {
        return inside<bool>(test_->host, [&] { return read_root(slot_).value().report(plan_).healthy; });
    }
    using Numbers = std::vector<std::pair<std::string, uint64_t>>;
    [[nodiscard]] Numbers sent_by_class() const {
        Numbers numbers;
        const auto objects =
            inside<std::vector<TcObject>>(test_->host, [&] { return list_tc_objects(slot_.index).value(); });
        for (const QueueClass& one : queue_classes(objects))
            if (one.carries.front() != "acks" || one.packets != 0) // of other traffic's TCP: none is sent here
                numbers.emplace_back(one.carries.front(), one.packets);
        return numbers;
    }
    // One of audio, two of video, three of fallback, four of control, and five strangers' that look important.
    void send_some() {
        const FrameSender frames(test_->host, "eth0");
        const Fd media = udp_socket(test_->host, {host_address, 50001}),
                 other = udp_socket(test_->host, {host_address, 50002});
        send_datagram(media.get(), {media_address, 3478}, stun_message(binding_request));
        for (unsigned i = 0; i < 2; i++)
            send_datagram(media.get(), {media_address, 3478}, Bytes(100));
        for (const auto& [remote, count] : {std::pair{media_address, 3}, {region_address, 4}})
            for (int i = 0; i < count; i++)
                frames.send((Ethernet{} / IPv4{.source = host_address, .destination = remote} /
                             Tcp{.source_port = 50003} / Payload(10))
                                .bytes());
        for (const int priority : {0, 5, 6, 7, 262}) {
            ASSERT_EQ(setsockopt(other.get(), SOL_SOCKET, SO_PRIORITY, &priority, sizeof priority), 0);
            send_datagram(other.get(), {stranger_address, 9}, Bytes(100));
        }
    }

    QdiscSlot slot_{};
    QueuePlan plan_{};
};

TEST_F(WifiClasses, AreFoundByTheClassifier) {
    quieten();
    enable_as_wifi();
    for (const QueueKind kind : {QueueKind::Htb, QueueKind::Prio}) {
        if (!ensure(kind)) continue;
        ASSERT_NO_FATAL_FAILURE(send_some());
        EXPECT_EQ(sent_by_class(), (Numbers{{"audio", 1}, {"video", 5}, {"control", 4}, {"other", 5}}))
            << queue_kind_name(kind);
    }
}

TEST_F(WifiClasses, AreAsThePriorityOfTheMarkSays) {
    quieten();
    enable_as_wifi({"--mark", "media=dscp:none", "--mark", "fallback=none", "--mark", "control=priority:none"});
    ASSERT_TRUE(ensure(QueueKind::Htb));
    ASSERT_NO_FATAL_FAILURE(send_some());
    EXPECT_EQ(sent_by_class(), (Numbers{{"audio", 1}, {"video", 2}, {"control", 0}, {"other", 12}}));
}

TEST_F(WifiClasses, AreNoneWithoutTheClassifierWhichIsMissedAndPutBack) {
    quieten();
    enable_as_wifi();
    ASSERT_TRUE(ensure(QueueKind::Htb));
    EXPECT_TRUE(is_healthy());
    const std::string whole = test_->in_host({"tc", "filter", "show", "dev", "eth0", "parent", "4b55:"});
    EXPECT_NE(whole.find("kudo_tc_class"), std::string::npos) << whole;
    test_->in_host({"tc", "filter", "del", "dev", "eth0", "parent", "4b55:"});
    EXPECT_FALSE(is_healthy());
    ASSERT_NO_FATAL_FAILURE(send_some());
    EXPECT_EQ(sent_by_class(), (Numbers{{"audio", 0}, {"video", 0}, {"control", 0}, {"other", 15}}));
    ASSERT_TRUE(ensure(QueueKind::Htb));
    EXPECT_TRUE(is_healthy());
    ASSERT_NO_FATAL_FAILURE(send_some());
    EXPECT_EQ(sent_by_class(), (Numbers{{"audio", 1}, {"video", 5}, {"control", 4}, {"other", 5}}));
}

TEST_F(WifiClasses, AQueueOfAnEarlierVersionIsReplaced) {
    quieten();
    enable({"--uplink", "20mbit", "--queue", "htb"});
    enable_as_wifi({"--uplink", "20mbit", "--queue", "htb"});
    plan_ = uplink_plan({}, {.uplink = {ShaperSpec::Kind::Rate, 20'000'000}, .kind = QueueKind::Htb}, 1500, true);
    EXPECT_FALSE(is_healthy()) << "it has no classifier";
    ASSERT_TRUE(ensure(QueueKind::Htb));
    EXPECT_TRUE(is_healthy());
}

TEST_F(WifiClasses, GoWithTheQueueAtDisable) {
    const std::string before = test_->in_host({"tc", "qdisc", "show", "dev", "eth0"});
    enable_as_wifi();
    ASSERT_TRUE(ensure(QueueKind::Htb));
    EXPECT_NE(test_->in_host({"tc", "filter", "show", "dev", "eth0"}).find("kudo_tc_class"), std::string::npos);
    ASSERT_EQ(test_->agent({"disable"}).status, 0);
    EXPECT_EQ(test_->in_host({"tc", "qdisc", "show", "dev", "eth0"}), before);
    EXPECT_EQ(test_->in_host({"tc", "filter", "show", "dev", "eth0"}), "");
}

} // namespace
} // namespace kudo::test
