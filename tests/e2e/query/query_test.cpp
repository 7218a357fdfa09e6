// SPDX-License-Identifier: MIT
// Users without privileges ask the service: what they are told is what root is told, and nothing can be changed.
// Invariant: the asker is another user with a group of its own, as setpriv(1) makes it; the service runs as it would on
// a host.
#include <gtest/gtest.h>

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <chrono>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <memory>
#include <regex>
#include <thread>

#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <poll.h>
#include <unistd.h>

#include "agent/query/ask.h"
#include "agent/query/socket.h"
#include "agent/system/fd.h"
#include "maps/base/text.h"
#include "tests/support/host_test.h"
#include "tests/support/process.h"
#include "tests/support/running_service.h"

namespace kudo::test {
namespace {

constexpr unsigned member_group = 64017; // of nobody else's

// Times, rates and the counters that a packet of the neighbour's may have changed between two commands.
std::string timeless(std::string text) {
    static const std::regex times(R"(\d{4}-\d\d-\d\dT[0-9:.]+Z|-?\d+ (s|min|ms)\b)");
    return std::regex_replace(text, times, "TIME");
}

class Query : public HostTest {
protected:
    void SetUp() override {
        HostTest::SetUp();
        if (!test_) return;
        program_ = test_->folder + "/kudo-agent"; // where anybody may run it
        std::filesystem::copy_file(KUDO_AGENT_PROGRAM, program_);
        std::filesystem::permissions(test_->folder, std::filesystem::perms(0711));
        folder_ = test_->folder + "/run";
        std::filesystem::create_directory(folder_);
        std::filesystem::permissions(folder_, std::filesystem::perms(0755));
        socket_ = folder_ + "/query.sock";
        test_->add_far_address("52.200.60.17/32");
    }
    [[nodiscard]] std::vector<std::string> with_socket(std::vector<std::string> arguments) const {
        arguments.insert(arguments.end(), {"--query-socket", socket_});
        return arguments;
    }
    // The service, whose own group is the members'.
    [[nodiscard]] std::unique_ptr<RunningService> start_service() const {
        return std::make_unique<RunningService>(
            *test_, with_socket({"--reconcile-every", "1s"}), std::vector<std::string>{},
            std::vector<std::string>{"setpriv", fmt::format("--regid={}", member_group), "--keep-groups"});
    }
    [[nodiscard]] Outcome run_as(const std::vector<std::string>& groups,
                                 const std::vector<std::string>& arguments) const {
        std::vector<std::string> argv = {"setpriv", "--reuid=65534", "--regid=65534", "--bounding-set=-all",
                                         "--inh-caps=-all"};
        argv.insert(argv.end(), groups.begin(), groups.end());
        auto program = test_->agent_argv(with_socket(arguments));
        program[0] = program_;
        argv.insert(argv.end(), program.begin(), program.end());
        return inside<Outcome>(test_->host, [&] { return run_program(argv); });
    }
    [[nodiscard]] Outcome as_member(const std::vector<std::string>& arguments) const {
        return run_as({fmt::format("--groups={}", member_group)}, arguments);
    }
    [[nodiscard]] Outcome as_stranger(const std::vector<std::string>& arguments) const {
        return run_as({"--clear-groups"}, arguments);
    }
    // Root with the service's capabilities: names of kernel functions, for instance, take another one.
    [[nodiscard]] Outcome as_root_with_the_services_capabilities(const std::vector<std::string>& arguments) const {
        std::vector<std::string> argv = {"setpriv", "--bounding-set=-all,+net_admin,+perfmon,+bpf"};
        const auto program = test_->agent_argv(arguments);
        argv.insert(argv.end(), program.begin(), program.end());
        return inside<Outcome>(test_->host, [&] { return run_program(argv); });
    }
    // Counters go on between two commands: so one of those before and after it must have been told the same.
    void expect_the_same(const std::vector<std::string>& arguments) const {
        const auto shown = [](const Outcome& outcome) { return timeless(outcome.out + outcome.err); };
        Outcome before, member, after;
        const auto is_the_same = [&] {
            before = as_root_with_the_services_capabilities(arguments);
            member = as_member(arguments);
            after = as_root_with_the_services_capabilities(arguments);
            return shown(member) == shown(before) || shown(member) == shown(after);
        };
        EXPECT_TRUE(eventually(is_the_same)) << testing::PrintToString(arguments) << shown(member) << shown(after);
        EXPECT_EQ(member.status, after.status) << testing::PrintToString(arguments) << member.err;
        EXPECT_NE(member.out + member.err, "") << testing::PrintToString(arguments);
        EXPECT_EQ(member.out.empty(), after.out.empty()) << testing::PrintToString(arguments);
    }
    // A connection of root's own, on which anything may be said.
    [[nodiscard]] Fd connection() const {
        const auto connected = connect_to(socket_, SOCK_SEQPACKET, std::chrono::seconds(5));
        return connected ? Fd(dup(connected->get())) : Fd();
    }
    [[nodiscard]] Result<int> answer_to(const std::string& message) const {
        auto answer = answer_now(message);
        const auto is_told = [&] {
            if (answer || answer.error().number != EAGAIN) return true;
            answer = answer_now(message);
            return false;
        };
        EXPECT_TRUE(eventually(is_told));
        return answer;
    }
    [[nodiscard]] Result<int> answer_now(const std::string& message) const {
        const Fd to = connection();
        if (!to) return fail("no connection");
        // Who is refused at once may be so before this.
        [[maybe_unused]] const auto sent = send(to.get(), message.data(), message.size(), MSG_NOSIGNAL);
        while (true) {
            const auto piece = KUDO_TRY(receive_piece(to.get()));
            const bool is_last =
                piece.kind != AnswerKind::Begun && piece.kind != AnswerKind::Output && piece.kind != AnswerKind::Log;
            if (is_last) return read_outcome(piece);
        }
    }
    [[nodiscard]] kudo::Query query(std::vector<std::string> words) const {
        const uint64_t instance = inside<uint64_t>(test_->host, [&] { return instance_id(test_->instance); });
        return {.instance = instance, .words = std::move(words)};
    }
    [[nodiscard]] std::string refusal_of(const std::string& message) const {
        const auto answer = answer_to(message);
        return answer ? "answered" : answer.error().message;
    }
    std::string program_, folder_, socket_;
};

TEST_F(Query, MembersOfTheGroupAreToldWhatRootIs) {
    ASSERT_EQ(test_->agent({"enable", "--region", "ca"}).status, 0);
    const auto service = start_service();
    test_->in_host({"ping", "-c", "3", "-i", "0.2", "52.200.60.17"});
    for (const std::vector<std::string>& arguments : {std::vector<std::string>{"status"},
                                                      {"status", "--json"},
                                                      {"stats"},
                                                      {"stats", "--flows", "--drops"},
                                                      {"stats", "--json"},
                                                      {"explain", "3.97.146.187", "tcp/443"},
                                                      {"explain", "3.97.146.187", "tcp/443", "--json"},
                                                      {"explain", "live.kudoway.ca"},
                                                      {"explain", "52.200.60.17", "--region", "us,eu", "--teams"},
                                                      {"ranges", "show"},
                                                      {"ranges", "show", "--json", "--region", "ca"},
                                                      {"ranges", "show", "--domains"},
                                                      {"ranges", "history"},
                                                      {"ranges", "history", "--json"}})
        expect_the_same(arguments);
    EXPECT_EQ(service->log().find("error"), std::string::npos) << service->log();
}

TEST_F(Query, WhatIsWrongIsSaidAsToRoot) {
    ASSERT_EQ(test_->agent({"enable", "--region", "ca"}).status, 0);
    const auto service = start_service();
    expect_the_same({"explain", "52.200.60.17", "--region", "atlantis"});
    expect_the_same({"stats", "--flow"});
    expect_the_same({"stats", "--since", "soon"});
    ASSERT_EQ(test_->agent({"disable"}).status, 0);
    expect_the_same({"status"}); // exit status 3
    expect_the_same({"stats"});
}

TEST_F(Query, AWatchGoesOnUntilItIsInterrupted) {
    ASSERT_EQ(test_->agent({"enable", "--region", "ca"}).status, 0);
    const auto service = start_service();
    auto argv = test_->agent_argv(with_socket({"stats", "--json", "--watch", "1"}));
    argv[0] = program_;
    argv.insert(argv.begin(),
                {"timeout", "--signal=INT", "--preserve-status", "3.5", "setpriv", "--reuid=65534", "--regid=65534",
                 "--bounding-set=-all", "--inh-caps=-all", fmt::format("--groups={}", member_group)});
    const Outcome watched = inside<Outcome>(test_->host, [&] { return run_program(argv); });
    EXPECT_EQ(watched.status, 0) << watched.err;
    EXPECT_GE(std::ranges::count(watched.out, '\n'), 2) << watched.out;
    EXPECT_EQ(as_member({"stats", "--watch", "0.1"}).status, 2) << "others use this host as well";
}

TEST_F(Query, NobodyElseIsAnswered) {
    ASSERT_EQ(test_->agent({"enable", "--region", "ca"}).status, 0);
    const auto service = start_service();
    const Outcome stranger = as_stranger({"status"});
    EXPECT_EQ(stranger.status, 5);
    EXPECT_EQ(stranger.out, "");
    EXPECT_NE(stranger.err.find("missing CAP_BPF, CAP_NET_ADMIN, CAP_PERFMON; run as root; or ask the service, which "
                                "answers members of its group, kudo-agent, while it runs: " +
                                socket_ + ": Permission denied"),
              std::string::npos)
        << stranger.err;
    // The mode alone does not decide.
    std::filesystem::permissions(socket_, std::filesystem::perms(0666));
    const Outcome admitted = as_stranger({"status"});
    EXPECT_EQ(admitted.status, 5);
    EXPECT_EQ(admitted.out, "");
    EXPECT_NE(admitted.err.find("user 65534 is not in the service's group"), std::string::npos) << admitted.err;
    EXPECT_EQ(as_member({"status"}).status, 0) << "the check above cannot fail";
}

TEST_F(Query, WithoutTheServiceItIsSaidWhatToDo) {
    ASSERT_EQ(test_->agent({"enable", "--region", "ca"}).status, 0);
    const Outcome without = as_member({"stats"});
    EXPECT_EQ(without.status, 5);
    EXPECT_NE(without.err.find(socket_ + ": No such file or directory"), std::string::npos) << without.err;
    EXPECT_EQ(as_member({"explain", "52.200.60.17"}).status, 0) << "needs no service";
    EXPECT_EQ(as_member({"status", "--query-socket", "none"}).status, 2) << "given twice";
}

TEST_F(Query, TheSocketIsTheServicesOwn) {
    ASSERT_EQ(test_->agent({"enable", "--region", "ca"}).status, 0);
    struct stat about {};
    {
        const auto service = start_service();
        ASSERT_EQ(lstat(socket_.c_str(), &about), 0) << service->log();
        EXPECT_EQ(about.st_mode & 07777, 0660u);
        EXPECT_EQ(about.st_gid, member_group);
        // Taken away, it is made again.
        std::filesystem::remove(socket_);
        EXPECT_TRUE(eventually([&] { return as_member({"status"}).status == 0; })) << service->log();
        service->signal(SIGKILL);
        service->wait();
    }
    EXPECT_TRUE(std::filesystem::exists(socket_)) << "left by the one that was killed";
    const auto service = start_service();
    EXPECT_EQ(as_member({"status"}).status, 0) << service->log();
    service->signal(SIGTERM);
    EXPECT_EQ(service->wait(), 0);
    EXPECT_FALSE(std::filesystem::exists(socket_));
}

TEST_F(Query, AFileInItsPlaceStaysAndIsNamed) {
    ASSERT_EQ(test_->agent({"enable", "--region", "ca"}).status, 0);
    std::ofstream(socket_) << "precious";
    const auto service = start_service();
    EXPECT_NE(service->log().find(socket_ + ": not a socket, and left as it is"), std::string::npos) << service->log();
    EXPECT_EQ(std::filesystem::file_size(socket_), 8U);
    std::filesystem::remove(socket_);
    EXPECT_TRUE(eventually([&] { return as_member({"status"}).status == 0; })) << "tried again: " << service->log();
}

TEST_F(Query, OnlyCommandsThatReadAreKnown) {
    ASSERT_EQ(test_->agent({"enable", "--region", "ca"}).status, 0);
    const auto service = start_service();
    ASSERT_TRUE(answer_to(write_query(query({"status"}))).has_value()) << "the checks below cannot fail";
    for (const std::vector<std::string>& words :
         std::vector<std::vector<std::string>>{{"disable"},
                                               {"enable", "--region", "us"},
                                               {"ranges", "apply", "/etc/passwd"},
                                               {"ranges", "check", "/etc/shadow"},
                                               {"ranges", "rollback"},
                                               {"firewall", "sync"},
                                               {"run"},
                                               {"demo"},
                                               {"status", "--state-dir", "/tmp"},
                                               {"status", "--state-dir=/tmp"},
                                               {"status", "--bpffs=/tmp"},
                                               {"status", "--config=/etc/shadow"},
                                               {"--config=/etc/shadow", "status"},
                                               {"status", "--keys=/tmp"},
                                               {"status", "--query-socket=/tmp/x"},
                                               {"status", "-v"},
                                               {"status", "---"},
                                               {"report", "--output=/tmp/x"},
                                               {"report", "-o", "/tmp/x"},
                                               {"report", "--show=/etc/shadow"},
                                               {"top", "/tmp/x"},
                                               {"stats", "--watch=0.1"},
                                               {"stats", "--watch", "0.1"},
                                               {"--help"},
                                               {"status", "--help"}}) {
        const auto answer = answer_to(write_query(query(words)));
        ASSERT_FALSE(answer.has_value()) << testing::PrintToString(words);
        EXPECT_EQ(answer.error().kind, ErrorKind::BadInput) << testing::PrintToString(words) << answer.error().message;
    }
    EXPECT_EQ(test_->agent({"status"}).status, 0);
}

TEST_F(Query, WhatIsNoQueryIsRefusedWhole) {
    ASSERT_EQ(test_->agent({"enable", "--region", "ca"}).status, 0);
    const auto service = start_service();
    EXPECT_EQ(refusal_of("{"), "the query is not a JSON object");
    EXPECT_EQ(refusal_of("[1]"), "the query is not a JSON object");
    EXPECT_EQ(refusal_of(std::string(5000, '[')), "the query is not a JSON object");
    EXPECT_EQ(refusal_of("{}"), "the query lacks a field, or one is of another type");
    EXPECT_EQ(refusal_of(std::string(max_query_bytes + 1, ' ')), "the query is larger than 8192 bytes");
    const std::string words = "words of the query: expected 1 to 32 of 1 to 256 printable characters each";
    EXPECT_EQ(refusal_of(write_query(query({}))), words);
    EXPECT_EQ(refusal_of(write_query(query(std::vector<std::string>(33, "status")))), words);
    EXPECT_EQ(refusal_of(write_query(query({std::string(257, 'a')}))), words);
    EXPECT_EQ(refusal_of(write_query(query({"explain", "a\nb"}))), words);
    auto other = query({"status"});
    other.instance++;
    EXPECT_NE(refusal_of(write_query(other)).find("another --state-dir or network namespace"), std::string::npos);
    EXPECT_EQ(as_member({"status"}).status, 0);
}

// Two that say nothing are all that one user may have; others and the service go on.
TEST_F(Query, WhoAsksNothingOrReadsNothingStopsNobodyElse) {
    ASSERT_EQ(test_->agent({"enable", "--region", "ca"}).status, 0);
    const auto service = start_service();
    {
        const Fd first = connection(), second = connection();
        const auto is_refused = [&] {
            const auto answer = answer_now("{");
            return !answer && answer.error().message == "the service is answering 2 others already; try again";
        };
        ASSERT_TRUE(eventually(is_refused));
        EXPECT_EQ(as_member({"status"}).status, 0) << "another user";
    }
    // Gone with their connections, long before their time is over.
    EXPECT_TRUE(eventually([&] { return answer_to(write_query(query({"status"}))).has_value(); }));
    const Fd silent = connection();
    const auto began = std::chrono::steady_clock::now();
    EXPECT_FALSE(receive_piece(silent.get()).has_value()) << "its time to ask is over";
    EXPECT_LT(std::chrono::steady_clock::now() - began, patient(std::chrono::seconds(20)));
    EXPECT_TRUE(service->is_running());
}

// Answers that last have places of their own.
TEST_F(Query, WatchesTakeNoPlaceOfShortQuestions) {
    ASSERT_EQ(test_->agent({"enable", "--region", "ca"}).status, 0);
    const auto service = start_service();
    std::vector<Fd> watches;
    const auto begins_at_once = [&](const std::vector<std::string>& words) -> std::string {
        watches.push_back(connection());
        const std::string message = write_query(query(words));
        // One that is refused before it was read has its answer in the socket all the same.
        send(watches.back().get(), message.data(), message.size(), MSG_NOSIGNAL);
        const auto piece = receive_piece(watches.back().get());
        if (piece && piece->kind == AnswerKind::Begun) return "begins";
        watches.pop_back();
        return piece ? piece->content.substr(1) : piece.error().message;
    };
    // The process of an answer that was refused has its short place until it has ended.
    const auto begins = [&](const std::vector<std::string>& words) {
        std::string answer;
        EXPECT_TRUE(eventually([&] { return !(answer = begins_at_once(words)).ends_with("try again"); }));
        return answer;
    };
    EXPECT_EQ(begins({"stats", "--watch=1"}), "begins");
    EXPECT_EQ(begins({"top"}), "begins");
    for (const char* words : {"stats --watch=1", "top", "report --for=10m"}) {
        std::vector<std::string> split_words;
        for (const auto word : split(words, ' '))
            split_words.emplace_back(word);
        EXPECT_NE(begins(split_words).find("the service answers 2 that last already"), std::string::npos) << words;
    }
    for (int i = 0; i < 3; ++i)
        EXPECT_TRUE(eventually([&] { return answer_to(write_query(query({"status"}))).has_value(); }))
            << "the same user";
    EXPECT_EQ(as_member({"status"}).status, 0);
    EXPECT_EQ(as_member({"report", "-o", "-", "--for", "0"}).status, 0) << "another user";
    watches.clear();
    EXPECT_TRUE(eventually([&] { return begins({"top"}) == "begins"; })) << "their places are free again";
}

// One that takes no picture is drawn none, and costs nobody anything.
TEST_F(Query, ATopThatTakesNoPictureIsSentOne) {
    ASSERT_EQ(test_->agent({"enable", "--region", "ca"}).status, 0);
    const auto service = start_service();
    const Fd to = connection();
    const std::string message = write_query(query({"top"}));
    ASSERT_GT(send(to.get(), message.data(), message.size(), MSG_NOSIGNAL), 0);
    ASSERT_EQ(receive_piece(to.get()).value().kind, AnswerKind::Begun);
    ASSERT_GT(send(to.get(), "size 80 24", 10, MSG_NOSIGNAL), 0);
    std::string picture;
    while (!picture.ends_with('\x03'))
        picture += receive_piece(to.get()).value().content;
    for (int i = 0; i < 5; ++i) // which would be another picture
        ASSERT_GT(send(to.get(), "key 63 0 0", 10, MSG_NOSIGNAL), 0);
    pollfd wait{to.get(), POLLIN, 0};
    EXPECT_EQ(poll(&wait, 1, 3000), 0) << "none before the first was taken";
    EXPECT_EQ(as_member({"status"}).status, 0);
    ASSERT_GT(send(to.get(), "drawn", 5, MSG_NOSIGNAL), 0);
    EXPECT_EQ(receive_piece(to.get()).value().kind, AnswerKind::Output);
    for (const std::string& wrong : {std::string("size 0 24"), std::string("key 7 0 0"), std::string(100, 'x')}) {
        const Fd other = connection();
        ASSERT_GT(send(other.get(), message.data(), message.size(), MSG_NOSIGNAL), 0);
        ASSERT_EQ(receive_piece(other.get()).value().kind, AnswerKind::Begun) << wrong;
        ASSERT_GT(send(other.get(), wrong.data(), wrong.size(), MSG_NOSIGNAL), 0);
        const auto piece = receive_piece(other.get());
        ASSERT_TRUE(piece.has_value() && piece->kind == AnswerKind::Failed) << wrong;
        EXPECT_EQ(read_outcome(*piece).error().kind, ErrorKind::BadInput) << wrong;
        char end = 0;
        while (recv(other.get(), &end, 1, 0) > 0) { // until its place is free
        }
    }
    EXPECT_TRUE(service->is_running());
}

TEST_F(Query, AMembersReportIsWrittenByTheMember) {
    ASSERT_EQ(test_->agent({"enable", "--region", "ca"}).status, 0);
    const auto service = start_service();
    test_->in_host({"ping", "-c", "2", "-i", "0.2", "52.200.60.17"});
    const std::string own = test_->folder + "/own", page = own + "/report.html";
    std::filesystem::create_directory(own);
    ASSERT_EQ(chown(own.c_str(), 65534, 65534), 0);
    const Outcome made = as_member({"report", "-o", page, "--for", "1s", "--json"});
    ASSERT_EQ(made.status, 0) << made.err;
    struct stat about {};
    ASSERT_EQ(lstat(page.c_str(), &about), 0);
    EXPECT_EQ(about.st_uid, 65534U);
    EXPECT_EQ(about.st_mode & 07777, 0600U);
    const auto document = nlohmann::json::parse(made.out);
    EXPECT_EQ(document.at("format"), "kudo-report/1");
    EXPECT_TRUE(document.at("doctor").is_null());
    EXPECT_GT(document.at("stats").at("totals").at("egress").at("packets").get<int>(), 0);
    EXPECT_EQ(document.at("status").at("enabled"), true);
    EXPECT_NE(document.at("not_known").dump().find("The network was not checked: doctor needs root"), std::string::npos)
        << document.at("not_known").dump(1);
    const Outcome shown = as_stranger({"report", "--show", page}); // another user of the same number: needs nobody
    EXPECT_EQ(shown.status, 0) << shown.err;
    EXPECT_NE(shown.out.find("The network was not checked: doctor needs root"), std::string::npos) << shown.out;
    const Outcome redacted = as_member({"report", "-o", "-", "--for", "0", "--redact"});
    ASSERT_EQ(redacted.status, 0) << redacted.err;
    EXPECT_EQ(redacted.out.find("10.77.0.2"), std::string::npos);
    // Where the member may not write nobody does.
    const Outcome elsewhere = as_member({"report", "-o", folder_ + "/report.html", "--for", "0"});
    EXPECT_NE(elsewhere.status, 0);
    EXPECT_FALSE(std::filesystem::exists(folder_ + "/report.html"));
    const Outcome stranger = as_stranger({"report", "-o", own + "/other.html", "--for", "0"});
    EXPECT_EQ(stranger.status, 5) << stranger.err;
    EXPECT_NE(stranger.err.find("members of its group, kudo-agent"), std::string::npos) << stranger.err;
    EXPECT_FALSE(std::filesystem::exists(own + "/other.html"));
    EXPECT_EQ(as_member({"report", "-o", page, "--region", "atlantis"}).status, 2);
}

TEST_F(Query, AFloodOfConnectionsKeepsTheServiceFromNothing) {
    ASSERT_EQ(test_->agent({"enable", "--region", "ca"}).status, 0);
    const auto service = start_service();
    std::jthread flood([&](const std::stop_token& stop) {
        while (!stop.stop_requested()) {
            const Fd to = connection();
            if (to) [[maybe_unused]]
                const auto sent = send(to.get(), "{", 1, MSG_NOSIGNAL | MSG_DONTWAIT);
        }
    });
    for (const auto& link : std::filesystem::directory_iterator(test_->instance.layout().string() + "/links"))
        std::filesystem::remove(link.path());
    EXPECT_TRUE(eventually([&] { return test_->agent({"status"}).status == 0; })) << service->log();
    flood.request_stop();
    flood.join();
    EXPECT_TRUE(eventually([&] { return as_member({"status"}).status == 0; })) << service->log();
}

} // namespace
} // namespace kudo::test
