// SPDX-License-Identifier: MIT
// enable, status and disable on a host with one line.
#include <gtest/gtest.h>

#include "tests/support/host_test.h"

namespace kudo::test {
namespace {

class Enable : public HostTest {};

TEST_F(Enable, AttachesToTheInterfaceWithTheDefaultRoute) {
    const Outcome enabled = test_->agent({"enable", "--region", "ca"});
    ASSERT_EQ(enabled.status, 0) << enabled.err;
    const Outcome status = test_->agent({"status", "--json"});
    EXPECT_EQ(status.status, 0) << status.out << status.err;
    const auto json = nlohmann::json::parse(status.out);
    EXPECT_EQ(json.at("interfaces").at(0).at("name"), "eth0");
    EXPECT_EQ(json.at("interfaces").at(0).at("ingress"), tc_hook_name());
    EXPECT_EQ(json.at("ingress"), "auto");
    EXPECT_EQ(test_->in_host({"ip", "-d", "link", "show", "eth0"}).find("xdp"), std::string::npos);
    EXPECT_EQ(json.at("map").at("serial"), 2022030100);
}

TEST_F(Enable, TwiceIsTheSameAsOnce) {
    ASSERT_EQ(test_->agent({"enable", "--region", "ca"}).status, 0);
    const auto before = test_->status();
    const Outcome again = test_->agent({"enable", "--region", "ca"});
    EXPECT_EQ(again.status, 0) << again.err;
    EXPECT_NE(again.out.find("nothing changed"), std::string::npos) << again.out;
    EXPECT_EQ(test_->status(), before);
}

TEST_F(Enable, CheckSaysWhatWouldChangeAndChangesNothing) {
    const auto check = [&](std::vector<std::string> options) {
        options.insert(options.begin(), {"enable", "--check", "--json", "--region", "ca"});
        const Outcome outcome = test_->agent(options);
        EXPECT_EQ(outcome.status, 0) << outcome.err;
        return nlohmann::json::parse(outcome.out);
    };
    EXPECT_EQ(check({}).at("would_change"), true);
    EXPECT_EQ(test_->agent({"enable", "--check", "--region", "ca"}).out, "would enable\n");
    EXPECT_EQ(test_->agent({"status"}).status, 3) << "nothing was changed";
    EXPECT_FALSE(std::filesystem::exists(test_->instance.pins()));

    ASSERT_EQ(test_->agent({"enable", "--region", "ca", "--max-flows", "2048"}).status, 0);
    const auto before = test_->status();
    EXPECT_EQ(check({}).at("would_change"), false) << "the flow table's capacity stays";
    EXPECT_EQ(test_->agent({"enable", "--check", "--region", "ca"}).out, "would change nothing\n");
    EXPECT_EQ(check({"--teams"}).at("options_differ"), true);
    EXPECT_EQ(check({"--teams"}).at("options"), nlohmann::json({{"teams", {{"from", false}, {"to", true}}}}));
    EXPECT_EQ(test_->agent({"enable", "--check", "--region", "ca,us"}).out,
              "would change the options\n  regions: [\"ca\"] -> [\"ca\",\"us\"]\n");
    EXPECT_EQ(test_->agent({"enable", "--check", "--region", "atlantis"}).status, 2);
    EXPECT_EQ(test_->status(), before);

    test_->in_host({"tc", "qdisc", "replace", "dev", "eth0", "root", "pfifo"});
    const auto admins = check({});
    EXPECT_EQ(admins.at("would_change").get<bool>(),
              nlohmann::json::parse(test_->agent({"enable", "--region", "ca", "--json"}).out).at("changed").get<bool>())
        << admins.dump(2);
    std::filesystem::remove_all(test_->instance.pins());
    const auto lost = check({});
    EXPECT_EQ(lost.at("would_change"), true);
    EXPECT_EQ(lost.at("options_differ"), false);
    EXPECT_FALSE(lost.at("would_correct").empty());
}

TEST_F(Enable, DisableAfterwardsLeavesNoTrace) {
    const std::string before = test_->in_host({"tc", "qdisc", "show"}) + test_->in_host({"ip", "link", "show"});
    ASSERT_EQ(test_->agent({"enable", "--region", "ca"}).status, 0);
    ASSERT_EQ(test_->agent({"disable"}).status, 0);
    EXPECT_EQ(test_->in_host({"tc", "qdisc", "show"}) + test_->in_host({"ip", "link", "show"}), before);
    EXPECT_FALSE(std::filesystem::exists(test_->instance.pins()));
    EXPECT_TRUE(std::filesystem::is_empty(test_->instance.state_dir));
    EXPECT_EQ(test_->agent({"status"}).status, 3);
}

} // namespace
} // namespace kudo::test
