// SPDX-License-Identifier: MIT
// Lookups with name servers that misbehave.
// Invariant: they listen on 127.0.0.1 alone, on a port that is free.
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <functional>
#include <stdexcept>
#include <thread>
#include <utility>

#include <gtest/gtest.h>

#include "agent/names/lookup.h"
#include "tests/support/dns_message.h"
#include "tests/support/loopback.h"

namespace kudo::test {
namespace {

using namespace std::chrono_literals;

constexpr const char* name = "live.kudoway.ca";

using Messages = std::vector<Bytes>;

// Of each query over UDP what is sent back, and of one over TCP the bytes, with the length in front of them.
struct Behaviour {
    std::function<Messages(uint16_t id)> udp;
    std::function<Bytes(uint16_t id)> tcp = {};
};

class BadServer {
public:
    explicit BadServer(Behaviour behaviour, bool listens = true)
        : behaviour_(std::move(behaviour)), listens_(listens), udp_(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)),
          tcp_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
        for (int attempt = 0; attempt < 20 && port_ == 0; attempt++) {
            const uint16_t port = free_port();
            const sockaddr_in address = loopback(port);
            if (bind(tcp_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0 &&
                bind(udp_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0)
                port_ = port;
        }
        if (port_ == 0 || (listens && listen(tcp_.get(), 8) != 0)) throw std::runtime_error("no port");
        thread_ = std::jthread([this](const std::stop_token& stop) { serve(stop); });
    }
    [[nodiscard]] NameServer where() const {
        return {.address = Address::parse("127.0.0.1").value(), .zone = 0, .port = port_};
    }

private:
    static uint16_t id_of(const uint8_t* message) { return static_cast<uint16_t>(message[0] << 8 | message[1]); }
    void serve(const std::stop_token& stop) {
        while (!stop.stop_requested()) {
            pollfd waits[] = {{udp_.get(), POLLIN, 0}, {tcp_.get(), POLLIN, 0}};
            poll(waits, listens_ ? 2 : 1, 20);
            if (waits[0].revents != 0) serve_udp();
            if (waits[1].revents != 0) serve_tcp();
        }
    }
    void serve_udp() {
        uint8_t query[512];
        sockaddr_in from{};
        socklen_t size = sizeof from;
        if (recvfrom(udp_.get(), query, sizeof query, 0, reinterpret_cast<sockaddr*>(&from), &size) < 2) return;
        for (const Bytes& bytes : behaviour_.udp(id_of(query)))
            sendto(udp_.get(), bytes.data(), bytes.size(), 0, reinterpret_cast<const sockaddr*>(&from), size);
    }
    void serve_tcp() {
        const Fd connection(accept4(tcp_.get(), nullptr, nullptr, SOCK_CLOEXEC));
        uint8_t query[512];
        if (!behaviour_.tcp || recv(connection.get(), query, sizeof query, 0) < 4) return;
        const Bytes bytes = behaviour_.tcp(id_of(query + 2));
        [[maybe_unused]] const ssize_t sent = send(connection.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
    }

    Behaviour behaviour_;
    bool listens_;
    Fd udp_, tcp_;
    uint16_t port_ = 0;
    std::jthread thread_;
};

Bytes good(uint16_t id, unsigned flags = 0x8180) {
    return dns_answer(name, {{name, "25.1.1.1"}}, id, KUDO_DNS_TYPE_A, flags);
}
Bytes framed(Bytes message, std::size_t size) {
    message.insert(message.begin(), {static_cast<uint8_t>(size >> 8), static_cast<uint8_t>(size)});
    return message;
}

// What BadServer does for one name only; TCP is refused.
Lookup after_a_refused_stream() {
    bool truncated = true;
    const BadServer server(
        {[&](uint16_t id) { return Messages{good(id, std::exchange(truncated, false) ? 0x8380 : 0x8180)}; }}, false);
    NameLookup lookup({server.where()}, 10s);
    EXPECT_NE(lookup.look_up(name, false).problem, "");
    return lookup.look_up(name, false);
}

// A server that says nothing is waited for so long twice: one that does has time enough on a busy machine.
Lookup looked_up(Behaviour behaviour, std::chrono::milliseconds timeout = 10s) {
    const BadServer server(std::move(behaviour));
    return NameLookup({server.where()}, timeout).look_up(name, false);
}

TEST(NameLookup, TakesTheAnswer) {
    const Lookup lookup = looked_up({[](uint16_t id) { return Messages{good(id)}; }});
    EXPECT_EQ(lookup.problem, "");
    ASSERT_EQ(lookup.addresses.size(), 1U);
    EXPECT_EQ(lookup.addresses[0].text(), "25.1.1.1");
    EXPECT_FALSE(lookup.tcp);
}

TEST(NameLookup, AServerThatRefusesTcpIsStillAskedForOtherNames) {
    const Lookup lookup = after_a_refused_stream();
    EXPECT_EQ(lookup.problem, "");
    EXPECT_EQ(lookup.addresses.size(), 1U);
}

TEST(NameLookup, WhatIsNotTheAnswerIsPassedOver) {
    const Lookup lookup = looked_up({[](uint16_t id) {
        return Messages{good(static_cast<uint16_t>(id + 1)),                                // another identifier
                        dns_answer("api.kudoway.ca", {{"api.kudoway.ca", "25.6.6.6"}}, id), // another name
                        dns_answer(name, {{name, "2a00::1"}}, id, KUDO_DNS_TYPE_AAAA),      // another type
                        dns_question(name, id),
                        Bytes{},
                        Bytes{1, 2, 3},
                        Bytes(1400, 0xff),
                        good(id)};
    }});
    EXPECT_EQ(lookup.problem, "");
    ASSERT_EQ(lookup.addresses.size(), 1U);
    EXPECT_EQ(lookup.addresses[0].text(), "25.1.1.1");
}

TEST(NameLookup, ATruncatedAnswerIsFetchedOverTcp) {
    const Lookup lookup = looked_up({[](uint16_t id) { return Messages{good(id, 0x8380)}; },
                                     [](uint16_t id) {
                                         const Bytes message = good(id);
                                         return framed(message, message.size());
                                     }});
    EXPECT_EQ(lookup.problem, "");
    EXPECT_TRUE(lookup.tcp);
    EXPECT_EQ(lookup.addresses.size(), 1U);
}

TEST(NameLookup, OverTcpWhatIsNoAnswerIsAProblem) {
    const auto truncated = [](uint16_t id) { return Messages{good(id, 0x8380)}; };
    const std::function<Bytes(uint16_t)> answers[] = {
        [](uint16_t) { return Bytes{}; },
        [](uint16_t id) { return framed(good(id), 65535); },                                      // too little comes
        [](uint16_t id) { return framed(good(static_cast<uint16_t>(id + 1)), good(id).size()); }, // another's
        [](uint16_t id) { return framed(good(id), 5); },
        [](uint16_t) { return framed({}, 0); },
    };
    for (const auto& answer : answers) {
        const Lookup lookup = looked_up({truncated, answer});
        EXPECT_NE(lookup.problem, "");
        EXPECT_TRUE(lookup.addresses.empty());
    }
}

TEST(NameLookup, AnErrorIsSaidByItsName) {
    EXPECT_EQ(looked_up({[](uint16_t id) { return Messages{good(id, 0x8183)}; }}).problem,
              "127.0.0.1 answers NXDOMAIN");
    EXPECT_EQ(looked_up({[](uint16_t id) { return Messages{good(id, 0x8182)}; }}).problem,
              "127.0.0.1 answers SERVFAIL");
    EXPECT_EQ(looked_up({[](uint16_t) { return Messages{}; }}, 200ms).problem, "127.0.0.1 does not answer");
}

TEST(NameLookup, AfterAServerThatFailsTheNextIsAsked) {
    const BadServer silent({[](uint16_t) { return Messages{}; }});
    const BadServer failing({[](uint16_t id) { return Messages{good(id, 0x8182)}; }});
    const BadServer well({[](uint16_t id) { return Messages{good(id)}; }});
    NameServer nobody = well.where();
    nobody.port = free_port();
    NameLookup lookup({nobody, silent.where(), failing.where(), well.where()}, 1s);
    for (int i = 0; i < 2; i++) {
        const Lookup found = lookup.look_up(name, false);
        EXPECT_EQ(found.problem, "");
        EXPECT_EQ(found.addresses.size(), 1U);
    }
}

TEST(NameLookup, WithoutExtensionsWhereTheServerKnowsNone) {
    int queries = 0;
    const Lookup lookup =
        looked_up({[&](uint16_t id) { return Messages{good(id, queries++ == 0 ? 0x8181 : 0x8180)}; }});
    EXPECT_EQ(lookup.problem, "");
    EXPECT_EQ(queries, 2);
}

} // namespace
} // namespace kudo::test
