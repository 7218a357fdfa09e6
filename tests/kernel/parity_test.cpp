// SPDX-License-Identifier: MIT
// Kernel and native decision agree: odd packets through the programs, each checked against the oracle, counters and
// all.
// Invariant: a failure prints the seed; KUDO_TEST_SEED=SEED repeats it.
#include "bpf/drops.h"
#include "tests/kernel/kernel_test.h"
#include "tests/support/packet_generator.h"

namespace kudo::test {
namespace {

constexpr uint32_t generation = 7;

struct Case {
    const char* name;
    kudo_mode mode;
    kudo_link_layer link;
    int packets;
    bool frags = true;
};

void PrintTo(const Case& c, std::ostream* out) {
    *out << c.packets << " packets";
}

// Newer kernels' test run refuses an skb that says IPv4 or IPv6 at its Ethernet type and is shorter than that header.
// XDP and the unit tests see such frames.
bool is_refused_by_test_run(const Bytes& bytes) {
    const int type = bytes[12] << 8 | bytes[13];
    return (type == KUDO_ETHERTYPE_IPV4 && bytes.size() < 14 + 20) ||
           (type == KUDO_ETHERTYPE_IPV6 && bytes.size() < 14 + 40);
}

// All marks differ; control has no DSCP, fallback no priority.
CompileOptions marking_options(kudo_mode mode) {
    CompileOptions options = options_for(mode);
    options.marks[KUDO_CLASS_FALLBACK] = {.priority = 9, .dscp = 46, .flags = KUDO_MARK_DSCP, .pad = 0};
    options.marks[KUDO_CLASS_CONTROL] = {.priority = 4, .dscp = 18, .flags = KUDO_MARK_PRIORITY, .pad = 0};
    options.firewall_mark = 0x0f40;
    options.firewall_mark_mask = 0x00c0;
    return options;
}

class Parity : public KernelTest, public ::testing::WithParamInterface<Case> {
protected:
    void SetUp() override {
        KernelTest::SetUp();
        if (IsSkipped()) return;
        datapath_.emplace(Datapath::Options{.link = GetParam().link, .frags = GetParam().frags});
        auto compiled = compile(map_, options_, {});
        ASSERT_TRUE(compiled) << compiled.error().message;
        datapath_->fill(*compiled, generation);
        datapath_->activate(generation);
        oracle_.emplace(map_, options_, *compiled, generation);
    }

    // Empty, or what differs after this packet.
    std::string difference(const Decision& decision, kudo_direction direction) {
        books_.enter(decision, direction);
        return counter_difference(*datapath_->counters(), books_.counters());
    }

    std::string about(int number, const Bytes& bytes, const Decision& decision) const {
        std::ostringstream text;
        text << "packet " << number << " of KUDO_TEST_SEED=" << seed_ << ": parsed " << decision.parsed << ", reason "
             << int(decision.judgement.reason) << ", service " << int(decision.judgement.service) << "\n"
             << hex_dump(bytes);
        return text.str();
    }

    // How many of the packets had each reason: a generator that misses one is of no use.
    void expect_every_reason() const {
        for (uint32_t reason = 0; reason < KUDO_REASON_END; ++reason) {
            if (reason == KUDO_REASON_NO_POLICY || reason >= KUDO_REASON_ALLOWED) continue; // of admission alone
            const bool of_link = reason == KUDO_REASON_TOO_MANY_TAGS || reason == KUDO_REASON_TRUNCATED_LINK;
            if (of_link && GetParam().link == KUDO_LINK_NONE) continue;
            const auto& counter = books_.counters().reasons[reason];
            EXPECT_GT(counter[KUDO_INGRESS].packets + counter[KUDO_EGRESS].packets, 0u) << "reason " << reason;
        }
    }

    void run_tc(kudo_direction direction);

