// SPDX-License-Identifier: MIT
// Rates as people write them.
// Invariant: each test names one behaviour.
#include <gtest/gtest.h>

#include "agent/queues/spec.h"

namespace kudo {
namespace {

TEST(LineRate, TakesTcsUnits) {
    const std::pair<const char*, uint64_t> rates[] = {
        {"20mbit", 20'000'000},       {"19.8Mbit", 19'800'000}, {"2.5gbit", 2'500'000'000}, {"64kbit", 64'000},
        {"100gbit", 100'000'000'000}, {"1000000", 1'000'000},   {"1mibit", 1'048'576},      {"2mbps", 16'000'000},
        {"1mibps", 8'388'608},        {"1000000bit", 1'000'000}};
    for (const auto& [text, bits] : rates) {
        const ShaperSpec line = parse_line(text).value();
        EXPECT_EQ(line.kind, ShaperSpec::Kind::Rate) << text;
        EXPECT_EQ(line.bits_per_second, bits) << text;
    }
}

TEST(LineRate, AutoAndOffAreNone) {
    EXPECT_EQ(parse_line("auto").value().kind, ShaperSpec::Kind::Auto);
    EXPECT_EQ(parse_line("off").value().kind, ShaperSpec::Kind::Off);
}

TEST(LineRate, IsReadBackAsItIsWritten) {
    for (const char* text : {"auto", "off", "20mbit", "19.8mbit", "1mibit"}) {
        const ShaperSpec line = parse_line(text).value();
        EXPECT_EQ(parse_line(line_text(line)).value(), line) << text;
    }
}

TEST(LineRate, RefusesWhatIsNoneOrOutOfBounds) {
    for (const char* text : {"", "mbit", "20 mbit", "20mbits", "-1mbit", "1e6", "nan", "inf", "0", "63kbit", "101gbit",
                             "20%", "20mbit ", "Auto", "0x10mbit"}) {
        const auto line = parse_line(text);
        ASSERT_FALSE(line) << text;
        EXPECT_EQ(line.error().kind, ErrorKind::BadInput);
    }
}

TEST(LineRate, SaysWhatABareNumberMeansWhereItIsTooSmall) {
    EXPECT_NE(parse_line("20").error().message.find("bits per second"), std::string::npos);
    EXPECT_EQ(parse_line("20kbit").error().message.find("bits per second"), std::string::npos);
}

TEST(QueueSpec, ARateThatFollowsTheLineHasBounds) {
    const ShaperSpec line = parse_line("auto-rate:2mbit-0.05gbit").value();
    EXPECT_EQ(line.kind, ShaperSpec::Kind::AutoRate);
    EXPECT_EQ(line.bounds, (RateBounds{2'000'000, 50'000'000}));
    EXPECT_EQ(line.bits_per_second, 50'000'000U) << "where it begins";
    EXPECT_EQ(line_text(line), "auto-rate:2000000bit-50000000bit");
    EXPECT_EQ(parse_line(line_text(line)).value(), line);
    for (const char* text : {"auto-rate", "auto-rate:", "auto-rate:2mbit", "auto-rate:2mbit-", "auto-rate:-2mbit",
                             "auto-rate:3mbit-2mbit", "auto-rate:2mbit-2mbit", "auto-rate:63kbit-2mbit",
                             "auto-rate:2mbit-101gbit", "auto-rate 2mbit-3mbit", "auto-rates:2mbit-3mbit"})
        EXPECT_FALSE(parse_line(text)) << text;
}

} // namespace
} // namespace kudo
