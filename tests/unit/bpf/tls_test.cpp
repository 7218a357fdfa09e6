// SPDX-License-Identifier: MIT
// What is read of ClientHellos, and what is refused. Expectations are written out by hand.
#include <cstring>
#include <fstream>
#include <iterator>
#include <random>

#include <gtest/gtest.h>

#include "tests/support/tls_hello.h"
#include "tests/support/tls_walk.h"

namespace kudo::test {
namespace {

constexpr const char* name = "live.kudoway.ca";

std::span<const uint8_t> first(const Bytes& bytes, std::size_t count) {
    return {bytes.data(), count};
}

TEST(ClientHellos, HaveTheServersNameWhereverItsExtensionIs) {
    for (const auto& extensions : {std::vector<TlsExtension>{server_name(name)},
                                   {server_name(name), key_share()},
                                   {key_share(), server_name(name)},
                                   {{0x0a0a, {}}, key_share(), server_name(name), {0x2a2a, {0}}, {21, Bytes(300)}}}) {
        const TlsWalk walk = tls_walk_of(client_hello(extensions));
        EXPECT_EQ(walk.state, KUDO_HELLO_ENDS);
        EXPECT_EQ(walk.name, name);
        EXPECT_FALSE(walk.has_ech);
    }
}

TEST(ClientHellos, OfRealProgramsAreRead) {
    const auto walk = [](const std::string& file) {
        std::ifstream in(std::string(KUDO_HELLOS) + "/" + file, std::ios::binary);
        const Bytes bytes{std::istreambuf_iterator<char>(in), {}};
        EXPECT_GT(bytes.size(), 200u) << file;
        return tls_walk_of(bytes);
    };
    EXPECT_EQ(walk("curl").name, "anvil.tokbox.com");
    EXPECT_EQ(walk("openssl_tls12").name, "live.kudoway.ca");
    EXPECT_EQ(walk("openssl_no_name").name, "");
    EXPECT_EQ(walk("openssl_no_name").state, KUDO_HELLO_ENDS);
    const TlsWalk chromium = walk("chromium"); // with post-quantum keys and what may be an encrypted ClientHello
    EXPECT_EQ(chromium.state, KUDO_HELLO_ENDS);
    EXPECT_EQ(chromium.name, "anvil.tokbox.com");
    EXPECT_TRUE(chromium.has_ech);
}

TEST(ClientHellos, MayHaveNoName) {
    for (const auto& extensions : {std::vector<TlsExtension>{}, {key_share()}, {{43, {4, 3, 4, 3, 3}}}}) {
        const TlsWalk walk = tls_walk_of(client_hello(extensions));
        EXPECT_EQ(walk.state, KUDO_HELLO_ENDS);
        EXPECT_EQ(walk.name, "");
    }
    Bytes old = client_hello(std::vector<TlsExtension>{}); // of SSL 3: not even the length of extensions
    old.resize(old.size() - 2);
    old[4] -= 2;
    old[8] -= 2;
    EXPECT_EQ(tls_walk_of(old).state, KUDO_HELLO_ENDS);
}

TEST(ClientHellos, WithAnEncryptedOneInsideAreTold) {
    EXPECT_TRUE(tls_walk_of(client_hello({server_name("front.example"), encrypted_hello()})).has_ech);
    EXPECT_TRUE(tls_walk_of(client_hello({encrypted_hello(), server_name("front.example")})).has_ech);
}

TEST(ClientHellos, ThatAreCutAnywhereGiveTheNameOrWait) {
    const Bytes hello = client_hello({{43, {4, 3, 4, 3, 3}}, key_share(), server_name(name), {21, Bytes(9)}});
    std::size_t named = 0;
    for (std::size_t count = KUDO_HELLO_LEAST; count < hello.size(); count++) {
        const TlsWalk walk = tls_walk_of(first(hello, count));
        // What the last extension has in it is not needed.
        EXPECT_EQ(walk.state, count + 9 < hello.size() ? KUDO_HELLO_SHORT : KUDO_HELLO_ENDS) << count;
        if (!walk.name.empty()) {
            EXPECT_EQ(walk.name, name);
            named++;
        }
    }
    EXPECT_EQ(named, 13u) << "the last extension's bytes: 4 and 9";
    for (std::size_t count = 0; count < KUDO_HELLO_LEAST; count++)
        EXPECT_EQ(tls_walk_of(first(hello, count)).state, KUDO_HELLO_BAD);
}

TEST(ClientHellos, WithAnyLengthChangedAreRefused) {
    const Bytes hello = client_hello(name);
    // record, handshake, session, suites, compression, extensions, and the name's extension with its list and its name
    const std::size_t at = 5 + 4 + 2 + 32 + 1 + 32 + 2 + 6 + 2 + 2 + 9;
    ASSERT_EQ(hello[at], 0);
    for (const std::size_t length : {std::size_t{4}, std::size_t{8}, at - 10, at + 3, at + 5, at + 8})
        for (const int by : {-1, 1}) {
            Bytes changed = hello;
            changed[length] = static_cast<uint8_t>(changed[length] + by);
            const TlsWalk walk = tls_walk_of(changed);
            EXPECT_NE(walk.state, KUDO_HELLO_ENDS) << length << " " << by;
            EXPECT_NE(walk.name, std::string(name) + "x");
            if (length > at) EXPECT_EQ(walk.name, "") << length << " " << by;
        }
    EXPECT_EQ(tls_walk_of(client_hello({server_name(name), server_name("other.example")})).state, KUDO_HELLO_BAD);
    EXPECT_EQ(tls_walk_of(client_hello({server_name("")})).state, KUDO_HELLO_BAD);
    EXPECT_EQ(tls_walk_of(client_hello({server_name(std::string(255, 'a'))})).state, KUDO_HELLO_BAD);
    EXPECT_EQ(tls_walk_of(client_hello({server_name(std::string(254, 'a'))})).state, KUDO_HELLO_ENDS);
    Bytes wrong_type = client_hello(name);
    wrong_type[at + 6] = 1;
    EXPECT_EQ(tls_walk_of(wrong_type).state, KUDO_HELLO_BAD);
}

TEST(ClientHellos, InSeveralRecordsOrTooLongAreNotRead) {
    Bytes hello = client_hello(name);
    hello[4] -= 10; // the record ends before the handshake message
    EXPECT_EQ(tls_walk_of(hello).state, KUDO_HELLO_BAD);
    const TlsWalk walk = tls_walk_of(client_hello({key_share(KUDO_HELLO_BYTES), server_name(name)}));
    EXPECT_EQ(walk.state, KUDO_HELLO_SHORT) << "more than the programs keep";
    EXPECT_EQ(walk.name, "");
    std::vector<TlsExtension> many(KUDO_HELLO_EXTENSIONS, {21, {}});
    many.push_back(server_name(name));
    EXPECT_EQ(tls_walk_of(client_hello(many)).state, KUDO_HELLO_GOES_ON);
}

TEST(ClientHellos, NamesBecomeQuestionsAsDnsHasThem) {
    std::mt19937 random(17);
    std::vector<std::string> names{"a", "a.b", name, "LIVE.kudoway.CA", std::string(63, 'x') + ".tokbox.com", "-_.ca"};
    for (int i = 0; i < 2000; i++) {
        std::string text;
        while (text.size() < 250 && (text.empty() || random() % 6)) {
            if (!text.empty()) text += '.';
            text += std::string(1 + random() % std::min<std::size_t>(63, 253 - text.size()), char('a' + random() % 26));
        }
        names.push_back(text.substr(0, 253));
        if (names.back().back() == '.') names.pop_back();
    }
    for (const std::string& text : names) {
        const TlsWalk walk = tls_walk_of(client_hello(text));
        ASSERT_EQ(walk.name, text);
        const Bytes expected = dns_question(text);
        ASSERT_EQ(walk.question_length, expected.size()) << text;
        EXPECT_TRUE(
            std::equal(expected.begin() + KUDO_DNS_HEADER, expected.end(), walk.question.begin() + KUDO_DNS_HEADER))
            << text;
    }
}

TEST(Quic, ConnectionsAreToldByTheirFirstPacket) {
    const Bytes version1{0xc3, 0, 0, 0, 1}, version2{0xd3, 0x6b, 0x33, 0x43, 0xcf}, handshake{0xe3, 0, 0, 0, 1},
        negotiation{0xc3, 0, 0, 0, 0}, short_header{0x43, 0, 0, 0, 1};
    EXPECT_TRUE(kudo_begins_quic(version1.data(), 1200));
    EXPECT_TRUE(kudo_begins_quic(version2.data(), 1252));
    EXPECT_FALSE(kudo_begins_quic(version1.data(), 1199)) << "a client fills its first datagrams up";
    EXPECT_FALSE(kudo_begins_quic(handshake.data(), 1200));
    EXPECT_FALSE(kudo_begins_quic(negotiation.data(), 1200));
    EXPECT_FALSE(kudo_begins_quic(short_header.data(), 1200));
}

TEST(PublicResolvers, AreToldByTheirAddress) {
    const auto is_one = [](const char* text) {
        const Address address = Address::parse(text).value();
        __be32 words[4];
        std::memcpy(words, address.bytes.data(), 16);
        return address.family == Family::IPv4 ? kudo_is_public_resolver4(kudo_swap32(words[0]))
                                              : kudo_is_public_resolver6(words);
    };
    for (const char* text : {"8.8.8.8",
                             "8.8.4.4",
                             "1.1.1.1",
                             "1.0.0.1",
                             "162.159.61.4",
                             "172.64.41.3",
                             "9.9.9.9",
                             "149.112.112.112",
                             "208.67.222.222",
                             "208.67.220.220",
                             "146.112.41.2",
                             "94.140.14.14",
                             "185.228.168.9",
                             "45.90.28.0",
                             "45.90.30.0",
                             "2001:4860:4860::8888",
                             "2606:4700:4700::1111",
                             "2803:f800:53::4",
                             "2620:fe::fe",
                             "2620:119:35::35",
                             "2a10:50c0::ad1:ff",
                             "2a0d:2a00:1::2",
                             "2a07:a8c0::",
                             "2a07:a8c1::"})
        EXPECT_TRUE(is_one(text)) << text;
    for (const char* text : {"8.8.8.9", "3.123.12.129", "1.1.2.1", "18.156.200.9", "2001:4860:4801::1", "2a05:d018::1"})
        EXPECT_FALSE(is_one(text)) << text;
}

} // namespace
} // namespace kudo::test
