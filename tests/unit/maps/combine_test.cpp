// SPDX-License-Identifier: MIT
// What is honoured while maps change: single cases, and random maps address by address against a naive oracle.
// Invariant: each test names one behaviour.
#include <algorithm>
#include <random>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <gtest/gtest.h>

#include "maps/compile/combine.h"
#include "maps/document/built_in.h"
#include "maps/document/write_range_map.h"
#include "tests/unit/maps/compile_samples.h"

namespace kudo {
namespace {

using Lines = std::vector<std::string>;

// `from` stands in the paths, so that one sees which map a range is of.
std::vector<Range> ranges(const std::vector<std::string>& texts, std::string_view from = "") {
    std::vector<Range> result;
    for (const std::string& text : texts)
        result.push_back({Prefix::parse(text).value(), std::string(from)});
    return result;
}

RangeMap media(const std::vector<std::string>& texts, std::string_view from = "") {
    return map_of({service("media", ranges(texts, from))});
}

RangeMap edited(RangeMap map, void (*edit)(Service&)) {
    edit(map.services[0]);
    return map;
}

// What stands behind the services of the map in effect: "media~early 1.0.0.0/24 1.0.1.0/24".
Lines appended(const RangeMap& active, const std::vector<RangeMap>& staged, const std::vector<RangeMap>& retiring) {
    const RangeMap result = combine(active, staged, retiring);
    const auto count = static_cast<std::ptrdiff_t>(active.services.size());
    for (std::ptrdiff_t i = 0; i < count; ++i)
        EXPECT_EQ(result.services[static_cast<std::size_t>(i)].name, active.services[static_cast<std::size_t>(i)].name);
    RangeMap unchanged = result;
    unchanged.services.resize(active.services.size());
    EXPECT_EQ(to_json(unchanged), to_json(active));
    Lines lines;
    for (auto added = result.services.begin() + count; added != result.services.end(); ++added) {
        lines.push_back(added->name);
        for (const Range& range : added->ranges)
            lines.back() += " " + range.prefix.text() + range.path;
    }
    return lines;
}

const RangeMap old_map = media({"1.0.0.0/24", "1.0.1.0/24"});

TEST(Combine, OfAMapWithNothingIsTheMap) {
    EXPECT_EQ(appended(built_in_range_map(), {}, {}), Lines{});
    EXPECT_EQ(appended(built_in_range_map(), {built_in_range_map()}, {built_in_range_map()}), Lines{});
}

TEST(Combine, NewRangesOfAStagedMapAreEarlyAndKeepTheirPaths) {
    EXPECT_EQ(appended(old_map, {media({"1.0.0.0/24", "1.0.2.0/24"}, "@staged")}, {}),
              (Lines{"media~early 1.0.2.0/24@staged"}));
}

TEST(Combine, RangesThatTheNewestMapLacksAreRetiring) {
    EXPECT_EQ(appended(old_map, {}, {media({"1.0.1.0/24", "1.0.3.0/24"}, "@older")}),
              (Lines{"media~retiring 1.0.3.0/24@older"}));
}

TEST(Combine, AggregationAndSplittingAppendNothing) {
    EXPECT_EQ(appended(old_map, {media({"1.0.0.0/23"})}, {media({"1.0.0.0/25", "1.0.1.128/25"})}), Lines{});
}

TEST(Combine, RangeThatIsPartlyThereIsAppendedWhole) {
    EXPECT_EQ(appended(old_map, {media({"1.0.0.0/22"})}, {}), (Lines{"media~early 1.0.0.0/22"}));
}

TEST(Combine, ServiceWithAnotherPortComesWithAllItsRanges) {
    const RangeMap more_ports = edited(old_map, [](Service& s) { s.ports.push_back({IPPROTO_TCP, 443}); });
    const RangeMap other_port = edited(old_map, [](Service& s) { s.ports = {{IPPROTO_TCP, 443}}; });
    EXPECT_EQ(appended(old_map, {more_ports}, {}), (Lines{"media~early 1.0.0.0/24 1.0.1.0/24"}));
    EXPECT_EQ(appended(old_map, {}, {other_port}), (Lines{"media~retiring 1.0.0.0/24 1.0.1.0/24"}));
    EXPECT_EQ(combine(old_map, std::vector{more_ports}, {}).services.back().ports, more_ports.services[0].ports);
}

TEST(Combine, ServiceThatOnlyLacksPortsOrRegionsOfTheActiveOneAppendsNothing) {
    const RangeMap more_ports = edited(old_map, [](Service& s) {
        s.ports.insert(s.ports.begin(), {IPPROTO_TCP, 443});
    });
    EXPECT_EQ(appended(more_ports, {old_map}, {old_map}), Lines{});
    const RangeMap ca = edited(old_map, [](Service& s) { s.regions = {"ca"}; });
    EXPECT_EQ(appended(old_map, {ca}, {ca}), Lines{}); // the active one has every region
}

TEST(Combine, AnotherOrderOfPortsAndRegionsIsNoDifference) {
    const auto turned = [](RangeMap map) {
        std::ranges::reverse(map.services[0].ports);
        std::ranges::reverse(map.services[0].regions);
        return map;
    };
    const RangeMap map = edited(old_map, [](Service& s) {
        s.ports.push_back({IPPROTO_TCP, 443});
        s.regions = {"ca", "eu"};
    });
    EXPECT_EQ(appended(map, {turned(map)}, {turned(map)}), Lines{});
}

TEST(Combine, NewRegionClassOrUnconditionalServiceComesWithAllItsRanges) {
    const RangeMap ca = edited(old_map, [](Service& s) { s.regions = {"ca"}; });
    const RangeMap fallback = edited(old_map, [](Service& s) { s.class_ = KUDO_CLASS_FALLBACK; });
    const RangeMap optional = edited(old_map, [](Service& s) { s.optional = true; });
    const Lines whole{"media~early 1.0.0.0/24 1.0.1.0/24"};
    EXPECT_EQ(appended(ca, {old_map}, {}), whole);
    EXPECT_EQ(appended(old_map, {fallback}, {}), whole);
    EXPECT_EQ(appended(optional, {old_map}, {}), whole);
    EXPECT_EQ(appended(old_map, {optional}, {}), Lines{}); // always on is more than on where asked for
}

TEST(Combine, ServiceThatIsGoneRetiresWholeWithItsDomains) {
    RangeMap older = old_map;
    older.services.push_back(service("relay", ranges({"9.0.0.0/24"})));
    older.services.back().domains = {"relay.kudoway.ca"};
    older.services.push_back(service("names", {}));
    older.services.back().domains = {"names.kudoway.ca"};
    EXPECT_EQ(appended(old_map, {}, {older}), (Lines{"relay~retiring 9.0.0.0/24", "names~retiring"}));
    const auto combined = combine(old_map, {}, std::vector{older});
    EXPECT_EQ((combined.services.end() - 2)->domains, Lines{"relay.kudoway.ca"});
    EXPECT_EQ(combined.services.back().domains, Lines{"names.kudoway.ca"});
}

TEST(Combine, DomainsThatOnlyOthersHaveAreEarlyOrRetiring) {
    const auto with = [](Lines domains) {
        RangeMap map = old_map;
        map.services[0].domains = std::move(domains);
        return map;
    };
    const auto domains_appended = [&](const RangeMap& active, const RangeMap& older) {
        const auto services = combine(active, {}, std::vector{older}).services;
        return services.size() == active.services.size() ? Lines{} : services.back().domains;
    };
    EXPECT_EQ(domains_appended(with({"a.kudoway.ca"}), with({"a.kudoway.ca", "b.kudoway.ca"})), Lines{"b.kudoway.ca"});
    EXPECT_EQ(domains_appended(with({"*.kudoway.ca"}), with({"*.eu.kudoway.ca", "*.kudoway.ca"})), Lines{});
    EXPECT_EQ(domains_appended(with({"*.eu.kudoway.ca"}), with({"*.kudoway.ca"})), Lines{"*.kudoway.ca"});
    EXPECT_EQ(domains_appended(with({"*.kudoway.ca"}), with({"live.kudoway.ca"})), Lines{"live.kudoway.ca"});
    EXPECT_EQ(combine(with({}), std::vector{with({"a.kudoway.ca"})}, {}).services.back().name, "media~early");
}

TEST(Combine, SameRangeElsewhereDoesNotCount) {
    EXPECT_EQ(appended(old_map, {map_of({service("relay", ranges({"1.0.0.0/24"}))})}, {}),
              (Lines{"relay~early 1.0.0.0/24"}));
}

TEST(Combine, RangesOfSeveralMapsMakeOneServiceAndEachIsThereOnce) {
    EXPECT_EQ(appended(old_map, {media({"1.0.2.0/24"}, "@1"), media({"1.0.2.0/24", "1.0.3.0/24"}, "@2")},
                       {media({"1.0.4.0/24", "1.0.2.0/24"}, "@3"), media({"1.0.4.0/24", "1.0.5.0/24"}, "@4")}),
              (Lines{"media~early 1.0.2.0/24@1 1.0.3.0/24@2", "media~retiring 1.0.4.0/24@3 1.0.5.0/24@4"}));
}

TEST(Combine, SecondKindOfTheSameNameHasANumber) {
    const RangeMap two = edited(old_map, [](Service& s) { s.ports = {{IPPROTO_UDP, 2}}; });
    const RangeMap three = edited(old_map, [](Service& s) { s.ports = {{IPPROTO_UDP, 3}}; });
    const RangeMap four = edited(old_map, [](Service& s) { s.ports = {{IPPROTO_UDP, 4}}; });
    const RangeMap more = edited(media({"1.0.7.0/24"}), [](Service& s) { s.ports = {{IPPROTO_UDP, 3}}; });
    EXPECT_EQ(appended(old_map, {}, {two, three, four, more}),
              (Lines{"media~retiring 1.0.0.0/24 1.0.1.0/24", "media~retiring2 1.0.0.0/24 1.0.1.0/24 1.0.7.0/24",
                     "media~retiring3 1.0.0.0/24 1.0.1.0/24"}));
}

TEST(Combine, IPv4StaysBeforeIPv6) {
    EXPECT_EQ(appended(old_map, {media({"1.0.2.0/24", "2400::/32"}), media({"1.0.3.0/24", "2401::/32"})}, {}),
              (Lines{"media~early 1.0.2.0/24 1.0.3.0/24 2400::/32 2401::/32"}));
}

TEST(Combine, KeepsToTheNumberOfServicesAndLeavesTheOldestOut) {
    RangeMap active, staged, retiring;
    for (int i = 0; i < 100; ++i)
        active.services.push_back(service(fmt::format("a{}", i), ranges({"1.0.0.0/24"})));
    for (int i = 0; i < 20; ++i)
        staged.services.push_back(service(fmt::format("b{}", i), ranges({"1.0.0.0/24"})));
    for (int i = 0; i < 20; ++i)
        retiring.services.push_back(service(fmt::format("c{}", i), ranges({"1.0.0.0/24"})));
    retiring.services.push_back(service("b0", ranges({"1.0.1.0/24"})));
    const Lines lines = appended(active, {staged}, {retiring});
    ASSERT_EQ(lines.size(), KUDO_MAX_SERVICES - 1U - 100U);
    EXPECT_EQ(lines[19], "b19~early 1.0.0.0/24");
    EXPECT_EQ(lines.back(), "c6~retiring 1.0.0.0/24");
}

TEST(Combine, PartsOfANameAreTheServiceAndItsState) {
    const auto parts = [](std::string_view name) {
        const auto [service, state] = parts_of(name);
        return fmt::format("{},{}", service, state);
    };
    EXPECT_EQ(parts("media"), "media,");
    EXPECT_EQ(parts("media~retiring"), "media,retiring");
    EXPECT_EQ(parts("media~retiring2"), "media,retiring");
    EXPECT_EQ(parts("region-ca~early17"), "region-ca,early");
    EXPECT_EQ(parts("early"), "early,");
    EXPECT_EQ(parts("media~earlyx"), "media~earlyx,");
    EXPECT_EQ(parts(""), ",");
}

// One thing that a map may allow: the small universe of the random test.
struct Thing {
    std::string service, region;
    kudo_class class_;
    uint16_t port;
    bool asked_for; // did the admin ask for the optional services?
    Address address;
};

std::vector<Thing> universe() {
    std::vector<Thing> things;
    for (const char* service : {"a", "b"})
        for (const char* region : {"ca", "eu", "us"}) // "us": named by "*" only
            for (const kudo_class class_ : {KUDO_CLASS_MEDIA, KUDO_CLASS_CONTROL})
                for (const uint16_t port : {uint16_t{1}, uint16_t{2}})
                    for (const bool asked_for : {false, true})
                        for (uint8_t last = 0; last < 16; ++last)
                            things.push_back({service,
                                              region,
                                              class_,
                                              port,
                                              asked_for,
                                              {.family = Family::IPv4, .bytes = {1, 0, 0, last}}});
    return things;
}

bool allows(const Service& service, const Thing& thing) {
    const auto has_region = [&](const std::string& region) { return region == "*" || region == thing.region; };
    return service.class_ == thing.class_ && (!service.optional || thing.asked_for) &&
           std::ranges::any_of(service.regions, has_region) &&
           std::ranges::find(service.ports, thing.port, &PortRule::port) != service.ports.end() &&
           std::ranges::any_of(service.ranges,
                               [&](const Range& range) { return range.prefix.contains(thing.address); });
}

// By services of the name whose state is one of `states`.
bool allows(const RangeMap& map, const Thing& thing, std::initializer_list<std::string_view> states) {
    return std::ranges::any_of(map.services, [&](const Service& service) {
        const auto [name, state] = parts_of(service.name);
        return name == thing.service && std::ranges::find(states, state) != states.end() && allows(service, thing);
    });
}

bool any_allows(const std::vector<RangeMap>& maps, const Thing& thing) {
    return std::ranges::any_of(maps, [&](const RangeMap& map) { return allows(map, thing, {""}); });
}

class RandomMaps {
public:
    RangeMap map() {
        RangeMap result;
        for (const char* name : {"a", "b"}) {
            if (random_() % 8 != 0) result.services.push_back(random_service(name));
        }
        return result;
    }
    std::vector<RangeMap> maps() {
        std::vector<RangeMap> result(random_() % 4);
        std::ranges::generate(result, [&] { return map(); });
        return result;
    }

private:
    Service random_service(const char* name) {
        static const std::vector<std::vector<std::string>> regions{{"*"}, {"*"}, {"*"}, {"ca"}, {"eu"}, {"eu", "ca"}};
        static const std::vector<std::vector<PortRule>> ports{
            {{IPPROTO_UDP, 1}}, {{IPPROTO_UDP, 2}}, {{IPPROTO_UDP, 1}, {IPPROTO_UDP, 2}}};
        Service result = service(name, {}, regions[random_() % regions.size()]);
        result.ports = ports[random_() % ports.size()];
        result.class_ = random_() % 4 ? KUDO_CLASS_MEDIA : KUDO_CLASS_CONTROL;
        result.optional = random_() % 5 == 0;
        result.ranges.resize(random_() % 5);
        for (Range& range : result.ranges) {
            const Address address{.family = Family::IPv4, .bytes = {1, 0, 0, static_cast<uint8_t>(random_() % 16)}};
            range = {prefix_of(address, 29 + random_() % 4), ""};
        }
        return result;
    }
    std::mt19937 random_{20220301};
};

TEST(Combine, OfRandomMapsAllowsExactlyWhatOneOfThemAllowsInTheRightState) {
    RandomMaps random;
    const std::vector<Thing> things = universe();
    unsigned early = 0, retiring_only = 0;
    for (int round = 0; round < 400; ++round) {
        const RangeMap active = random.map();
        const std::vector<RangeMap> staged = random.maps(), retiring = random.maps();
        const RangeMap result = combine(active, staged, retiring);
        for (const Thing& thing : things) {
            const bool now = allows(active, thing, {""}), soon = any_allows(staged, thing),
                       before = any_allows(retiring, thing);
            ASSERT_EQ(allows(result, thing, {"", "early", "retiring"}), now || soon || before);
            ASSERT_EQ(allows(result, thing, {""}), now);
            ASSERT_EQ(allows(result, thing, {"", "early"}), now || soon);
            early += soon && !now;
            retiring_only += before && !soon && !now;
        }
        // Nothing is appended for nothing, and nothing without a name of its own.
        std::vector<std::string> names;
        for (const Service& service : result.services) {
            names.push_back(service.name);
            if (parts_of(service.name).state.empty()) continue;
            ASSERT_FALSE(service.ranges.empty());
            for (const Range& range : service.ranges) {
                Service alone = service;
                alone.ranges = {range};
                ASSERT_TRUE(std::ranges::any_of(things,
                                                [&](const Thing& thing) {
                                                    return thing.service == parts_of(service.name).service &&
                                                           allows(alone, thing) && !allows(active, thing, {""});
                                                }))
                    << service.name << " " << range.prefix.text();
            }
        }
        std::ranges::sort(names);
        ASSERT_EQ(std::ranges::adjacent_find(names), names.end());
    }
    EXPECT_GT(early, 1000U);
    EXPECT_GT(retiring_only, 1000U);
}

} // namespace
} // namespace kudo
