// SPDX-License-Identifier: MIT
// A message server in operator mode, where everybody is who a chain of signed tokens says: operator, account, user. The
// agent has a chained file, as nsc writes it.
#include <gtest/gtest.h>
#include <signal.h>

#include "tests/support/nats_agent.h"
#include "tests/support/nats_jwt.h"
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
    EXPECT_TRUE(agent.serve_until([&] { return !stored_report(operator_).empty(); }, 5s));
    put_document(operator_, "two");
    EXPECT_TRUE(agent.serve_until_delivered("two", 5s)) << agent.source.health().problem;
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
    EXPECT_TRUE(agent.serve_until([&] { return agent.source.health().problem.empty(); }, 5s));
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

} // namespace
} // namespace kudo::test
