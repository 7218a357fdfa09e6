// SPDX-License-Identifier: MIT
// The queues that we make, as the bytes that the kernel is told.
// Invariant: no kernel; what the kernel demands of them is written here a second time, with where it does.
#include <gtest/gtest.h>

#include <linux/pkt_cls.h>
#include <linux/pkt_sched.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <set>

#include "agent/queues/tree.h"
#include "bpf/mark.h"

namespace kudo {
namespace {

constexpr uint64_t slowest = 64'000, usual = 20'000'000, fastest = 100'000'000'000;
constexpr uint64_t rates[] = {slowest, usual, fastest};
constexpr uint32_t mtus[] = {1280, 1500, 9000, 65535};

template <typename T> T value_of(const std::vector<uint8_t>& bytes) {
    T value{};
    EXPECT_EQ(bytes.size(), sizeof value);
    std::memcpy(&value, bytes.data(), std::min(bytes.size(), sizeof value));
    return value;
}
template <typename T> T attribute(const TcObject& object, uint16_t type) {
    return value_of<T>(find_attribute(object.options, type));
}

// Every tree that there is.
std::vector<QueueTree> all_trees() {
    std::vector<QueueTree> trees;
    for (const QueueKind kind : queue_kinds) {
        for (const uint64_t bits : rates)
            for (const uint32_t mtu : mtus)
                for (const bool incoming : {false, true})
                    trees.push_back(shaped_queue(kind, {bits, mtu, incoming}));
        if (kind == QueueKind::Htb) continue;
        for (const uint32_t queues : {0u, 1u, 4u, 128u})
            trees.push_back(ordering_queue(kind, queues));
    }
    return trees;
}

const TcObject& object(const QueueTree& tree, uint32_t handle) {
    const auto found =
        std::ranges::find(tree.steps, handle, [](const QueueTree::Step& step) { return step.object.handle; });
    if (found == tree.steps.end()) throw std::runtime_error("no such object");
    return found->object;
}
std::vector<TcObject> of_kind(const QueueTree& tree, const std::string& kind, bool classes) {
    std::vector<TcObject> result;
    for (const QueueTree::Step& step : tree.steps)
        if (step.object.kind == kind && step.object.is_class == classes) result.push_back(step.object);
    return result;
}

TEST(QueueTree, BeginsAtTheRootWithOurHandleAndNeverUsesOneTwice) {
    for (const QueueTree& tree : all_trees()) {
        ASSERT_FALSE(tree.steps.empty());
        EXPECT_EQ(tree.steps[0].object.handle, queue_handle);
        EXPECT_EQ(tree.steps[0].object.parent, TC_H_ROOT);
        std::set<uint32_t> handles;
        for (const QueueTree::Step& step : tree.steps) {
            EXPECT_GE(step.object.handle, queue_handle);
            EXPECT_TRUE(handles.insert(step.object.handle).second) << queue_kind_name(tree.kind);
            EXPECT_EQ((step.object.handle & TC_H_MIN_MASK) != 0, step.object.is_class);
        }
    }
}

TEST(QueueTree, MakesParentsBeforeChildren) {
    for (const QueueTree& tree : all_trees()) {
        std::set<uint32_t> majors, classes;
        for (const QueueTree::Step& step : tree.steps) {
            const TcObject& made = step.object;
            if (made.parent != TC_H_ROOT) {
                EXPECT_TRUE(majors.contains(made.parent & TC_H_MAJ_MASK)) << made.kind;
                EXPECT_EQ(classes.contains(made.parent), tree.kind == QueueKind::Htb) << made.kind;
            }
            (made.is_class ? classes : majors).insert(made.handle);
        }
    }
}

TEST(QueueTree, ASubstituteStandsWhereTheOtherWould) {
    for (const QueueTree& tree : all_trees())
        for (const QueueTree::Step& step : tree.steps) {
            if (!step.substitute) continue;
            EXPECT_EQ(step.substitute->handle, step.object.handle);
            EXPECT_EQ(step.substitute->parent, step.object.parent);
            EXPECT_TRUE(step.substitute->kind == "pfifo" || step.substitute->kind == "pfifo_head_drop"); // always there
            EXPECT_GE(value_of<tc_fifo_qopt>(step.substitute->options).limit, 20u);
        }
}

// net/sched/sch_htb.c: without a quantum of its own a class gets its rate / r2q, and a warning in the kernel's log
// where that is below 1000 or above 200000.
TEST(QueueTree, HtbsClassesHaveAQuantumOfOneFrameAndNeverTheKernelsGuess) {
    for (const uint64_t bits : rates)
        for (const uint32_t mtu : mtus)
            for (const TcObject& one : of_kind(shaped_queue(QueueKind::Htb, {bits, mtu}), "htb", true))
                EXPECT_EQ(attribute<tc_htb_opt>(one, TCA_HTB_PARMS).quantum, mtu + 22) << bits;
}

TEST(QueueTree, HtbsGuaranteesTogetherAreTheLineAndNobodysCeilingIsAboveIt) {
    for (const uint64_t bits : rates) {
        const auto tree = shaped_queue(QueueKind::Htb, {bits});
        uint64_t together = 0;
        for (const TcObject& one : of_kind(tree, "htb", true)) {
            const auto rate = attribute<uint64_t>(one, TCA_HTB_RATE64),
                       ceiling = attribute<uint64_t>(one, TCA_HTB_CEIL64);
            EXPECT_GT(rate, 0u);
            EXPECT_LE(rate, ceiling);
            EXPECT_LE(ceiling, bits / 8);
            if (one.parent == (queue_handle | 1)) together += rate;
        }
        EXPECT_EQ(together, bits / 8);
        // What is not KUDO's is sure of a fifth, a quarter of that first for its acknowledgements; the default is the
        // rest.
        const auto glob = attribute<tc_htb_glob>(tree.steps[0].object, TCA_HTB_INIT);
        const TcObject& others = object(tree, queue_handle | glob.defcls);
        EXPECT_EQ(attribute<uint64_t>(others, TCA_HTB_RATE64), bits * 3 / 20 / 8);
        EXPECT_EQ(attribute<tc_htb_opt>(others, TCA_HTB_PARMS).prio, 4u);
        // A flood of them comes after all of KUDO's, and leaves half of the line.
        const TcObject& acks = object(tree, queue_handle | 6);
        EXPECT_EQ(attribute<uint64_t>(acks, TCA_HTB_RATE64), bits / 20 / 8);
        EXPECT_EQ(acks.parent, others.parent);
        EXPECT_EQ(attribute<uint64_t>(object(tree, others.parent), TCA_HTB_RATE64), bits / 5 / 8);
        EXPECT_EQ(attribute<uint64_t>(acks, TCA_HTB_CEIL64), bits / 2 / 8);
        EXPECT_EQ(attribute<tc_htb_opt>(acks, TCA_HTB_PARMS).prio, 3u);
        for (const uint32_t priority : tree.priorities)
            EXPECT_LT(attribute<tc_htb_opt>(object(tree, priority), TCA_HTB_PARMS).prio, 3u);
        // Audio goes first, and may have all; video leaves a tenth.
        const TcObject& audio = object(tree, tree.priorities[KUDO_TREATMENT_AUDIO]);
        const TcObject& video = object(tree, tree.priorities[KUDO_TREATMENT_VIDEO]);
        EXPECT_EQ(attribute<tc_htb_opt>(audio, TCA_HTB_PARMS).prio, 0u);
        EXPECT_EQ(attribute<uint64_t>(audio, TCA_HTB_CEIL64), bits / 8);
        EXPECT_EQ(attribute<tc_htb_opt>(video, TCA_HTB_PARMS).prio, 1u);
        EXPECT_EQ(attribute<uint64_t>(video, TCA_HTB_CEIL64), bits * 9 / 10 / 8);
    }
}

// The kernel takes the larger of the 32 bits and the 64.
TEST(QueueTree, RatesAbove32BitsAreTold) {
    const auto tree = shaped_queue(QueueKind::Htb, {fastest});
    const TcObject& line = object(tree, queue_handle | 1);
    EXPECT_EQ(attribute<tc_htb_opt>(line, TCA_HTB_PARMS).rate.rate, UINT32_MAX);
    EXPECT_EQ(attribute<uint64_t>(line, TCA_HTB_RATE64), fastest / 8);
    const TcObject bucket = shaped_queue(QueueKind::PfifoFast, {fastest}).steps[0].object;
    EXPECT_EQ(attribute<tc_tbf_qopt>(bucket, TCA_TBF_PARMS).rate.rate, UINT32_MAX);
    EXPECT_EQ(attribute<uint64_t>(bucket, TCA_TBF_RATE64), fastest / 8);
}

// In the kernel's unit of 64 ns; a frame above it would never pass tbf, and make htb's classes fall behind.
TEST(QueueTree, EveryBurstHoldsAFrameAndIsNoLongPauseForOthers) {
    for (const uint64_t bits : rates)
        for (const uint32_t mtu : mtus) {
            const double frame = mtu + 22;
            for (const TcObject& one : of_kind(shaped_queue(QueueKind::Htb, {bits, mtu}), "htb", true)) {
                const auto options = attribute<tc_htb_opt>(one, TCA_HTB_PARMS);
                const auto rate = static_cast<double>(attribute<uint64_t>(one, TCA_HTB_RATE64));
                const auto ceiling = static_cast<double>(attribute<uint64_t>(one, TCA_HTB_CEIL64));
                EXPECT_GE((options.buffer + 1) * 64e-9 * rate, frame) << bits << " " << mtu;
                EXPECT_GE((options.cbuffer + 1) * 64e-9 * ceiling, frame) << bits << " " << mtu;
                EXPECT_LE(options.cbuffer * 64e-9, frame / ceiling + 60e-6) << bits << " " << mtu;
            }
            for (const QueueKind kind : {QueueKind::Prio, QueueKind::PfifoFast})
                for (const TcObject& one : of_kind(shaped_queue(kind, {bits, mtu}), "tbf", false)) {
                    const auto options = attribute<tc_tbf_qopt>(one, TCA_TBF_PARMS);
                    EXPECT_GE(attribute<uint32_t>(one, TCA_TBF_BURST), frame) << bits << " " << mtu;
                    EXPECT_GE(options.limit, attribute<uint32_t>(one, TCA_TBF_BURST)) << bits << " " << mtu;
                    EXPECT_GT(options.buffer, 0u);
                }
        }
}

TEST(QueueTree, CakeGetsTheRateInBytesAndAudioTheVoiceTin) {
    for (const uint64_t bits : rates)
        for (const bool incoming : {false, true}) {
            const auto tree = shaped_queue(QueueKind::Cake, {bits, 1500, incoming});
            ASSERT_EQ(tree.steps.size(), 1u);
            const TcObject& cake = tree.steps[0].object;
            EXPECT_EQ(attribute<uint64_t>(cake, TCA_CAKE_BASE_RATE64), bits / 8);
            EXPECT_EQ(attribute<uint32_t>(cake, TCA_CAKE_DIFFSERV_MODE), CAKE_DIFFSERV_DIFFSERV4);
            EXPECT_EQ(!find_attribute(cake.options, TCA_CAKE_INGRESS).empty(), incoming);
            // sch_cake.c: the class of a priority under its own handle is the tin, from 1: bulk, best effort, video,
            // voice.
            for (uint32_t treatment = 0; treatment < KUDO_TREATMENTS; treatment++)
                EXPECT_EQ(tree.priorities[treatment], queue_handle | (treatment == KUDO_TREATMENT_AUDIO ? 4u : 3u));
        }
}

// The band that skb->priority leads to: sch_prio.c takes its last four bits.
uint8_t band(const tc_prio_qopt& map, uint32_t priority) {
    return map.priomap[priority & TC_PRIO_MAX];
}

TEST(QueueTree, PriosBandsAreAudioVideoControlOthers) {
    for (const uint32_t queues : {0u, 2u}) {
        const auto tree = ordering_queue(QueueKind::Prio, queues);
        const auto bands = of_kind(tree, "prio", false);
        EXPECT_EQ(bands.size(), std::max(queues, 1u));
        for (const TcObject& one : bands) {
            const auto map = value_of<tc_prio_qopt>(one.options);
            EXPECT_EQ(map.bands, 4);
            EXPECT_EQ(band(map, tree.priorities[KUDO_TREATMENT_AUDIO]), 0);
            EXPECT_EQ(band(map, tree.priorities[KUDO_TREATMENT_VIDEO]), 1);
            EXPECT_EQ(band(map, tree.priorities[KUDO_TREATMENT_FALLBACK]), 1);
            EXPECT_EQ(band(map, tree.priorities[KUDO_TREATMENT_CONTROL]), 2);
            // What an unprivileged program can ask for (socket(7), SO_PRIORITY) never comes before KUDO's.
            for (uint32_t priority = 0; priority <= 6; priority++)
                EXPECT_EQ(band(map, priority), 3) << priority;
        }
    }
}

TEST(QueueTree, ShapedPrioSplitsMediaOnceMoreBelowNineTenthsOfTheLine) {
    const auto tree = shaped_queue(QueueKind::Prio, {usual});
    const auto buckets = of_kind(tree, "tbf", false), bands = of_kind(tree, "prio", false);
    ASSERT_EQ(buckets.size(), 3u);
    ASSERT_EQ(bands.size(), 3u);
    EXPECT_EQ(attribute<uint64_t>(buckets[0], TCA_TBF_RATE64), usual / 8);
    EXPECT_EQ(attribute<uint64_t>(buckets[1], TCA_TBF_RATE64), usual / 8 * 9 / 10);
    EXPECT_EQ(attribute<uint64_t>(buckets[2], TCA_TBF_RATE64), usual / 8 / 2) << "acknowledgements of others";
    const auto outer = value_of<tc_prio_qopt>(bands[0].options), inner = value_of<tc_prio_qopt>(bands[1].options);
    const auto rest = value_of<tc_prio_qopt>(bands[2].options);
    EXPECT_EQ(band(outer, tree.priorities[KUDO_TREATMENT_AUDIO]), 0);
    EXPECT_EQ(band(outer, tree.priorities[KUDO_TREATMENT_VIDEO]), 0);
    EXPECT_EQ(band(outer, tree.priorities[KUDO_TREATMENT_CONTROL]), 1);
    EXPECT_EQ(band(inner, tree.priorities[KUDO_TREATMENT_AUDIO]), 0);
    EXPECT_EQ(band(inner, tree.priorities[KUDO_TREATMENT_VIDEO]), 1);
    for (uint32_t priority = 0; priority <= 6; priority++)
        EXPECT_EQ(band(outer, priority), 2) << priority;
    for (uint32_t priority = 0; priority <= TC_PRIO_MAX; priority++)
        EXPECT_EQ(band(rest, priority), 1) << "only filters select the first";
    EXPECT_EQ(bands[2].parent, queue_handle + 0x10000 + 3);
}

TEST(QueueTree, FiltersStandInAQdiscOfTheTreeAndLeadToAClassOfIt) {
    for (const QueueTree& tree : all_trees())
        for (const auto& [parent, filter] : tree.filters) {
            const TcObject& qdisc = object(tree, parent);
            const auto target = read_attribute<uint32_t>(filter.options, TCA_BPF_CLASSID).value_or(0);
            EXPECT_EQ(target & TC_H_MAJ_MASK, parent);
            if (qdisc.kind == "htb")
                EXPECT_TRUE(object(tree, target).is_class);
            else
                EXPECT_LE(target & TC_H_MIN_MASK, uint32_t(value_of<tc_prio_qopt>(qdisc.options).bands));
            EXPECT_EQ(std::ranges::count(tree.priorities, target), 0) << "never a class of KUDO's";
        }
    EXPECT_EQ(shaped_queue(QueueKind::Htb, {usual}).filters.size(), 2u);
    EXPECT_EQ(shaped_queue(QueueKind::Prio, {usual}).filters.size(), 2u);
}

// Bulk that comes in has room for a fifth of a second: BBR keeps it in flight whatever is lost.
TEST(QueueTree, IncomingBulkHasRoomWhereItsQueueDoesNotDelayMedia) {
    const auto limit_of = [](QueueKind kind, bool incoming, uint32_t parent) {
        const auto tree = shaped_queue(kind, {usual, 1500, incoming});
        const auto leaf = std::ranges::find(tree.steps, parent, [](const auto& step) { return step.object.parent; });
        EXPECT_EQ(leaf->substitute->kind, incoming ? "pfifo_head_drop" : "pfifo");
        const uint32_t limit = value_of<tc_fifo_qopt>(leaf->substitute->options).limit;
        if (incoming) EXPECT_EQ(attribute<uint32_t>(leaf->object, TCA_FQ_CODEL_LIMIT), limit);
        return limit;
    };
    EXPECT_EQ(limit_of(QueueKind::Htb, true, queue_handle | 2), 330u);
    EXPECT_EQ(limit_of(QueueKind::Htb, false, queue_handle | 2), 165u);
    EXPECT_EQ(limit_of(QueueKind::Prio, true, queue_handle + 0x50000 + 2), 330u);
}

TEST(QueueTree, OnWifiClassifiersChooseTheClassThatThePriorityChoosesElsewhere) {
    const auto htb = shaped_queue(QueueKind::Htb, {usual});
    const auto on_air = on_wifi(htb);
    ASSERT_EQ(on_air.classifiers.size(), 1u);
    EXPECT_EQ(on_air.classifiers[0].qdisc, queue_handle);
    EXPECT_EQ(on_air.classifiers[0].classes, htb.priorities);
    EXPECT_EQ(on_air.filters.size(), htb.filters.size());
    for (const QueueTree& tree : {shaped_queue(QueueKind::Prio, {usual}), ordering_queue(QueueKind::Prio, 0),
                                  ordering_queue(QueueKind::Prio, 4)}) {
        auto bands = of_kind(tree, "prio", false);
        // That of other traffic's acknowledgements never sees a marked packet.
        std::erase_if(bands, [&](const TcObject& object) {
            return std::ranges::count(tree.filters, object.handle, &PlacedFilter::parent) > 0;
        });
        const auto filters = on_wifi(tree).classifiers;
        ASSERT_EQ(filters.size(), bands.size());
        for (std::size_t i = 0; i < bands.size(); i++) {
            EXPECT_EQ(filters[i].qdisc, bands[i].handle);
            for (uint32_t treatment = 0; treatment < KUDO_TREATMENTS; treatment++)
                EXPECT_EQ(filters[i].classes[treatment],
                          bands[i].handle + 1 +
                              band(value_of<tc_prio_qopt>(bands[i].options), tree.priorities[treatment]));
        }
    }
    for (const QueueTree& tree : all_trees()) {
        const QueueTree same = on_wifi(tree);
        EXPECT_EQ(same.steps.size(), tree.steps.size());
        EXPECT_EQ(std::ranges::count(same.priorities, 0u), KUDO_TREATMENTS) << "skb->priority is the air's";
        if (tree.kind == QueueKind::Cake || tree.kind == QueueKind::PfifoFast) EXPECT_TRUE(same.filters.empty());
    }
}

// RFC 8325 section 4.4; IEEE 802.11-2020 table 10-1: user priorities 1 and 2 are below 0.
TEST(QueueTree, OnWifiNothingGoesBelowUnmarkedPackets) {
    const std::array<uint8_t, 16> kernels_map = {1, 2, 2, 2, 1, 2, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1}; // sch_generic.c
    for (const uint32_t priority : wifi_priorities) {
        ASSERT_TRUE(kudo_is_user_priority(priority));
        const uint32_t up = priority - KUDO_USER_PRIORITY;
        EXPECT_TRUE(up != 1 && up != 2) << up;
        EXPECT_LE(kernels_map[priority & TC_PRIO_MAX], kernels_map[0]) << up;
    }
    EXPECT_EQ(wifi_priorities[KUDO_TREATMENT_AUDIO], 262u);
    EXPECT_EQ(kernels_map[wifi_priorities[KUDO_TREATMENT_AUDIO] & TC_PRIO_MAX], 0);
}

TEST(QueueTree, PfifoFastAndCakeBelowMqGoByTheMarkItself) {
    for (const QueueTree& tree : {shaped_queue(QueueKind::PfifoFast, {usual}), ordering_queue(QueueKind::PfifoFast, 0),
                                  ordering_queue(QueueKind::PfifoFast, 4), ordering_queue(QueueKind::Cake, 4)})
        for (const uint32_t priority : tree.priorities)
            EXPECT_EQ(priority, 0u);
}

TEST(QueueTree, BelowMqEachTransmitQueueHasOne) {
    for (const QueueKind kind : {QueueKind::Cake, QueueKind::Prio, QueueKind::PfifoFast}) {
        const auto tree = ordering_queue(kind, 4);
        EXPECT_EQ(tree.steps[0].object.kind, "mq");
        std::set<uint32_t> parents;
        for (const TcObject& one : of_kind(tree, std::string(queue_kind_name(kind)), false))
            parents.insert(one.parent);
        EXPECT_EQ(parents,
                  (std::set<uint32_t>{queue_handle | 1, queue_handle | 2, queue_handle | 3, queue_handle | 4}));
    }
}

TEST(QueueClasses, OfSomebodyElsesQueueAreTheWhole) {
    TcObject root{.handle = 0x10000, .parent = TC_H_ROOT, .kind = "htb"};
    root.statistics.packets = 7;
    const auto classes = queue_classes({root});
    ASSERT_EQ(classes.size(), 1u);
    EXPECT_EQ(classes[0].packets, 7u);
    EXPECT_EQ(classes[0].carries.size(), 5u);
    EXPECT_TRUE(queue_classes({}).empty());
}

TEST(QueueClasses, OfOurHtbAreAudioFirstWithTheirLeavesDrops) {
    const auto tree = shaped_queue(QueueKind::Htb, {usual});
    std::vector<TcObject> objects;
    for (const QueueTree::Step& step : tree.steps)
        objects.push_back(step.object);
    for (TcObject& object : objects)
        if (!object.is_class) object.statistics.drops = object.handle >> 16 & 0xf;
    const auto parts = queue_classes(objects);
    ASSERT_EQ(parts.size(), 5u);
    EXPECT_EQ(parts.front().carries, std::vector<std::string>{"audio"});
    EXPECT_EQ(parts[3].carries, std::vector<std::string>{"acks"});
    EXPECT_EQ(parts.back().carries, std::vector<std::string>{"other"});
    EXPECT_EQ(parts.front().drops, 9u) << "4b59:, the leaf of 4b55:4";
}

} // namespace
} // namespace kudo
