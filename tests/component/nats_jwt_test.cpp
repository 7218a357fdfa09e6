// SPDX-License-Identifier: MIT
// A message server in operator mode, where everybody is who a chain of signed tokens says: operator, account, user. The
// agent has a chained file, as nsc writes it.
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <stdexcept>
#include <thread>

#include "agent/sources/nats/connection.h"
#include "agent/system/fd.h"
#include "tests/component/nats_jwt.h"
#include "tests/support/loopback.h"
#include "tests/support/nats_agent.h"
#include "tests/support/nats_server.h"

namespace kudo::test {
namespace {

using namespace std::chrono_literals;

class NatsJwt : public testing::Test {
protected:
    void SetUp() override {
        server_.configure(trust_.configuration());
        server_.start();
        operator_ = agent_ = quick_nats_options(server_.url());
        operator_.answer_wait = operator_.connect_wait = 10s;
        operator_.credentials = server_.folder().write("op.creds", trust_.user("op").credentials);
        make_buckets(operator_);
        put_document(operator_, "one");
    }
    // What the agent's file holds from now on.
    void give(const NatsTrust::User& user) {
        agent_.credentials = server_.folder().write("host.creds", user.credentials);
    }
    static bool is_refused(NatsAgent& agent) {
        return agent.serve_until(
            [&] { return agent.source.health().problem.find("uthorization") != std::string::npos; }, 10s);
    }

