// SPDX-License-Identifier: MIT
// The tracing program on odd packets: a test run of a tc program frees its packet as dropped, and what is counted then
// is what the oracle says of the same bytes. Invariant: a failure prints the seed; KUDO_TEST_SEED=SEED repeats it.
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <sys/stat.h>

#include <cstdlib>
#include <map>
#include <memory>

#include "agent/datapath/bpf_object.h"
#include "agent/drops/reasons.h"
#include "agent/system/network_namespace.h"
#include "bpf/drops.h"
#include "kudo_drops.skel.h"
#include "tests/kernel/kernel_test.h"
#include "tests/support/packet_generator.h"

namespace kudo::test {
namespace {

struct DropsClose {
    void operator()(kudo_drops* skeleton) const { kudo_drops::destroy(skeleton); }
};

// By the bytes of kudo_flow4_key or kudo_flow6_key, and the direction behind them.
using DropBook = std::map<std::string, kudo_counter>;

void add_to(kudo_counter& sum, const kudo_counter& more) {
    sum.packets += more.packets;
    sum.bytes += more.bytes;
}

class Drops : public KernelTest {
protected:
    void SetUp() override {
        KernelTest::SetUp();
        if (IsSkipped()) return;
        auto space = NetworkNamespace::create();
        if (!space) GTEST_SKIP() << space.error().message;
        space_.emplace(std::move(*space));
        datapath_.emplace();
        auto compiled = compile(map_, options_, {});
        ASSERT_TRUE(compiled) << compiled.error().message;
        datapath_->fill(*compiled, generation);
        datapath_->activate(generation);
        oracle_.emplace(map_, options_, *compiled, generation);
        ASSERT_NO_FATAL_FAILURE(attach());
    }

    void attach() {
        skeleton_.reset(kudo_drops::open());
        ASSERT_TRUE(skeleton_);
        const auto reasons = DropReasons::of_running_kernel();
        ASSERT_TRUE(reasons) << reasons.error().message;
        const unsigned arguments = (*reasons)->tracepoint_arguments();
        skeleton_->rodata->kudo_has_reason = arguments >= 3;
        skeleton_->rodata->kudo_has_rx_socket = arguments >= 4;
        skeleton_->rodata_copy->kudo_copy = copy;
        ASSERT_TRUE(inside([&] {
            struct stat network {};
            if (stat("/proc/thread-self/ns/net", &network) != 0) abort();
            skeleton_->rodata->kudo_namespace = static_cast<uint32_t>(network.st_ino);
        }));
        const auto& maps = datapath_->maps();
        const std::pair<bpf_map*, int> shared[] = {
            {skeleton_->maps.kudo_lpm4_0, maps.lpm4[0].get()}, {skeleton_->maps.kudo_lpm4_1, maps.lpm4[1].get()},
            {skeleton_->maps.kudo_lpm6_0, maps.lpm6[0].get()}, {skeleton_->maps.kudo_lpm6_1, maps.lpm6[1].get()},
            {skeleton_->maps.kudo_flows4, maps.flows4.get()},  {skeleton_->maps.kudo_flows6, maps.flows6.get()},
            {skeleton_->maps.data_active, maps.active.get()},  {skeleton_->maps.data_policies, maps.policies.get()},
        };
        for (const auto& [map, fd] : shared)
            ASSERT_EQ(bpf_map__reuse_fd(map, fd), 0);
        for (bpf_map* map : {skeleton_->maps.kudo_drops4, skeleton_->maps.kudo_drops6})
            bpf_map__set_max_entries(map, rows_per_table());
        ASSERT_EQ(kudo_drops::load(skeleton_.get()), 0);
        count_for(copy);
        ASSERT_EQ(kudo_drops::attach(skeleton_.get()), 0);
    }
    void count_for(uint64_t number) const {
        const uint32_t key = 0;
        kudo_drop_control control{.counting = number, .unparsed = 0, .nested = 0, .without_row = 0, .without_total = 0};
        ASSERT_EQ(bpf_map_update_elem(bpf_map__fd(skeleton_->maps.kudo_drop_state), &key, &control, BPF_ANY), 0);
    }
    bool inside(const std::function<void()>& work) const {
        return bool(space_->run([&]() -> Result<void> {
            work();
            return {};
        }));
    }

