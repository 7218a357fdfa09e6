// SPDX-License-Identifier: MIT
// Marks as people write them: --mark, --firewall-mark, DSCP names.
// Invariant: each test names one behaviour.
#include <gtest/gtest.h>

#include "cli/arguments/mark_option.h"
#include "maps/compile/compile.h"
#include "maps/net/dscp.h"

namespace kudo {
namespace {

constexpr __u8 both = KUDO_MARK_PRIORITY | KUDO_MARK_DSCP;

kudo_mark mark_of(const std::string& spec, int treatment) {
    return parse_marks({spec}).value()[static_cast<std::size_t>(treatment)];
}

std::string refusal(const std::vector<std::string>& specs) {
    const auto marks = parse_marks(specs);
    if (marks) return "accepted";
    EXPECT_EQ(marks.error().kind, ErrorKind::BadInput);
    return marks.error().message;
}

TEST(MarkOption, NothingGivenIsTheDefault) {
    const auto marks = parse_marks({}).value();
    EXPECT_EQ(mark_text(marks[KUDO_TREATMENT_AUDIO]), "DSCP EF, priority 6");
    EXPECT_EQ(mark_text(marks[KUDO_TREATMENT_VIDEO]), "DSCP AF41, priority 6");
    EXPECT_EQ(mark_text(marks[KUDO_TREATMENT_FALLBACK]), "DSCP AF41, priority 6");
    EXPECT_EQ(mark_text(marks[KUDO_TREATMENT_CONTROL]), "DSCP AF21, priority 4");
}

TEST(MarkOption, SetsDscpAndPriority) {
    const kudo_mark mark = mark_of("media=dscp:EF,priority:3", KUDO_TREATMENT_VIDEO);
    EXPECT_EQ(mark.dscp, 46);
    EXPECT_EQ(mark.priority, 3U);
    EXPECT_EQ(mark.flags, both);
}

TEST(MarkOption, MediaIsAudioAndVideo) {
    EXPECT_EQ(mark_text(mark_of("media=dscp:CS5", KUDO_TREATMENT_AUDIO)), "DSCP CS5, priority 6");
    EXPECT_EQ(mark_text(mark_of("media=dscp:CS5", KUDO_TREATMENT_VIDEO)), "DSCP CS5, priority 6");
    EXPECT_EQ(mark_text(mark_of("audio=dscp:CS5", KUDO_TREATMENT_VIDEO)), "DSCP AF41, priority 6");
    EXPECT_EQ(mark_text(mark_of("video=none", KUDO_TREATMENT_VIDEO)), "unmarked");
    EXPECT_EQ(refusal({"audio=none", "media=none"}), "\"media=none\": media is given twice");
}

TEST(MarkOption, TheOrderOfThePartsDoesNotMatter) {
    const kudo_mark mark = mark_of("control=priority:0,dscp:CS5", KUDO_TREATMENT_CONTROL);
    EXPECT_EQ(mark.dscp, 40);
    EXPECT_EQ(mark.priority, 0U);
    EXPECT_EQ(mark.flags, both);
}

TEST(MarkOption, WhatIsNotNamedStaysAtItsDefault) {
    EXPECT_EQ(mark_text(mark_of("media=dscp:CS5", KUDO_TREATMENT_VIDEO)), "DSCP CS5, priority 6");
    EXPECT_EQ(mark_text(mark_of("media=dscp:CS5", KUDO_TREATMENT_CONTROL)), "DSCP AF21, priority 4");
}

TEST(MarkOption, NoneUnmarksTheWholeOrAPart) {
    EXPECT_EQ(mark_text(mark_of("media=none", KUDO_TREATMENT_VIDEO)), "unmarked");
    EXPECT_EQ(mark_text(mark_of("media=dscp:none", KUDO_TREATMENT_VIDEO)), "priority 6");
    EXPECT_EQ(mark_text(mark_of("media=priority:none", KUDO_TREATMENT_VIDEO)), "DSCP AF41");
    EXPECT_EQ(mark_text(mark_of("media=priority:none,dscp:none", KUDO_TREATMENT_VIDEO)), "unmarked");
}

TEST(MarkOption, RefusesWhatItDoesNotUnderstand) {
    for (const char* spec : {"",
                             "media",
                             "media=",
                             "=none",
                             "none",
                             "picture=none",
                             "Media=none",
                             "media=dscp",
                             "media=dscp:",
                             "media=dscp:64",
                             "media=dscp:-1",
                             "media=dscp:AF44",
                             "media=dscp:EF,",
                             "media=,dscp:EF",
                             "media=priority:16",
                             "media=priority:-1",
                             "media=priority:",
                             "media=none,dscp:EF",
                             "media=dscp:EF priority:3",
                             "media=ecn:1"})
        EXPECT_NE(refusal({spec}), "accepted") << spec;
}

TEST(MarkOption, RefusesAPartOrAClassTwice) {
    EXPECT_EQ(refusal({"media=dscp:EF,dscp:EF"}), "\"media=dscp:EF,dscp:EF\": dscp is given twice");
    EXPECT_EQ(refusal({"media=none", "media=dscp:EF"}), "\"media=dscp:EF\": media is given twice");
}

TEST(Dscp, EveryNameIsReadBack) {
    for (uint8_t dscp = 0; dscp < 64; ++dscp)
        EXPECT_EQ(parse_dscp(dscp_name(dscp)).value(), dscp);
}

TEST(Dscp, KnowsTheNamesOfTheStandards) {
    EXPECT_EQ(parse_dscp("CS7").value(), 56);  // RFC 2474
    EXPECT_EQ(parse_dscp("AF11").value(), 10); // RFC 2597
    EXPECT_EQ(parse_dscp("AF43").value(), 38);
    EXPECT_EQ(parse_dscp("EF").value(), 46); // RFC 3246
    EXPECT_EQ(parse_dscp("VA").value(), 44); // RFC 5865
    EXPECT_EQ(parse_dscp("LE").value(), 1);  // RFC 8622
    EXPECT_EQ(parse_dscp("af41").value(), 34);
    EXPECT_EQ(dscp_name(0), "CS0");
    EXPECT_EQ(dscp_name(63), "63");
}

TEST(FirewallMark, WithoutAMaskItsOwnBitsAreTheMask) {
    const FirewallMark mark = parse_firewall_mark("0x10").value();
    EXPECT_EQ(mark.value, 0x10U);
    EXPECT_EQ(mark.mask, 0x10U);
}

TEST(FirewallMark, TakesHexadecimalAndDecimal) {
    EXPECT_EQ(firewall_mark_text(parse_firewall_mark("16/0xff").value()), "0x10/0xff");
    EXPECT_EQ(firewall_mark_text(parse_firewall_mark("0xFFFFFFFF").value()), "0xffffffff/0xffffffff");
}

TEST(FirewallMark, NoneLeavesMarksAlone) {
    EXPECT_EQ(parse_firewall_mark("none").value().mask, 0U);
    EXPECT_EQ(firewall_mark_text({}), "none");
}

TEST(FirewallMark, RefusesBitsOutsideTheMaskAndWhatIsNoNumber) {
    for (const char* text :
         {"", "0", "0x10/0x1", "0x10/0", "0x", "x10", "0x100000000", "1/2/3", "1/", "/1", "-1", "1 "})
        EXPECT_FALSE(parse_firewall_mark(text)) << text;
}

} // namespace
} // namespace kudo
