// SPDX-License-Identifier: MIT
// A rehearsal counts what mode enforce would drop and drops nothing; what enforce drops is listed.
// Invariant: how many packets there are is known from the senders.
#include "tests/e2e/enforce/enforce_fixture.h"

namespace kudo::test {
namespace {

const Endpoint here{host_address, 50001};
const Endpoint media{media_address, 3478}, stranger{stranger_address, 123};

class Rehearsal : public EnforceTest {
protected:
    // The row of a denied flow, or null.
    static nlohmann::json denied_flow(const nlohmann::json& stats, const Endpoint& local, const Endpoint& remote) {
        for (const auto& flow : stats.at("denied").at("flows"))
            if (flow.at("local") == local.address && flow.at("local_port") == local.port &&
                flow.at("remote") == remote.address && flow.at("remote_port") == remote.port)
                return flow;
        return nullptr;
    }
};

TEST_F(Rehearsal, CountsWhatEnforceWouldDropAndDropsNothing) {
    enable({"--dry-run", "24h", "--lifeline", "ntp=off", "--allow", "udp/7000 to 198.51.100.7"});
    const auto status = test_->status();
    EXPECT_EQ(status.at("mode"), "prioritise");
    EXPECT_EQ(status.at("rehearsal").at("running"), true) << status.dump(1);
    EXPECT_EQ(status.at("healthy"), true) << status.dump(1);
    {
        const Fd near = udp_socket(test_->host, here), far = udp_socket(test_->far, stranger);
        send_datagrams(near.get(), stranger, far.get(), 5, 100); // throws if one is lost
        send_datagrams(far.get(), here, near.get(), 3, 100);
        const auto while_open = test_->stats();
        const auto flow = denied_flow(while_open, here, stranger);
        ASSERT_FALSE(flow.is_null()) << while_open.at("denied").dump(1);
        EXPECT_EQ(flow.at("egress").at("packets"), 5);
        EXPECT_EQ(flow.at("ingress").at("packets"), 3);
        EXPECT_EQ(flow.at("reason"), "stranger");
        EXPECT_EQ(flow.at("name"), "ntp") << "of the port";
        EXPECT_FALSE(flow.at("processes").empty()) << "this test has the socket";
        EXPECT_GE(while_open.at("denied").at("would_drop").at("stranger").at("egress").at("packets"), 5);
    }
    EXPECT_TRUE(answers(here, media));
    EXPECT_TRUE(answers(here, {stranger_address, 7000}));
    const auto stats = test_->stats();
    EXPECT_EQ(stats.at("denied").at("admission"), "rehearse");
    EXPECT_TRUE(denied_flow(stats, here, media).is_null());
    EXPECT_TRUE(denied_flow(stats, here, {stranger_address, 7000}).is_null());
    EXPECT_NE(test_->agent({"stats"}).out.find("WOULD BE DROPPED"), std::string::npos);

    // What comes next says what it was.
    const Outcome enabled = enforce({"--no-confirm", "--lifeline", "ntp=off"});
    EXPECT_NE(enabled.out.find("rehearsed for"), std::string::npos) << enabled.out;
    EXPECT_NE(enabled.out.find("198.51.100.7:123"), std::string::npos) << enabled.out;
    const auto enforced = test_->stats();
    EXPECT_TRUE(denied_flow(enforced, here, stranger).is_null()) << "what was only counted is not dropped";
}

TEST_F(Rehearsal, MissingIsSaidByEnforceLikeAMissingService) {
    const Outcome enabled = enforce({"--no-confirm"});
    EXPECT_NE((enabled.out + enabled.err).find("kudo-agent run, does not run"), std::string::npos);
    EXPECT_NE((enabled.out + enabled.err).find("without a rehearsal"), std::string::npos) << enabled.out << enabled.err;
}

TEST_F(Rehearsal, EndsAtItsEnd) {
    enable({"--dry-run", "1s"});
    std::this_thread::sleep_for(std::chrono::milliseconds(2100));
    const Outcome ended = test_->agent({"status"});
    EXPECT_NE(ended.out.find("the rehearsal of enforce ended at"), std::string::npos) << ended.out;
    EXPECT_EQ(ended.status, 0) << "that the programs count on makes no difference to any packet";
    enable(); // what anybody does next ends it in the kernel
    EXPECT_EQ(test_->stats().at("denied").at("admission"), "none");
}

TEST_F(Rehearsal, WhatEnforceDropsIsListed) {
    enforce({"--no-confirm"});
    EXPECT_FALSE(comes_in({stranger_address, 40000}, {host_address, 22}));
    const auto stats = test_->stats();
    const auto flow = denied_flow(stats, {host_address, 22}, {stranger_address, 40000});
    ASSERT_FALSE(flow.is_null()) << stats.at("denied").dump(1);
    EXPECT_EQ(flow.at("ingress").at("packets"), 1);
    EXPECT_EQ(stats.at("denied").at("admission"), "enforce");
    EXPECT_NE(test_->agent({"stats"}).out.find("DROPPED FLOW"), std::string::npos);
    const auto explained =
        nlohmann::json::parse(test_->agent({"explain", stranger_address, "udp/40000", "--json"}).out);
    for (const auto& each : explained.at("admission").at("cases"))
        EXPECT_EQ(each.at("admitted"), false) << each.dump();
    EXPECT_NE(test_->agent({"explain", media_address, "udp/3478"}).out.find("ADMISSION"), std::string::npos);
}

} // namespace
} // namespace kudo::test
