// SPDX-License-Identifier: MIT
// From where `confirm` may be given: what proves that the host can be reached, and what does not.
// Invariant: connections are real ones, over the line, by a server that makes a process for each.
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>

#include <fmt/format.h>

#include "tests/e2e/enforce/enforce_fixture.h"

namespace kudo::test {
namespace {

const Endpoint here{host_address, 50001};
const Endpoint media{media_address, 3478};
const Endpoint login{host_address, 22}; // to which the lifeline ssh lets the one in who asked

class EnforceConfirmation : public EnforceTest {
protected:
    // In the host, in a session of its own, without a terminal.
    Outcome in_new_session(const std::string& script, std::vector<std::string> wrapper = {}) const {
        std::vector<std::string> argv = std::move(wrapper);
        argv.insert(argv.end(), {"setsid", "--wait", "env", "-u", "SSH_CONNECTION", "sh", "-c", script, "sh"});
        for (const std::string& word : test_->agent_argv({"confirm"}))
            argv.push_back(word);
        return inside<Outcome>(test_->host, [&] { return run_program(argv); });
    }
    void expect_refused(const Outcome& outcome, const char* why) const {
        EXPECT_EQ(outcome.status, 1) << outcome.out;
        const std::string said = outcome.out + outcome.err; // script(1) makes one of both
        EXPECT_NE(said.find(why), std::string::npos) << said;
        EXPECT_EQ(test_->status().at("enforcement").at("confirmed"), false);
    }
};

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
    const auto within = fmt::format("{}s", soon(4).count());
    enforce({"--confirm-within", within});
    const LoginServer server(test_->host, login);
    const Outcome confirmed = confirm_by(server);
    ASSERT_EQ(confirmed.status, 0) << confirmed.err;
    EXPECT_NE(confirmed.out.find("confirmed by a connection from 198.51.100.7"), std::string::npos) << confirmed.out;
    std::this_thread::sleep_for(soon(4) + std::chrono::seconds(1));
    EXPECT_FALSE(strangers_pass());
    EXPECT_TRUE(answers(here, media));
    const auto status = test_->status();
    EXPECT_EQ(status.at("enforcement").at("confirmed"), true);
    EXPECT_EQ(status.at("healthy"), true) << status.dump(1);
    const Outcome again = confirm(other_connection);
    EXPECT_EQ(again.status, 0);
    EXPECT_NE(again.out.find("already confirmed"), std::string::npos);

    EXPECT_NE(enforce({"--confirm-within", within}).out.find("nothing changed"), std::string::npos);
    EXPECT_EQ(test_->status().at("enforcement").at("confirmed"), true) << "the same rules";
    enforce({"--confirm-within", within, "--allow", "icmp"});
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
    const Outcome enabled =
        test_->agent({"enable", "--region", "ca", "--mode", "enforce", "--tc-hook", "clsact", "--confirm-within", "1h"},
                     {"SSH_CONNECTION=" + std::string(asking_connection)});
    EXPECT_EQ(enabled.status, 4) << enabled.err << enabled.out;
    EXPECT_NE((enabled.out + enabled.err).find("drops nothing here"), std::string::npos) << enabled.out << enabled.err;
    EXPECT_TRUE(strangers_pass()) << "the answers to what this host asks would be dropped";
    const Outcome refused = confirm(other_connection);
    EXPECT_EQ(refused.status, 4);
    EXPECT_NE(refused.err.find("are not judged"), std::string::npos) << refused.err;
    test_->in_host({"tc", "qdisc", "del", "dev", "eth0", "ingress"});
}

TEST_F(EnforceConfirmation, FromAConnectionOfBeforeIsRefused) {
    const LoginServer server(test_->host, login);
    const Fd before = server.connect(test_->far, stranger_address), other = server.connect(test_->far, media_address);
    enforce({"--allow", "tcp/22 from any"});
    expect_refused(confirm_over(before), "older than what it is to confirm");
    expect_refused(confirm_over(other), "older than what it is to confirm");
    EXPECT_EQ(confirm_by(server, media_address).status, 0);
}

TEST_F(EnforceConfirmation, FromTheHostItselfIsRefused) {
    enforce();
    const LoginServer server(test_->host, login);
    expect_refused(confirm_over(server.connect(test_->host, host_address)), "from this host itself");
}

TEST_F(EnforceConfirmation, AVariableAloneShowsNothing) {
    enforce();
    expect_refused(confirm(other_connection), "on no connection from elsewhere");
}

TEST_F(EnforceConfirmation, WhatHasOutlivedItsSessionIsRefused) {
    const LoginServer server(test_->host, login);
    const Fd before = server.connect(test_->far, stranger_address);
    enforce();
    // setsid(1) without --wait, the environment empty: only that no connection is above it tells.
    const std::string file = test_->folder + "/outlived";
    std::vector<std::string> argv = {
        "sh", "-c", "f=$1; shift; env -i setsid sh -c 'sleep 1; \"$@\" 2>$0.err; echo $? >$0' $f \"$@\" &", "sh", file};
    for (const std::string& word : test_->agent_argv({"confirm"}))
        argv.push_back(word);
    EXPECT_EQ(LoginServer::run(before, argv, test_->folder).status, 0);
    const auto text = [](const std::string& path) {
        std::ifstream opened(path);
        return std::string(std::istreambuf_iterator<char>(opened), {});
    };
    ASSERT_TRUE(eventually([&] { return !text(file).empty(); }));
    expect_refused({.status = std::stoi(text(file)), .out = {}, .err = text(file + ".err")}, "on no connection from");
}

TEST_F(EnforceConfirmation, FromALoginThatTheKernelCountsKeepsItIfThereIsATerminal) {
    if (access("/proc/self/loginuid", W_OK) != 0) GTEST_SKIP() << "this kernel counts no logins";
    enforce();
    // As pam_loginuid(8) does it, for cron too.
    expect_refused(in_new_session("echo 0 >/proc/self/loginuid && exec \"$@\""), "no terminal");
    expect_refused(in_new_session("exec script -qec \"$*\" /dev/null"), "on no connection from elsewhere");
    const Outcome confirmed = in_new_session("echo 0 >/proc/self/loginuid && exec script -qec \"$*\" /dev/null");
    EXPECT_EQ(confirmed.status, 0) << confirmed.out << confirmed.err;
    EXPECT_NE(confirmed.out.find("confirmed by login "), std::string::npos) << confirmed.out;
}

TEST_F(EnforceConfirmation, IsRefusedFromOutsideOfAContainer) {
    enforce();
    const int first = inside<int>(test_->host, [] {
        return start_program({"unshare", "--pid", "--fork", "--kill-child", "--mount-proc", "sleep", "600"});
    });
    const std::string children = "/proc/" + std::to_string(first) + "/task/" + std::to_string(first) + "/children";
    std::string inner;
    EXPECT_TRUE(eventually([&] {
        std::ifstream(children) >> inner;
        return !inner.empty();
    }));
    const Outcome outcome = in_new_session("exec \"$@\"", {"nsenter", "-t", inner, "--pid", "--mount", "--"});
    kill(first, SIGKILL);
    waitpid(first, nullptr, 0);
    EXPECT_EQ(outcome.status, 1) << outcome.out;
    EXPECT_NE(outcome.err.find("in a container from outside"), std::string::npos) << outcome.err;
}

} // namespace
} // namespace kudo::test
