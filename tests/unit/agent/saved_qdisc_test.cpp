// SPDX-License-Identifier: MIT
// What of the memory of queues needs no kernel: the fingerprint, and the names in its folder.
// Invariant: each test names one behaviour.
#include <gtest/gtest.h>

#include <linux/pkt_sched.h>
#include <unistd.h>

#include <fstream>

#include "agent/attach/attachment.h"
#include "agent/attach/clsact.h"
#include "agent/netlink/interface_number.h"
#include "agent/queues/saved_qdisc.h"
#include "tests/support/temporary_folder.h"

namespace kudo {
namespace {

namespace fs = std::filesystem;

TcObject qdisc(const std::string& kind, uint32_t handle, uint32_t parent, std::vector<uint8_t> options = {}) {
    return {.handle = handle, .parent = parent, .kind = kind, .options = std::move(options)};
}
TcObject traffic_class(const std::string& kind, uint32_t id, uint32_t parent, std::vector<uint8_t> options = {}) {
    TcObject object = qdisc(kind, id, parent, std::move(options));
    object.is_class = true;
    return object;
}

using Objects = std::vector<TcObject>;
const Objects objects = {qdisc("htb", 0x10000, TC_H_ROOT, {1}), qdisc("fq_codel", 0x20000, 0x10001, {2}),
                         traffic_class("htb", 0x10001, 0x10000, {3})};

TEST(Fingerprint, IsTheSameInWhateverOrderTheKernelTells) {
    EXPECT_EQ(fingerprint(objects), fingerprint({objects[2], objects[1], objects[0]}));
}

TEST(Fingerprint, ChangesWithEverythingThatAnAdminCanChange) {
    const std::string before = fingerprint(objects);
    const auto changed = [&](auto change) {
        Objects now = objects;
        change(now);
        return fingerprint(now) != before;
    };
    EXPECT_FALSE(changed([](Objects&) {}));
    EXPECT_TRUE(changed([](Objects& all) { all.erase(all.begin() + 1); }));
    EXPECT_TRUE(changed([](Objects& all) { all.push_back(qdisc("pfifo", 0x30000, 0x10002)); }));
    EXPECT_TRUE(changed([](Objects& all) { all[1].options = {9}; }));
    EXPECT_TRUE(changed([](Objects& all) { all[1].kind = "pfifo"; }));
    EXPECT_TRUE(changed([](Objects& all) { all[0].handle = 0x40000; }));
    EXPECT_TRUE(changed([](Objects& all) { all[1].parent = 0x10002; }));
    EXPECT_TRUE(changed([](Objects& all) { all[2].options = {9}; }));
    EXPECT_TRUE(changed([](Objects& all) { all.pop_back(); }));
}

TEST(Fingerprint, ChangesWithOurFilters) {
    const std::vector<PlacedFilter> filters = {
        {0x10000, {.preference = 7, .handle = 1, .protocol = 8, .kind = "bpf", .options = {5}}}};
    const std::string before = fingerprint(objects, filters);
    EXPECT_NE(before, fingerprint(objects));
    auto now = filters;
    now[0].filter.options = {6};
    EXPECT_NE(fingerprint(objects, now), before);
    now = filters;
    now[0].parent = 0x20000;
    EXPECT_NE(fingerprint(objects, now), before);
    EXPECT_EQ(fingerprint(objects, filters), before);
}

TEST(Fingerprint, DoesNotChangeWithWhatPassesOrCounts) {
    Objects now = objects;
    // Fair queues show a class for every flow that is active.
    for (const char* kind : {"fq_codel", "cake", "sfq"})
        now.push_back(traffic_class(kind, 0x20123, 0x20000, {7}));
    now[0].options = {8}; // htb's qdisc shows a counter there
    now[1].statistics.drops = now[2].statistics.drops = 5;
    now.push_back(qdisc("clsact", 0xffff0000, TC_H_INGRESS)); // attaching programs makes it
    EXPECT_EQ(fingerprint(now), fingerprint(objects));
}

TEST(InterfaceNumber, IsWhatTheNameOfAPinOfOursBeginsWith) {
    EXPECT_EQ(interface_number("3"), 3u);
    EXPECT_EQ(interface_number("12_ifb"), 12u);
    EXPECT_EQ(interface_number("12_ifb_new"), 12u);
    EXPECT_EQ(interface_number("4294967295_tcx_egress"), 4294967295u);
}

const char* const foreign_names[] = {"abc",
                                     "_ifb",
                                     "x_clsact",
                                     "0",
                                     "-1",
                                     "+3",
                                     " 3",
                                     "3x",
                                     "3x_ingress",
                                     "4294967296",
                                     "99999999999999999999999_egress",
                                     "_ingress",
                                     "_",
                                     ".hidden_egress"};

TEST(InterfaceNumber, OfAForeignNameIsNothing) {
    for (const char* name : foreign_names)
        EXPECT_EQ(interface_number(name), std::nullopt) << name;
    EXPECT_EQ(interface_number(""), std::nullopt);
}

TEST(PinFolder, ForeignNamesInItAreNobodysInterfaces) {
    const test::TemporaryFolder temporary;
    const fs::path& folder = temporary.path();
    for (const char* part : {"queues", "filters", "links"}) {
        fs::create_directory(folder / part);
        for (const char* name : foreign_names)
            std::ofstream(folder / part / name).put('\n');
    }
    for (const char* ours : {"queues/7", "queues/7_ifb", "queues/3_downlink", "filters/5_egress", "filters/6_clsact",
                             "links/9_tcx_egress"})
        std::ofstream(folder / ours).put('\n');
    EXPECT_EQ(saved_qdisc_interfaces(folder), (std::set<uint32_t>{3, 7}));
    EXPECT_EQ(clsact_hooks(folder).size(), 2u);
    EXPECT_EQ(attached_interfaces(folder), (std::set<uint32_t>{5, 6, 9}));
}

} // namespace
} // namespace kudo