    const uint64_t seed_ = test_seed();
    const RangeMap map_ = overlapping_map();
    const CompileOptions options_ = marking_options(GetParam().mode);
    std::optional<Datapath> datapath_;
    std::optional<Oracle> oracle_;
    Books books_;
};

void Parity::run_tc(kudo_direction direction) {
    PacketGenerator generator(seed_, map_, GetParam().link, direction);
    std::mt19937_64 random(seed_);
    for (int i = 0; i < GetParam().packets; ++i) {
        const OddPacket odd = generator.next();
        if (is_refused_by_test_run(odd.bytes)) continue;
        const Frame frame{.bytes = odd.bytes,
                          .link = GetParam().link,
                          .direction = direction,
                          .segment_size = odd.segment_size,
                          .segments = odd.segments};
        const SkbFields before{.priority = static_cast<uint32_t>(random() % 12),
                               .mark = static_cast<uint32_t>(random()),
                               .segment_size = odd.segment_size,
                               .segments = odd.segments};
        const Decision decision = oracle_->decide(frame);
        const RunResult result = datapath_->run_tc(direction, odd.bytes, before);
        ASSERT_EQ(result.error, 0) << std::strerror(result.error) << "; " << about(i, odd.bytes, decision);
        ASSERT_EQ(result.returned, decision.verdict() == KUDO_DROP ? tc_drop : tc_next)
            << about(i, odd.bytes, decision);
        SkbFields after = before;
        Bytes expected = odd.bytes;
        if (direction == KUDO_EGRESS) {
            expected = oracle_->marked(frame, decision);
            after.priority = oracle_->marked_priority(frame, before.priority, decision);
        } // the firewall mark is for answers alone, and this host has sent nothing
        if (decision.verdict() == KUDO_DROP) after.mark = KUDO_DROP_MARK;
        ASSERT_TRUE(result.frame == expected) << about(i, odd.bytes, decision) << "\nis now\n"
                                              << hex_dump(result.frame) << "\nexpected\n"
                                              << hex_dump(expected);
        ASSERT_EQ(result.skb.priority, after.priority) << about(i, odd.bytes, decision);
        ASSERT_EQ(result.skb.mark, after.mark) << about(i, odd.bytes, decision);
        ASSERT_EQ(difference(decision, direction), "") << about(i, odd.bytes, decision);
    }
    ASSERT_EQ(flow_difference(datapath_->flows(), books_.flows()), "") << "KUDO_TEST_SEED=" << seed_;
    expect_every_reason();
}

class XdpParity : public Parity {};

TEST_P(XdpParity, EveryPacketIsJudgedAndCountedAsTheOracleSays) {
    PacketGenerator generator(seed_, map_, KUDO_LINK_ETHERNET, KUDO_INGRESS);
    for (int i = 0; i < GetParam().packets; ++i) {
        const Bytes bytes = generator.next().bytes;
        const Decision decision = oracle_->decide({.bytes = bytes});
        const RunResult result = datapath_->run_xdp(bytes);
        ASSERT_EQ(result.error, 0) << std::strerror(result.error) << "; " << about(i, bytes, decision);
        ASSERT_EQ(result.returned, uint32_t{decision.verdict() == KUDO_DROP ? XDP_DROP : XDP_PASS})
            << about(i, bytes, decision);
        ASSERT_EQ(difference(decision, KUDO_INGRESS), "") << about(i, bytes, decision);
    }
    ASSERT_EQ(flow_difference(datapath_->flows(), books_.flows()), "") << "KUDO_TEST_SEED=" << seed_;
    expect_every_reason();
}

// Frames in several buffers, whose first one ends anywhere, in the headers too.
class ScatteredParity : public Parity {};

TEST_P(ScatteredParity, WhereTheFirstBufferEndsMakesNoDifference) {
    PacketGenerator generator(seed_, map_, KUDO_LINK_ETHERNET, KUDO_INGRESS);
    std::mt19937_64 random(seed_);
    for (int i = 0; i < GetParam().packets; ++i) {
        const Bytes bytes = generator.next().bytes;
        if (bytes.size() < sizeof(kudo_ethernet_header)) continue; // no test run takes it
        const auto first_buffer = static_cast<uint32_t>(random() % std::min<std::size_t>(bytes.size() + 1, 100));
        const Decision decision = oracle_->decide({.bytes = bytes});
        const RunResult result = datapath_->run_xdp(bytes, first_buffer);
        if (result.error == EINVAL && i == 0) GTEST_SKIP() << "this kernel's test run does not divide frames at will";
        ASSERT_EQ(result.error, 0) << std::strerror(result.error) << "; " << about(i, bytes, decision);
        ASSERT_EQ(result.returned, uint32_t{decision.verdict() == KUDO_DROP ? XDP_DROP : XDP_PASS})
            << first_buffer << " bytes of " << about(i, bytes, decision);
        ASSERT_EQ(difference(decision, KUDO_INGRESS), "") << first_buffer << " bytes of " << about(i, bytes, decision);
    }
    ASSERT_EQ(flow_difference(datapath_->flows(), books_.flows()), "") << "KUDO_TEST_SEED=" << seed_;
    expect_every_reason();
}

class TcIngressParity : public Parity {};

TEST_P(TcIngressParity, EveryPacketIsJudgedMarkedAndCountedAsTheOracleSays) {
    run_tc(KUDO_INGRESS);
}

class TcEgressParity : public Parity {};

TEST_P(TcEgressParity, EveryPacketIsJudgedMarkedAndCountedAsTheOracleSays) {
    run_tc(KUDO_EGRESS);
}

std::string name_of(const ::testing::TestParamInfo<Case>& info) {
    return info.param.name;
}

INSTANTIATE_TEST_SUITE_P(Modes, XdpParity,
                         ::testing::Values(Case{"Observe", KUDO_OBSERVE, KUDO_LINK_ETHERNET, 40'000},
                                           Case{"Prioritise", KUDO_PRIORITISE, KUDO_LINK_ETHERNET, 80'000},
                                           Case{"Enforce", KUDO_ENFORCE, KUDO_LINK_ETHERNET, 100'000},
                                           Case{"WithoutFrags", KUDO_ENFORCE, KUDO_LINK_ETHERNET, 80'000, false}),
                         name_of);

INSTANTIATE_TEST_SUITE_P(Modes, ScatteredParity,
                         ::testing::Values(Case{"Prioritise", KUDO_PRIORITISE, KUDO_LINK_ETHERNET, 20'000},
                                           Case{"Enforce", KUDO_ENFORCE, KUDO_LINK_ETHERNET, 40'000}),
                         name_of);

const auto tc_cases = ::testing::Values(Case{"Observe", KUDO_OBSERVE, KUDO_LINK_ETHERNET, 20'000},
                                        Case{"Prioritise", KUDO_PRIORITISE, KUDO_LINK_ETHERNET, 50'000},
                                        Case{"Enforce", KUDO_ENFORCE, KUDO_LINK_ETHERNET, 40'000},
                                        Case{"BareIp", KUDO_ENFORCE, KUDO_LINK_NONE, 40'000});

INSTANTIATE_TEST_SUITE_P(Modes, TcIngressParity, tc_cases, name_of);
INSTANTIATE_TEST_SUITE_P(Modes, TcEgressParity, tc_cases, name_of);

} // namespace
} // namespace kudo::test
