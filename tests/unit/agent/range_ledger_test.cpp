// SPDX-License-Identifier: MIT
// The life of range maps as pure functions on the ledger.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "agent/state/range_ledger.h"
#include "agent/state/range_ledger_json.h"

namespace kudo {
namespace {

using std::chrono::days;
using std::chrono::hours;
using std::chrono::seconds;

const Time noon = parse_rfc3339("2026-01-01T12:00:00Z").value();
constexpr seconds week = days(7);

AcceptedMap map_of(uint64_t serial, Time effective = noon) {
    AcceptedMap map;
    map.serial = serial;
    map.hash = "hash-" + std::to_string(serial);
    map.source = "test";
    map.effective = effective;
    return map;
}

TimePoint at(Time now, seconds running, std::string boot = "one") {
    return {now, {std::move(boot), running}};
}

std::vector<std::string> events(const RangeLedger& ledger) {
    std::vector<std::string> result;
    for (const HistoryEntry& entry : ledger.history)
        result.push_back(std::string(event_name(entry.event)) + " " + std::to_string(entry.map.serial));
    return result;
}

TEST(RangeLedger, WhatAMapReplacesRetiresForItsGraceOfRunningTime) {
    RangeLedger ledger;
    activate(ledger, map_of(5), week, at(noon, seconds(100)));
    ASSERT_EQ(ledger.retiring.size(), 1U);
    EXPECT_EQ(ledger.retiring[0].hash, "") << "the built-in map";
    EXPECT_EQ(ledger.retiring[0].remaining, week);
    EXPECT_FALSE(advance(ledger, week, at(noon, seconds(200))));
    EXPECT_FALSE(advance(ledger, week, at(noon + days(3650), seconds(300)))) << "the clock was set ten years ahead";
    EXPECT_TRUE(advance(ledger, week, at(noon - days(3650), seconds(100) + week - seconds(1)))) << "only written down";
    ASSERT_EQ(ledger.retiring.size(), 1U);
    EXPECT_EQ(ledger.retiring[0].remaining, seconds(1));
    EXPECT_TRUE(advance(ledger, week, at(noon, seconds(100) + week)));
    EXPECT_TRUE(ledger.retiring.empty());
    EXPECT_EQ(events(ledger), (std::vector<std::string>{"activated 5", "retired 0"}));
}

TEST(RangeLedger, AHighestSerialGoesDownByDecisionOnlyAndTakesStagedMapsAboveItAlong) {
    RangeLedger ledger;
    activate(ledger, map_of(5), week, at(noon, seconds(100)));
    stage(ledger, map_of(50, noon + days(1)), at(noon, seconds(100)));
    activate(ledger, map_of(500), week, at(noon, seconds(100)));
    stage(ledger, map_of(900, noon + days(1)), at(noon, seconds(100)));
    lower_highest(ledger, 1000, "hash", noon);
    EXPECT_EQ(ledger.highest_serial, 900U) << "it never goes up by this";
    lower_highest(ledger, 6, "hash-6", noon);
    EXPECT_EQ(ledger.highest_serial, 6U);
    EXPECT_EQ(ledger.highest_hash, "hash-6");
    EXPECT_TRUE(ledger.staged.empty());
    EXPECT_EQ(ledger.active.serial, 500U) << "it judges on until the next map";
}

TEST(RangeLedger, AKeySetWithAFloorTakesTheHighestSerialDownToIt) {
    RangeLedger ledger;
    activate(ledger, map_of(5), week, at(noon, seconds(100)));
    activate(ledger, map_of(500), week, at(noon, seconds(100)));
    roll_back(ledger, map_of(5), week, at(noon, seconds(100)));
    KeySet keys;
    keys.serial = 1;
    follow_keys(ledger, keys, "test", at(noon, seconds(100)));
    EXPECT_EQ(ledger.highest_serial, 500U) << "it has no floor";
    keys.serial = 2;
    keys.serial_floor = 5;
    follow_keys(ledger, keys, "test", at(noon, seconds(100)));
    EXPECT_EQ(ledger.highest_serial, 5U);
    EXPECT_EQ(ledger.highest_hash, "hash-5") << "which the history knows";
    EXPECT_EQ(ledger.rolled_back_from, 5U) << "a map can supersede it again";
    keys.serial_floor = 700;
    follow_keys(ledger, keys, "test", at(noon, seconds(100)));
    EXPECT_EQ(ledger.highest_serial, 5U);
}

TEST(RangeLedger, TheFirstContentUnderAFloorThatTheHistoryDoesNotKnowIsTheOnlyOne) {
    RangeLedger ledger;
    activate(ledger, map_of(500), week, at(noon, seconds(100)));
    KeySet keys;
    keys.serial = 1;
    keys.serial_floor = 7;
    follow_keys(ledger, keys, "test", at(noon, seconds(100)));
    EXPECT_EQ(ledger.highest_serial, 7U);
    EXPECT_EQ(ledger.highest_hash, "");
    activate(ledger, map_of(7), week, at(noon, seconds(100)));
    EXPECT_EQ(ledger.highest_hash, "hash-7");
}

TEST(RangeLedger, ADecisionForOtherContentUnderTheHighestSerialIsRemembered) {
    RangeLedger ledger;
    activate(ledger, map_of(5), week, at(noon, seconds(100)));
    lower_highest(ledger, 5, "other", noon);
    EXPECT_EQ(ledger.highest_hash, "other");
}

TEST(RangeLedger, ARebootNeverShortensTheGrace) {
    RangeLedger ledger;
    activate(ledger, map_of(5), week, at(noon, seconds(100)));
    EXPECT_TRUE(advance(ledger, week, at(noon, days(6), "two")));
    EXPECT_EQ(ledger.retiring.at(0).remaining, days(1)) << "what the new boot has run";
    EXPECT_TRUE(advance(ledger, week, at(noon, seconds(10), "three")));
    EXPECT_EQ(ledger.retiring.at(0).remaining, days(1) - seconds(10));
}

TEST(RangeLedger, AMapThatBeginsToRetireLaterHasItsWholeGrace) {
    RangeLedger ledger;
    activate(ledger, map_of(5), week, at(noon, seconds(0)));
    activate(ledger, map_of(6), week, at(noon, days(3)));
    ASSERT_EQ(ledger.retiring.size(), 2U);
    EXPECT_EQ(ledger.retiring[0].serial, 5U) << "newest first";
    EXPECT_EQ(ledger.retiring[0].remaining, week);
    EXPECT_EQ(ledger.retiring[1].remaining, days(4));
}

TEST(RangeLedger, WithoutGraceNothingRetires) {
    RangeLedger ledger;
    activate(ledger, map_of(5), seconds(0), at(noon, seconds(0)));
    EXPECT_TRUE(ledger.retiring.empty());
}

TEST(RangeLedger, AStagedMapIsActivatedOnceAtItsDateHoweverTheClockSteps) {
    RangeLedger ledger;
    const Time date = noon + days(21);
    stage(ledger, map_of(7, date), at(noon, seconds(0)));
    EXPECT_EQ(ledger.highest_serial, 7U) << "before it is in effect";
    EXPECT_EQ(ledger.active.serial, 0U);
    EXPECT_FALSE(advance(ledger, week, at(date - seconds(1), seconds(10))));
    EXPECT_TRUE(advance(ledger, week, at(date, seconds(11))));
    EXPECT_EQ(ledger.active.serial, 7U);
    for (const Time now : {date - days(3650), date, date + days(3650), date - seconds(1), date})
        EXPECT_FALSE(advance(ledger, week, at(now, seconds(12))));
    EXPECT_EQ(ledger.active.serial, 7U) << "and never taken back";
    EXPECT_EQ(events(ledger), (std::vector<std::string>{"staged 7", "activated 7"}));
}

TEST(RangeLedger, OfSeveralThatAreDueTheHighestSerialIsActivatedAndTheOthersAreDropped) {
    RangeLedger ledger;
    stage(ledger, map_of(7, noon + days(2)), at(noon, seconds(0)));
    stage(ledger, map_of(8, noon + days(1)), at(noon, seconds(0)));
    stage(ledger, map_of(9, noon + days(30)), at(noon, seconds(0)));
    EXPECT_TRUE(advance(ledger, week, at(noon + days(2), seconds(0))));
    EXPECT_EQ(ledger.active.serial, 8U);
    ASSERT_EQ(ledger.staged.size(), 1U);
    EXPECT_EQ(ledger.staged[0].serial, 9U);
    EXPECT_EQ(events(ledger).back(), "activated 8");
    EXPECT_EQ(events(ledger).at(3), "dropped 7");
}

TEST(RangeLedger, ARollbackStandsUntilAMapIsActivatedAndKeepsTheHighestSerial) {
    RangeLedger ledger;
    activate(ledger, map_of(5), week, at(noon, seconds(0)));
    activate(ledger, map_of(6), week, at(noon, seconds(0)));
    stage(ledger, map_of(7, noon + days(1)), at(noon, seconds(0)));
    roll_back(ledger, map_of(5), week, at(noon, seconds(0)));
    EXPECT_EQ(ledger.active.serial, 5U);
    EXPECT_EQ(ledger.rolled_back_from, 7U);
    EXPECT_EQ(ledger.highest_serial, 7U);
    EXPECT_TRUE(ledger.staged.empty()) << "it would undo the admin's decision";
    ASSERT_EQ(ledger.retiring.size(), 2U);
    EXPECT_EQ(ledger.retiring[0].serial, 6U) << "what the newer map had is not withdrawn at once";
    EXPECT_EQ(ledger.retiring[1].serial, 0U) << "map 5 is in effect again, so it does not retire";
    activate(ledger, map_of(8), week, at(noon, seconds(0)));
    EXPECT_EQ(ledger.rolled_back_from, 0U);
}

TEST(RangeLedger, WhatIsTakenBackKeepsTheHighestSerial) {
    RangeLedger before, after;
    activate(after, map_of(9), week, at(noon, seconds(0)));
    keep_highest(before, after);
    EXPECT_EQ(before.highest_serial, 9U);
    EXPECT_EQ(before.highest_hash, "hash-9");
    EXPECT_EQ(before.active.serial, 0U);
    keep_highest(after, RangeLedger{});
    EXPECT_EQ(after.highest_serial, 9U) << "it never goes down";
}

TEST(RangeLedger, AnAlarmThatComesAgainIsCountedAtMostHourlyAndForgottenAfterAWeek) {
    RangeLedger ledger;
    EXPECT_TRUE(raise_alarm(ledger.alarms, "a.json", "unsigned", noon));
    EXPECT_FALSE(raise_alarm(ledger.alarms, "a.json", "unsigned", noon + seconds(3599)));
    EXPECT_TRUE(raise_alarm(ledger.alarms, "a.json", "unsigned", noon + hours(1)));
    ASSERT_EQ(ledger.alarms.size(), 1U);
    EXPECT_EQ(ledger.alarms[0].times, 2U);
    EXPECT_EQ(ledger.alarms[0].first, noon);
    for (int i = 0; i < 100; ++i)
        raise_alarm(ledger.alarms, "source " + std::to_string(i), "another", noon + hours(2));
    EXPECT_EQ(ledger.alarms.size(), alarms_length);
    forget_old_alarms(ledger.alarms, noon + hours(2) + alarm_life + seconds(1));
    EXPECT_TRUE(ledger.alarms.empty());
}

TEST(RangeLedger, AStagedMapThatExpiredBeforeItsTimeIsDroppedWithAnAlarm) {
    RangeLedger ledger;
    AcceptedMap map = map_of(7, noon + days(1));
    map.expires = noon + days(2);
    stage(ledger, map, at(noon, seconds(0)));
    EXPECT_TRUE(advance(ledger, week, at(noon + days(2), seconds(0))));
    EXPECT_EQ(ledger.active.serial, 0U);
    EXPECT_TRUE(ledger.staged.empty());
    EXPECT_EQ(ledger.alarms.size(), 1U);
    EXPECT_EQ(ledger.highest_serial, 7U);
}

TEST(RangeLedger, OtherContentUnderTheSameSerialLeavesSerialsAndStagedMapsAlone) {
    RangeLedger ledger;
    activate(ledger, map_of(5), week, at(noon, seconds(0)));
    stage(ledger, map_of(6, noon + days(1)), at(noon, seconds(0)));
    AcceptedMap list = map_of(5);
    list.hash = "list";
    replace_content(ledger, list, week, at(noon, seconds(0)));
    EXPECT_EQ(ledger.active.hash, "list");
    EXPECT_EQ(ledger.highest_serial, 6U);
    EXPECT_EQ(ledger.highest_hash, "hash-6");
    EXPECT_EQ(ledger.staged.size(), 1U);
}

TEST(RangeLedger, TheFloorIsAllThatMustOutliveTheRest) {
    RangeLedger ledger;
    activate(ledger, map_of(5), week, at(noon, seconds(0)));
    activate(ledger, map_of(6), week, at(noon, seconds(0)));
    roll_back(ledger, map_of(5), week, at(noon, seconds(0)));
    const RangeLedger floor = rollback_protection(ledger);
    EXPECT_EQ(floor.highest_serial, 6U);
    EXPECT_EQ(floor.highest_hash, "hash-6");
    EXPECT_EQ(floor.rolled_back_from, 6U);
    EXPECT_EQ(floor.active.serial, 0U);
    EXPECT_TRUE(floor.retiring.empty() && floor.history.empty());
}

TEST(RangeLedger, IsWrittenAndReadBackWhole) {
    RangeLedger ledger;
    activate(ledger, map_of(5), week, at(noon, seconds(1)));
    AcceptedMap early = map_of(6, noon + days(1));
    early.early = true;
    early.signed_by = {"0123456789ABCDEF"};
    stage(ledger, early, at(noon, seconds(2)));
    raise_alarm(ledger.alarms, "a.json", "something \"odd\"", noon);
    const nlohmann::json json = ledger;
    EXPECT_EQ(nlohmann::json(json.get<RangeLedger>()), json);
    for (const auto& [key, value] : json.items()) {
        auto damaged = json;
        damaged.erase(key);
        EXPECT_ANY_THROW(damaged.get<RangeLedger>()) << key;
    }
}

TEST(RangeLedger, KeepsEveryDocumentThatIsInUseOrThatARollbackMayWant) {
    RangeLedger ledger;
    activate(ledger, map_of(5), seconds(0), at(noon, seconds(0)));
    activate(ledger, map_of(6), week, at(noon, seconds(0)));
    stage(ledger, map_of(7, noon + days(1)), at(noon, seconds(0)));
    EXPECT_EQ(ledger.documents(), (std::vector<std::string>{"hash-5", "hash-6", "hash-7"}));
}

TEST(RangeLedger, IsEmptyOnlyWhereNoMapHasEverBeen) {
    RangeLedger ledger;
    EXPECT_TRUE(ledger.empty());
    advance(ledger, week, at(noon, seconds(0)));
    EXPECT_TRUE(ledger.empty());
    activate(ledger, map_of(5), seconds(0), at(noon, seconds(0)));
    EXPECT_FALSE(ledger.empty());
}

TEST(RangeLedger, TheMapBeforeIsOlderHoweverOftenOneGoesBack) {
    RangeLedger ledger;
    EXPECT_FALSE(map_before(ledger)) << "there is only the built-in map";
    for (const uint64_t serial : {701, 702, 703})
        activate(ledger, map_of(serial), week, at(noon, seconds(0)));
    for (const uint64_t before : {702, 701, 0}) {
        const auto map = map_before(ledger);
        ASSERT_TRUE(map);
        EXPECT_EQ(map->serial, before);
        roll_back(ledger, *map, week, at(noon, seconds(0)));
    }
    EXPECT_FALSE(map_before(ledger));
}

TEST(RangeLedger, TheMapBeforeALocalListIsTheOneThatItChanged) {
    RangeLedger ledger;
    activate(ledger, map_of(5), week, at(noon, seconds(0)));
    AcceptedMap list = map_of(5);
    list.hash = "list";
    replace_content(ledger, list, week, at(noon, seconds(0)));
    EXPECT_EQ(map_before(ledger)->hash, "hash-5");
}

TEST(RangeLedger, KnowsTheBytesThatItHasAccepted) {
    RangeLedger ledger;
    AcceptedMap map = map_of(5);
    map.document = "bytes-5";
    activate(ledger, map, week, at(noon, seconds(0)));
    activate(ledger, map_of(6), week, at(noon, seconds(0)));
    ledger = nlohmann::json(ledger).get<RangeLedger>();
    ASSERT_TRUE(find_document(ledger, "bytes-5"));
    EXPECT_EQ(find_document(ledger, "bytes-5")->serial, 5u);
    EXPECT_FALSE(find_document(ledger, "bytes-6"));
}

} // namespace
} // namespace kudo