    // Odd packets are of very many flows.
    [[nodiscard]] virtual uint32_t rows_per_table() const { return 1 << 17; }

    // What must become of a packet that is freed; nothing: it is not KUDO's, or is no packet that can be parsed.
    struct Expected {
        std::string key;
        kudo_counter wire;
    };
    std::optional<Expected> expected_of(const OddPacket& odd) const {
        for (const kudo_direction direction : {KUDO_EGRESS, KUDO_INGRESS}) {
            const Decision decision = oracle_->decide({.bytes = odd.bytes,
                                                       .direction = direction,
                                                       .segment_size = odd.segment_size,
                                                       .segments = odd.segments});
            if (!decision.has_flow()) continue;
            const kudo_packet& packet = decision.packet;
            const char* bytes = packet.family == 4 ? reinterpret_cast<const char*>(&packet.key4)
                                                   : reinterpret_cast<const char*>(&packet.key6);
            std::string key(bytes, packet.family == 4 ? sizeof packet.key4 : sizeof packet.key6);
            return Expected{std::move(key) += static_cast<char>(direction), decision.wire};
        }
        return std::nullopt;
    }
    template <typename Key> void read(bpf_map* map, DropBook& book) const {
        const auto take = [&](const Key& key, const kudo_drop& row) {
            add_to(book[std::string(reinterpret_cast<const char*>(&key.flow), sizeof key.flow) +=
                        static_cast<char>(key.direction)],
                   row.wire);
        };
        ASSERT_TRUE((for_each_entry<Key, kudo_drop>(bpf_map__fd(map), "drops", take)));
    }
    [[nodiscard]] DropBook rows() const {
        DropBook book;
        read<kudo_drop4_key>(skeleton_->maps.kudo_drops4, book);
        read<kudo_drop6_key>(skeleton_->maps.kudo_drops6, book);
        return book;
    }
    [[nodiscard]] kudo_counter totals() const {
        kudo_counter sum{};
        const auto take = [&](const kudo_drop_total_key&, const kudo_counter& wire) { add_to(sum, wire); };
        EXPECT_TRUE((for_each_entry<kudo_drop_total_key, kudo_counter>(bpf_map__fd(skeleton_->maps.kudo_drop_totals),
                                                                       "totals", take)));
        return sum;
    }
    [[nodiscard]] kudo_drop_control control() const {
        const uint32_t key = 0;
        kudo_drop_control result{};
        bpf_map_lookup_elem(bpf_map__fd(skeleton_->maps.kudo_drop_state), &key, &result);
        return result;
    }
    void free_packet(const OddPacket& odd) const {
        // Observing programs: the packet is freed as it was.
        (void)datapath_->run_tc(KUDO_INGRESS, odd.bytes, {.segment_size = odd.segment_size, .segments = odd.segments});
    }

