// SPDX-License-Identifier: MIT
// The CPUs' flow caches: counts stay exact while flows push each other out of them, while policies change, while
// somebody reads, and when the flow table is full.
// Invariant: what is expected was counted by the sender.
#include <sched.h>

#include <atomic>
#include <chrono>
#include <map>
#include <memory>
#include <random>
#include <set>
#include <thread>

#include "bpf/flow_cache.h"
#include "tests/kernel/kernel_test.h"

namespace kudo::test {
namespace {

constexpr uint64_t l3_bytes = 48;

Bytes packet_of(uint32_t flow, bool ipv6 = false) {
    const Udp udp{.source_port = 3478, .destination_port = static_cast<uint16_t>(1024 + flow % 60000)};
    const std::string remote = "3.7.161." + std::to_string(flow % 60);
    return ipv6 ? (Ethernet{} / IPv6{.source = "2001:db8:1::" + std::to_string(1 + flow % 60)} / udp).bytes()
                : (Ethernet{} / IPv4{.source = remote} / udp / Payload(20)).bytes();
}

class FlowCache : public KernelTest {
protected:
    void SetUp() override {
        KernelTest::SetUp();
        if (IsSkipped()) return;
        datapath_.emplace();
        publish(1);
    }
    void publish(uint32_t generation) {
        datapath_->publish(compile(overlapping_map(), options_for(KUDO_PRIORITISE), {}).value(), generation);
    }
    void send_one(const Bytes& frame) const { EXPECT_EQ(datapath_->run_xdp(frame).returned, uint32_t{XDP_PASS}); }
    // By key, packets on ingress.
    std::map<std::string, uint64_t> packets_by_flow() const {
        std::map<std::string, uint64_t> result;
        for (const auto& [key, flow] : datapath_->flows()) {
            result[key] = flow.directions[KUDO_INGRESS].packets;
            EXPECT_LE(flow.first_seen, flow.last_seen);
        }
        return result;
    }
    static std::string key_of(const Bytes& frame) {
        kudo_packet packet{};
        const kudo_frame as_seen{.wire_length = static_cast<uint32_t>(frame.size()),
                                 .link = KUDO_LINK_ETHERNET,
                                 .direction = KUDO_INGRESS,
                                 .is_gso = 0,
                                 .vlan_accel = 0};
        EXPECT_EQ(kudo_parse(frame.data(), frame.data() + frame.size(), &as_seen, &packet), 0u);
        (packet.family == 4 ? packet.key4.interface : packet.key6.interface) = 1;
        return flow_key(packet);
    }
    static uint32_t slot_of(const std::string& key) {
        if (key.size() == sizeof(kudo_flow4_key)) {
            kudo_flow4_key key4;
            std::memcpy(&key4, key.data(), sizeof key4);
            return kudo_cache_slot4(&key4);
        }
        kudo_flow6_key key6;
        std::memcpy(&key6, key.data(), sizeof key6);
        return kudo_cache_slot6(&key6);
    }
    void wait_until_idle() const {
        std::this_thread::sleep_for(std::chrono::milliseconds(10 * (KUDO_CACHE_IDLE_TICKS + 2))); // at 100 ticks/s
    }
    std::optional<Datapath> datapath_;
};

TEST_F(FlowCache, CountsStayExactWhileFlowsPushEachOtherOut) {
    constexpr uint32_t flows = 5000; // five for each slot of their family
    std::map<std::string, uint64_t> expected;
    std::set<uint32_t> slots;
    for (int round = 0; round < 6; ++round) {
        for (uint32_t flow = 0; flow < flows; ++flow) {
            // Another one comes first each time, so that another one finds the slot idle.
            const Bytes frame = packet_of((flow * 2017 + static_cast<uint32_t>(round) * 977) % flows, flow % 7 == 0);
            const std::string key = key_of(frame);
            slots.insert(slot_of(key));
            for (uint32_t i = 0; i <= flow % 3; ++i)
                ASSERT_EQ(datapath_->run_xdp(frame).returned, uint32_t{XDP_PASS});
            expected[key] += 1 + flow % 3;
        }
        if (round == 2) publish(2);
        EXPECT_EQ(packets_by_flow(), expected) << "round " << round;
        wait_until_idle();
    }
    EXPECT_LT(slots.size() * 3, expected.size()) << "too few flows share a slot for this to show anything";
    uint64_t total = 0;
    for (const auto& [key, packets] : expected)
        total += packets;
    EXPECT_EQ(datapath_->counters()->reasons[KUDO_REASON_RULE][KUDO_INGRESS].packets, total);
    EXPECT_EQ(datapath_->counters()->untracked_packets, 0u);
}

// Two CPUs write, with pauses in which slots change hands, and a third thread adds up all the while.
TEST_F(FlowCache, AReaderNeverSeesAPacketTwiceOrLessThanBefore) {
    constexpr uint32_t flows = 4000;
    std::vector<Bytes> frames;
    for (uint32_t flow = 0; flow < flows; ++flow)
        frames.push_back(packet_of(flow));
    std::vector<std::atomic<uint64_t>> begun(flows), done(flows);
    std::atomic<bool> stop = false;
    const auto send = [&](uint32_t seed) {
        std::mt19937 random(seed);
        while (!stop) {
            for (int i = 0; i < 2000 && !stop; ++i) {
                const auto flow = static_cast<uint32_t>(random() % flows);
                begun[flow]++;
                send_one(frames[flow]);
                done[flow]++;
            }
            wait_until_idle();
        }
    };
    std::map<std::string, uint32_t> flow_of;
    for (uint32_t flow = 0; flow < flows; ++flow)
        flow_of[key_of(frames[flow])] = flow;
    uint64_t checked = 0;
    {
        std::jthread first(send, 1), second(send, 2);
        const std::shared_ptr<void> at_the_end(nullptr, [&stop](void*) { stop = true; }); // also after a failure
        const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(5);
        while (std::chrono::steady_clock::now() < end) {
            std::vector<uint64_t> least(flows);
            for (uint32_t flow = 0; flow < flows; ++flow)
                least[flow] = done[flow];
            const auto seen = packets_by_flow();
            for (const auto& [key, packets] : seen) {
                const uint32_t flow = flow_of.at(key);
                ASSERT_GE(packets, least[flow]) << "lost on the way from the cache to the table";
                ASSERT_LE(packets, begun[flow]) << "seen twice";
                checked++;
            }
        }
    }
    EXPECT_GT(checked, 10 * flows);
    for (const auto& [key, packets] : packets_by_flow())
        EXPECT_EQ(packets, done[flow_of.at(key)]);
}

// The table forgets what has not been used for longest; a flow that lives in a cache must not look unused.
TEST_F(FlowCache, ABusyFlowSurvivesAFullFlowTable) {
    datapath_.emplace(Datapath::Options{.max_flows = 4096});
    publish(1);
    const Bytes busy = packet_of(1);
    uint64_t sent = 0;
    for (uint32_t other = 0; other < 20'000; ++other) {
        send_one(busy);
        sent++;
        send_one((Ethernet{} / IPv4{.source = "100.64.0.1"} /
                  Udp{.source_port = 3478, .destination_port = static_cast<uint16_t>(other)})
                     .bytes());
        if (other % 500 == 499) std::this_thread::sleep_for(std::chrono::milliseconds(100)); // time passes
    }
    EXPECT_EQ(packets_by_flow()[key_of(busy)], sent);
    // Not only in the cache: what was counted until a moment ago has come to the table.
    EXPECT_GT(datapath_->row(key_of(busy)).directions[KUDO_INGRESS].packets, sent / 2);
}

// The table holds as many flows as it can; strangers, of neighbouring addresses too, must not take a single place.
TEST_F(FlowCache, AFloodOfStrangersPushesNoFlowOut) {
    constexpr uint32_t flows = 500;
    datapath_.emplace(Datapath::Options{.max_flows = 1024});
    publish(1);
    std::map<std::string, uint64_t> expected;
    for (uint32_t flow = 0; flow < flows; ++flow) {
        send_one(packet_of(flow));
        expected[key_of(packet_of(flow))] += 1;
    }
    Bytes stranger = (Ethernet{} / IPv4{.source = "198.51.100.9"} / Udp{} / Payload(20)).bytes();
    std::mt19937 random(3);
    for (int i = 0; i < 100'000; ++i) {
        const auto word = static_cast<uint32_t>(random());
        stranger[28] = static_cast<uint8_t>(word); // source address: 198.51.x.y, of which one address is in the map
        stranger[29] = static_cast<uint8_t>(128 | word >> 8);
        stranger[34] = static_cast<uint8_t>(word >> 16); // source port
        stranger[35] = static_cast<uint8_t>(word >> 24);
        send_one(stranger);
    }
    EXPECT_EQ(datapath_->counters()->reasons[KUDO_REASON_STRANGER][KUDO_INGRESS].packets, 100'000u);
    EXPECT_EQ(packets_by_flow(), expected);
}

TEST_F(FlowCache, BytesAndBothDirectionsAreKeptApart) {
    const Bytes in = packet_of(3);
    const Bytes out = (Ethernet{} / IPv4{.source = "192.0.2.2", .destination = "3.7.161.3"} /
                       Udp{.source_port = 1027, .destination_port = 3478} / Payload(72))
                          .bytes();
    for (int i = 0; i < 10; ++i)
        send_one(in);
    for (int i = 0; i < 7; ++i)
        ASSERT_EQ(datapath_->run_tc(KUDO_EGRESS, out).error, 0);
    const FlowBook flows = datapath_->flows();
    ASSERT_EQ(flows.size(), 1u);
    const kudo_flow& flow = flows.begin()->second;
    EXPECT_EQ(flow.directions[KUDO_INGRESS].packets, 10u);
    EXPECT_EQ(flow.directions[KUDO_INGRESS].bytes, 10 * l3_bytes);
    EXPECT_EQ(flow.directions[KUDO_EGRESS].packets, 7u);
    EXPECT_EQ(flow.directions[KUDO_EGRESS].bytes, 7u * 100);
}

// Each CPU writes back when it comes to it: the one that saw a flow long ago must not turn its last sight back.
TEST_F(FlowCache, TheLastSightNeverGoesBack) {
    const Bytes flow = packet_of(5);
    Bytes other;
    for (uint32_t i = 6; other.empty(); ++i)
        if (slot_of(key_of(packet_of(i))) == slot_of(key_of(flow))) other = packet_of(i);
    cpu_set_t all;
    ASSERT_EQ(sched_getaffinity(0, sizeof all, &all), 0);
    if (CPU_COUNT(&all) < 2) GTEST_SKIP() << "one CPU only";
    std::vector<int> cpus;
    for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu)
        if (CPU_ISSET(cpu, &all)) cpus.push_back(cpu);
    const auto send_on = [&](int cpu, const Bytes& frame) {
        cpu_set_t one;
        CPU_ZERO(&one);
        CPU_SET(cpu, &one);
        ASSERT_EQ(sched_setaffinity(0, sizeof one, &one), 0);
        send_one(frame);
        std::this_thread::sleep_for(std::chrono::milliseconds(400)); // longer than a slot stays with a silent flow
    };
    send_on(cpus[0], flow);
    send_on(cpus[1], flow);
    send_on(cpus[1], other); // takes the slot: the newer sight is written
    const uint64_t newer = datapath_->flows().at(key_of(flow)).last_seen;
    send_on(cpus[0], other); // and now the older one
    sched_setaffinity(0, sizeof all, &all);
    EXPECT_EQ(datapath_->flows().at(key_of(flow)).last_seen, newer);
    EXPECT_EQ(packets_by_flow()[key_of(flow)], 2u);
}

TEST_F(FlowCache, NeighbouringFlowsSpreadOverTheSlots) {
    std::set<uint32_t> slots4, slots6;
    for (uint32_t flow = 0; flow < 1024; ++flow) {
        slots4.insert(slot_of(key_of(packet_of(flow))));
        slots6.insert(slot_of(key_of(packet_of(flow, true))));
    }
    // 1024 balls into 1024 bins fill 63 % of them.
    EXPECT_GT(slots4.size(), 550u);
    EXPECT_GT(slots6.size(), 550u);
    for (const uint32_t slot : slots4)
        EXPECT_FALSE(slots6.contains(slot));
}

} // namespace
} // namespace kudo::test
