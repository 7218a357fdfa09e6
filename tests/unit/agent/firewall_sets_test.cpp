// SPDX-License-Identifier: MIT
// How the contents of nftables sets are computed and changed.
// Invariant: the oracle is an array with one entry for each address.
#include "agent/firewall_sets/elements.h"

#include <gtest/gtest.h>

#include <random>

#include "maps/compile/compile.h"
#include "maps/document/built_in.h"

namespace kudo {
namespace {

constexpr unsigned addresses = 64;

Address address_of(unsigned number) {
    return Address::parse("255.255.255." + std::to_string(256 - addresses + number)).value();
}
unsigned number_of(const Address& address) {
    return address.bytes[3] - (256 - addresses);
}

SetElements random_elements(std::mt19937& random) {
    SetElements elements;
    for (unsigned i = random() % 8; i > 0; i--) {
        unsigned first = random() % addresses, last = random() % addresses;
        if (first > last) std::swap(first, last);
        elements.push_back({static_cast<uint8_t>(random() % 2 ? 6 : 17), static_cast<uint16_t>(random() % 2 ? 443 : 80),
                            address_of(first), address_of(last)});
    }
    return elements;
}

// How many elements have each address, by protocol and port.
using Cover = std::array<unsigned, addresses * 4>;
Cover cover_of(const SetElements& elements) {
    Cover cover{};
    for (const SetElement& element : elements)
        for (unsigned at = number_of(element.first); at <= number_of(element.last); at++)
            cover.at(at + addresses * ((element.protocol == 6) * 2 + (element.port == 443)))++;
    return cover;
}

SetElements applied(SetElements elements, const SetEdit& edit) {
    for (const SetElement& element : edit.remove)
        EXPECT_EQ(std::erase(elements, element), 1u) << element.text();
    elements.insert(elements.end(), edit.add.begin(), edit.add.end());
    return elements;
}

TEST(FirewallSets, EditsLeadFromAnyContentToAnyOtherWithoutOverlap) {
    std::mt19937 random(20221128);
    for (int round = 0; round < 20000; round++) {
        const SetElements present = merged(random_elements(random)), desired = merged(random_elements(random));
        const SetEdit wider = widening(present, desired);
        EXPECT_TRUE(wider.remove.empty());
        const SetElements wide = applied(present, wider);
        const SetElements right = applied(wide, correction(wide, desired));
        const Cover had = cover_of(present), both = cover_of(wide), has = cover_of(right), want = cover_of(desired);
        for (std::size_t at = 0; at < has.size(); at++) {
            ASSERT_EQ(both[at], had[at] || want[at]) << round;
            ASSERT_EQ(has[at], want[at]) << round;
        }
        ASSERT_EQ(merged(right), desired) << round;
        ASSERT_TRUE(correction(right, desired).empty());
    }
}

TEST(FirewallSets, WhatStaysIsNotTouched) {
    const SetElement stays{6, 443, address_of(0), address_of(3)}, goes{6, 443, address_of(8), address_of(9)};
    const SetEdit edit = correction({stays, goes}, {stays});
    EXPECT_EQ(edit.remove, SetElements{goes});
    EXPECT_TRUE(edit.add.empty());
}

TEST(FirewallSets, HaveThePolicysRangesAndPorts) {
    CompileOptions options;
    options.regions = {"ca"};
    const FirewallSets sets = firewall_sets_of(compile(built_in_range_map(), options).value());
    EXPECT_EQ(sets[0].size(), 42u);
    EXPECT_EQ(sets[1].size(), sets[0].size()) << "behind 64:ff9b::/96";
    const auto region = Address::parse("3.97.146.187").value();
    EXPECT_NE(std::ranges::find(sets[2], SetElement{6, 443, region, region}), sets[2].end());
    EXPECT_EQ(std::ranges::find(sets[2], SetElement{17, 3478, region, region}), sets[2].end());
    const SetElement media{17, 3478, Address::parse("3.123.12.128").value(), Address::parse("3.123.12.143").value()};
    EXPECT_NE(std::ranges::find(sets[2], media), sets[2].end());
    EXPECT_EQ(media.text(), "3.123.12.128-3.123.12.143 . 17 . 3478");
    EXPECT_EQ(SetElement({0, 3478, media.first, media.last}).text(), "3.123.12.128-3.123.12.143 . 3478");
    // Of one protocol: those of both that have it, and no others.
    for (const std::size_t family : {0u, 1u}) {
        SetElements tcp, udp;
        for (SetElement element : sets.at(2 + family)) {
            SetElements& of_protocol = element.protocol == 6 ? tcp : udp;
            element.protocol = 0;
            of_protocol.push_back(element);
        }
        EXPECT_FALSE(tcp.empty() || udp.empty());
        EXPECT_EQ(sets.at(4 + 2 * family), tcp) << firewall_set_names.at(4 + 2 * family);
        EXPECT_EQ(sets.at(5 + 2 * family), udp) << firewall_set_names.at(5 + 2 * family);
    }
}

} // namespace
} // namespace kudo
