// SPDX-License-Identifier: MIT
// Mode enforce as its administrator meets it: what passes, the way back by itself, the confirmation.
// Invariant: what passes is told by real traffic, whatever the commands say.
#include <poll.h>
#include <sys/socket.h>

#include <fstream>

#include "tests/e2e/enforce/enforce_fixture.h"

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
    const Outcome enabled = enforce({"--confirm-within", "4s"});
    EXPECT_NE(enabled.out.find("kudo-agent confirm"), std::string::npos) << enabled.out;
    EXPECT_FALSE(strangers_pass());
    const auto waiting = test_->status();
    EXPECT_EQ(waiting.at("healthy"), true) << waiting.dump(1);
    EXPECT_EQ(waiting.at("enforcement").at("confirmed"), false);
    EXPECT_LE(waiting.at("enforcement").at("confirm_within_seconds"), 4);
    while (!strangers_pass())
        ASSERT_LT(steady_clock::now() - begun, std::chrono::seconds(15)) << "locked out";
    EXPECT_GE(steady_clock::now() - begun, std::chrono::seconds(4));
    EXPECT_LE(steady_clock::now() - begun, std::chrono::milliseconds(6500)); // enable itself takes some of it

    const Outcome told = test_->agent({"status"});
    EXPECT_EQ(told.status, 4);
    EXPECT_NE(told.out.find("was not confirmed within 4 s"), std::string::npos) << told.out;
    EXPECT_EQ(test_->status().at("mode"), "prioritise");
    EXPECT_EQ(test_->status().at("enforcement").at("ended"), "unconfirmed");
    const Outcome late = confirm(other_connection);
    EXPECT_EQ(late.status, 4);
    EXPECT_NE(late.err.find("too late"), std::string::npos) << late.err;
    EXPECT_TRUE(strangers_pass());
}

TEST_F(EnforceDeadline, TheServiceSaysItAndPutsTheRestBack) {
    RunningService service(*test_, {"--reconcile-every", "2s"});
    enforce({"--confirm-within", "3s"});
    EXPECT_TRUE(eventually([&] { return test_->status().at("interfaces").at(0).at("ingress") == tc_hook_name(); }))
        << service.log();
    EXPECT_TRUE(strangers_pass());
    EXPECT_TRUE(eventually([&] { return service.log().find("was not confirmed within 3 s") != std::string::npos; }))
        << service.log();
    EXPECT_EQ(test_->agent({"status"}).status, 4);
}

TEST_F(EnforceDeadline, IsKeptWhileTheRangeMapChanges) {
    enforce({"--confirm-within", "6s"});
    apply_map_with_ipv6();
    EXPECT_FALSE(strangers_pass());
    EXPECT_EQ(test_->status().at("enforcement").at("confirmed"), false);
    EXPECT_TRUE(eventually([&] { return strangers_pass(); }, std::chrono::seconds(10)));
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
    RunningService service(*test_, {}); // what comes up after a boot
    EXPECT_TRUE(eventually([&] { return strangers_pass(); }));
    EXPECT_EQ(test_->status().at("mode"), "prioritise");
}

class EnforceConfirmation : public EnforceTest {};

TEST_F(EnforceConfirmation, IsRefusedFromTheSessionThatAsked) {
    enforce();
    const Outcome same_connection = confirm(asking_connection);
    EXPECT_EQ(same_connection.status, 1);
    EXPECT_NE(same_connection.err.find("the SSH connection by which"), std::string::npos) << same_connection.err;
    const Outcome same_terminal = enforce_and_confirm_in_one_session();
    EXPECT_EQ(same_terminal.status, 1);
    EXPECT_NE(same_terminal.err.find("the terminal session by which"), std::string::npos) << same_terminal.err;
    const Outcome to_itself = confirm("10.77.0.2 50023 10.77.0.2 22");
    EXPECT_EQ(to_itself.status, 1);
    EXPECT_NE(to_itself.err.find("from this host itself"), std::string::npos) << to_itself.err;
    EXPECT_EQ(test_->status().at("enforcement").at("confirmed"), false);
}

TEST_F(EnforceConfirmation, FromANewConnectionKeepsIt) {
    enforce({"--confirm-within", "4s"});
    const Outcome confirmed = confirm(other_connection);
    ASSERT_EQ(confirmed.status, 0) << confirmed.err;
    std::this_thread::sleep_for(std::chrono::seconds(5));
    EXPECT_FALSE(strangers_pass());
    EXPECT_TRUE(answers(here, media));
    const auto status = test_->status();
    EXPECT_EQ(status.at("enforcement").at("confirmed"), true);
    EXPECT_EQ(status.at("healthy"), true) << status.dump(1);
    const Outcome again = confirm(other_connection);
    EXPECT_EQ(again.status, 0);
    EXPECT_NE(again.out.find("already confirmed"), std::string::npos);

    EXPECT_NE(enforce({"--confirm-within", "4s"}).out.find("nothing changed"), std::string::npos);
    EXPECT_EQ(test_->status().at("enforcement").at("confirmed"), true) << "the same rules";
    enforce({"--confirm-within", "4s", "--allow", "icmp"});
    EXPECT_EQ(test_->status().at("enforcement").at("confirmed"), false) << "other rules";
}

TEST_F(EnforceConfirmation, OfNothingIsSaid) {
    EXPECT_EQ(confirm(other_connection).status, 3);
    enable();
    const Outcome nothing = confirm(other_connection);
    EXPECT_EQ(nothing.status, 1);
    EXPECT_NE(nothing.err.find("nothing to confirm: mode prioritise"), std::string::npos) << nothing.err;
}

TEST_F(EnforceConfirmation, IsRefusedWhereHalfOfTheHostIsNotJudged) {
    // Somebody's ingress qdisc, beside which there is no egress filter.
    test_->in_host({"tc", "qdisc", "add", "dev", "eth0", "handle", "ffff:", "ingress"});
    const Outcome enabled = test_->agent({"enable", "--region", "ca", "--mode", "enforce", "--tc-hook", "clsact"},
                                         {"SSH_CONNECTION=" + std::string(asking_connection)});
    EXPECT_EQ(enabled.status, 4) << enabled.err << enabled.out;
    EXPECT_NE((enabled.out + enabled.err).find("drops nothing here"), std::string::npos) << enabled.out << enabled.err;
    EXPECT_TRUE(strangers_pass()) << "the answers to what this host asks would be dropped";
    const Outcome refused = confirm(other_connection);
    EXPECT_EQ(refused.status, 4);
    EXPECT_NE(refused.err.find("are not judged"), std::string::npos) << refused.err;
    test_->in_host({"tc", "qdisc", "del", "dev", "eth0", "ingress"});
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
