// SPDX-License-Identifier: MIT
// Swaps of the policy while packets are judged on other threads: old or new, never a mix, never an empty one.
// Invariant: the two policies share one range; any mix of them, and an empty one, gives a reason or a verdict that
// neither gives.
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <functional>
#include <latch>
#include <memory>
#include <set>
#include <thread>

#include "agent/datapath/generation.h"
#include "tests/kernel/kernel_test.h"

namespace kudo::test {
namespace {

// All ranges lie in one /24, so neither prefilter ever decides. Slots and ports are disjoint, but for the shared
// service. A packet of one policy judged by this one's trie and the other's ports would be port_not_listed.
const RangeMap map_a = map_of({service("alpha", KUDO_CLASS_MEDIA, {"udp/1000"}, {"3.7.1.0/26"}),
                               service("shared", KUDO_CLASS_CONTROL, {"udp/3000"}, {"3.7.1.128/26"})});
const RangeMap map_b = map_of({service("beta", KUDO_CLASS_MEDIA, {"udp/2000"}, {"3.7.1.64/26"}),
                               service("shared", KUDO_CLASS_CONTROL, {"udp/3000"}, {"3.7.1.128/26"})});
const ServiceSlots slots{{"alpha", 1}, {"beta", 2}, {"shared", 3}};

Bytes packet(const char* source, uint16_t port, uint32_t flow) {
    return (Ethernet{} / IPv4{.source = source} /
            Udp{.source_port = port, .destination_port = static_cast<uint16_t>(40000 + flow)} / Payload(20))
        .bytes();
}

struct Tally {
    uint64_t of_a = 0, of_b = 0, shared = 0; // sent
    uint64_t passed_a = 0, passed_b = 0, passed_shared = 0;
    uint64_t wrong = 0; // not what the one generation that was active before and after says
};

// Sends packets of A, B and both until told to stop.
void judge_packets(const Datapath& datapath, std::latch& ready, const std::atomic<bool>& stop, Tally& tally) {
    constexpr uint32_t flows = 64;
    std::vector<Bytes> a, b, shared;
    for (uint32_t flow = 0; flow < flows; ++flow) {
        a.push_back(packet("3.7.1.1", 1000, flow));
        b.push_back(packet("3.7.1.65", 2000, flow));
        shared.push_back(packet("3.7.1.129", 3000, flow));
    }
    const auto send = [&](const Bytes& frame, uint64_t& sent, uint64_t& passed, bool in_a, bool in_b) {
        const uint32_t before = datapath.active();
        const RunResult result = datapath.run_xdp(frame);
        const uint32_t after = datapath.active();
        const bool pass = result.error == 0 && result.returned == XDP_PASS;
        ++sent;
        passed += pass;
        if (before == after && pass != (before & 1 ? in_a : in_b)) ++tally.wrong;
    };
    ready.arrive_and_wait();
    for (uint32_t i = 0; !stop.load(std::memory_order_relaxed); ++i) {
        send(a[i % flows], tally.of_a, tally.passed_a, true, false);
        send(b[i % flows], tally.of_b, tally.passed_b, false, true);
        send(shared[i % flows], tally.shared, tally.passed_shared, true, true);
    }
}

// What the swapping thread did: how many swaps, and of what kind.
struct Swaps {
    uint32_t count;
    const char* kind;
    bool come_back = false; // generations do, so that one may be active before and after a packet but not at it
};

class Swap : public KernelTest {
protected:
    // Two threads send while `swap` swaps; what they saw and what was counted must fit together.
    void
    expect_old_or_new(const std::function<Swaps(Datapath&, const CompiledPolicy& a, const CompiledPolicy& b)>& swap);
};

void Swap::expect_old_or_new(
    const std::function<Swaps(Datapath&, const CompiledPolicy& a, const CompiledPolicy& b)>& swap) {
    Datapath datapath;
    const CompiledPolicy a = compile(map_a, options_for(KUDO_ENFORCE), slots).value();
    const CompiledPolicy b = compile(map_b, options_for(KUDO_ENFORCE), slots).value();
    datapath.publish(a, 1);

    std::atomic<bool> stop = false;
    std::latch ready(3);
    Tally tallies[2];
    Swaps swaps{};
    const auto start = std::chrono::steady_clock::now();
    {
        std::jthread first([&] { judge_packets(datapath, ready, stop, tallies[0]); });
        std::jthread second([&] { judge_packets(datapath, ready, stop, tallies[1]); });
        ready.arrive_and_wait();
        swaps = swap(datapath, a, b);
        stop = true;
    }
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;

    Tally all;
    for (const Tally& tally : tallies) {
        all.of_a += tally.of_a, all.of_b += tally.of_b, all.shared += tally.shared;
        all.passed_a += tally.passed_a, all.passed_b += tally.passed_b, all.passed_shared += tally.passed_shared;
        all.wrong += tally.wrong;
    }
    const auto counters = datapath.counters();
    const auto reason = [&](kudo_reason which) { return counters->reasons[which][KUDO_INGRESS].packets; };
    const auto of_service = [&](uint8_t slot, kudo_class class_) {
        return counters->services[slot][class_][KUDO_INGRESS].packets;
    };
    if (!swaps.come_back) {
        EXPECT_EQ(all.wrong, 0u);
    }
    EXPECT_EQ(all.passed_shared, all.shared) << "an empty policy, or a half of one, has judged";
    EXPECT_EQ(of_service(3, KUDO_CLASS_CONTROL), all.shared);
    EXPECT_EQ(of_service(1, KUDO_CLASS_MEDIA), all.passed_a);
    EXPECT_EQ(of_service(2, KUDO_CLASS_MEDIA), all.passed_b);
    EXPECT_EQ(reason(KUDO_REASON_RULE), all.passed_a + all.passed_b + all.passed_shared);
    EXPECT_EQ(reason(KUDO_REASON_STRANGER), all.of_a + all.of_b - all.passed_a - all.passed_b);
    EXPECT_EQ(reason(KUDO_REASON_PORT_NOT_LISTED), 0u) << "one policy's ranges were judged by the other's ports";
    EXPECT_EQ(reason(KUDO_REASON_NO_POLICY), 0u);
    EXPECT_GT(all.passed_a, 0u);
    EXPECT_GT(all.passed_b, 0u);
    uint64_t counted = 0;
    for (const auto& [key, flow] : datapath.flows())
        counted += flow.directions[KUDO_INGRESS].packets;
    EXPECT_EQ(counted, reason(KUDO_REASON_RULE)) << "a flow has lost packets, or has a stranger's";
    std::printf("%u %s in %.1f s, %llu packets judged\n", swaps.count, swaps.kind, seconds.count(),
                static_cast<unsigned long long>(all.of_a + all.of_b + all.shared));
}

TEST_F(Swap, EveryPacketIsJudgedByTheOldPolicyOrTheNew) {
    const char* given = std::getenv("KUDO_TEST_SWAPS");
    const uint32_t swaps = given ? static_cast<uint32_t>(std::strtoul(given, nullptr, 0)) : 1000;
    expect_old_or_new([&](Datapath& datapath, const CompiledPolicy& a, const CompiledPolicy& b) {
        for (uint32_t generation = 2; generation < swaps + 2; ++generation)
            datapath.publish(generation & 1 ? a : b, generation);
        return Swaps{swaps, "swaps, refilled each time"};
    });
}

// A reader without the lock, while every publish() empties the slot that it may be reading.
TEST_F(Swap, AReaderSeesOneCompletePolicy) {
    Datapath datapath;
    const CompiledPolicy a = compile(map_a, options_for(KUDO_ENFORCE), slots).value();
    const CompiledPolicy b = compile(map_b, options_for(KUDO_ENFORCE), slots).value();
    datapath.publish(a, 1);
    std::atomic<bool> stop = false;
    const std::jthread writer([&] {
        for (uint32_t generation = 2; !stop; ++generation)
            datapath.publish(generation & 1 ? a : b, generation);
    });
    const std::shared_ptr<void> at_the_end(nullptr, [&stop](void*) { stop = true; }); // also after a failure
    std::set<uint32_t> generations;
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(60);
    while (generations.size() < 20 && std::chrono::steady_clock::now() < end) {
        const auto read = read_active(datapath.maps());
        if (!read) continue; // says that it changes too quickly
        const auto& expected = (read->generation & 1 ? a : b).policy->content_hash;
        const auto hash = read->hash();
        ASSERT_TRUE(std::equal(hash.begin(), hash.end(), expected)) << "generation " << read->generation;
        generations.insert(read->generation);
    }
    EXPECT_EQ(generations.size(), 20u);
}

// Nothing is refilled here, so nothing has to be waited for: the word alone, as fast as it can be written.
TEST_F(Swap, AMillionTimesInATightLoop) {
    expect_old_or_new([](Datapath& datapath, const CompiledPolicy& a, const CompiledPolicy& b) {
        constexpr uint32_t swaps = 1'000'000;
        datapath.fill(b, 2);
        datapath.activate(2);
        datapath.fill(a, 3); // waits for those who judge by what is there
        for (uint32_t i = 0; i < swaps; ++i) {
            datapath.activate(2 + i % 2);
            for (int pause = 0; pause < 1500; ++pause)
                asm volatile(""); // a few packets long; clang unrolls fences away
        }
        return Swaps{swaps, "swaps between two policies that stay", true};
    });
}

// Generic XDP judges for the drop alone and counts only what it drops: both by the same generation.
TEST_F(Swap, GenericXdpCountsWhatItDropsAndNothingElse) {
    const RangeMap allows = map_of({service("alpha", KUDO_CLASS_MEDIA, {"udp/1000"}, {"3.7.1.0/24"})});
    const RangeMap forbids = map_of({service("alpha", KUDO_CLASS_MEDIA, {"udp/2000"}, {"3.7.1.0/24"})});
    Datapath datapath(Datapath::Options{.ingress_counts = false});
    const auto compiled = [](const RangeMap& map) { return compile(map, options_for(KUDO_ENFORCE), {}).value(); };
    datapath.publish(compiled(allows), 1);
    datapath.fill(compiled(forbids), 2);
    std::atomic<bool> stop = false;
    uint64_t dropped = 0, passed = 0;
    {
        const std::jthread sender([&] {
            for (uint32_t flow = 0; !stop; ++flow)
                ++(datapath.run_xdp(packet("3.7.1.1", 1000, flow % 1024)).returned == XDP_DROP ? dropped : passed);
        });
        for (uint32_t i = 0; i < 1'000'000; ++i) {
            datapath.activate(1 + i % 2);
            for (int wait = 0; wait < 300; ++wait)
                asm volatile("");
        }
        stop = true;
    }
    const auto counters = datapath.counters();
    EXPECT_GT(dropped, 1000u);
    EXPECT_GT(passed, 1000u);
    EXPECT_EQ(counters->reasons[KUDO_REASON_PORT_NOT_LISTED][KUDO_INGRESS].packets, dropped);
    EXPECT_EQ(counters->reasons[KUDO_REASON_RULE][KUDO_INGRESS].packets, 0u);
}

} // namespace
} // namespace kudo::test
