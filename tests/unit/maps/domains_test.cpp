// SPDX-License-Identifier: MIT
// The policy's domains as the programs look names up in them, against domain_fit().
#include <random>

#include <gtest/gtest.h>

#include "bpf/dns.h"
#include "maps/compile/compile.h"
#include "maps/compile/domains.h"
#include "maps/document/domain.h"
#include "tests/support/dns_message.h"

namespace kudo::test {
namespace {

Service with_domains(std::string name, std::vector<std::string> domains) {
    Service service;
    service.name = std::move(name);
    service.class_ = KUDO_CLASS_CONTROL;
    service.regions = {"*"};
    service.ports = {PortRule::parse("tcp/443").value()};
    service.domains = std::move(domains);
    return service;
}

Result<CompiledPolicy> policy_of(std::vector<Service> services, bool exact_domains = false) {
    RangeMap map;
    map.serial = 1;
    map.services = std::move(services);
    CompileOptions options;
    options.exact_domains = exact_domains;
    return compile(map, options);
}

// The services of a name, as the programs find them.
std::vector<std::string> services_of(const CompiledPolicy& compiled, std::string_view name) {
    const Bytes message = dns_question(name);
    std::array<uint8_t, KUDO_DNS_WINDOW> window{};
    std::ranges::copy(message, window.begin());
    kudo_dns_query query{};
    kudo_dns_name labels{};
    EXPECT_TRUE(kudo_read_dns_name_by(kudo_add_query_label, window.data(), static_cast<uint32_t>(message.size()),
                                      &labels, &query));
    kudo_domain_search search{};
    const uint64_t key = kudo_domain_of_name(kudo_search_domain_step, compiled.policy.get(), window.data(),
                                             KUDO_DNS_WINDOW, &labels, &search);
    std::vector<std::string> services;
    const kudo_domain* domain = key != 0 ? kudo_find_domain(compiled.policy.get(), key) : nullptr;
    if (domain) {
        EXPECT_TRUE(kudo_domain_maybe(compiled.policy.get(), query.ending)) << name;
        for (const uint8_t slot : domain->services)
            for (const auto& [service, its_slot] : compiled.slots)
                if (slot != 0 && its_slot == slot) services.push_back(service);
    }
    return services;
}

using Names = std::vector<std::string>;

TEST(PolicyDomains, AWildcardIsAnyDepthBelowAndNotTheNameItself) {
    const auto compiled = policy_of({with_domains("a", {"*.tokbox.com"}), with_domains("b", {"live.kudoway.ca"})});
    ASSERT_TRUE(compiled);
    EXPECT_EQ(services_of(*compiled, "anvil.tokbox.com"), Names{"a"});
    EXPECT_EQ(services_of(*compiled, "a.b.c.d.e.f.g.h.i.j.tokbox.com"), Names{"a"});
    EXPECT_EQ(services_of(*compiled, "AnViL.ToKbOx.CoM"), Names{"a"});
    for (const char* other : {"tokbox.com", "xtokbox.com", "tokbox.com.example.com", "anvil.tokbox.org", "com"})
        EXPECT_EQ(services_of(*compiled, other), Names{}) << other;
    EXPECT_EQ(services_of(*compiled, "live.kudoway.ca"), Names{"b"});
    EXPECT_EQ(services_of(*compiled, "x.live.kudoway.ca"), Names{});
    EXPECT_EQ(services_of(*compiled, "kudoway.ca"), Names{});
}

TEST(PolicyDomains, TheMostSpecificServiceIsFirstAndThoseThatCoverItFollow) {
    const auto compiled = policy_of({with_domains("wide", {"*.kudoway.ca"}), with_domains("exact", {"live.kudoway.ca"}),
                                     with_domains("near", {"*.eu.kudoway.ca"})});
    ASSERT_TRUE(compiled);
    EXPECT_EQ(services_of(*compiled, "live.kudoway.ca"), (Names{"exact", "wide"}));
    EXPECT_EQ(services_of(*compiled, "x.eu.kudoway.ca"), (Names{"near", "wide"}));
    EXPECT_EQ(services_of(*compiled, "eu.kudoway.ca"), Names{"wide"});
}

TEST(PolicyDomains, WithoutWildcardsOnlyTheNamesThemselvesAreThere) {
    const auto compiled = policy_of(
        {with_domains("wide", {"*.kudoway.ca", "*.tokbox.com"}), with_domains("exact", {"live.kudoway.ca"})}, true);
    ASSERT_TRUE(compiled);
    EXPECT_EQ(services_of(*compiled, "live.kudoway.ca"), Names{"exact"});
    EXPECT_EQ(services_of(*compiled, "x.kudoway.ca"), Names{});
    EXPECT_EQ(services_of(*compiled, "anvil.tokbox.com"), Names{});
    EXPECT_EQ(exact_names(*compiled->policy), Names{"live.kudoway.ca"});
}

TEST(PolicyDomains, AreWrittenAsInTheMap) {
    const auto compiled = policy_of({with_domains("a", {"*.tokbox.com", "live.kudoway.ca"})});
    ASSERT_TRUE(compiled);
    for (const char* text : {"*.tokbox.com", "live.kudoway.ca"})
        EXPECT_EQ(domain_text(*kudo_find_domain(compiled->policy.get(), domain_key(text))), text);
}

TEST(PolicyDomains, AreFoundAmongAsManyAsThereMayBe) {
    std::mt19937 random(3);
    std::vector<std::string> domains;
    for (int i = 0; i < KUDO_MAX_DOMAINS; i++)
        domains.push_back((i % 2 ? "*." : "") + std::string("d") + std::to_string(i) + ".example.com");
    const auto compiled = policy_of({with_domains("all", domains)});
    ASSERT_TRUE(compiled) << compiled.error().message;
    for (int i = 0; i < 2 * KUDO_MAX_DOMAINS; i++) {
        for (const std::string& prefix : {std::string(), std::string("x.")}) {
            const std::string name = prefix + "d" + std::to_string(i) + ".example.com";
            const bool fits =
                std::ranges::any_of(domains, [&](const std::string& domain) { return domain_fit(domain, name) != 0; });
            EXPECT_EQ(services_of(*compiled, name), fits ? Names{"all"} : Names{}) << name;
        }
    }
    domains.emplace_back("one.too.many.example.com");
    const auto refused = policy_of({with_domains("all", domains)});
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().message, "the services that are enabled have 257 domains, more than 256");
}

TEST(PolicyDomains, AreToldByTheirNameAndNotByItsHash) {
    auto compiled = policy_of({with_domains("a", {"*.tokbox.com"})});
    ASSERT_TRUE(compiled);
    ASSERT_EQ(services_of(*compiled, "anvil.tokbox.com"), Names{"a"});
    // As if another name had the same hash: the hash finds it, its bytes do not.
    for (auto& bucket : compiled->policy->domains)
        for (kudo_domain& domain : bucket)
            if (domain.key != 0) domain.name[1] = 'x';
    EXPECT_EQ(services_of(*compiled, "anvil.tokbox.com"), Names{});
}

TEST(PolicyDomains, MayHave62Characters) {
    const std::string label(50, 'a');
    EXPECT_TRUE(policy_of({with_domains("a", {"*." + label + ".example.com"})})); // 62 without "*."
    const auto refused = policy_of({with_domains("a", {"*.x" + label + ".example.com"})});
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().message, "domain \"*.x" + label + ".example.com\": longer than 62 characters");
}

TEST(PolicyDomains, OfMoreServicesThanThereIsRoomForAreRefused) {
    std::vector<Service> services;
    for (const char* name : {"a", "b", "c", "d", "e"})
        services.push_back(with_domains(name, {"*.kudoway.ca"}));
    const auto refused = policy_of(services);
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().message, "domain \"*.kudoway.ca\": more than 4 services have it, or one that covers it");
}

} // namespace
} // namespace kudo::test
