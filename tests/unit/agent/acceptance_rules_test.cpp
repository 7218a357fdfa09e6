// SPDX-License-Identifier: MIT
// Which maps that are ignored for their serial are told of: those that were issued later than what is in effect.
// Invariant: each test names one behaviour.
#include <gtest/gtest.h>

#include "agent/acceptance/rules.h"
#include "maps/document/built_in.h"

namespace kudo {
namespace {

Time at(const char* text) {
    return parse_rfc3339(text).value();
}

class IgnoredMap : public testing::Test {
protected:
    // A map as its signer wrote it, with the ranges of the built-in one.
    static Candidate map(uint64_t serial, const char* issued, const char* effective) {
        RangeMap map = built_in_range_map();
        map.serial = serial;
        map.issued = at(issued);
        map.effective = at(effective);
        return {std::move(map), "test"};
    }
    [[nodiscard]] static AcceptedMap accepted(const Candidate& candidate) {
        return {.serial = candidate.map.serial,
                .hash = candidate.hash,
                .document = {},
                .source = candidate.source,
                .signed_by = {},
                .effective = candidate.map.effective,
                .expires = {}};
    }
    void take(const Candidate& candidate) {
        parsed_.emplace(candidate.hash, candidate.map);
        const TimePoint moment{now_, {}};
        if (candidate.map.effective > now_)
            stage(state_.ranges, accepted(candidate), moment);
        else
            activate(state_.ranges, accepted(candidate), {}, moment);
    }
    [[nodiscard]] std::string alarm_of(const Candidate& candidate) {
        const Judgement judgement = judge({}, {}, state_, candidate, {}, now_, parsed_);
        EXPECT_EQ(judgement.what, Accepted::Superseded) << judgement.text;
        return judgement.alarm;
    }

    DesiredState state_;
    ParsedMaps parsed_;
    Time now_ = at("2026-11-28T12:00:00Z");
    const Candidate honest_ = map(2026112800, "2026-11-28T10:00:00Z", "2026-11-28T10:00:00Z");
    const Candidate runaway_ = map(2106030100, "2106-03-01T00:00:00Z", "2106-03-01T00:00:00Z");
};

TEST_F(IgnoredMap, IsAnAlarmIfTheMapBeforeItIsOnlyStaged) {
    take(runaway_);
    ASSERT_EQ(state_.ranges.staged.size(), 1U);
    const std::string alarm = alarm_of(honest_);
    EXPECT_NE(alarm.find("--reset-serial"), std::string::npos) << alarm;
    EXPECT_EQ(alarm_of(map(2022020100, "2022-02-01T00:00:00Z", "2022-02-01T00:00:00Z")), "") << "an old one";
}

TEST_F(IgnoredMap, IsAnAlarmIfTheOneInEffectWasIssuedInAYearThatIsYetToCome) {
    take(map(2106030100, "2106-03-01T00:00:00Z", "2026-11-01T00:00:00Z"));
    ASSERT_EQ(state_.ranges.active.serial, 2106030100U);
    EXPECT_NE(alarm_of(honest_), "");
}

TEST_F(IgnoredMap, IsAnAlarmAlsoAfterARollbackIfItWasNeverHere) {
    const Candidate older = map(2026110100, "2026-11-01T00:00:00Z", "2026-11-01T00:00:00Z");
    const Candidate wrong = map(2026112799, "2026-11-27T00:00:00Z", "2026-11-27T00:00:00Z");
    take(older);
    take(wrong);
    take(map(2106030100, "2026-11-28T00:00:00Z", "2026-11-28T00:00:00Z"));
    roll_back(state_.ranges, accepted(older), {}, {now_, {}});
    EXPECT_NE(alarm_of(honest_), "");
    EXPECT_EQ(alarm_of(wrong), "") << "the host was rolled back from it";
}

TEST_F(IgnoredMap, IsNoneIfItWasAccepted) {
    const Candidate first = map(2026112700, "2026-11-27T10:00:00Z", "2026-12-24T00:00:00Z");
    take(first);
    take(map(2026112801, "2026-11-28T11:00:00Z", "2026-12-25T00:00:00Z"));
    EXPECT_EQ(alarm_of(first), "") << "it is staged";
}

TEST_F(IgnoredMap, IsNoneForAClockThatIsWrong) {
    take(honest_);
    now_ = at("1970-01-01T00:01:00Z");
    EXPECT_EQ(alarm_of(map(2026110100, "2026-11-01T00:00:00Z", "2026-11-01T00:00:00Z")), "");
}

} // namespace
} // namespace kudo