    NatsTrust trust_;
    NatsServer server_;
    NatsOptions operator_, agent_;
};

TEST_F(NatsJwt, AUsersTokenLetsTheAgentReadAndReport) {
    give(trust_.user("web-1"));
    NatsAgent agent(agent_);
    agent.report(7);
    EXPECT_TRUE(agent.serve_until_delivered("one")) << agent.source.health().problem << server_.log();
    EXPECT_TRUE(agent.serve_until([&] { return !stored_report(operator_).empty(); }, 20s));
    put_document(operator_, "two");
    EXPECT_TRUE(agent.serve_until_delivered("two")) << agent.source.health().problem;
    EXPECT_EQ(agent.source.health().problem, "");
}

TEST_F(NatsJwt, ATokenOfAnAccountThatTheServerDoesNotKnowIsRefused) {
    const NatsTrust other;
    give(other.user("web-1"));
    NatsAgent agent(agent_);
    EXPECT_TRUE(is_refused(agent)) << agent.source.health().problem;
    EXPECT_NE(agent.source.health().problem.find(server_.url() + ": cannot connect: "), std::string::npos)
        << agent.source.health().problem;
    agent.serve(1s);
    EXPECT_TRUE(agent.deliveries.empty());
    give(trust_.user("web-1"));
    EXPECT_TRUE(agent.serve_until_delivered("one")) << agent.source.health().problem;
}

TEST_F(NatsJwt, ATokenWithTheSeedOfAnotherUserIsRefused) {
    const auto user = trust_.user("web-1"), other = trust_.user("web-2");
    const auto seed_of = [](const NatsTrust::User& whose) { return whose.key.seed(); };
    auto mixed = user;
    mixed.credentials.replace(mixed.credentials.find(seed_of(user)), seed_of(user).size(), seed_of(other));
    give(mixed);
    NatsAgent agent(agent_);
    EXPECT_TRUE(is_refused(agent)) << agent.source.health().problem;
    EXPECT_TRUE(agent.deliveries.empty());
}

TEST_F(NatsJwt, ATokenThatHasExpiredIsReplacedWithoutARestart) {
    give(trust_.user("web-1", 4));
    NatsAgent agent(agent_);
    ASSERT_TRUE(agent.serve_until_delivered("one")) << agent.source.health().problem;
    EXPECT_TRUE(is_refused(agent)) << agent.source.health().problem;
    put_document(operator_, "two");
    agent.serve(1s);
    EXPECT_EQ(agent.documents(), std::vector<std::string>{"one"});
    give(trust_.user("web-1"));
    EXPECT_TRUE(agent.serve_until_delivered("two")) << agent.source.health().problem;
    EXPECT_TRUE(agent.serve_until([&] { return agent.source.health().problem.empty(); }, 20s));
}

TEST_F(NatsJwt, AUserWhoIsRevokedIsReplacedWithoutARestart) {
    const auto user = trust_.user("web-1");
    give(user);
    NatsAgent agent(agent_);
    ASSERT_TRUE(agent.serve_until_delivered("one")) << agent.source.health().problem;
    trust_.revoke(user);
    server_.configure(trust_.configuration());
    server_.end(SIGTERM);
    server_.start();
    EXPECT_TRUE(is_refused(agent)) << agent.source.health().problem;
    put_document(operator_, "two");
    agent.serve(1s);
    EXPECT_EQ(agent.documents(), std::vector<std::string>{"one"});
    give(trust_.user("web-1"));
    EXPECT_TRUE(agent.serve_until_delivered("two")) << agent.source.health().problem;
}

// Greets each connection with the next of its nonces, and lets in who has signed it, whatever the signature.
class NonceServer {
public:
    explicit NonceServer(std::vector<std::string> nonces)
        : port_(free_port()), socket_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)), nonces_(std::move(nonces)) {
        const sockaddr_in address = loopback(port_);
        if (bind(socket_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 ||
            listen(socket_.get(), 16) != 0)
            throw std::runtime_error("no server");
        thread_ = std::thread([this] { serve(); });
    }
    ~NonceServer() {
        shutdown(socket_.get(), SHUT_RDWR);
        thread_.join();
    }
    NonceServer(const NonceServer&) = delete;
    NonceServer& operator=(const NonceServer&) = delete;
    [[nodiscard]] std::string url() const { return "nats://127.0.0.1:" + std::to_string(port_); }

private:
    void serve() {
        for (const std::string& nonce : nonces_) {
            clients_.emplace_back(accept(socket_.get(), nullptr, nullptr));
            const int client = clients_.back().get();
            say(client, R"(INFO {"server_id":"X","version":"2.9.10","proto":1,"headers":true,"max_payload":1048576,)"
                        R"("auth_required":true,"nonce":")" +
                            nonce + "\"}\r\n");
            std::string heard;
            char part[4096];
            for (ssize_t got = 1; got > 0 && heard.find("PING\r\n") == std::string::npos;) {
                got = read(client, part, sizeof part);
                if (got > 0) heard.append(part, static_cast<std::size_t>(got));
            }
            const bool is_signed = heard.find("\"sig\":") != std::string::npos;
            say(client, is_signed ? "PONG\r\n" : "-ERR 'Authorization Violation'\r\n");
            if (!is_signed) clients_.pop_back();
        }
    }
    static void say(int client, const std::string& text) { ::send(client, text.data(), text.size(), MSG_NOSIGNAL); }

    uint16_t port_;
    Fd socket_;
    std::vector<std::string> nonces_;
    std::vector<Fd> clients_;
    std::thread thread_;
};

TEST(NatsSignature, ThatBeginsWithAZeroByteKeepsNobodyOut) {
    const auto user = NatsTrust().user("web-1");
    std::string odd;
    for (int i = 0; odd.empty(); ++i) {
        const std::string nonce = "nonce-" + std::to_string(i), signature = user.key.sign(nonce);
        if (signature[0] == 'A' && signature[1] >= 'A' && signature[1] <= 'P') odd = nonce;
    }
    const NonceServer server({odd, "another"});
    const TemporaryFolder folder;
    NatsOptions options = quick_nats_options(server.url());
    options.credentials = folder.write("host.creds", user.credentials);
    const auto connection = NatsConnection::open(options);
    EXPECT_TRUE(connection) << connection.error().message;
}

} // namespace
} // namespace kudo::test
