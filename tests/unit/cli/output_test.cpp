// SPDX-License-Identifier: MIT
// What people read: units, tables, colour; and the pieces of JSON.
// Invariant: each test names one behaviour.
#include <chrono>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "cli/terminal/json.h"
#include "cli/terminal/output.h"
#include "cli/terminal/units.h"
#include "maps/base/text.h"

namespace kudo {
namespace {

using namespace std::chrono_literals;

TEST(Units, SmallCountsAreExact) {
    EXPECT_EQ(count_text(0), "0");
    EXPECT_EQ(count_text(10'000), "10000");
    EXPECT_EQ(count_text(99'999), "99999");
}

TEST(Units, LargeCountsHaveAPrefix) {
    EXPECT_EQ(count_text(100'000), "100 k");
    EXPECT_EQ(count_text(1'234'567), "1.2 M");
    EXPECT_EQ(count_text(12'345'678'901), "12.3 G");
    EXPECT_EQ(count_text(UINT64_MAX), "18.4 E");
}

TEST(Units, WhatRoundsUpToAThousandGetsTheNextPrefix) {
    EXPECT_EQ(count_text(999'499), "999 k");
    EXPECT_EQ(count_text(999'500), "1.0 M");
    EXPECT_EQ(bytes_text(999), "999 B");
    EXPECT_EQ(bytes_text(99'949), "99.9 kB");
    EXPECT_EQ(bytes_text(99'950), "100 kB");
}

TEST(Units, BytesAndRatesNameTheirUnit) {
    EXPECT_EQ(bytes_text(0), "0 B");
    EXPECT_EQ(bytes_text(3'400'000), "3.4 MB");
    EXPECT_EQ(bit_rate_text(0), "0 bit/s");
    EXPECT_EQ(bit_rate_text(3'400'000), "3.4 Mbit/s");
    EXPECT_EQ(packet_rate_text(12), "12");
    EXPECT_EQ(packet_rate_text(1'200), "1.2 k");
}

TEST(Units, AgesAreShort) {
    EXPECT_EQ(age_text(-5s), "now");
    EXPECT_EQ(age_text(900ms), "now");
    EXPECT_EQ(age_text(119s), "119 s");
    EXPECT_EQ(age_text(5min), "5 min");
    EXPECT_EQ(age_text(3h), "3 h");
    EXPECT_EQ(age_text(72h), "3 d");
}

TEST(Table, AlignsColumnsAndEndsNoLineWithSpaces) {
    Table table({{"NAME"}, {"COUNT", Align::Right}, {"NOTE"}});
    table.add({"media", "5", "x"});
    table.add({"region-ca", "12345"});
    EXPECT_EQ(table.text(false), "NAME       COUNT  NOTE\n"
                                 "media          5  x\n"
                                 "region-ca  12345\n");
}

TEST(Table, CountsCharactersNotBytes) {
    Table table({{"A"}, {"B"}});
    table.add({"\xc3\xa9\xc3\xa9", "1"}); // two characters of two bytes
    table.add({"ee", "2"});
    EXPECT_EQ(table.text(false), "A   B\n\xc3\xa9\xc3\xa9  1\nee  2\n");
}

TEST(Table, ColumnsYieldByTheirNumber) {
    Table table({{"FLOW"}, {"BYTES", Align::Right, 2}, {"SEEN", Align::Left, 1}, {"NOTE", Align::Left, 2}});
    table.add({"udp", "12", "now", "x"});
    EXPECT_EQ(table.text(false, 40), "FLOW  BYTES  SEEN  NOTE\nudp      12  now   x\n");
    EXPECT_EQ(table.text(false, 20), "FLOW  BYTES  SEEN\nudp      12  now\n");
    EXPECT_EQ(table.text(false, 12), "FLOW  SEEN\nudp   now\n");
}

TEST(Table, WhatStillDoesNotFitIsCutVisibly) {
    Table table({{"NAME"}, {"COUNT", Align::Right}});
    table.add({"a name that is far too long", "12345"});
    EXPECT_EQ(table.text(false, 20), "NAME           COUNT\na name that …  12345\n");
}

TEST(Output, TextIsWrappedAtSpaces) {
    EXPECT_EQ(wrapped("one two three", 80), "one two three");
    EXPECT_EQ(wrapped("one two three", 8, 2), "one two\n  three");
    EXPECT_EQ(wrapped("overlong-word that", 6, 1), "overlong-word\n that");
}

TEST(Table, ColourDoesNotShiftColumns) {
    Table table({{"A"}, {"B"}});
    table.add({"x", "y"}, Style::Red);
    EXPECT_EQ(table.text(true), "\x1b[1mA  B\x1b[0m\n\x1b[31mx  y\x1b[0m\n");
}

TEST(Output, ControlCharactersDoNotMakeASecondLine) {
    EXPECT_EQ(one_line("a\nb\x1b[1m"), "a\\x0ab\\x1b[1m");
}

TEST(Output, AnEmptyCellIsADash) {
    EXPECT_EQ(text_or_dash(""), "-");
    EXPECT_EQ(text_or_dash("x"), "x");
}

TEST(Output, ANounAgreesWithItsNumber) {
    EXPECT_EQ(counted(1, "range"), "1 range");
    EXPECT_EQ(counted(0, "range"), "0 ranges");
}

TEST(Json, TimesHaveMilliseconds) {
    const auto noon = std::chrono::sys_days{std::chrono::year{2022} / 3 / 1} + 12h;
    EXPECT_EQ(rfc3339_milliseconds(noon), "2022-03-01T12:00:00.000Z");
    EXPECT_EQ(rfc3339_milliseconds(noon + 7ms + 999us), "2022-03-01T12:00:00.007Z");
    EXPECT_EQ(rfc3339_milliseconds(noon - 1ms), "2022-03-01T11:59:59.999Z");
}

TEST(Json, BytesThatAreNotUtf8DoNotBreakADocument) {
    OrderedJson document;
    document["name"] = "eth\xff";
    EXPECT_TRUE(OrderedJson::accept(json_text(document)));
}

TEST(Json, AnEmptyTextIsNull) {
    EXPECT_TRUE(text_or_null("").is_null());
    EXPECT_EQ(text_or_null("x"), "x");
}

} // namespace
} // namespace kudo
