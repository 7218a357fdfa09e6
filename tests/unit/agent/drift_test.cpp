// SPDX-License-Identifier: MIT
// Which strays and names say that the range map is stale.
// Invariant: each test names one behaviour.
#include <gtest/gtest.h>

#include "agent/inspect/drift.h"
#include "tests/unit/maps/compile_samples.h"

namespace kudo {
namespace {

Service with_domains(Service service, std::vector<std::string> domains) {
    service.domains = std::move(domains);
    return service;
}

Range range(std::string_view text) {
    return {Prefix::parse(text).value(), ""};
}

// Names as the built-in map has them: of regions with ranges, and of a service without.
RangeMap some_map() {
    Service teams = with_domains(service("teams", {}), {"teams-bot.kudoway.com"});
    teams.optional = true;
    return map_of(
        {service("media", {range("3.123.12.128/28"), range("2001:db8:77::/48")}),
         with_domains(service("region-ca", {range("3.97.146.187/32")}, {"ca"}), {"*.kudoway.ca", "live.kudoway.ca"}),
         with_domains(service("region-us", {range("44.194.123.245/32")}, {"us"}), {"*.kudoway.com", "api.kudoway.com"}),
         with_domains(service("opentok", {}), {"*.tokbox.com", "*.opentok.com"}), teams});
}

NamedAddress named(std::string name, std::string_view address) {
    NamedAddress result;
    result.name = std::move(name);
    result.address = Address::parse(address).value();
    return result;
}

StrayRemote stray(std::string_view address, std::string name = "") {
    StrayRemote result;
    result.remote = Address::parse(address).value();
    result.name = std::move(name);
    return result;
}

std::vector<std::string> names_left(std::vector<NamedAddress> names, const std::vector<std::string>& regions = {"ca"}) {
    Drift drift{.strays = {}, .moved_names = std::move(names)};
    judge_by_map(drift, some_map(), options(regions));
    std::vector<std::string> left;
    for (const NamedAddress& name : drift.moved_names)
        left.push_back(name.name + " " + name.address.text() + " " + name.service);
    return left;
}

TEST(Drift, WhatAnyServiceOfTheMapHasIsNoStray) {
    Drift drift;
    for (const char* address :
         {"44.194.123.245", "44.194.123.246", "3.123.12.143", "3.123.12.144", "2001:db8:77::1", "2001:db8:78::1"})
        drift.strays.push_back(stray(address));
    judge_by_map(drift, some_map(), options({"ca"}));
    std::vector<std::string> left;
    for (const StrayRemote& remote : drift.strays)
        left.push_back(remote.remote.text());
    EXPECT_EQ(left, (std::vector<std::string>{"44.194.123.246", "3.123.12.144", "2001:db8:78::1"}));
}

TEST(Drift, AStrayHasANameOnlyUnderADomainOfTheMap) {
    Drift drift;
    drift.strays = {stray("198.51.100.7", "mantis-7.tokbox.com"), stray("198.51.100.8", "tokbox.example")};
    judge_by_map(drift, some_map(), options({"ca"}));
    EXPECT_EQ(drift.strays[0].name, "mantis-7.tokbox.com");
    EXPECT_EQ(drift.strays[1].name, "");
}

TEST(Drift, ANameOfAServiceWithRangesThatIsElsewhereHasMoved) {
    EXPECT_EQ(names_left({named("live.kudoway.ca", "198.51.100.9"), named("live.kudoway.ca", "2a05:d018::9")}),
              std::vector<std::string>{"live.kudoway.ca 2a05:d018::9 region-ca"})
        << "198.51.100.0/24 is for documentation";
    EXPECT_EQ(names_left({named("live.kudoway.ca", "18.156.200.9")}),
              std::vector<std::string>{"live.kudoway.ca 18.156.200.9 region-ca"});
}

TEST(Drift, ANameWhereTheMapSaysIsNotMoved) {
    EXPECT_EQ(names_left({named("live.kudoway.ca", "3.97.146.187")}), std::vector<std::string>{});
    EXPECT_EQ(names_left({named("live.kudoway.ca", "44.194.123.245")}), std::vector<std::string>{})
        << "the map has it for another service";
}

TEST(Drift, ANameInTheMediaRangesIsTold) {
    RangeMap map = some_map();
    map.services.back().optional = false; // teams
    Drift drift{.strays = {},
                .moved_names = {named("live.kudoway.ca", "3.123.12.129"),
                                named("teams-bot.kudoway.com", "3.123.12.130"),
                                named("anvil.tokbox.com", "3.123.12.131")}};
    judge_by_map(drift, map, options({"ca"}));
    ASSERT_EQ(drift.moved_names.size(), 2U) << "of a wildcard's names nobody knows where they are";
    EXPECT_EQ(drift.moved_names[0].within, "media");
    EXPECT_EQ(drift.moved_names[1].service, "teams");
    EXPECT_EQ(drift.moved_names[1].within, "media");

    // Its service has a range within media's, which decides.
    Service& region = *std::ranges::find(map.services, "region-ca", &Service::name);
    region.ranges.push_back({Prefix::parse("3.123.12.129").value(), ""});
    drift = {.strays = {}, .moved_names = {named("live.kudoway.ca", "3.123.12.129")}};
    judge_by_map(drift, map, options({"ca"}));
    EXPECT_EQ(drift.moved_names.size(), 0U);
}

TEST(Drift, OfServicesWithoutRangesNobodyKnowsWhereTheyAre) {
    EXPECT_EQ(names_left({named("api.opentok.com", "18.156.200.9")}), std::vector<std::string>{});
}

TEST(Drift, BelowAWildcardTheMapDoesNotSayWhereNamesAre) {
    EXPECT_EQ(names_left({named("www.kudoway.ca", "18.156.200.9"), named("a.live.kudoway.ca", "18.156.200.9"),
                          named("kudoway.ca", "18.156.200.9")}),
              std::vector<std::string>{});
    EXPECT_EQ(names_left({named("teams-bot.kudoway.com", "18.156.200.9")}, {"us"}), std::vector<std::string>{})
        << "teams has no ranges";
}

TEST(Drift, AnIpv6AddressThatStandsForOneOfTheMapIsNotMoved) {
    EXPECT_EQ(names_left({named("live.kudoway.ca", "2607:7700:0:1::3.97.146.187")}), std::vector<std::string>{});
    EXPECT_EQ(names_left({named("live.kudoway.ca", "2607:7700:0:1::3.97.146.188")}),
              std::vector<std::string>{"live.kudoway.ca 2607:7700:0:1::361:92bc region-ca"});
}

TEST(Drift, NamesOfRegionsThatWereNotChosenAreNotOurs) {
    EXPECT_EQ(names_left({named("api.kudoway.com", "18.156.200.9")}, {"ca"}), std::vector<std::string>{});
    EXPECT_EQ(names_left({named("api.kudoway.com", "18.156.200.9")}, {"us"}),
              std::vector<std::string>{"api.kudoway.com 18.156.200.9 region-us"});
    EXPECT_EQ(names_left({named("www.example.com", "18.156.200.9")}), std::vector<std::string>{});
}

TEST(Drift, AddressesThatAreNobodysAreAFiltersAnswer) {
    EXPECT_EQ(names_left({named("live.kudoway.ca", "0.0.0.0"), named("live.kudoway.ca", "127.0.0.1"),
                          named("live.kudoway.ca", "10.1.2.3"), named("live.kudoway.ca", "::1")}),
              std::vector<std::string>{});
}

TEST(Drift, WithoutTheMapNoNameIsSaid) {
    Drift drift{.strays = {stray("198.51.100.7", "mantis-7.tokbox.com")},
                .moved_names = {named("live.kudoway.ca", "18.156.200.9")}};
    judge_without_map(drift);
    EXPECT_EQ(drift.strays.at(0).name, "");
    EXPECT_TRUE(drift.moved_names.empty());
}

} // namespace
} // namespace kudo
