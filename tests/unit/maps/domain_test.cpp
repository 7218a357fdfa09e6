// SPDX-License-Identifier: MIT
// Which names a domain of a range map stands for.
// Invariant: each test names one behaviour.
#include <gtest/gtest.h>

#include "bpf/dns.h"
#include "maps/compile/compile.h"
#include "maps/document/domain.h"
#include "tests/unit/maps/compile_samples.h"

namespace kudo {
namespace {

TEST(DomainFit, AWildcardStandsForEverythingBelowItAndNotForItself) {
    EXPECT_GT(domain_fit("*.kudoway.ca", "live.kudoway.ca"), 0u);
    EXPECT_GT(domain_fit("*.kudoway.ca", "a.b.kudoway.ca"), 0u);
    EXPECT_EQ(domain_fit("*.kudoway.ca", "kudoway.ca"), 0u);
    EXPECT_EQ(domain_fit("*.kudoway.ca", ".kudoway.ca"), 0u);
    EXPECT_EQ(domain_fit("*.kudoway.ca", "live.notkudoway.ca"), 0u);
    EXPECT_EQ(domain_fit("*.kudoway.ca", "live.kudoway.ca.example"), 0u);
}

TEST(DomainFit, ANameStandsForItself) {
    EXPECT_GT(domain_fit("live.kudoway.ca", "live.kudoway.ca"), 0u);
    EXPECT_EQ(domain_fit("live.kudoway.ca", "a.live.kudoway.ca"), 0u);
    EXPECT_EQ(domain_fit("live.kudoway.ca", "kudoway.ca"), 0u);
}

TEST(DomainFit, TheMoreExactDomainFitsBetter) {
    EXPECT_GT(domain_fit("a.kudoway.ca", "a.kudoway.ca"), domain_fit("*.kudoway.ca", "a.kudoway.ca"));
    EXPECT_GT(domain_fit("*.b.kudoway.ca", "a.b.kudoway.ca"), domain_fit("*.kudoway.ca", "a.b.kudoway.ca"));
}

TEST(NameFilter, HasTheDomainsOfChosenServicesOnly) {
    Service ca = service("region-ca", {}, {"ca"}), us = service("region-us", {}, {"us"});
    ca.domains = {"*.kudoway.ca", "one.two.three.example.org"};
    us.domains = {"*.kudoway.com"};
    const auto compiled = compile(map_of({ca, us}), options({"ca"}));
    ASSERT_TRUE(compiled);
    const auto names = [&](std::string_view domain) {
        return kudo_domain_maybe(compiled->policy.get(), name_ending(domain)) != 0;
    };
    EXPECT_TRUE(names("kudoway.ca"));
    EXPECT_TRUE(names("example.org"));
    EXPECT_FALSE(names("kudoway.com"));
    EXPECT_FALSE(names("example.com"));
}

TEST(NameFilter, IsPartOfThePolicysHash) {
    Service one = service("media", {});
    Service other = one;
    other.domains = {"*.kudoway.ca"};
    const auto first = compile(map_of({one}), options()), second = compile(map_of({other}), options());
    EXPECT_NE(std::vector<uint8_t>(first->policy->content_hash, first->policy->content_hash + 32),
              std::vector<uint8_t>(second->policy->content_hash, second->policy->content_hash + 32));
}

} // namespace
} // namespace kudo
