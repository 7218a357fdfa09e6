// SPDX-License-Identifier: MIT
// What an unprivileged command and the service say to each other.
#include <gtest/gtest.h>

#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cstdint>
#include <filesystem>
#include <string>

#include "agent/query/exchange.h"
#include "agent/query/peer.h"
#include "agent/query/socket.h"
#include "agent/system/fd.h"
#include "tests/support/temporary_folder.h"

namespace kudo {
namespace {

std::array<Fd, 2> connected() {
    int ends[2] = {-1, -1};
    EXPECT_EQ(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
    return {Fd(ends[0]), Fd(ends[1])};
}

TEST(QueryExchange, AQueryIsReadAsItWasWritten) {
    const Query query{.instance = UINT64_MAX,
                      .words = {"explain", "--region=us,eu", "52.200.60.17"},
                      .json = true,
                      .colour = true,
                      .screen = true,
                      .width = 132};
    const auto read = read_query(write_query(query)).value();
    EXPECT_EQ(read.instance, query.instance);
    EXPECT_EQ(read.words, query.words);
    EXPECT_TRUE(read.json && read.colour && read.screen);
    EXPECT_EQ(read.width, 132U);
}

TEST(QueryExchange, WhatIsNoQueryIsBadInput) {
    const std::string good = write_query({.instance = 1, .words = {"status"}});
    ASSERT_TRUE(read_query(good).has_value());
    const auto with = [&](std::string from, const std::string& to) {
        std::string changed = good;
        const auto at = changed.find(from);
        EXPECT_NE(at, std::string::npos) << from;
        return changed.replace(at, from.size(), to);
    };
    for (const std::string& message :
         {std::string(), std::string("null"), std::string("[]"), good.substr(1), good + "}",
          with("\"width\":80", "\"width\":-1"), with("\"width\":80", "\"width\":1e3"),
          with("\"json\":false", "\"json\":0"), with("\"instance\":1", "\"instance\":18446744073709551616"),
          with("\"status\"", ""), with("\"status\"", "1"), with("\"status\"", "\"\""),
          with("\"status\"", "\"a\\u0000b\""), with("\"status\"", "\"\\u00e9\""),
          std::string(max_query_bytes + 1, ' ')}) {
        const auto read = read_query(message);
        ASSERT_FALSE(read.has_value()) << message;
        EXPECT_EQ(read.error().kind, ErrorKind::BadInput) << message;
    }
}

TEST(QueryExchange, AWidthIsKeptWithinReason) {
    EXPECT_EQ(read_query(write_query({.words = {"status"}, .width = 1})).value().width, 40U);
    EXPECT_EQ(read_query(write_query({.words = {"status"}, .width = SIZE_MAX})).value().width, 1000U);
}

TEST(QueryExchange, LongOutputComesInPiecesAndWhole) {
    const auto [one, other] = connected();
    const std::string sent(100'000, 'x');
    ASSERT_TRUE(send_piece(one.get(), AnswerKind::Output, sent));
    ASSERT_TRUE(send_outcome(one.get(), 4));
    std::string received;
    auto piece = receive_piece(other.get()).value();
    for (; piece.kind == AnswerKind::Output; piece = receive_piece(other.get()).value())
        received += piece.content;
    EXPECT_EQ(received, sent);
    EXPECT_EQ(read_outcome(piece).value(), 4);
}

TEST(QueryExchange, AnErrorArrivesAsItWas) {
    const auto [one, other] = connected();
    ASSERT_TRUE(send_outcome(one.get(), fail(Error{ErrorKind::NotEnabled, "nothing is enabled"})));
    const auto outcome = read_outcome(receive_piece(other.get()).value());
    ASSERT_FALSE(outcome.has_value());
    EXPECT_EQ(outcome.error().kind, ErrorKind::NotEnabled);
    EXPECT_EQ(outcome.error().message, "nothing is enabled");
}

TEST(QueryExchange, WhoIsBusySaysSo) {
    const auto [one, other] = connected();
    ASSERT_TRUE(send_outcome(one.get(), fail("busy", EAGAIN)));
    EXPECT_EQ(read_outcome(receive_piece(other.get()).value()).error().number, EAGAIN);
}

TEST(QueryExchange, AnAnswerThatIsCutOffIsNoAnswer) {
    const auto [one, other] = connected();
    ASSERT_EQ(send(one.get(), "?what", 5, 0), 5);
    EXPECT_FALSE(receive_piece(other.get()).has_value());
    EXPECT_FALSE(read_outcome({AnswerKind::Done, ""}).has_value());
    EXPECT_FALSE(read_outcome({AnswerKind::Failed, ""}).has_value());
}

TEST(QueryPeer, TheGroupDecides) {
    const Peer stranger{.user = 4711, .group = 4712, .groups = {1, 2}};
    EXPECT_FALSE(may_query(stranger, 3));
    EXPECT_TRUE(may_query(stranger, 4712));
    EXPECT_TRUE(may_query(stranger, 2));
    EXPECT_TRUE(may_query({.user = 0, .group = 4712}, 3));
}

TEST(QueryPeer, TheKernelSaysWhoItIs) {
    const auto [one, other] = connected();
    const auto peer = peer_of(one.get());
    ASSERT_TRUE(peer.has_value()) << peer.error().message;
    EXPECT_EQ(peer->user, geteuid());
    EXPECT_EQ(peer->group, getegid());
}

TEST(ListeningSocket, RemovesOnlyWhatNobodyListensOn) {
    const test::TemporaryFolder folder;
    const auto path = folder.path() / "socket";
    {
        const auto first = ListeningSocket::open(path, SOCK_SEQPACKET);
        ASSERT_TRUE(first.has_value()) << first.error().message;
        EXPECT_TRUE(first->is_there());
        const auto second = ListeningSocket::open(path, SOCK_SEQPACKET);
        ASSERT_FALSE(second.has_value());
        EXPECT_NE(second.error().message.find("another process listens there"), std::string::npos);
    }
    EXPECT_FALSE(std::filesystem::exists(path)) << "gone with its owner";
    folder.write("socket", "precious");
    const auto over_a_file = ListeningSocket::open(path, SOCK_SEQPACKET);
    ASSERT_FALSE(over_a_file.has_value());
    EXPECT_EQ(over_a_file.error().kind, ErrorKind::BadInput);
    EXPECT_EQ(std::filesystem::file_size(path), 8U);
    EXPECT_FALSE(ListeningSocket::open(folder.path() / std::string(120, 'x'), SOCK_SEQPACKET).has_value());
}

} // namespace
} // namespace kudo
