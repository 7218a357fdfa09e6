// SPDX-License-Identifier: MIT
// Which marks are lost, whom to ask and when: by given outcomes and times.
#include <gtest/gtest.h>

#include <cstring>

#include "agent/marks/mark_watch.h"
#include "maps/compile/compile.h"

namespace kudo {
namespace {

using std::chrono::seconds;
using Clock = MarkFinder::Clock;

constexpr uint8_t ef = 46, af41 = 34;
const Time wall{seconds(1'700'000'000)};

ServerInUse server(bool silent = false, const char* address = "3.123.12.129") {
    return {.server = {*Address::parse(address), 3478}, .silent = silent};
}
const ServerInUse other = server(false, "3.123.12.120"); // before it, by its address
// Of six requests with each mark.
std::vector<MarkOutcome> answered(unsigned unmarked, unsigned with_ef, unsigned with_af41) {
    return {{.dscp = 0, .sent = 6, .answered = unmarked},
            {.dscp = ef, .sent = 6, .answered = with_ef},
            {.dscp = af41, .sent = 6, .answered = with_af41}};
}
const auto all_pass = answered(6, 6, 6), ef_is_lost = answered(6, 0, 6), none_answers = answered(0, 0, 0);

class MarkFinderTest : public testing::Test {
protected:
    void SetUp() override { finder_.set_marks({ef, af41}); }
    bool note(const std::vector<MarkOutcome>& outcomes, const ServerInUse& asked = server()) {
        return finder_.note(asked, outcomes, now_, wall);
    }
    // "3.123.12.129"; empty: nobody.
    std::string due(const std::vector<ServerInUse>& in_use = {server()}, Clock::duration later = {}) {
        const auto one = finder_.due(in_use, now_ + later);
        return one ? one->server.address.text() : "";
    }
    // "EF AF41"
    [[nodiscard]] std::string lost() const {
        std::string text;
        for (const LostMark& mark : finder_.lost())
            text += mark.dscp == ef ? "EF " : "AF41 ";
        return text;
    }
    void find_ef_lost() {
        note(ef_is_lost);
        EXPECT_TRUE(note(ef_is_lost));
    }

    MarkFinder finder_;
    Clock::time_point now_ = Clock::time_point(seconds(1000));
};

TEST_F(MarkFinderTest, AMarkIsLostWhenTwoExchangesSaySo) {
    EXPECT_FALSE(note(ef_is_lost));
    EXPECT_EQ(lost(), "");
    EXPECT_EQ(due(), "");
    EXPECT_EQ(due({other, server()}, MarkFinder::sure), server().server.address.text()) << "the same one, soon";
    EXPECT_TRUE(note(ef_is_lost));
    ASSERT_EQ(lost(), "EF ");
    EXPECT_EQ(finder_.lost().front().server, server().server.address);
    EXPECT_EQ(finder_.lost().front().since, wall);
    EXPECT_FALSE(note(ef_is_lost)) << "no news";
}

TEST_F(MarkFinderTest, OneOfTwoIsChance) {
    EXPECT_FALSE(note(ef_is_lost));
    EXPECT_FALSE(note(all_pass));
    EXPECT_FALSE(note(ef_is_lost));
    EXPECT_FALSE(note(answered(3, 0, 0))) << "which tells nothing";
    EXPECT_FALSE(note(ef_is_lost));
    now_ += seconds(60);
    EXPECT_FALSE(note(ef_is_lost)) << "long after the one before";
    finder_.network_changed();
    EXPECT_FALSE(note(ef_is_lost)) << "on another network";
    EXPECT_FALSE(note(ef_is_lost, other)) << "by another server";
    EXPECT_EQ(lost(), "");
}

TEST_F(MarkFinderTest, NothingIsSaidWhereUnmarkedRequestsAreLostToo) {
    for (int i = 0; i < 4; i++)
        EXPECT_FALSE(note(answered(3, 0, 0)));
    EXPECT_FALSE(note({}));
    EXPECT_EQ(lost(), "");
    // And nothing of a mark of which some arrive.
    for (int i = 0; i < 4; i++)
        EXPECT_FALSE(note(answered(6, 2, 6)));
    EXPECT_EQ(lost(), "");
}

TEST_F(MarkFinderTest, AMarkPassesAgainWhenTwoExchangesSaySo) {
    finder_.set_lost({{ef, wall}, {af41, wall}});
    EXPECT_FALSE(note(answered(6, 6, 0)));
    EXPECT_TRUE(note(answered(5, 5, 0)));
    EXPECT_EQ(lost(), "AF41 ");
}

TEST_F(MarkFinderTest, AnotherWayOnWhichItPassesDoesNotSetItAgain) {
    find_ef_lost();
    const std::vector<ServerInUse> both = {other, server()};
    EXPECT_EQ(due(both, seconds(1)), other.server.address.text()) << "it was not asked yet";
    for (int i = 0; i < 4; i++)
        EXPECT_FALSE(note(all_pass, other));
    EXPECT_EQ(lost(), "EF ");
    // Until nobody goes that way any more.
    EXPECT_EQ(due({other}), "");
    EXPECT_TRUE(note(all_pass, other));
    EXPECT_EQ(lost(), "");
}

TEST_F(MarkFinderTest, NothingIsComparedWithoutMarks) {
    finder_.set_marks({});
    EXPECT_EQ(due(), "");
}

TEST_F(MarkFinderTest, EachServerIsAskedOnceThenOnceAMinute) {
    EXPECT_EQ(due({}), "");
    EXPECT_NE(due(), "");
    note(all_pass);
    EXPECT_EQ(due({server()}, seconds(30)), "");
    EXPECT_NE(due({server()}, MarkFinder::most), "");
    EXPECT_EQ(due({server(), other}, seconds(30)), other.server.address.text());
}

TEST_F(MarkFinderTest, AChangeOfTheNetworkAsksAgainButNotAllTheTime) {
    note(all_pass);
    finder_.network_changed();
    EXPECT_EQ(due(), "");
    EXPECT_NE(due({server()}, MarkFinder::after_change), "");
}

TEST_F(MarkFinderTest, ASilentServerIsAskedLessAndLessOften) {
    seconds longest{};
    for (int i = 0; i < 10; i++) {
        seconds waited{};
        while (due({server(true)}).empty()) {
            now_ += seconds(1);
            waited += seconds(1);
        }
        EXPECT_GE(waited, longest);
        EXPECT_LE(waited, MarkFinder::most);
        longest = waited;
        note(none_answers, server(true));
    }
    EXPECT_EQ(longest, MarkFinder::most);
}

TEST_F(MarkFinderTest, AServerThatNeverAnswersDelaysNoOther) {
    const ServerInUse dead = server(true, "3.123.12.100"), call = server(true);
    for (int i = 0; i < 10; i++) {
        note(none_answers, dead);
        now_ += seconds(2);
    }
    EXPECT_EQ(due({dead, call}), call.server.address.text());
    EXPECT_FALSE(note(ef_is_lost, call));
    EXPECT_EQ(due({dead, call}, MarkFinder::sure), call.server.address.text());
    EXPECT_TRUE(note(ef_is_lost, call));
}

TEST(ServersInUse, AreThoseThatWereAskedLatelyAndSilentOnesHaveNotAnswered) {
    const auto now = std::chrono::system_clock::now();
    const auto key = [](uint8_t last, uint16_t local_port = 40000) {
        kudo_flow4_key flow{};
        const uint8_t remote[] = {3, 123, 12, last};
        std::memcpy(&flow.remote, remote, sizeof remote);
        flow.remote_port = 3478;
        flow.local_port = local_port;
        return std::string(reinterpret_cast<const char*>(&flow), sizeof flow);
    };
    const auto probe = [&](int requests, int asked_ms_ago, int answered_ms_ago) {
        FlowProbe one{.requests = static_cast<uint64_t>(requests)};
        one.last_request = now - std::chrono::milliseconds(asked_ms_ago);
        if (answered_ms_ago >= 0) one.last_response = now - std::chrono::milliseconds(answered_ms_ago);
        return one;
    };
    FlowProbes probes;
    probes[key(129)] = probe(9, 100, 50);    // answers
    probes[key(130)] = probe(9, 100, 5000);  // has stopped
    probes[key(131)] = probe(1, 100, -1);    // was asked just now
    probes[key(132)] = probe(1, 2000, -1);   // never answered
    probes[key(133)] = probe(9, 60000, -1);  // was asked long ago
    probes[key(134, 1)] = probe(9, 100, -1); // one of two flows
    probes[key(134, 2)] = probe(9, 100, 50);
    probes[key(135)] = probe(9, 100, 400); // a response is under way
    std::string text;
    for (const ServerInUse& one : servers_in_use(probes, now))
        text += one.server.address.text() + (one.silent ? " silent " : " ");
    EXPECT_EQ(text, "3.123.12.129 3.123.12.130 silent 3.123.12.131 3.123.12.132 silent 3.123.12.134 3.123.12.135 ");
}

TEST(LostMarks, KeepTheirPriority) {
    const Marks marks = without_lost(default_marks(), {{af41, wall}});
    for (const kudo_treatment treatment : {KUDO_TREATMENT_VIDEO, KUDO_TREATMENT_FALLBACK}) {
        EXPECT_EQ(marks[treatment].flags, KUDO_MARK_PRIORITY);
        EXPECT_EQ(marks[treatment].priority, default_marks()[treatment].priority);
    }
    EXPECT_EQ(marks[KUDO_TREATMENT_AUDIO].dscp, ef);
    EXPECT_TRUE(still_in_use({{8, wall}}, default_marks()).empty());
    EXPECT_EQ(still_in_use({{8, wall}, {ef, wall}}, default_marks()).size(), 1u);
    const auto in_use = marks_in_use(default_marks());
    ASSERT_EQ(in_use.size(), 3u);
    EXPECT_EQ(in_use[1].treatments, (std::vector<std::string>{"video", "fallback"}));
}

} // namespace
} // namespace kudo
