// SPDX-License-Identifier: MIT
// Mode enforce and its way back: what is in effect when, and which session may confirm it.
// Invariant: time is said, never waited for.
#include <gtest/gtest.h>

#include "agent/state/desired_state.h"

namespace kudo {
namespace {

constexpr uint64_t second = 1'000'000'000;

HostMoment at(uint64_t seconds, const char* boot = "this boot") {
    return {.since_boot = seconds * second, .boot = boot, .wall = Time(std::chrono::seconds(seconds))};
}

Session over_ssh(const char* connection, int leader, uint64_t started) {
    return {.ssh = connection, .leader = leader, .leader_started = started * second};
}
constexpr const char* asking = "203.0.113.9 50022 10.0.0.2 22";

EnforcementRequest request(std::optional<std::chrono::seconds> within = std::chrono::seconds(60)) {
    return {.within = within, .session = over_ssh(asking, 77, 50)};
}

Enforcement begun(uint64_t seconds) {
    Enforcement result = begin_enforcement(request(), nullptr, false, at(seconds));
    result.published = seconds * second;
    return result;
}

ModeInEffect enforced(const Enforcement& enforcement, const HostMoment& now) {
    return mode_in_effect(KUDO_ENFORCE, enforcement, std::nullopt, now);
}

TEST(Enforcement, IsInEffectUntilItsDeadline) {
    const Enforcement enforcement = begun(100);
    EXPECT_EQ(enforcement.deadline, 160 * second);
    for (const uint64_t now : {100, 159}) {
        const auto effect = enforced(enforcement, at(now));
        EXPECT_EQ(effect.mode, KUDO_ENFORCE);
        EXPECT_EQ(effect.admission, KUDO_ADMISSION_ENFORCE);
        EXPECT_EQ(effect.deadline, 160 * second);
    }
    const auto after = enforced(enforcement, at(160));
    EXPECT_EQ(after.mode, KUDO_PRIORITISE);
    EXPECT_EQ(after.admission, KUDO_ADMISSION_NONE);
    EXPECT_EQ(after.deadline, 0U);
    EXPECT_EQ(after.lapse, Lapse::Unconfirmed);
    EXPECT_NE(lapse_text(after.lapse, enforcement).find("not confirmed within 60 s"), std::string::npos);
}

TEST(Enforcement, UnconfirmedDoesNotOutliveAReboot) {
    for (const char* boot : {"another boot", ""}) {
        const auto effect = enforced(begun(100), at(110, boot));
        EXPECT_EQ(effect.mode, KUDO_PRIORITISE);
        EXPECT_EQ(effect.lapse, Lapse::Rebooted);
    }
}

TEST(Enforcement, ConfirmedHasNoEnd) {
    Enforcement enforcement = begun(100);
    enforcement.confirmed = true;
    for (const auto& now : {at(99999), at(3, "another boot")}) {
        EXPECT_EQ(enforced(enforcement, now).admission, KUDO_ADMISSION_ENFORCE);
        EXPECT_EQ(enforced(enforcement, now).deadline, 0U);
    }
    EXPECT_TRUE(begin_enforcement(request(std::nullopt), nullptr, false, at(100)).confirmed);
}

TEST(Enforcement, TheSameRulesNeedNoNewConfirmationAndOthersDo) {
    Enforcement before = begun(100);
    EXPECT_FALSE(begin_enforcement(request(), &before, true, at(110)).confirmed);
    before.confirmed = true;
    EXPECT_TRUE(begin_enforcement(request(), &before, true, at(200)).confirmed);
    const Enforcement changed = begin_enforcement(request(), &before, false, at(200));
    EXPECT_FALSE(changed.confirmed);
    EXPECT_EQ(changed.deadline, 260 * second);
    auto from_elsewhere = request();
    from_elsewhere.session.ssh = "203.0.113.10 50022 10.0.0.2 22"; // the lifeline ssh would let another in
    EXPECT_FALSE(begin_enforcement(from_elsewhere, &before, true, at(200)).confirmed);
    from_elsewhere.session.ssh = "203.0.113.9 61000 10.0.0.2 22";
    EXPECT_TRUE(begin_enforcement(from_elsewhere, &before, true, at(200)).confirmed);
    from_elsewhere.session.ssh.clear(); // a console takes no lifeline away
    const Enforcement by_console = begin_enforcement(from_elsewhere, &before, true, at(200));
    EXPECT_TRUE(by_console.confirmed);
    EXPECT_EQ(by_console.ssh, asking);
}

TEST(Enforcement, WhatIsEnforcedIsAllButTheRangeMapAndTheMarks) {
    DesiredState one;
    one.enabled = true;
    one.regions = {"ca"};
    one.mode = KUDO_ENFORCE;
    DesiredState other = one;
    other.ranges.highest_serial = 9;
    other.marks = {};
    EXPECT_TRUE(enforce_the_same(one, other));
    const std::function<void(DesiredState&)> changes[] = {
        [](DesiredState& state) {
            state.regions = {"ca", "eu"};
        },
        [](DesiredState& state) { state.teams = true; },
        [](DesiredState& state) { state.allow = {"icmp"}; },
        [](DesiredState& state) { state.lifelines = {{.name = "ntp", .off = true}}; },
        [](DesiredState& state) { state.interfaces = {"eth0"}; },
        [](DesiredState& state) { state.enabled = false; }};
    for (const auto& change : changes) {
        other = one;
        change(other);
        EXPECT_FALSE(enforce_the_same(one, other));
    }
}

TEST(Rehearsal, RunsUntilItsEndInAnyModeButEnforce) {
    const Rehearsal rehearsal{.begin = at(100).wall, .end = at(200).wall};
    EXPECT_EQ(mode_in_effect(KUDO_PRIORITISE, {}, rehearsal, at(199)).admission, KUDO_ADMISSION_REHEARSE);
    EXPECT_EQ(mode_in_effect(KUDO_OBSERVE, {}, rehearsal, at(199)).mode, KUDO_OBSERVE);
    EXPECT_EQ(mode_in_effect(KUDO_PRIORITISE, {}, rehearsal, at(200)).admission, KUDO_ADMISSION_NONE);
    EXPECT_EQ(mode_in_effect(KUDO_PRIORITISE, {}, std::nullopt, at(100)).admission, KUDO_ADMISSION_NONE);
}

// --- Which sessions may not confirm, whatever shows that they are new: see arrival_test.cpp.

std::string refused(const Session& session, Enforcement enforcement = begun(100)) {
    const auto is_own = [](const Address& address) { return address == Address::parse("10.0.0.2").value(); };
    return same_session(enforcement, session, is_own).value_or("");
}

TEST(Confirmation, AnotherConnectionOrLoginIsNotTheSame) {
    EXPECT_EQ(refused(over_ssh("203.0.113.9 50023 10.0.0.2 22", 88, 110)), "");
    EXPECT_EQ(refused(over_ssh("", 88, 110)), "");
}

TEST(Confirmation, TheSameConnectionMayNot) {
    EXPECT_NE(refused(over_ssh(asking, 88, 110)).find("SSH connection by which"), std::string::npos);
    Session below = over_ssh("203.0.113.9 50023 10.0.0.2 22", 88, 110); // a variable that was set by hand
    below.ssh_above = {asking};
    EXPECT_NE(refused(below).find("SSH connection by which"), std::string::npos);
}

TEST(Confirmation, TheSameTerminalMayNot) {
    EXPECT_NE(refused(over_ssh("", 77, 50)).find("terminal session by which"), std::string::npos);
    EXPECT_EQ(refused(over_ssh("", 77, 110)), "") << "another process has the number now";
}

TEST(Confirmation, TheSameLoginMayNot) {
    Enforcement enforcement = begun(100);
    Session session = over_ssh("", 88, 110);
    enforcement.asked_by.login = session.login = 5;
    EXPECT_NE(refused(session, enforcement).find("login by which"), std::string::npos);
    enforcement.asked_by.login = session.login = Session::no_login;
    EXPECT_EQ(refused(session, enforcement), "");
}

TEST(Confirmation, AConnectionOfTheHostToItselfMayNot) {
    EXPECT_NE(refused(over_ssh("10.0.0.2 50023 10.0.0.2 22", 88, 110)).find("from this host itself"),
              std::string::npos);
}

TEST(Confirmation, BeforeAnythingWasPublishedNobodyMay) {
    Enforcement enforcement = begun(100);
    enforcement.published = 0;
    EXPECT_NE(refused(over_ssh("", 88, 110), enforcement), "");
}

} // namespace
} // namespace kudo
