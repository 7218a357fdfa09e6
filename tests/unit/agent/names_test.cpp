// SPDX-License-Identifier: MIT
// Looking the map's exact names up: when, with whom, and what comes back.
// Invariant: each test names one behaviour.
#include <gtest/gtest.h>

#include "agent/names/lookup.h"
#include "agent/names/schedule.h"

namespace kudo {
namespace {

using namespace std::chrono_literals;
using Clock = NameSchedule::Clock;
using Names = std::vector<std::string>;

class Schedule : public testing::Test {
protected:
    Schedule() { schedule_.set_names({"live.kudoway.ca", "api.opentok.com"}, start_); }
    NameSchedule schedule_{7};
    const Clock::time_point start_ = Clock::now();
};

TEST_F(Schedule, NewNamesAreDueAtOnce) {
    EXPECT_EQ(schedule_.due(start_), (Names{"api.opentok.com", "live.kudoway.ca"}));
    EXPECT_EQ(schedule_.next(), start_);
    EXPECT_EQ(NameSchedule(1).next(), Clock::time_point::max());
}

TEST_F(Schedule, ANameIsDueAgainBeforeItsTtlEnds) {
    schedule_.set_names({"live.kudoway.ca"}, start_);
    schedule_.resolved("live.kudoway.ca", 1000s, start_);
    EXPECT_TRUE(schedule_.due(start_ + 799s).empty());
    EXPECT_EQ(schedule_.due(start_ + 951s), Names{"live.kudoway.ca"});
}

TEST_F(Schedule, ButAtMostOnceAMinuteAndAtLeastOnceADay) {
    schedule_.set_names({"live.kudoway.ca"}, start_);
    schedule_.resolved("live.kudoway.ca", 0s, start_);
    EXPECT_TRUE(schedule_.due(start_ + 59s).empty());
    EXPECT_FALSE(schedule_.due(start_ + 60s).empty());
    schedule_.resolved("live.kudoway.ca", std::chrono::seconds(0x7fffffff), start_);
    EXPECT_FALSE(schedule_.due(start_ + 24h).empty());
}

TEST_F(Schedule, AFailedNameIsAskedLessAndLessOften) {
    schedule_.set_names({"live.kudoway.ca"}, start_);
    auto now = start_;
    std::chrono::duration<double> last{};
    for (int i = 0; i < 20; i++) {
        schedule_.failed("live.kudoway.ca", "no", now);
        last = schedule_.next() - now;
        EXPECT_LE(last, NameSchedule::last_retry);
        EXPECT_GE(last, NameSchedule::first_retry / 2.0);
        now = schedule_.next();
    }
    EXPECT_GE(last, NameSchedule::last_retry / 2.0);
}

TEST_F(Schedule, AProblemIsNamedUntilItEndsAndLastsOnceItHasLasted) {
    schedule_.failed("live.kudoway.ca", "10.0.0.1 answers NXDOMAIN", start_);
    auto problems = schedule_.problems(start_ + 1min);
    ASSERT_EQ(problems.size(), 1U);
    EXPECT_EQ(problems[0].name, "live.kudoway.ca");
    EXPECT_EQ(problems[0].why, "10.0.0.1 answers NXDOMAIN");
    EXPECT_FALSE(problems[0].lasts);
    schedule_.failed("live.kudoway.ca", "10.0.0.1 does not answer", start_ + 2min);
    EXPECT_TRUE(schedule_.problems(start_ + NameSchedule::lasting)[0].lasts);
    schedule_.resolved("live.kudoway.ca", 60s, start_ + 6min);
    EXPECT_TRUE(schedule_.problems(start_ + 6min).empty());
}

TEST_F(Schedule, OtherNameServersMeanThatWhatFailedIsDueNow) {
    schedule_.failed("live.kudoway.ca", "no", start_);
    schedule_.resolved("api.opentok.com", 3600s, start_);
    schedule_.retry_failed(start_);
    EXPECT_EQ(schedule_.due(start_), Names{"live.kudoway.ca"});
}

TEST_F(Schedule, WhereWhatWasKnownIsLostAllAreDueNow) {
    schedule_.resolved("api.opentok.com", 3600s, start_);
    schedule_.resolved("live.kudoway.ca", 3600s, start_);
    schedule_.retry_all(start_ + 1s);
    EXPECT_EQ(schedule_.due(start_ + 1s).size(), 2U);
}

TEST_F(Schedule, AnotherMapKeepsWhatIsKnownOfItsNames) {
    schedule_.resolved("live.kudoway.ca", 3600s, start_);
    schedule_.failed("api.opentok.com", "no", start_);
    schedule_.set_names({"live.kudoway.ca", "teams-bot.kudoway.com"}, start_ + 1min);
    EXPECT_EQ(schedule_.due(start_ + 1min), Names{"teams-bot.kudoway.com"});
    EXPECT_TRUE(schedule_.problems(start_ + 10min).empty());
    schedule_.resolved("api.opentok.com", 60s, start_); // too late: nothing happens
}

std::string text_of(const std::vector<NameServer>& servers) {
    std::string text;
    for (const NameServer& server : servers)
        text += (text.empty() ? "" : " ") + server.address.text() +
                (server.zone == 0 ? "" : "%" + std::to_string(server.zone));
    return text;
}

TEST(NameServersOf, AreTheFirstThreeAndThisHostWhereThereAreNone) {
    EXPECT_EQ(text_of(name_servers_of("# a\nsearch x\nnameserver 10.0.0.1\nnameserver\t::1 # b\n nameserver 1.1.1.1\n"
                                      "nameserver 10.0.0.2\nnameserver 10.0.0.3")),
              "10.0.0.1 ::1 10.0.0.2");
    EXPECT_EQ(text_of(name_servers_of("")), "127.0.0.1");
    EXPECT_EQ(text_of(name_servers_of("nameserver nonsense\n")), "127.0.0.1");
    EXPECT_EQ(text_of(name_servers_of("nameserver fe80::1%lo\n")), "fe80::1%1");
}

TEST(LookupText, IsReadBack) {
    Lookup lookup{.name = "live.kudoway.ca", .server = Address::parse("127.0.0.1").value(), .tcp = true};
    lookup.addresses = {Address::parse("25.1.1.1").value(), Address::parse("25.1.1.2").value()};
    lookup.ttls = {60, 4294967295U};
    std::string line = lookup_text(lookup);
    ASSERT_TRUE(line.ends_with('\n'));
    line.pop_back();
    auto back = parse_lookup(line);
    ASSERT_TRUE(back);
    EXPECT_EQ(back->name, lookup.name);
    EXPECT_EQ(back->addresses, lookup.addresses);
    EXPECT_EQ(back->ttls, lookup.ttls);
    EXPECT_TRUE(back->tcp);
    EXPECT_EQ(back->problem, "");

    lookup.problem = "127.0.0.1 answers\nNXDOMAIN";
    line = lookup_text(lookup);
    line.pop_back();
    back = parse_lookup(line);
    ASSERT_TRUE(back);
    EXPECT_NE(back->problem.find("NXDOMAIN"), std::string::npos);
    EXPECT_EQ(back->problem.find('\n'), std::string::npos);
    EXPECT_TRUE(back->addresses.empty());
}

TEST(LookupText, WhatIsNoneIsRefused) {
    for (const char* line :
         {"", "live.kudoway.ca", "live.kudoway.ca A 127.0.0.1", "live.kudoway.ca MX 127.0.0.1 udp",
          "live.kudoway.ca A here udp", "live.kudoway.ca A 127.0.0.1 dns", "live.kudoway.ca A 127.0.0.1 udp 25.1.1.1",
          "live.kudoway.ca A 127.0.0.1 udp 25.1.1.1/", "live.kudoway.ca A 127.0.0.1 udp 25.1.1.1/-1",
          "live.kudoway.ca A 127.0.0.1 udp 2a00::1/60", "live.kudoway.ca A 127.0.0.1 udp x/60",
          "live.kudoway.ca A 127.0.0.1 udp 25.1.1.1/60/7", "live.kudoway.ca A 127.0.0.1 udp 25.1.1.1/99999999999"})
        EXPECT_FALSE(parse_lookup(line)) << line;
}

} // namespace
} // namespace kudo
