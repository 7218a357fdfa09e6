// SPDX-License-Identifier: MIT
// Which generation judges a packet, and what becomes of flows when it changes.
// Invariant: each expectation follows from the packet and the active generation alone.
#include "tests/kernel/kernel_test.h"

namespace kudo::test {
namespace {

// The services are listed in the same order in every map here, so their slots are equal.
constexpr uint8_t media_slot = 1;

RangeMap map_with(std::string_view range, std::string_view port = "udp/3478") {
    return map_of({service("media", KUDO_CLASS_MEDIA, {port}, {range})});
}

CompiledPolicy policy_of(const RangeMap& map, kudo_mode mode = KUDO_ENFORCE) {
    return std::move(compile(map, options_for(mode), {{"media", media_slot}}).value());
}

Bytes from(const std::string& source, uint16_t port = 3478) {
    return (Ethernet{} / IPv4{.source = source} / Udp{.source_port = port, .destination_port = 40000} / Payload(72))
        .bytes();
}
constexpr uint64_t l3_bytes = 100;

class Generation : public KernelTest {
protected:
    void SetUp() override {
        KernelTest::SetUp();
        if (!IsSkipped()) datapath_.emplace();
    }
    uint32_t run(const Bytes& frame) {
        const RunResult result = datapath_->run_xdp(frame);
        EXPECT_EQ(result.error, 0) << std::strerror(result.error);
        return result.returned;
    }
    uint64_t packets(kudo_reason reason) { return datapath_->counters()->reasons[reason][KUDO_INGRESS].packets; }
    kudo_flow only_flow() {
        const FlowBook flows = datapath_->flows();
        EXPECT_EQ(flows.size(), 1u);
        return flows.empty() ? kudo_flow{} : flows.begin()->second;
    }
    static kudo_judgement judgement_of(const kudo_flow& flow) {
        kudo_judgement judgement;
        std::memcpy(&judgement, &flow.judgement, sizeof judgement);
        return judgement;
    }
    std::optional<Datapath> datapath_;
};

TEST_F(Generation, ZeroCountsNoPolicyAndPasses) {
    EXPECT_EQ(run(from("3.7.161.1")), uint32_t{XDP_PASS});
    EXPECT_EQ(run((Ethernet{} / Vlan{}).bytes()), uint32_t{XDP_PASS}); // truncated, but nothing says to drop it
    EXPECT_EQ(packets(KUDO_REASON_NO_POLICY), 2u);
    EXPECT_TRUE(datapath_->flows().empty());
}

TEST_F(Generation, TheSlotOfTheActiveGenerationJudges) {
    datapath_->fill(policy_of(map_with("3.7.161.0/26")), 4);
    datapath_->fill(policy_of(map_with("9.9.9.0/24")), 5);
    datapath_->activate(4);
    EXPECT_EQ(run(from("3.7.161.1")), uint32_t{XDP_PASS});
    EXPECT_EQ(run(from("9.9.9.9")), uint32_t{XDP_DROP});
    datapath_->activate(5);
    EXPECT_EQ(run(from("3.7.161.1")), uint32_t{XDP_DROP});
    EXPECT_EQ(run(from("9.9.9.9")), uint32_t{XDP_PASS});
    EXPECT_EQ(packets(KUDO_REASON_RULE), 2u);
    EXPECT_EQ(packets(KUDO_REASON_STRANGER), 2u);
}

// Killed before it made its generation active: the old one goes on judging, and nothing of the other comes back.
TEST_F(Generation, WhatAKilledWriterLeftIsEmptiedFirst) {
    datapath_->publish(policy_of(map_with("3.7.161.0/26")), 1);
    datapath_->fill(policy_of(map_with("9.9.9.0/24")), 2);
    EXPECT_EQ(run(from("3.7.161.1")), uint32_t{XDP_PASS});
    EXPECT_EQ(run(from("9.9.9.9")), uint32_t{XDP_DROP});
    datapath_->publish(policy_of(map_with("9.9.8.0/24")), 2);
    EXPECT_EQ(run(from("3.7.161.1")), uint32_t{XDP_DROP});
    EXPECT_EQ(run(from("9.9.9.9")), uint32_t{XDP_DROP});
    EXPECT_EQ(run(from("9.9.8.9")), uint32_t{XDP_PASS});
}

TEST_F(Generation, AFlowOfAnOlderGenerationIsJudgedAgain) {
    datapath_->publish(policy_of(map_with("3.7.161.0/26", "udp/3478")), 1);
    EXPECT_EQ(run(from("3.7.161.1")), uint32_t{XDP_PASS});
    EXPECT_EQ(judgement_of(only_flow()).reason, KUDO_REASON_RULE);
    EXPECT_EQ(judgement_of(only_flow()).prefix_length, 26);

    datapath_->publish(policy_of(map_with("3.7.160.0/22", "udp/5000")), 2);
    EXPECT_EQ(run(from("3.7.161.1")), uint32_t{XDP_DROP});
    EXPECT_EQ(judgement_of(only_flow()).reason, KUDO_REASON_PORT_NOT_LISTED);
    EXPECT_EQ(judgement_of(only_flow()).generation, 2u);
    EXPECT_EQ(judgement_of(only_flow()).prefix_length, 22);

    datapath_->publish(policy_of(map_with("3.7.161.0/26", "udp/3478")), 3);
    EXPECT_EQ(run(from("3.7.161.1")), uint32_t{XDP_PASS});
    EXPECT_EQ(judgement_of(only_flow()).generation, 3u);
}

TEST_F(Generation, AFlowThatBothKnowKeepsItsCountersAndItsFirstSight) {
    datapath_->publish(policy_of(map_with("3.7.161.0/26")), 1);
    run(from("3.7.161.1"));
    const uint64_t first_seen = only_flow().first_seen;
    for (uint32_t generation = 2; generation < 12; ++generation) {
        datapath_->publish(policy_of(map_with("3.7.161.0/26")), generation);
        run(from("3.7.161.1"));
        EXPECT_EQ(only_flow().directions[KUDO_INGRESS].packets, generation);
        EXPECT_EQ(only_flow().directions[KUDO_INGRESS].bytes, generation * l3_bytes);
        EXPECT_EQ(only_flow().first_seen, first_seen);
    }
    EXPECT_EQ(datapath_->counters()->services[media_slot][KUDO_CLASS_MEDIA][KUDO_INGRESS].packets, 11u);
}

// In the same /16 the prefilter still says "maybe": it is the flow's row that must not be trusted.
TEST_F(Generation, AnAddressThatLeavesTheMapIsAStrangerAndItsFlowStopsGrowing) {
    for (const std::string_view other : {"3.7.200.0/24", "9.9.9.0/24"}) {
        datapath_.emplace();
        datapath_->publish(policy_of(map_with("3.7.161.0/26")), 1);
        run(from("3.7.161.1"));
        datapath_->publish(policy_of(map_with(other)), 2);
        for (int i = 0; i < 3; ++i)
            EXPECT_EQ(run(from("3.7.161.1")), uint32_t{XDP_DROP});
        EXPECT_EQ(packets(KUDO_REASON_STRANGER), 3u);
        EXPECT_EQ(only_flow().directions[KUDO_INGRESS].packets, 1u);
        EXPECT_EQ(datapath_->counters()->services[media_slot][KUDO_CLASS_MEDIA][KUDO_INGRESS].packets, 1u);
    }
}

TEST_F(Generation, AnAddressThatComesBackGoesOnWithItsRow) {
    datapath_->publish(policy_of(map_with("3.7.161.0/26")), 1);
    run(from("3.7.161.1"));
    datapath_->publish(policy_of(map_with("9.9.9.0/24")), 2);
    run(from("3.7.161.1"));
    datapath_->publish(policy_of(map_with("3.7.161.0/26")), 3);
    run(from("3.7.161.1"));
    EXPECT_EQ(only_flow().directions[KUDO_INGRESS].packets, 2u);
}

TEST_F(Generation, AChangeOfModeIsAGenerationOfItsOwn) {
    datapath_->publish(policy_of(map_with("3.7.161.0/26"), KUDO_OBSERVE), 1);
    EXPECT_EQ(run(from("3.7.161.1", 9)), uint32_t{XDP_PASS});
    EXPECT_EQ(run(from("8.8.8.8")), uint32_t{XDP_PASS});
    datapath_->publish(policy_of(map_with("3.7.161.0/26"), KUDO_ENFORCE), 2);
    EXPECT_EQ(run(from("3.7.161.1", 9)), uint32_t{XDP_DROP});
    EXPECT_EQ(run(from("8.8.8.8")), uint32_t{XDP_DROP});
    datapath_->publish(policy_of(map_with("3.7.161.0/26"), KUDO_PRIORITISE), 3);
    EXPECT_EQ(run(from("3.7.161.1", 9)), uint32_t{XDP_PASS});
    EXPECT_EQ(run(from("8.8.8.8")), uint32_t{XDP_PASS});
}

} // namespace
} // namespace kudo::test
