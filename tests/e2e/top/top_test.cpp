// SPDX-License-Identifier: MIT
// The live view on a real terminal: what it shows, what keys do, and the terminal that it leaves behind.
// Invariant: the shell around it is one that repairs no terminal.
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <csignal>
#include <filesystem>
#include <memory>
#include <thread>
#include <vector>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "tests/e2e/link_fixture.h"
#include "tests/e2e/top/tmux.h"
#include "tests/support/running_service.h"

namespace kudo::test {
namespace {

constexpr const char* other_media_address = "3.123.12.130";
constexpr uint16_t fast_port = 40001, slow_port = 40002;

class Top : public LineTest {
protected:
    void SetUp() override {
        LineTest::SetUp();
        if (!test_) return;
        test_->add_far_address(std::string(other_media_address) + "/32");
    }
    void TearDown() override {
        ending_ = true;
        if (sender_.joinable()) sender_.join();
        terminal_.reset();
        LineTest::TearDown();
    }
    // Two flows, of which the one to the higher address is ten times as fast.
    void send() {
        fast_ = udp_socket(test_->host, {host_address, fast_port});
        slow_ = udp_socket(test_->host, {host_address, slow_port});
        for (const char* address : {media_address, other_media_address}) // so that no ICMP says that nobody is there
            receivers_.push_back(udp_socket(test_->far, {address, 3478}));
        sender_ = std::thread([this] {
            const std::vector<uint8_t> payload(200);
            for (int i = 0; !ending_; ++i) {
                send_datagram(fast_.get(), {other_media_address, 3478}, payload);
                if (i % 10 == 0) send_datagram(slow_.get(), {media_address, 3478}, payload);
                std::this_thread::sleep_for(std::chrono::milliseconds(10));
            }
        });
    }
    Tmux& open(unsigned width, unsigned height, std::vector<std::string> environment = {}) {
        terminal_ = std::make_unique<Tmux>(*test_, width, height, std::move(environment));
        return *terminal_;
    }
    // top with both flows and their rates.
    Tmux& open_top(unsigned width, unsigned height, std::vector<std::string> environment = {}) {
        enable();
        send();
        Tmux& terminal = open(width, height, std::move(environment));
        terminal.type("./top");
        EXPECT_TRUE(eventually([&] { return row_of(other_media_address) > 0 && is_moving(); })) << terminal.screen();
        return terminal;
    }
    [[nodiscard]] bool is_moving() const {
        const std::string text = terminal_->screen();
        return text.find("kbit/s") != std::string::npos && text.find("█") != std::string::npos;
    }
    // The first line that has the address at a port; -1: none.
    [[nodiscard]] int row_of(const std::string& address) const {
        const auto lines = terminal_->lines();
        const auto found = std::ranges::find_if(
            lines, [&](const std::string& line) { return line.find(address + ":3478") != std::string::npos; });
        return found == lines.end() ? -1 : static_cast<int>(found - lines.begin());
    }

