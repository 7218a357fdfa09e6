// SPDX-License-Identifier: MIT
// Which queue a wish comes to.
// Invariant: each test names one behaviour; no kernel.
#include <gtest/gtest.h>

#include <linux/pkt_sched.h>

#include <algorithm>

#include "agent/queues/plan.h"
#include "agent/queues/root.h"
#include "agent/queues/saved_qdisc.h"
#include "agent/queues/shaped_rate.h"

namespace kudo {
namespace {

std::vector<QueueKind> kinds_of(const QueuePlan& plan) {
    std::vector<QueueKind> kinds;
    for (const QueueTree& tree : plan.candidates)
        kinds.push_back(tree.kind);
    return kinds;
}

FoundQueue found(const std::string& kind, bool made_by_admin = false, bool honours_marks = false) {
    return {.root = kind, .kind = kind, .made_by_admin = made_by_admin, .honours_marks = honours_marks};
}

QueueSpec with_uplink(uint64_t bits) {
    QueueSpec wish;
    wish.uplink = {ShaperSpec::Kind::Rate, bits};
    return wish;
}

TEST(QueuePlan, ARateTriesEveryKindBestFirst) {
    const auto plan = shaped_plan({.bits_per_second = 20'000'000}, {});
    EXPECT_EQ(kinds_of(plan), std::vector(std::begin(queue_kinds), std::end(queue_kinds)));
    EXPECT_EQ(kinds_of(plan).front(), QueueKind::Cake);
    EXPECT_EQ(kinds_of(plan).back(), QueueKind::PfifoFast);
}

TEST(QueuePlan, ANamedKindIsTheOnlyCandidate) {
    for (const QueueKind kind : queue_kinds)
        EXPECT_EQ(kinds_of(shaped_plan({.bits_per_second = 20'000'000}, kind)), std::vector{kind});
}

TEST(QueuePlan, WhatMakesAnotherQueueMakesAnotherText) {
    const ShapedLine line{.bits_per_second = 20'000'000};
    ShapedLine faster = line, larger = line;
    faster.bits_per_second++;
    larger.mtu = 9000;
    const std::string text = shaped_plan(line, {}).text;
    EXPECT_EQ(shaped_plan(line, {}).text, text);
    for (const QueuePlan& other : {shaped_plan(faster, {}), shaped_plan(larger, {}), shaped_plan(line, QueueKind::Htb)})
        EXPECT_NE(other.text, text);
}

TEST(QueuePlan, ARateThatFollowsTheLineTakesOnlyKindsThatCan) {
    QueueSpec wish;
    wish.uplink = {ShaperSpec::Kind::AutoRate, 50'000'000, {2'000'000, 50'000'000}};
    const auto plan = uplink_plan(found("fq_codel"), wish, 1500);
    EXPECT_EQ(kinds_of(plan), (std::vector{QueueKind::Cake, QueueKind::Htb}));
    EXPECT_EQ(plan.follows, wish.uplink.bounds);
    wish.uplink.bounds.min++;
    EXPECT_NE(uplink_plan(found("fq_codel"), wish, 1500).text, plan.text);
}

// As without_rate() compares them; as the kernel shows them, in the tests with a kernel.
TEST(QueuePlan, ATreeIsTheSameAtEachRateWithinItsBounds) {
    const RateBounds bounds{2'000'000, 50'000'000};
    for (const QueueKind kind : {QueueKind::Cake, QueueKind::Htb}) {
        const auto at = [&](uint64_t bits) {
            std::vector<TcObject> objects;
            for (const QueueTree::Step& step : shaped_queue(kind, {.bits_per_second = bits}).steps)
                objects.push_back(step.object);
            return objects;
        };
        const auto print = [&](std::vector<TcObject> objects) {
            return fingerprint(without_rate(std::move(objects), bounds, 1500));
        };
        EXPECT_EQ(shaped_rate(at(7'000'000)), 7'000'000U);
        for (const uint64_t bits : {2'000'000, 7'000'000, 50'000'000})
            EXPECT_EQ(print(at(bits)), print(at(20'000'000))) << bits;
        for (const uint64_t bits : {1'990'000, 50'100'000})
            EXPECT_NE(print(at(bits)), print(at(20'000'000))) << bits;
        auto other = at(20'000'000);
        other.back().parent++;
        EXPECT_NE(print(other), print(at(20'000'000)));
    }
}

// Leaves keep the room of before for a while.
TEST(QueuePlan, ALeafsRoomOfAnotherRateWithinTheBoundsIsTheSame) {
    const RateBounds bounds{2'000'000, 50'000'000};
    for (const bool incoming : {false, true}) {
        for (const bool has_fq_codel : {false, true}) {
            const auto with_room_of = [&](uint64_t bits) {
                std::vector<TcObject> objects;
                const auto line = [&](uint64_t rate) {
                    return ShapedLine{.bits_per_second = rate, .incoming = incoming};
                };
                const auto rooms = shaped_queue(QueueKind::Htb, line(bits)).steps;
                const auto classes = shaped_queue(QueueKind::Htb, line(20'000'000)).steps;
                for (std::size_t i = 0; i < classes.size(); i++)
                    if (classes[i].substitute)
                        objects.push_back(has_fq_codel ? rooms[i].object : *rooms[i].substitute);
                    else
                        objects.push_back(classes[i].object);
                return fingerprint(without_rate(std::move(objects), bounds, 1500));
            };
            for (const uint64_t bits : {2'000'000, 7'000'000, 50'000'000})
                EXPECT_EQ(with_room_of(bits), with_room_of(20'000'000)) << bits;
            if (incoming || !has_fq_codel) {
                EXPECT_NE(with_room_of(100'000'000), with_room_of(20'000'000));
            }
        }
    }
}

TEST(QueuePlan, WithARateWhatStandsThereDoesNotMatter) {
    for (const char* kind : {"fq_codel", "noqueue", "none", "pfifo_fast", "mq"}) {
        const auto plan = uplink_plan(found(kind), with_uplink(20'000'000), 1500);
        EXPECT_EQ(plan.candidates.size(), std::size(queue_kinds)) << kind;
        EXPECT_EQ(plan.text, shaped_plan({.bits_per_second = 20'000'000}, {}).text) << kind;
        EXPECT_EQ(plan.why.find("in place of mq") != std::string::npos, std::string(kind) == "mq") << plan.why;
    }
}

TEST(QueuePlan, OffTouchesNothing) {
    QueueSpec wish;
    wish.uplink.kind = ShaperSpec::Kind::Off;
    wish.kind = QueueKind::Prio;
    const auto plan = uplink_plan(found("fq_codel"), wish, 1500);
    EXPECT_TRUE(plan.candidates.empty());
    EXPECT_EQ(plan.why, "left alone, as requested");
}

TEST(QueuePlan, WithoutARateOnlyAKernelsDefaultThatIsBlindToMarksIsReplaced) {
    struct Case {
        FoundQueue found;
        std::optional<QueueKind> chosen;
        const char* why; // a part of it
    };
    const Case cases[] = {
        {found("fq_codel"), QueueKind::Prio, "fq_codel ignores skb->priority"},
        {found("pfifo"), QueueKind::PfifoFast, "pfifo ignores skb->priority"},
        {found("bfifo"), QueueKind::PfifoFast, "bfifo ignores skb->priority"},
        {found("fq_codel", true), {}, "configured by the administrator"},
        {found("pfifo_fast", false, true), {}, "priority-aware"},
        {found("fq", false, true), {}, "priority-aware"},
        {found("fq"), {}, "no other qdisc is certain"},
        {found("sfq"), {}, "no other qdisc is certain"},
        {found("noqueue"), {}, "nothing to schedule"},
        {found("none"), {}, "nothing to schedule"},
    };
    for (const auto& [standing, chosen, why] : cases) {
        const auto plan = uplink_plan(standing, {}, 1500);
        EXPECT_EQ(kinds_of(plan), chosen ? std::vector{*chosen} : std::vector<QueueKind>{}) << standing.text();
        EXPECT_NE(plan.why.find(why), std::string::npos) << standing.text() << ": " << plan.why;
    }
}

// --- What is found, by its options.

FoundQueue found_of(std::string kind, std::vector<uint8_t> options, uint32_t handle = 0x10000) {
    QdiscTree tree;
    tree.objects.push_back(
        {.handle = handle, .parent = TC_H_ROOT, .kind = std::move(kind), .options = std::move(options)});
    return tree.found();
}
FoundQueue cake(uint32_t mode, uint32_t wash = 0) {
    return found_of("cake",
                    Attributes().put<uint32_t>(TCA_CAKE_DIFFSERV_MODE, mode).put<uint32_t>(TCA_CAKE_WASH, wash).take());
}

TEST(FoundQueueByOptions, ACakeIsJudgedByItsModeAndByWash) {
    EXPECT_TRUE(cake(CAKE_DIFFSERV_DIFFSERV4).honours_marks);
    EXPECT_EQ(cake(CAKE_DIFFSERV_DIFFSERV4).caveat, "");
    EXPECT_EQ(uplink_plan(cake(CAKE_DIFFSERV_DIFFSERV8), {}, 1500).why, "already priority-aware");
    EXPECT_EQ(uplink_plan(cake(CAKE_DIFFSERV_DIFFSERV3), {}, 1500).why,
              "already priority-aware; diffserv3: it serves audio first, and video as other traffic; diffserv4 would "
              "serve both");
    EXPECT_FALSE(cake(CAKE_DIFFSERV_BESTEFFORT).honours_marks);
    EXPECT_EQ(uplink_plan(cake(CAKE_DIFFSERV_BESTEFFORT), {}, 1500).why,
              "configured by the administrator; left in place; besteffort: it serves all packets alike, whatever their "
              "marks");
    EXPECT_EQ(uplink_plan(cake(CAKE_DIFFSERV_DIFFSERV4, 1), {}, 1500).why,
              "already priority-aware; wash: it removes the DSCP, so that no router behind this host sees one");
    QueueSpec off;
    off.uplink.kind = ShaperSpec::Kind::Off;
    EXPECT_EQ(uplink_plan(cake(CAKE_DIFFSERV_DIFFSERV4, 1), off, 1500).why,
              "left alone, as requested; wash: it removes the DSCP, so that no router behind this host sees one");
}

TEST(FoundQueueByOptions, APrioIsJudgedByItsPriomap) {
    tc_prio_qopt options{.bands = 3, .priomap = {1, 2, 2, 2, 1, 2, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1}};
    const auto bytes = [&] {
        const auto* first = reinterpret_cast<const uint8_t*>(&options);
        return std::vector<uint8_t>(first, first + sizeof options);
    };
    EXPECT_TRUE(found_of("prio", bytes()).honours_marks);
    options.priomap[TC_PRIO_INTERACTIVE] = 1;
    EXPECT_FALSE(found_of("prio", bytes()).honours_marks);
    EXPECT_NE(uplink_plan(found_of("prio", bytes()), {}, 1500).why.find("no sooner"), std::string::npos);
}

TEST(FoundQueueByOptions, OfAMultiQueueDeviceByThoseBelow) {
    QdiscTree tree;
    tree.objects = {
        {.handle = 0x10000, .parent = TC_H_ROOT, .kind = "mq"},
        {.handle = 0x20000,
         .parent = 0x10001,
         .kind = "cake",
         .options = Attributes().put<uint32_t>(TCA_CAKE_DIFFSERV_MODE, CAKE_DIFFSERV_BESTEFFORT).take()},
    };
    EXPECT_EQ(tree.found().text(), "mq with cake (configured by the administrator)");
    EXPECT_FALSE(tree.found().honours_marks);
}

TEST(QueuePlan, AMultiQueueDeviceKeepsOneQueueForEachOfItsOwn) {
    FoundQueue standing = found("fq_codel");
    standing.root = "mq";
    standing.transmit_queues = 3;
    const auto plan = uplink_plan(standing, {}, 1500);
    ASSERT_EQ(plan.candidates.size(), 1u);
    EXPECT_EQ(plan.candidates[0].steps[0].object.kind, "mq");
    EXPECT_EQ(std::ranges::count(plan.candidates[0].steps, "prio",
                                 [](const QueueTree::Step& step) { return step.object.kind; }),
              3);
}

TEST(QueuePlan, AKindBesideADownlinksRateAloneIsNotTheUplinks) {
    QueueSpec wish;
    wish.downlink = {ShaperSpec::Kind::Rate, 20'000'000};
    wish.kind = QueueKind::Prio;
    EXPECT_TRUE(uplink_plan(found("pfifo", true), wish, 1500).candidates.empty());
    wish.downlink = {};
    EXPECT_EQ(kinds_of(uplink_plan(found("pfifo", true), wish, 1500)), std::vector{QueueKind::Prio});
}

TEST(QueuePlan, OnWifiItIsAnotherQueueAndSaysWhatItCannotDoThere) {
    const auto spec = with_uplink(20'000'000);
    const auto usual = uplink_plan(found("fq_codel"), spec, 1500),
               wifi = uplink_plan(found("fq_codel"), spec, 1500, true);
    EXPECT_EQ(kinds_of(wifi), kinds_of(usual));
    EXPECT_NE(wifi.text, usual.text);
    for (const QueueTree& tree : wifi.candidates) {
        EXPECT_EQ(tree.filters.empty(), tree.kind == QueueKind::Cake || tree.kind == QueueKind::PfifoFast);
        EXPECT_EQ(wifi.why_with(tree).find("Wi-Fi") != std::string::npos, tree.filters.empty()) << wifi.why_with(tree);
    }
    // Where none is made there is nothing to change, but pfifo_fast is no help then.
    const auto left = uplink_plan(found("pfifo_fast", false, true), {}, 1500, true);
    EXPECT_TRUE(left.candidates.empty());
    EXPECT_EQ(left.text, "");
    EXPECT_NE(left.why.find("Wi-Fi"), std::string::npos);
    EXPECT_EQ(uplink_plan(found("noqueue"), {}, 1500, true).why, uplink_plan(found("noqueue"), {}, 1500).why);
}

TEST(QueuePlan, SaysOfAKindWhereAudioLosesWithVideo) {
    const auto plan = shaped_plan({.bits_per_second = 20'000'000}, {});
    for (const QueueTree& tree : plan.candidates) {
        const std::string why = plan.why_with(tree);
        ASSERT_TRUE(why.starts_with(plan.why));
        const bool weak = tree.kind == QueueKind::PfifoFast;
        EXPECT_EQ(why.find("media alone exceeds the line") != std::string::npos, weak) << why;
        EXPECT_EQ(why == plan.why, !weak) << why;
    }
}

} // namespace
} // namespace kudo
