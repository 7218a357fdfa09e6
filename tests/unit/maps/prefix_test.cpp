// SPDX-License-Identifier: MIT
// Addresses and prefixes: what is accepted, what is refused and with which words, and what contains what.
// Invariant: each test names one behaviour.
#include <random>

#include <gtest/gtest.h>

#include "maps/net/prefix.h"

namespace kudo {
namespace {

std::string error_of(std::string_view text) {
    const auto prefix = Prefix::parse(text);
    return prefix ? "accepted as " + prefix->text() : prefix.error().message;
}

TEST(Prefix, KeepsItsCanonicalText) {
    for (const char* text : {"0.0.0.0/0", "10.0.0.0/8", "168.100.64.0/18", "54.69.125.241/32", "255.255.255.255/32",
                             "::/0", "2001:db8::/32", "fe80::1/128", "2001:db8:0:1::/64", "1:0:0:2::/64", "::1/128"}) {
        const auto prefix = Prefix::parse(text);
        ASSERT_TRUE(prefix) << prefix.error().message;
        EXPECT_EQ(prefix->text(), text);
    }
}

TEST(Prefix, BareAddressIsOneOfFullLength) {
    EXPECT_EQ(Prefix::parse("3.97.146.187")->text(), "3.97.146.187/32");
    EXPECT_EQ(Prefix::parse("2001:DB8::A")->text(), "2001:db8::a/128");
}

TEST(Prefix, RefusalSaysWhatIsWrongAndWhatToWrite) {
    const std::pair<const char*, const char*> table[] = {
        {"10.0.0.9/24", "\"10.0.0.9/24\" has host bits set; write 10.0.0.0/24"},
        {"2001:db8::1/64", "\"2001:db8::1/64\" has host bits set; write 2001:db8::/64"},
        {"1.2.3.5/31", "write 1.2.3.4/31"},
        {"010.0.0.1", "has a number with a leading zero"},
        {"10.0.0.00", "has a number with a leading zero"},
        {"10.0.0.0/33", "has a bad prefix length; write a number from 0 to 32"},
        {"10.0.0.0/08", "has a bad prefix length"},
        {"10.0.0.0/", "has a bad prefix length"},
        {"10.0.0.0/-1", "has a bad prefix length"},
        {"10.0.0.0/+8", "has a bad prefix length"},
        {"10.0.0.0/8 ", "has a bad prefix length"},
        {"10.0.0.0/8/8", "has a bad prefix length"},
        {"10.0.0.0/4294967304", "has a bad prefix length"},
        {"2001:db8::/129", "has a bad prefix length; write a number from 0 to 128"},
        {"10.0.0", "is not an IP address"},
        {"10.0.0.0.0", "is not an IP address"},
        {"10.0.0.256", "is not an IP address"},
        {"10.0..1", "is not an IP address"},
        {"10.0.0.1.", "is not an IP address"},
        {" 10.0.0.1", "is not an IP address"},
        {"0x0a.0.0.1", "is not an IP address"},
        {"", "is not an IP address"},
        {"kudoway.com", "is not an IP address"},
        {"1:2:3:4:5:6:7:8:9", "is not an IP address"},
        {":::", "is not an IP address"},
        {"12345::", "is not an IP address"},
        {"fe80::1%eth0", "has a zone id"},
        {"::ffff:10.0.0.0/104", "is an IPv4-mapped IPv6 range, which no packet carries; write 10.0.0.0/8"},
        {"::ffff:a00:1", "write 10.0.0.1/32"},
    };
    for (const auto& [text, expected] : table)
        EXPECT_NE(error_of(text).find(expected), std::string::npos) << text << ": " << error_of(text);
}

TEST(Prefix, ErrorsStayOnePrintableLineWhateverTheInput) {
    const std::string message = error_of(std::string("1.2\n\x1b[31m\xff", 10) + std::string(5000, 'x'));
    EXPECT_LT(message.size(), 400U);
    for (const char character : message)
        EXPECT_TRUE(character >= ' ' && character <= '~');
}

TEST(Prefix, NulInsideTheTextIsRefused) {
    EXPECT_FALSE(Prefix::parse(std::string_view("::1\0", 4)));
    EXPECT_FALSE(Prefix::parse(std::string_view("1.2.3.4\0", 8)));
}

TEST(Prefix, ContainsItsFirstAndLastAddressAndNotTheNeighbours) {
    const Prefix prefix = Prefix::parse("3.123.12.128/28").value();
    EXPECT_TRUE(prefix.contains(Address::parse("3.123.12.128").value()));
    EXPECT_TRUE(prefix.contains(Address::parse("3.123.12.143").value()));
    EXPECT_FALSE(prefix.contains(Address::parse("3.123.12.127").value()));
    EXPECT_FALSE(prefix.contains(Address::parse("3.123.12.144").value()));
}

TEST(Prefix, ContainsPrefixesThatAreNotShorter) {
    const Prefix outer = Prefix::parse("3.7.161.0/26").value();
    EXPECT_TRUE(outer.contains(Prefix::parse("3.7.161.48/28").value()));
    EXPECT_TRUE(outer.contains(outer));
    EXPECT_FALSE(Prefix::parse("3.7.161.48/28")->contains(outer));
}

TEST(Prefix, OfZeroLengthContainsItsFamilyOnly) {
    EXPECT_TRUE(Prefix::parse("0.0.0.0/0")->contains(Address::parse("255.1.2.3").value()));
    EXPECT_FALSE(Prefix::parse("0.0.0.0/0")->contains(Address::parse("::").value()));
    EXPECT_FALSE(Prefix::parse("::/0")->contains(Address::parse("0.0.0.0").value()));
}

TEST(Prefix, OfAnAddressHasNoHostBits) {
    const Address address = Address::parse("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff").value();
    EXPECT_EQ(prefix_of(address, 0).text(), "::/0");
    EXPECT_EQ(prefix_of(address, 33).text(), "ffff:ffff:8000::/33");
    EXPECT_EQ(prefix_of(address, 128).address, address);
    EXPECT_EQ(prefix_of(Address::parse("255.255.255.255").value(), 9).text(), "255.128.0.0/9");
    EXPECT_EQ(prefix_of(Address::parse("1.2.3.4").value(), 99).text(), "1.2.3.4/32");
}

TEST(Address, IsWrittenAsRfc5952Says) {
    const std::pair<const char*, const char*> table[] = {
        {"2001:0db8:0000:0000:0001:0000:0000:0001", "2001:db8::1:0:0:1"},
        {"2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1"},
        {"2001:0:0:1:0:0:0:1", "2001:0:0:1::1"},
        {"0:0:0:0:0:0:0:0", "::"},
        {"1:0:0:0:0:0:0:0", "1::"},
        {"::1:2", "::1:2"},
        {"64:ff9b::1.2.3.4", "64:ff9b::102:304"},
        {"::FFFF:1.2.3.4", "::ffff:1.2.3.4"},
    };
    for (const auto& [text, canonical] : table)
        EXPECT_EQ(Address::parse(text).value().text(), canonical);
}

TEST(Address, TextIsReadBackAsTheSameAddress) {
    std::mt19937 random(1);
    for (int round = 0; round < 20000; ++round) {
        Address address{.family = round % 2 ? Family::IPv6 : Family::IPv4};
        for (std::size_t i = 0; i < address.bits() / 8; ++i)
            address.bytes[i] = random() % 2 ? 0 : static_cast<uint8_t>(random());
        EXPECT_EQ(Address::parse(address.text()).value(), address) << address.text();
    }
}

TEST(Address, WithAPrefixLengthIsRefused) {
    EXPECT_EQ(Address::parse("1.2.3.4/32").error().message, "\"1.2.3.4/32\" has a prefix length; write a bare address");
}

TEST(Result, SystemErrorKeepsItsNumber) {
    const Error error = fail_errno("open /x", ENOENT).value();
    EXPECT_EQ(error.message, "open /x: No such file or directory");
    EXPECT_EQ(error.number, ENOENT);
}

TEST(Address, AnIpv4MappedOneHoldsAnIpv4Address) {
    EXPECT_EQ(ipv4_of_mapped(Address::parse("::ffff:52.200.60.17").value()), Address::parse("52.200.60.17").value());
    EXPECT_EQ(ipv4_of_mapped(Address::parse("::fffe:52.200.60.17").value()), std::nullopt);
    EXPECT_EQ(ipv4_of_mapped(Address::parse("52.200.60.17").value()), std::nullopt);
}

} // namespace
} // namespace kudo