    static constexpr uint32_t generation = 7;
    static constexpr uint64_t copy = 42;
    const uint64_t seed_ = test_seed();
    const RangeMap map_ = overlapping_map();
    const CompileOptions options_ = options_for(KUDO_OBSERVE);
    std::optional<NetworkNamespace> space_;
    std::optional<Datapath> datapath_;
    std::optional<Oracle> oracle_;
    std::unique_ptr<kudo_drops, DropsClose> skeleton_;
};

bool is_taken_by_test_run(const Bytes& bytes) {
    const int type = bytes.size() < 14 ? 0 : bytes[12] << 8 | bytes[13];
    return bytes.size() >= 14 && (type != KUDO_ETHERTYPE_IPV4 || bytes.size() >= 14 + 20) &&
           (type != KUDO_ETHERTYPE_IPV6 || bytes.size() >= 14 + 40);
}

TEST_F(Drops, EveryPacketIsCountedAsTheOracleSays) {
    DropBook expected;
    kudo_counter sum{};
    ASSERT_TRUE(inside([&] {
        for (const kudo_direction direction : {KUDO_INGRESS, KUDO_EGRESS}) {
            PacketGenerator generator(seed_, map_, KUDO_LINK_ETHERNET, direction);
            for (int i = 0; i < 20'000; i++) {
                const OddPacket odd = generator.next();
                const auto packet = expected_of(odd);
                if (!packet || !is_taken_by_test_run(odd.bytes)) continue;
                free_packet(odd);
                add_to(expected[packet->key], packet->wire);
                add_to(sum, packet->wire);
            }
        }
    }));
    ASSERT_GT(expected.size(), 100u);
    EXPECT_EQ(control().without_row, 0u);
    EXPECT_EQ(control().unparsed, 0u);
    EXPECT_EQ(totals().packets, sum.packets) << "KUDO_TEST_SEED=" << seed_;
    EXPECT_EQ(totals().bytes, sum.bytes);
    DropBook counted = rows();
    for (auto& [key, wire] : expected) {
        std::string row = key;
        row[row.size() == sizeof(kudo_flow4_key) + 1 ? offsetof(kudo_flow4_key, interface)
                                                     : offsetof(kudo_flow6_key, interface)] = 1; // loopback
        const auto found = counted.find(row);
        ASSERT_NE(found, counted.end()) << "no row for " << key_dump(row) << "KUDO_TEST_SEED=" << seed_;
        EXPECT_EQ(found->second.packets, wire.packets) << key_dump(row) << "KUDO_TEST_SEED=" << seed_;
        EXPECT_EQ(found->second.bytes, wire.bytes) << key_dump(row) << "KUDO_TEST_SEED=" << seed_;
    }
    EXPECT_EQ(counted.size(), expected.size());
}

// What cannot be parsed too: whatever it is, totals and rows agree.
TEST_F(Drops, RowsAreTheTotals) {
    ASSERT_TRUE(inside([&] {
        PacketGenerator generator(seed_, map_, KUDO_LINK_ETHERNET, KUDO_INGRESS);
        for (int i = 0; i < 20'000; i++) {
            const OddPacket odd = generator.next();
            if (is_taken_by_test_run(odd.bytes)) free_packet(odd);
        }
    }));
    kudo_counter sum{};
    for (const auto& [key, wire] : rows())
        add_to(sum, wire);
    EXPECT_GT(sum.packets, 1000u);
    EXPECT_EQ(totals().packets, sum.packets) << "KUDO_TEST_SEED=" << seed_;
    EXPECT_EQ(totals().bytes, sum.bytes);
    EXPECT_EQ(control().nested, 0u);
}

class DropsOfManyFlows : public Drops {
protected:
    [[nodiscard]] uint32_t rows_per_table() const override { return KUDO_DROPS4; }
};

// More than the table holds: rows go, totals stay.
TEST_F(DropsOfManyFlows, TotalsOutliveEvictedRows) {
    constexpr unsigned flows = 3 * KUDO_DROPS4;
    ASSERT_TRUE(inside([&] {
        for (unsigned i = 0; i < flows; i++)
            free_packet({.bytes = (Ethernet{} / IPv4{.source = "3.123.12.129", .destination = "10.0.0.1"} /
                                   Udp{.source_port = static_cast<uint16_t>(3478 + (i >> 16)),
                                       .destination_port = static_cast<uint16_t>(i)} /
                                   Payload(10))
                                      .bytes()});
    }));
    EXPECT_EQ(totals().packets, flows);
    EXPECT_LE(rows().size(), KUDO_DROPS4);
    EXPECT_GT(rows().size(), KUDO_DROPS4 / 2);
}

TEST_F(Drops, AnotherCopyThatCountsSilencesThisOne) {
    count_for(copy + 1);
    ASSERT_TRUE(inside(
        [&] { free_packet({.bytes = (Ethernet{} / IPv4{.source = "3.123.12.129"} / Udp{} / Payload(10)).bytes()}); }));
    EXPECT_EQ(totals().packets, 0u);
    EXPECT_TRUE(rows().empty());
}

TEST_F(Drops, AnotherNamespaceIsNotCounted) {
    auto other = NetworkNamespace::create();
    ASSERT_TRUE(other);
    const OddPacket packet{.bytes = (Ethernet{} / IPv4{.source = "3.123.12.129"} / Udp{} / Payload(10)).bytes()};
    ASSERT_TRUE(other->run([&]() -> Result<void> {
        free_packet(packet);
        return {};
    }));
    EXPECT_EQ(totals().packets, 0u);
    ASSERT_TRUE(inside([&] { free_packet(packet); }));
    EXPECT_EQ(totals().packets, 1u);
}

} // namespace
} // namespace kudo::test
