// SPDX-License-Identifier: MIT
// Which strays say that the range map is stale. Run by ctest, label unit.
// Invariant: each test names one behaviour.
#include <gtest/gtest.h>

#include "agent/drift.h"

namespace kudo {
namespace {

TEST(Drift, WhatAnyServiceOfTheMapHasIsNoStray) {
    RangeMap map;
    Service teams, media;
    teams.optional = true;
    teams.ranges = {{Prefix::parse("52.112.0.0/14").value(), ""}};
    media.ranges = {{Prefix::parse("3.123.12.128/28").value(), ""}, {Prefix::parse("2001:db8:77::/48").value(), ""}};
    map.services = {teams, media};
    std::vector<StrayRemote> strays;
    for (const char* address :
         {"52.115.1.1", "52.116.0.0", "3.123.12.143", "3.123.12.144", "2001:db8:77::1", "2001:db8:78::1"})
        strays.emplace_back().remote = Address::parse(address).value();
    remove_known(strays, map);
    std::vector<std::string> left;
    for (const StrayRemote& stray : strays)
        left.push_back(stray.remote.text());
    EXPECT_EQ(left, (std::vector<std::string>{"52.116.0.0", "3.123.12.144", "2001:db8:78::1"}));
}

} // namespace
} // namespace kudo
