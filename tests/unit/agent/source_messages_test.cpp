// SPDX-License-Identifier: MIT
// What a confined source and the service tell each other.
// Invariant: nothing that such a process may send makes the service read beyond it, or believe more than was signed.
#include "agent/sources/source_messages.h"

#include <gtest/gtest.h>

#include <random>

namespace kudo {
namespace {

SourceMessage only_message(std::string bytes) {
    auto message = take_message(bytes).value();
    EXPECT_TRUE(bytes.empty());
    return message.value();
}

TEST(SourceMessages, ADeliveryArrivesByteForByte) {
    const std::string document("{\"a\": \"\0\xff\n\"}", 12);
    const Delivery sent{"/srv/maps/new.json", document, "untrusted comment: x\n", false};
    const auto got = read_delivery(only_message(write_delivery(sent)), false).value();
    EXPECT_EQ(got.source, sent.source);
    EXPECT_EQ(got.document, document);
    EXPECT_EQ(got.signatures, sent.signatures);
    EXPECT_FALSE(got.trust_transport || got.list);
}

TEST(SourceMessages, AVendorsListIsParsedBeforeItIsSent) {
    const Delivery sent{"https://x/list", R"({"ipv4": ["3.7.161.0/26", "3.25.48.192/28"]})", "", true};
    const auto got = read_delivery(only_message(write_delivery(sent)), true).value();
    ASSERT_TRUE(got.list);
    ASSERT_EQ(got.list->ranges.size(), 2u);
    EXPECT_EQ(got.list->ranges[1].prefix.text(), "3.25.48.192/28");
    EXPECT_EQ(got.list->ranges[1].path, "ipv4[1]");
    for (const char* document : {"{", R"({"ipv4": ["1.2.3"]})", R"({"format": "kudo-range-map/1"})"}) {
        const auto refused = read_delivery(only_message(write_delivery({"x", document, "", true})), true).value();
        EXPECT_FALSE(refused.list);
        EXPECT_FALSE(refused.refused.empty()) << document;
    }
}

TEST(SourceMessages, OnlyASourceThatMaySendsListsWithoutASignature) {
    EXPECT_FALSE(read_delivery(only_message(write_delivery({"x", R"({"ipv4": ["3.7.161.0/26"]})", "", true})), false));
}

TEST(SourceMessages, HealthArrives) {
    const SourceHealth sent{Time(Time::duration(1'700'000'000)), "refused\n"};
    const auto got = read_health(only_message(write_health(sent))).value();
    EXPECT_EQ(got.last_read, sent.last_read);
    EXPECT_EQ(got.problem, "refused\\x0a") << "one line";
    EXPECT_FALSE(read_health(only_message(write_health({}))).value().last_read);
}

TEST(SourceMessages, ComeInPieces) {
    const std::string whole = write_message(SourceMessageKind::Text, {"one", "", "three"});
    std::string buffer;
    for (std::size_t at = 0; at + 1 < whole.size(); at++) {
        buffer += whole[at];
        ASSERT_FALSE(take_message(buffer).value());
    }
    buffer += whole.back() + whole;
    EXPECT_EQ(take_message(buffer).value()->fields, (std::vector<std::string>{"one", "", "three"}));
    EXPECT_TRUE(take_message(buffer).value());
}

TEST(SourceMessages, WhateverComesIsWholeOrAnError) {
    std::mt19937 random(20221129);
    const std::string good = write_delivery({"x", R"({"ipv4": ["3.7.161.0/26"]})", "signatures", true});
    for (int round = 0; round < 100'000; round++) {
        std::string bytes = good;
        for (unsigned change = 1 + random() % 4; change > 0; change--)
            bytes[random() % bytes.size()] = static_cast<char>(random());
        bytes.resize(bytes.size() - random() % 8);
        for (int message = 0; message < 4; message++) {
            const auto taken = take_message(bytes);
            if (!taken || !*taken) break;
            (void)read_delivery(**taken, true);
            (void)read_health(**taken);
        }
    }
}

} // namespace
} // namespace kudo
