// SPDX-License-Identifier: MIT
// Names of the range map: DNS gives their addresses, and the first packet to one is already counted by the name, with
// the service running, killed and stopped. KUDO_LOOKUPS of them (default 300) for each.
#include "tests/e2e/names/names_fixture.h"

#include <csignal>

#include "tests/support/running_service.h"

namespace kudo::test {
namespace {

TEST_F(Names, TheFirstPacketIsCountedByTheNameWhateverTheServiceDoes) {
    enable();
    const char* given = std::getenv("KUDO_LOOKUPS");
    const unsigned each = given ? static_cast<unsigned>(std::atoi(given)) : 300;
    unsigned total = 0;
    const auto look_up_many = [&] {
        for (unsigned i = 0; i < each; i++) {
            const std::string address = address_of_number(total);
            look_up(fmt::format("anvil{}.tokbox.com", total % 500), {address});
            send_syn(address, 443, static_cast<uint16_t>(20000 + total % 40000));
            total++;
        }
        EXPECT_EQ(counted("name"), total);
    };
    {
        RunningService service(*test_, {});
        look_up_many();
        service.signal(SIGSTOP);
        look_up_many();
        service.signal(SIGKILL);
        look_up_many();
    }
    look_up_many(); // none runs
    const auto json = stats({"--flows"});
    EXPECT_EQ(json.at("dns").at("learned"), total);
    EXPECT_EQ(json.at("services").at("opentok").at("classes").at("control").at("egress").at("packets"), total);
    printf("%u lookups, each followed by a SYN: %u first packets judged by the name\n", total, total);
}

TEST_F(Names, AreShownWithWhoSaidSoAndUntilWhen) {
    enable({"--teams"});
    look_up("anvil.tokbox.com", {"18.156.200.9"});
    look_up("teams-bot.kudoway.com", {"18.156.200.10"});
    look_up("www.example.com", {"18.156.200.11"});
    send_syn("18.156.200.9", 443);
    send_syn("18.156.200.9", 8445);
    send_syn("18.156.200.10", 8445);
    EXPECT_EQ(counted("name"), 2u);

    const auto domains = nlohmann::json::parse(test_->agent({"ranges", "show", "--domains", "--json"}).out);
    ASSERT_EQ(domains.size(), 2u);
    EXPECT_EQ(domains[0].at("name"), "anvil.tokbox.com");
    EXPECT_EQ(domains[0].at("address"), "18.156.200.9");
    EXPECT_EQ(domains[0].at("services"), nlohmann::json::array({"opentok"}));
    EXPECT_EQ(domains[0].at("server"), stranger_address);
    EXPECT_EQ(domains[1].at("name"), "teams-bot.kudoway.com");
    EXPECT_EQ(domains[1].at("services"), nlohmann::json::array({"teams"}));

    const auto explained = nlohmann::json::parse(test_->agent({"explain", "18.156.200.9", "tcp/443", "--json"}).out);
    EXPECT_EQ(explained.at("rules").at(0).at("egress").at("reason"), "name");
    EXPECT_EQ(explained.at("rules").at(0).at("service"), "opentok");
    EXPECT_EQ(explained.at("rules").at(0).at("range"), nullptr);
    EXPECT_EQ(explained.at("rules").at(0).at("domain"), "*.tokbox.com");
    EXPECT_NE(explained.at("rules").at(0).at("path"), nullptr);
    ASSERT_EQ(explained.at("names").size(), 1u);
    EXPECT_EQ(explained.at("names").at(0).at("name"), "anvil.tokbox.com");
    EXPECT_EQ(explained.at("names").at(0).at("server"), stranger_address);
    const std::string text = test_->agent({"explain", "18.156.200.9"}).out;
    for (const char* words : {"anvil.tokbox.com", "*.tokbox.com", "198.51.100.7", "tcp/443"})
        EXPECT_NE(text.find(words), std::string::npos) << words << '\n' << text;

    const auto flows = stats({"--flows"}).at("flows");
    ASSERT_EQ(flows.size(), 2u);
    for (const auto& flow : flows) {
        EXPECT_EQ(flow.at("reason"), "name");
        EXPECT_EQ(flow.at("range"), nullptr);
        EXPECT_EQ(flow.at("class"), "control");
        EXPECT_EQ(flow.at("verdict"), "prioritise");
    }
}

TEST_F(Names, AreExplainedByTheOptionsThatAreAskedFor) {
    enable({"--teams"});
    look_up("teams-bot.kudoway.com", {"18.156.200.10"});
    const auto explained = [&](const std::vector<std::string>& options) {
        std::vector<std::string> words{"explain", "18.156.200.10", "tcp/8445", "--json"};
        words.insert(words.end(), options.begin(), options.end());
        return nlohmann::json::parse(test_->agent(words).out);
    };
    EXPECT_EQ(explained({}).at("rules").at(0).at("service"), "teams");
    EXPECT_EQ(explained({"--region", "us", "--teams"}).at("rules").at(0).at("service"), "teams");
    const auto without = explained({"--region", "us"});
    EXPECT_EQ(without.at("rules").at(0).at("service"), nullptr) << "the kernel's policy is not asked";
    EXPECT_EQ(without.at("names").at(0).at("domain"), nullptr);
    // And by region.
    look_up("live.kudoway.ca", {"18.156.200.12"});
    const auto shown = [&](const char* region) {
        return nlohmann::json::parse(test_->agent({"ranges", "show", "--domains", "--region", region, "--json"}).out)
            .size();
    };
    EXPECT_EQ(shown("ca"), 2u);
    EXPECT_EQ(shown("us"), 1u) << "teams' alone";
    EXPECT_EQ(test_->agent({"ranges", "show", "--domains", "--region", "mars"}).status, 2);
}

TEST_F(Names, ALiveFlowKeepsItsJudgementOverARotationAndASwap) {
    enable();
    look_up("a.opentok.com", {address_of_number(0)});
    send_syn(address_of_number(0), 443);
    for (unsigned i = 1; i < 600; i++)
        look_up("a.opentok.com", {address_of_number(i)});
    enable({"--mark", "control=dscp:CS3"}); // another generation
    send_syn(address_of_number(0), 443);
    EXPECT_EQ(counted("name"), 2u);
}

TEST_F(Names, NothingIsLeftAfterDisable) {
    enable();
    look_up("a.opentok.com", {address_of_number(0)});
    ASSERT_EQ(test_->agent({"disable"}).status, 0);
    enable();
    send_syn(address_of_number(0), 443);
    EXPECT_EQ(counted("name"), 0u);
}

} // namespace
} // namespace kudo::test