    std::unique_ptr<Tmux> terminal_;

private:
    Fd fast_, slow_;
    std::vector<Fd> receivers_;
    std::thread sender_;
    std::atomic<bool> ending_ = false;
};

TEST_F(Top, ShowsVerdictAndFlowsByRateIn80Columns) {
    Tmux& terminal = open_top(80, 24);
    const std::string stats = test_->agent({"stats"}).out;
    const auto lines = terminal.lines();
    EXPECT_EQ(lines.at(0).substr(0, 14), "kudo-agent top");
    EXPECT_EQ(lines.at(1), stats.substr(0, stats.find('\n'))); // the verdict
    for (const char* title : {"REMOTE", "RATE↓", "TREND", "LOST", "HERE", "RTT", "PROCESS"})
        EXPECT_NE(lines.at(3).find(title), std::string::npos) << title;
    EXPECT_TRUE(eventually([&] { return row_of(other_media_address) == 4 && row_of(media_address) == 5; }))
        << terminal.screen();
    EXPECT_NE(lines.at(23).find("q quit ? help"), std::string::npos);
}

TEST_F(Top, ShowsMoreIn200Columns) {
    Tmux& terminal = open_top(200, 50);
    for (const char* title : {"LOCAL", "SERVICE", "CLASS", "JITTER", "INTERFACE", "SEEN"})
        EXPECT_NE(terminal.lines().at(3).find(title), std::string::npos) << title;
    EXPECT_NE(terminal.screen().find(fmt::format("{}:{}", host_address, fast_port)), std::string::npos);
    EXPECT_NE(terminal.lines().at(49).find("R reverse"), std::string::npos);
}

TEST_F(Top, DoesWhatKeysSay) {
    Tmux& terminal = open_top(80, 24);
    terminal.keys({"a"}); // by address
    EXPECT_TRUE(eventually([&] { return row_of(media_address) == 4 && row_of(other_media_address) == 5; }))
        << terminal.screen();
    terminal.keys({"R"});
    EXPECT_TRUE(eventually([&] { return row_of(other_media_address) == 4; })) << terminal.screen();
    terminal.keys({"Down", "Enter"}); // the second row
    EXPECT_TRUE(terminal.shows(fmt::format("udp {}:{} to {}:3478", host_address, slow_port, media_address)))
        << terminal.screen();
    EXPECT_TRUE(terminal.shows("kudo_e2e_tests")) << terminal.screen(); // the process that sends
    terminal.keys({"Escape"});
    EXPECT_TRUE(terminal.shows("REMOTE"));
    terminal.keys({"/"});
    EXPECT_TRUE(terminal.shows("Filter, then Enter:"));
    terminal.type("130:3478");
    EXPECT_TRUE(eventually([&] { return row_of(other_media_address) == 4 && row_of(media_address) == -1; }))
        << terminal.screen();
    terminal.keys({"Space"});
    EXPECT_TRUE(terminal.shows("Frozen"));
    const std::string frozen = terminal.screen();
    std::this_thread::sleep_for(std::chrono::seconds(3));
    EXPECT_EQ(terminal.screen(), frozen);
    terminal.keys({"Space", "?"});
    EXPECT_TRUE(terminal.shows("sort by round-trip time"));
    terminal.keys({"?", "v"});
    EXPECT_TRUE(terminal.shows("  seen     ")) << terminal.screen();
    terminal.keys({"q"});
    EXPECT_TRUE(eventually([&] { return terminal.format("#{alternate_on}") == "0"; }));
    terminal.type("echo ended $?");
    EXPECT_TRUE(terminal.shows("ended 0"));
}

TEST_F(Top, FollowsTheTerminalsSize) {
    Tmux& terminal = open_top(200, 50);
    terminal.resize(80, 24);
    EXPECT_TRUE(eventually([&] { return terminal.lines().at(23).find("Space freeze") != std::string::npos; }))
        << terminal.screen();
    EXPECT_EQ(terminal.screen().find("INTERFACE"), std::string::npos);
    terminal.resize(60, 12);
    EXPECT_TRUE(eventually([&] { return terminal.lines().at(11).find("q quit") != std::string::npos; }))
        << terminal.screen();
    terminal.resize(30, 5);
    EXPECT_TRUE(terminal.shows("too small"));
    terminal.resize(200, 50);
    EXPECT_TRUE(terminal.shows("INTERFACE"));
}

class TopEnds : public Top, public testing::WithParamInterface<int> {};

TEST_P(TopEnds, LeavesTheTerminalAsItWas) {
    enable();
    Tmux& terminal = open(80, 24);
    terminal.type("stty -a > before");
    terminal.type("./top");
    ASSERT_TRUE(terminal.shows("No flows with KUDO yet.")) << terminal.screen();
    ASSERT_EQ(terminal.format("#{alternate_on} #{cursor_flag}"), "1 0");
    ASSERT_EQ(kill(terminal.program(), GetParam()), 0);
    EXPECT_TRUE(eventually([&] { return terminal.format("#{alternate_on} #{cursor_flag}") == "0 1"; }));
    // Typed blindly if there were no echo.
    terminal.type("echo status $? > after; stty -a >> after; cmp before after; echo still $((20+22))");
    EXPECT_TRUE(terminal.shows("still 42")) << terminal.screen();
    EXPECT_TRUE(terminal.shows("echo still")) << terminal.screen();
    const bool ends_in_order = GetParam() == SIGTERM || GetParam() == SIGINT || GetParam() == SIGHUP;
    terminal.type(fmt::format("(echo status {}; cat before) | cmp - after && echo the same",
                              ends_in_order ? 0 : 128 + GetParam()));
    EXPECT_TRUE(eventually([&] {
        const auto lines = terminal.lines();
        return std::ranges::find(lines, "the same") != lines.end();
    })) << terminal.screen();
}

INSTANTIATE_TEST_SUITE_P(BySignal, TopEnds, testing::Values(SIGSEGV, SIGABRT, SIGQUIT, SIGTERM, SIGINT, SIGHUP));

TEST_F(Top, GivesTheTerminalBackWhileItIsStopped) {
    enable();
    Tmux& terminal = open(80, 24);
    terminal.type("stty -a > before");
    terminal.type("./top");
    ASSERT_TRUE(terminal.shows("No flows with KUDO yet.")) << terminal.screen();
    terminal.keys({"C-z"});
    EXPECT_TRUE(eventually([&] { return terminal.format("#{alternate_on}") == "0"; })) << terminal.screen();
    terminal.type("stty -a | cmp - before && echo 'the' same");
    EXPECT_TRUE(terminal.shows("the same")) << terminal.screen();
    terminal.type("fg");
    EXPECT_TRUE(eventually([&] { return terminal.format("#{alternate_on}") == "1"; })) << terminal.screen();
    EXPECT_TRUE(terminal.shows("No flows with KUDO yet.")) << terminal.screen();
}

TEST_F(Top, GoesOnWhileItIsEnabledAndDisabled) {
    Tmux& terminal = open(80, 24);
    terminal.type("./top");
    EXPECT_TRUE(terminal.shows("Not enabled; waiting")) << terminal.screen();
    enable();
    EXPECT_TRUE(terminal.shows("No flows with KUDO yet.")) << terminal.screen();
    send();
    EXPECT_TRUE(eventually([&] { return row_of(other_media_address) > 0 && is_moving(); })) << terminal.screen();
    apply_map_with_ipv6(); // another generation
    EXPECT_TRUE(eventually([&] { return row_of(media_address) > 0 && is_moving(); })) << terminal.screen();
    EXPECT_EQ(test_->agent({"disable"}).status, 0);
    EXPECT_TRUE(terminal.shows("Not enabled; waiting")) << terminal.screen();
    EXPECT_EQ(row_of(media_address), -1);
    enable();
    EXPECT_TRUE(eventually([&] { return row_of(other_media_address) > 0 && is_moving(); })) << terminal.screen();
}

TEST_F(Top, IsRefusedWhereItCannotDraw) {
    const Outcome piped = test_->agent({"top"});
    EXPECT_EQ(piped.status, 2);
    EXPECT_EQ(piped.out, "");
    EXPECT_NE(piped.err.find("kudo-agent stats --flows"), std::string::npos) << piped.err;
    EXPECT_EQ(test_->agent({"top", "--json"}).status, 2);
    Tmux& terminal = open(80, 24);
    for (const auto& [name, words] : {std::pair("dumb", "cannot place the cursor"),
                                      std::pair("nonesuch", "is not known here"), std::pair("", "TERM is not set")}) {
        terminal.type("clear");
        terminal.type(fmt::format("TERM={} ./top; echo status $?", name));
        EXPECT_TRUE(terminal.shows("status 2")) << terminal.screen();
        EXPECT_TRUE(terminal.shows(words)) << terminal.screen();
    }
}

TEST_F(Top, SaysWhatMayBeUsedWithoutPrivileges) {
    enable();
    std::vector<std::string> argv = {"setpriv", "--bounding-set=-all", "--inh-caps=-all"};
    const auto top = test_->agent_argv({"top"});
    argv.insert(argv.end(), top.begin(), top.end());
    const Outcome outcome = inside<Outcome>(test_->host, [&] { return run_program(argv); });
    EXPECT_EQ(outcome.status, 5) << outcome.err;
    EXPECT_NE(outcome.err.find("group kudo-agent"), std::string::npos) << outcome.err;
}

TEST_F(Top, ShowsBytesOfHostileNames) {
    const std::string bad = "\x1b[31mbad"; // a process has its file's name
    test_->in_host({"cp", "/bin/bash", test_->folder + "/" + bad});
    const std::string script = test_->write_file(
        "script",
        fmt::format("exec 3<>/dev/udp/{}/3478; for i in $(seq 600); do echo x >&3; sleep 0.1; done", media_address));
    enable();
    Tmux& terminal = open(80, 24, {"NO_COLOR=1"});
    terminal.type(fmt::format("./*bad {} & ./top; kill $!", script));
    EXPECT_TRUE(terminal.shows("\\x1b[31mb")) << terminal.screen();
    EXPECT_EQ(terminal.screen_with_colours().find("\x1b[31m"), std::string::npos);
    terminal.keys({"q"});
    EXPECT_TRUE(eventually([&] { return terminal.format("#{alternate_on}") == "0"; }));
}

TEST_F(Top, DrawsInAsciiWithoutUtf8) {
    enable();
    send();
    Tmux& terminal = open(80, 24);
    terminal.type("LC_ALL=C ./top");
    EXPECT_TRUE(eventually([&] {
        return row_of(other_media_address) > 0 && terminal.screen().find('@') != std::string::npos;
    })) << terminal.screen();
    for (const char byte : terminal.screen())
        EXPECT_LT(static_cast<unsigned char>(byte), 0x80);
}

TEST_F(Top, ColoursTheVerdictUnlessNoColorIsSet) {
    enable();
    send();
    const auto has_colour = [](const std::string& text) {
        return std::ranges::any_of(std::vector<std::string>{"\x1b[31m", "\x1b[32m", "\x1b[33m"},
                                   [&](const std::string& code) { return text.find(code) != std::string::npos; });
    };
    Tmux& terminal = open(80, 24);
    terminal.type("./top");
    EXPECT_TRUE(eventually([&] { return row_of(media_address) > 0; }));
    EXPECT_TRUE(has_colour(terminal.screen_with_colours()));
    terminal.keys({"q"});
    EXPECT_TRUE(eventually([&] { return terminal.format("#{alternate_on}") == "0"; }));
    terminal.type("NO_COLOR=1 ./top");
    EXPECT_TRUE(eventually([&] { return row_of(media_address) > 0; }));
    EXPECT_FALSE(has_colour(terminal.screen_with_colours()));
}

// As a user of the group, without any capability; the service reads for it.
class TopByService : public Top {
protected:
    static constexpr unsigned member_group = 64018;
    void SetUp() override {
        Top::SetUp();
        if (!test_) return;
        program_ = test_->folder + "/kudo-agent"; // where anybody may run it
        std::filesystem::copy_file(KUDO_AGENT_PROGRAM, program_);
        std::filesystem::permissions(test_->folder, std::filesystem::perms(0711));
        const std::string folder = test_->folder + "/run";
        std::filesystem::create_directory(folder);
        std::filesystem::permissions(folder, std::filesystem::perms(0755));
        socket_ = folder + "/query.sock";
    }
    void TearDown() override {
        Top::TearDown();
        service_.reset();
    }
    void start_service() {
        service_ = std::make_unique<RunningService>(
            *test_, std::vector<std::string>{"--reconcile-every", "1s", "--query-socket", socket_},
            std::vector<std::string>{},
            std::vector<std::string>{"setpriv", fmt::format("--regid={}", member_group), "--keep-groups"});
    }
    [[nodiscard]] std::vector<std::string> argv_of(const std::string& groups) const {
        std::vector<std::string> argv = {"setpriv",         "--reuid=65534", "--regid=65534", "--bounding-set=-all",
                                         "--inh-caps=-all", groups};
        auto top = test_->agent_argv({"top", "--query-socket", socket_});
        top[0] = program_;
        argv.insert(argv.end(), top.begin(), top.end());
        return argv;
    }
    // A terminal in which ./member is a member's top.
    Tmux& open_for_member(unsigned width, unsigned height) {
        const std::string script =
            test_->write_file("member", fmt::format("#!/bin/sh\nexec {}\n",
                                                    fmt::join(argv_of(fmt::format("--groups={}", member_group)), " ")));
        std::filesystem::permissions(script, std::filesystem::perms::owner_all);
        return open(width, height);
    }
    std::unique_ptr<RunningService> service_;
    std::string program_, socket_;
};

TEST_F(TopByService, AMemberSeesTheFlowsAndKeysDoWhatTheySay) {
    enable();
    start_service();
    send();
    Tmux& terminal = open_for_member(80, 24);
    terminal.type("./member");
    EXPECT_TRUE(eventually([&] { return row_of(other_media_address) > 0 && is_moving(); })) << terminal.screen();
    EXPECT_EQ(terminal.lines().at(0).substr(0, 14), "kudo-agent top");
    terminal.keys({"a"}); // by address
    EXPECT_TRUE(eventually([&] {
        return row_of(media_address) > 0 && row_of(other_media_address) == row_of(media_address) + 1;
    })) << terminal.screen();
    terminal.keys({"Down", "Enter"});
    EXPECT_TRUE(terminal.shows(fmt::format("udp {}:{} to {}:3478", host_address, fast_port, other_media_address)))
        << terminal.screen();
    terminal.keys({"Escape"});
    EXPECT_TRUE(terminal.shows("REMOTE"));
    terminal.keys({"/"});
    EXPECT_TRUE(terminal.shows("Filter, then Enter:"));
    terminal.type("130:3478");
    EXPECT_TRUE(eventually([&] { return row_of(other_media_address) > 0 && row_of(media_address) == -1; }))
        << terminal.screen();
    terminal.resize(200, 50);
    EXPECT_TRUE(terminal.shows("INTERFACE")) << terminal.screen();
    terminal.keys({"q"});
    EXPECT_TRUE(eventually([&] { return terminal.format("#{alternate_on}") == "0"; }));
    terminal.type("echo ended $?");
    EXPECT_TRUE(terminal.shows("ended 0"));
    EXPECT_TRUE(service_->is_running()) << service_->log();
}

TEST_F(TopByService, GoesOnAfterItWasStopped) {
    enable();
    start_service();
    Tmux& terminal = open_for_member(80, 24);
    terminal.type("./member");
    ASSERT_TRUE(terminal.shows("No flows with KUDO yet.")) << terminal.screen();
    terminal.keys({"C-z"});
    EXPECT_TRUE(eventually([&] { return terminal.format("#{alternate_on}") == "0"; })) << terminal.screen();
    send();
    std::this_thread::sleep_for(std::chrono::seconds(3));
    terminal.type("fg");
    EXPECT_TRUE(eventually([&] { return row_of(other_media_address) > 0 && is_moving(); })) << terminal.screen();
    terminal.keys({"C-c"});
    EXPECT_TRUE(eventually([&] { return terminal.format("#{alternate_on}") == "0"; }));
}

TEST_F(TopByService, SaysThatTheServiceHasEnded) {
    enable();
    start_service();
    Tmux& terminal = open_for_member(80, 24);
    terminal.type("./member");
    ASSERT_TRUE(terminal.shows("No flows with KUDO yet.")) << terminal.screen();
    service_->signal(SIGTERM);
    EXPECT_EQ(service_->wait(), 0);
    EXPECT_TRUE(terminal.shows("the answer was cut off: see the service's log")) << terminal.screen();
    terminal.type("stty -a | grep -c ' echo '; echo still $((20+22))");
    EXPECT_TRUE(terminal.shows("still 42")) << terminal.screen();
}

TEST_F(TopByService, NobodyElseIsShownAnything) {
    enable();
    start_service();
    const std::vector<std::string> argv = argv_of("--clear-groups");
    const Outcome outcome = inside<Outcome>(test_->host, [&] { return run_program(argv); });
    EXPECT_EQ(outcome.status, 5) << outcome.err;
    EXPECT_EQ(outcome.out, "");
    EXPECT_NE(outcome.err.find("members of its group, kudo-agent"), std::string::npos) << outcome.err;
}

} // namespace
} // namespace kudo::test
