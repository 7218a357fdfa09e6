// SPDX-License-Identifier: MIT
// Which slots service names get, keep and lose.
// Invariant: each test names one behaviour.
#include <algorithm>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "maps/compile/combine.h"
#include "maps/compile/service_slots.h"
#include "tests/unit/maps/compile_samples.h"

namespace kudo {
namespace {

// "s1" to "s127", each in the slot of its number.
ServiceSlots full_table() {
    ServiceSlots slots;
    for (int slot = 1; slot < KUDO_MAX_SERVICES; ++slot)
        slots.emplace(fmt::format("s{}", slot), static_cast<uint8_t>(slot));
    return slots;
}

Result<ServiceSlots> assign(const ServiceSlots& slots, const std::vector<std::string>& names,
                            const ReusableSlots& reusable = std::nullopt) {
    std::vector<Service> services;
    for (const std::string& name : names)
        services.push_back(service(name, {}));
    std::vector<const Service*> chosen;
    for (const Service& each : services)
        chosen.push_back(&each);
    return assign_slots(slots, chosen, reusable);
}

TEST(ServiceSlots, NamesThatNoServiceHasKeepTheirSlotsWhileOthersAreFree) {
    EXPECT_EQ(assign({{"old", 1}}, {"new"}).value(), (ServiceSlots{{"old", 1}, {"new", 2}}));
}

TEST(ServiceSlots, AreTakenInTheOrderGivenWhereNoneIsFree) {
    const auto slots = assign(full_table(), {"new", "newer"}, std::vector<uint8_t>{9, 4, 5}).value();
    EXPECT_EQ(slots.size(), 127U);
    EXPECT_EQ(slots.at("new"), 9);
    EXPECT_EQ(slots.at("newer"), 4);
    EXPECT_FALSE(slots.contains("s9"));
    EXPECT_TRUE(slots.contains("s5"));
}

TEST(ServiceSlots, OfNamesThatAServiceHasAreNotTaken) {
    const auto slots = assign(full_table(), {"new", "s9"}, std::vector<uint8_t>{9, 4}).value();
    EXPECT_EQ(slots.at("s9"), 9);
    EXPECT_EQ(slots.at("new"), 4);
}

TEST(ServiceSlots, ThatAreFreeGoFirst) {
    ServiceSlots table = full_table();
    table.erase("s100");
    EXPECT_EQ(assign(table, {"new"}, std::vector<uint8_t>{9}).value().at("new"), 100);
}

TEST(ServiceSlots, AreRefusedWhereNoneMayBeTaken) {
    EXPECT_TRUE(assign(full_table(), {"s5"}, std::vector<uint8_t>{}));
    const auto refused = assign(full_table(), {"new"}, std::vector<uint8_t>{});
    ASSERT_FALSE(refused);
    EXPECT_NE(refused.error().message.find("more than 127 names"), std::string::npos) << refused.error().message;
}

TEST(ServiceSlots, MayAllBeTakenByWhoHasNoPackets) {
    std::vector<std::string> names;
    for (int i = 0; i < 127; ++i)
        names.push_back(fmt::format("n{}", i));
    EXPECT_EQ(assign(full_table(), names).value().size(), 127U);
    names.emplace_back("one-more");
    EXPECT_FALSE(assign(full_table(), names));
}

TEST(SlotName, IsTheServicesOwnWhereThatFits) {
    const std::string longest(63, 'x');
    EXPECT_EQ(slot_name("media~retiring2"), "media~retiring2");
    EXPECT_EQ(slot_name(longest), longest);
}

TEST(SlotName, OfALongNameFitsAndIsItsOwnAndKeepsWhatStandsBehind) {
    const std::string one = std::string(62, 'x') + "1", other = std::string(62, 'x') + "2";
    const std::string name = slot_name(one + "~retiring2");
    EXPECT_EQ(name.size(), 63U);
    EXPECT_EQ(parts_of(name).state, "retiring");
    EXPECT_NE(name, slot_name(other + "~retiring2"));
    EXPECT_NE(name, slot_name(one + "~retiring3"));
}

TEST(SlotName, LetsALongServiceAndItsRetiringPartHaveSlotsOfTheirOwn) {
    const std::string name(63, 'x');
    const auto slots = assign({}, {name, name + "~retiring"}).value();
    EXPECT_EQ(slots.size(), 2U);
    EXPECT_EQ(assign(slots, {name, name + "~retiring"}).value(), slots);
}

} // namespace
} // namespace kudo
