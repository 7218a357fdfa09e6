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

StunServer server(const char* address = "3.123.12.129") {
    return {*Address::parse(address), 3478};
}
std::vector<ServerInUse> in_use(bool silent = false, const char* address = "3.123.12.129") {
    return {{server(address), silent}};
}
// Of six requests with each mark.
std::vector<MarkOutcome> answered(unsigned unmarked, unsigned with_ef, unsigned with_af41) {
    return {{.dscp = 0, .sent = 6, .answered = unmarked},
            {.dscp = ef, .sent = 6, .answered = with_ef},
            {.dscp = af41, .sent = 6, .answered = with_af41}};
}

class MarkFinderTest : public testing::Test {
protected:
    void SetUp() override { finder_.set_marks({ef, af41}); }
    bool note(const std::vector<MarkOutcome>& outcomes) { return finder_.note(server(), outcomes, now_, wall); }

    MarkFinder finder_;
    Clock::time_point now_ = Clock::time_point(seconds(1000));
};

TEST_F(MarkFinderTest, AMarkIsLostWhenTwoExchangesSaySo) {
    EXPECT_FALSE(note(answered(6, 0, 6)));
    EXPECT_TRUE(finder_.lost().empty());
    EXPECT_EQ(finder_.due(in_use(), now_), std::nullopt);
    EXPECT_EQ(finder_.due(in_use(), now_ + MarkFinder::sure), server()) << "the second one soon";
    EXPECT_TRUE(note(answered(6, 0, 6)));
    EXPECT_EQ(finder_.lost(), (std::vector<LostMark>{{ef, wall}}));
    EXPECT_FALSE(note(answered(6, 0, 6))) << "no news";
}

TEST_F(MarkFinderTest, OneOfTwoIsChance) {
    EXPECT_FALSE(note(answered(6, 0, 6)));
    EXPECT_FALSE(note(answered(6, 6, 6)));
    EXPECT_FALSE(note(answered(6, 0, 6)));
    EXPECT_TRUE(finder_.lost().empty());
}

TEST_F(MarkFinderTest, NothingIsSaidWhereUnmarkedRequestsAreLostToo) {
    for (int i = 0; i < 4; i++)
        EXPECT_FALSE(note(answered(3, 0, 0)));
    EXPECT_FALSE(note({}));
    EXPECT_TRUE(finder_.lost().empty());
    // And nothing of a mark of which some arrive.
    for (int i = 0; i < 4; i++)
        EXPECT_FALSE(note(answered(6, 2, 6)));
    EXPECT_TRUE(finder_.lost().empty());
}

TEST_F(MarkFinderTest, AMarkPassesAgainWhenTwoExchangesSaySo) {
    finder_.set_lost({{ef, wall}, {af41, wall}});
    EXPECT_FALSE(note(answered(6, 6, 0)));
    EXPECT_TRUE(note(answered(5, 5, 0)));
    EXPECT_EQ(finder_.lost(), (std::vector<LostMark>{{af41, wall}}));
}

TEST_F(MarkFinderTest, AMarkThatIsNotInUseAnyMoreIsNotLost) {
    finder_.set_lost({{ef, wall}, {af41, wall}});
    finder_.set_marks({af41});
    EXPECT_EQ(finder_.lost(), (std::vector<LostMark>{{af41, wall}}));
    finder_.set_marks({});
    EXPECT_TRUE(finder_.lost().empty());
    EXPECT_EQ(finder_.due(in_use(), now_), std::nullopt) << "nothing is to be compared";
}

TEST_F(MarkFinderTest, EachServerIsAskedOnceThenAnyOnceAMinute) {
    EXPECT_EQ(finder_.due({}, now_), std::nullopt);
    EXPECT_EQ(finder_.due(in_use(), now_), server());
    note(answered(6, 6, 6));
    EXPECT_EQ(finder_.due(in_use(), now_ + seconds(30)), std::nullopt);
    EXPECT_EQ(finder_.due(in_use(), now_ + MarkFinder::most), server());
    auto two = in_use();
    two.push_back({server("3.123.12.130"), false});
    EXPECT_EQ(finder_.due(two, now_ + seconds(30)), server("3.123.12.130"));
    finder_.network_changed();
    EXPECT_EQ(finder_.due(in_use(), now_), server());
}

TEST_F(MarkFinderTest, ASilentServerIsAskedLessAndLessOften) {
    seconds longest{};
    for (int i = 0; i < 10; i++) {
        seconds waited{};
        while (!finder_.due(in_use(true), now_)) {
            now_ += seconds(1);
            waited += seconds(1);
        }
        EXPECT_GE(waited, longest);
        EXPECT_LE(waited, MarkFinder::most);
        longest = waited;
        note(answered(0, 0, 0));
    }
    EXPECT_EQ(longest, MarkFinder::most);
    // It has answered: the next silence is another one.
    EXPECT_EQ(finder_.due(in_use(false), now_ + seconds(3)), std::nullopt);
    EXPECT_EQ(finder_.due(in_use(true), now_ + MarkFinder::most), server());
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
    const auto in_use = marks_in_use(default_marks());
    ASSERT_EQ(in_use.size(), 3u);
    EXPECT_EQ(in_use[1].treatments, (std::vector<std::string>{"video", "fallback"}));
}

} // namespace
} // namespace kudo
