// SPDX-License-Identifier: MIT
// Mode enforce as its administrator meets it: what passes, the way back by itself, the confirmation.
// Invariant: what passes is told by real traffic, whatever the commands say.
#include <arpa/inet.h>
#include <poll.h>
#include <sys/socket.h>

#include <filesystem>
#include <fstream>

#include <fmt/format.h>

#include "tests/e2e/enforce/enforce_fixture.h"
#include "tests/e2e/names/names_fixture.h"

namespace kudo::test {
namespace {

using std::chrono::steady_clock;

const Endpoint here{host_address, 50001};
const Endpoint media{media_address, 3478}, stranger{stranger_address, 40000};

class Enforce : public EnforceTest, public testing::WithParamInterface<const char*> {};

TEST_P(Enforce, AdmitsACallBothWaysAndDropsAStranger) {
    enforce({"--no-confirm", "--ingress", GetParam()});
    const auto status = test_->status();
    EXPECT_EQ(status.at("mode"), "enforce");
    EXPECT_EQ(status.at("healthy"), true) << status.dump(1);
    EXPECT_EQ(status.at("interfaces").at(0).at("ingress"),
              GetParam() == std::string("tc") ? tc_hook_name() : "xdp-native");
    EXPECT_FALSE(comes_in(media, here)) << "this host has not spoken";
    EXPECT_TRUE(answers(here, media));
    EXPECT_TRUE(comes_in(media, here));
    EXPECT_FALSE(goes_out(here, stranger));
    EXPECT_FALSE(strangers_pass());
    EXPECT_FALSE(connects(test_->far, media_address, test_->host, {host_address, 22})) << "KUDO opens nothing here";
    EXPECT_TRUE(connects(test_->host, host_address, test_->far, {media_address, 443}));
    EXPECT_FALSE(connects(test_->host, host_address, test_->far, {media_address, 444})) << "another port";

    ASSERT_EQ(test_->agent({"disable"}).status, 0);
    EXPECT_TRUE(strangers_pass());
    EXPECT_TRUE(connects(test_->far, media_address, test_->host, {host_address, 22}));
}
INSTANTIATE_TEST_SUITE_P(Ingress, Enforce, testing::Values("auto", "tc"),
                         [](const auto& hook) { return std::string(hook.param) == "tc" ? "ByTc" : "ByXdp"; });

class EnforceRules : public EnforceTest {};

TEST_F(EnforceRules, AllowRulesAdmitWhatTheySay) {
    enforce({"--no-confirm", "--allow", "tcp/22 from 198.51.100.0/24", "--allow", "udp/51820 to 198.51.100.7"}, "");
    EXPECT_TRUE(connects(test_->far, stranger_address, test_->host, {host_address, 22}));
    EXPECT_FALSE(connects(test_->far, stranger_address, test_->host, {host_address, 23}));
    EXPECT_FALSE(connects(test_->far, "10.77.0.1", test_->host, {host_address, 22}));
    EXPECT_TRUE(answers(here, {stranger_address, 51820}));
    EXPECT_FALSE(comes_in({stranger_address, 51820}, {host_address, 50002})) << "this host has not spoken there";
    EXPECT_EQ(test_->status().at("allow"),
              nlohmann::json({"tcp/22 from 198.51.100.0/24", "udp/51820 to 198.51.100.7"}));
}

TEST_F(EnforceRules, OfTheConfigFileAreRefusedByTheirLine) {
    const std::string file =
        test_->write_file("agent.toml", "[enable]\nregion = [\"ca\"]\nmode = \"enforce\"\nallow = [\n"
                                        "  \"icmp\",\n  \"tcp/99999 from any\",\n]\n");
    const Outcome refused = test_->agent({"--config", file, "enable"});
    EXPECT_EQ(refused.status, 2);
    EXPECT_NE(refused.err.find("agent.toml: line 6: \"enable.allow\": \"tcp/99999 from any\": the port \"99999\""),
              std::string::npos)
        << refused.err;
    EXPECT_TRUE(strangers_pass());
    EXPECT_EQ(test_->agent({"--config", file, "status"}).status, 3) << "another command's section";
}

// Teams' bots are known by their names only: what DNS gives for them counts where Teams was asked for.
TEST_F(EnforceRules, TeamsPortsAreOpenOnlyWithTeams) {
    const char *bot = "18.156.200.10", *other = "18.156.200.9";
    for (const char* address : {bot, other})
        test_->add_far_address(std::string(address) + "/32");
    const Endpoint asker{host_address, 41000}, resolver{stranger_address, 53};
    const Fd near = udp_socket(test_->host, asker), far = udp_socket(test_->far, resolver);
    const auto look_up = [&] {
        look_up_between(near.get(), asker, far.get(), resolver, "teams-bot.kudoway.com", {bot}, 1);
        look_up_between(near.get(), asker, far.get(), resolver, "anvil.tokbox.com", {other}, 2);
    };
    const auto opens = [&](const char* address, uint16_t port) {
        return connects(test_->host, host_address, test_->far, {address, port});
    };
    const std::vector<std::string> options = {"--no-confirm", "--allow", "udp/53 to 198.51.100.7"};
    enforce(options);
    look_up();
    EXPECT_FALSE(opens(bot, 8445)) << "nobody asked for Teams";
    EXPECT_FALSE(opens(bot, 443));
    EXPECT_TRUE(opens(other, 443));

    std::vector<std::string> with_teams = options;
    with_teams.emplace_back("--teams");
    enforce(with_teams);
    look_up(); // what no service was known for has not been learned
    for (const uint16_t port : std::initializer_list<uint16_t>{443, 8445, 9444})
        EXPECT_TRUE(opens(bot, port)) << port;
    EXPECT_FALSE(opens(bot, 3478)) << "KUDO's, but not Teams'";
    EXPECT_FALSE(opens(bot, 8446));
    EXPECT_FALSE(opens(other, 8445)) << "Teams' port elsewhere";
    EXPECT_FALSE(connects(test_->far, bot, test_->host, {host_address, 8445})) << "they open nothing here";

    enforce(options);
    EXPECT_FALSE(opens(bot, 9444)) << "no longer asked for";
    EXPECT_TRUE(opens(other, 443));
}

TEST_F(EnforceRules, LifelinesKeepTheHostReachable) {
    const std::string resolvers = test_->write_file("resolv.conf", "nameserver 198.51.100.7\n");
    ASSERT_EQ(run_program({"mount", "--bind", resolvers, "/etc/resolv.conf"}).status, 0);
    enforce({"--no-confirm", "--lifeline", "ntp=198.51.100.0/24"});
    const auto lifelines = test_->status().at("lifelines");
    EXPECT_TRUE(answers(here, {stranger_address, 53})) << "the resolver";
    EXPECT_FALSE(goes_out(here, {"10.77.0.1", 53})) << "no resolver";
    EXPECT_TRUE(answers(here, {stranger_address, 123})) << "NTP";
    EXPECT_FALSE(goes_out(here, {"10.77.0.1", 123})) << "outside of what NTP is restricted to";
    EXPECT_TRUE(connects(test_->far, stranger_address, test_->host, {host_address, 22})) << "the SSH client again";
    EXPECT_FALSE(connects(test_->far, "10.77.0.1", test_->host, {host_address, 22}));
    test_->in_host({"ip", "neigh", "flush", "dev", "eth0"});
    test_->in_host({"ping", "-c", "1", "-W", "2", "10.77.0.1"}); // the gateway, after ARP
    test_->in_host({"ping", "-c", "1", "-W", "2", "fd77::1"});   // after neighbour discovery
    run_program({"umount", "/etc/resolv.conf"});

    ASSERT_EQ(lifelines.size(), 9U);
    for (const auto& lifeline : lifelines) {
        EXPECT_EQ(lifeline.at("off"), false);
        if (lifeline.at("name") == "ntp") {
            EXPECT_EQ(lifeline.at("only"), nlohmann::json({"198.51.100.0/24"}));
            EXPECT_EQ(lifeline.at("rules"), nlohmann::json({"udp/123 to 198.51.100.0/24"}));
        }
        if (lifeline.at("name") == "ssh") EXPECT_EQ(lifeline.at("rules"), nlohmann::json({"tcp/22 from 198.51.100.7"}));
        if (lifeline.at("name") == "gateway")
            EXPECT_EQ(lifeline.at("rules"), nlohmann::json({"icmp with 10.77.0.1,fd77::1"}));
    }
}

TEST_F(EnforceRules, ALifelineThatIsOffAdmitsNothing) {
    enforce({"--no-confirm", "--lifeline", "ssh=off", "--lifeline", "ntp=off"});
    EXPECT_FALSE(connects(test_->far, stranger_address, test_->host, {host_address, 22}));
    EXPECT_FALSE(goes_out(here, {stranger_address, 123}));
    EXPECT_NE(test_->agent({"status"}).out.find("ssh: off"), std::string::npos);
}

class EnforceDeadline : public EnforceTest {};

TEST_F(EnforceDeadline, PassesWithoutAnyProcessAndTrafficIsBack) {
    const auto begun = steady_clock::now();
    const auto within = soon(4);
    const Outcome enabled = enforce({"--confirm-within", fmt::format("{}s", within.count())});
    EXPECT_NE(enabled.out.find("kudo-agent confirm"), std::string::npos) << enabled.out;
    EXPECT_FALSE(strangers_pass());
    const auto waiting = test_->status();
    EXPECT_EQ(waiting.at("healthy"), true) << waiting.dump(1);
    EXPECT_EQ(waiting.at("enforcement").at("confirmed"), false);
    EXPECT_LE(waiting.at("enforcement").at("confirm_within_seconds"), within.count());
    while (!strangers_pass())
        ASSERT_LT(steady_clock::now() - begun, within + patient(std::chrono::seconds(11))) << "locked out";
    EXPECT_GE(steady_clock::now() - begun, within);
    // enable itself takes some of it
    EXPECT_LE(steady_clock::now() - begun, within + patient(std::chrono::milliseconds(2500)));

    const Outcome told = test_->agent({"status"});
    EXPECT_EQ(told.status, 4);
    EXPECT_NE(told.out.find(fmt::format("was not confirmed within {} s", within.count())), std::string::npos)
        << told.out;
    EXPECT_EQ(test_->status().at("mode"), "prioritise");
    EXPECT_EQ(test_->status().at("enforcement").at("ended"), "unconfirmed");
    const Outcome late = confirm(other_connection);
    EXPECT_EQ(late.status, 4);
    EXPECT_NE(late.err.find("too late"), std::string::npos) << late.err;
    EXPECT_TRUE(strangers_pass());
}

TEST_F(EnforceDeadline, TheServiceSaysItAndPutsTheRestBack) {
    RunningService service(*test_, {"--reconcile-every", "2s"});
    const auto within = soon(6).count();
    enforce({"--confirm-within", fmt::format("{}s", within)});
    EXPECT_TRUE(eventually([&] { return test_->status().at("interfaces").at(0).at("ingress") == tc_hook_name(); }))
        << service.log();
    EXPECT_TRUE(strangers_pass());
    const std::string said = fmt::format("was not confirmed within {} s", within);
    EXPECT_TRUE(eventually([&] { return service.log().find(said) != std::string::npos; })) << service.log();
    EXPECT_EQ(test_->agent({"status"}).status, 4);
}

TEST_F(EnforceDeadline, IsKeptWhileTheRangeMapChanges) {
    const auto within = soon(6);
    enforce({"--confirm-within", fmt::format("{}s", within.count())});
    apply_map_with_ipv6();
    EXPECT_FALSE(strangers_pass());
    EXPECT_EQ(test_->status().at("enforcement").at("confirmed"), false);
    EXPECT_TRUE(eventually([&] { return strangers_pass(); }, within + std::chrono::seconds(4)));
}

TEST_F(EnforceDeadline, ARebootBeforeTheConfirmationEndsIt) {
    enforce({"--confirm-within", "1h"});
    auto state = nlohmann::json::parse(std::ifstream(state_file()));
    state.at("enforcement").at("boot") = "another boot";
    std::ofstream(state_file()) << state;
    const Outcome told = test_->agent({"status"});
    EXPECT_EQ(told.status, 4);
    EXPECT_NE(told.out.find("was booted before mode enforce was confirmed"), std::string::npos) << told.out;
    EXPECT_EQ(confirm(other_connection).status, 4);
    std::filesystem::remove_all(test_->instance.layout().string()); // the kernel's programs are gone as well
    RunningService service(*test_, {});                             // what comes up after a boot
    EXPECT_TRUE(eventually([&] { return test_->status().at("mode") == "prioritise"; }));
    EXPECT_TRUE(strangers_pass());
    EXPECT_EQ(test_->status().at("enforcement").at("ended"), "rebooted");
}

TEST_F(EnforceDeadline, AConfirmedOneComesBackAfterAReboot) {
    enforce({"--no-confirm"});
    std::filesystem::remove_all(test_->instance.layout().string());
    RunningService service(*test_, {});
    EXPECT_TRUE(eventually([&] { return test_->status().at("mode") == "enforce"; }));
    EXPECT_FALSE(strangers_pass());
}

// A container's: what its processes call the time since the boot is a day ahead.
TEST_F(EnforceDeadline, HoldsWhereTheCommandsClocksAreShifted) {
    std::vector<std::string> argv = {"unshare", "--time", "--boottime", "86400", "--fork"};
    if (run_program({"unshare", "--time", "--fork", "true"}).status != 0) GTEST_SKIP() << "no time namespaces";
    const auto within = soon(6);
    for (const std::string& word : test_->agent_argv(
             {"enable", "--region", "ca", "--mode", "enforce", "--confirm-within", fmt::format("{}s", within.count())}))
        argv.push_back(word);
    const Outcome enabled = inside<Outcome>(test_->host, [&] { return run_program(argv); });
    ASSERT_EQ(enabled.status, 0) << enabled.err;
    const auto begun = steady_clock::now();
    EXPECT_FALSE(strangers_pass());
    const auto left = test_->status().at("enforcement").at("confirm_within_seconds");
    EXPECT_TRUE(left.is_number() && left <= within.count()) << left;
    while (!strangers_pass())
        ASSERT_LT(steady_clock::now() - begun, within + patient(std::chrono::seconds(2))) << "locked out";
}

// What is entered as spoken has the kernel's time: an answer is one for 300 s.
TEST_F(EnforceRules, AUdpFlowOfBeforeGoesOnWhereTheCommandsClocksAreBehind) {
    std::vector<std::string> argv = {"unshare", "--time", "--monotonic", "-400", "--fork"};
    std::vector<std::string> tried = argv;
    tried.emplace_back("true");
    if (run_program(tried).status != 0) GTEST_SKIP() << "no time namespaces, or booted less than 400 s ago";
    const Endpoint near_end{host_address, 7001}, far_end{stranger_address, 7000};
    const Fd near = udp_socket(test_->host, near_end), far = udp_socket(test_->far, far_end);
    sockaddr_in to{.sin_family = AF_INET, .sin_port = htons(far_end.port), .sin_addr = {}, .sin_zero = {}};
    inet_pton(AF_INET, stranger_address, &to.sin_addr);
    ASSERT_EQ(connect(near.get(), reinterpret_cast<const sockaddr*>(&to), sizeof to), 0);
    for (const std::string& word : test_->agent_argv(
             {"enable", "--region", "ca", "--mode", "enforce", "--no-confirm", "--allow", "udp/7000 to 198.51.100.7"}))
        argv.push_back(word);
    const Outcome enabled = inside<Outcome>(test_->host, [&] { return run_program(argv); });
    ASSERT_EQ(enabled.status, 0) << enabled.err;
    send_datagrams(far.get(), near_end, near.get(), 3, 100); // the host says nothing; throws if one is lost
}

TEST_F(EnforceRules, ALiveConnectionAndAStreamGoOnAsItBegins) {
    enable();
    const Fd near = udp_socket(test_->host, here), far = udp_socket(test_->far, media);
    send_datagrams(near.get(), media, far.get(), 1, 100);
    enforce({"--no-confirm"});
    send_datagrams(far.get(), here, near.get(), 50, 100); // the host says nothing; throws if one is lost
}

TEST_F(EnforceRules, AConnectionOfBeforeGoesOnThoughOnlyTheRemoteSends) {
    const Connection connection = connect_out({stranger_address, 7000});
    enforce({"--no-confirm", "--allow", "tcp/7000 to 198.51.100.7"}, "");
    ASSERT_EQ(send(connection.far.get(), "x", 1, 0), 1);
    pollfd waiting{connection.near.get(), POLLIN, 0};
    EXPECT_EQ(poll(&waiting, 1, 3000), 1) << "the host has said nothing since";
}

} // namespace
} // namespace kudo::test
