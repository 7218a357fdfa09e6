// SPDX-License-Identifier: MIT
// What status and stats say of mode enforce and its rehearsal.
// Invariant: nothing here asks a kernel.
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <nlohmann/json.hpp>

#include "cli/views/stats_json.h"
#include "cli/views/stats_text.h"
#include "cli/views/status_view.h"

namespace kudo {
namespace {

constexpr uint64_t second = 1'000'000'000;

Status enforcing() {
    Status status;
    status.desired.enabled = true;
    status.desired.regions = {"ca"};
    status.desired.mode = KUDO_ENFORCE;
    status.desired.allow = {"icmp"};
    status.desired.enforcement = {.deadline = 160 * second, .within = std::chrono::seconds(60), .boot = "b"};
    status.read_at = {.since_boot = 119 * second - 1, .boot = "b"};
    status.effect = status.desired.in_effect(status.read_at);
    status.lifelines = make_lifelines({}, parse_lifelines({"dns=off", "ntp=10.0.0.0/8"}).value());
    for (Lifeline& lifeline : status.lifelines) // as the kernel has them
        for (const AllowRule& rule : lifeline.rules)
            lifeline.in_kernel.push_back(rule.text);
    status.generation = 1;
    status.mode = KUDO_ENFORCE;
    status.admission = KUDO_ADMISSION_ENFORCE;
    status.policy_matches = true;
    return status;
}

bool has(const std::string& text, std::string_view part) {
    return text.find(part) != std::string::npos;
}

TEST(StatusOfEnforce, SaysHowLongItWaitsForTheConfirmation) {
    const Status status = enforcing();
    EXPECT_TRUE(has(status_text(status, false), "enforce, ends in 42 s unless kudo-agent confirm is given"));
    const OrderedJson json = status_json(status)["enforcement"];
    EXPECT_EQ(json["in_effect"], true);
    EXPECT_EQ(json["confirmed"], false);
    EXPECT_EQ(json["confirm_within_seconds"], 42);
    EXPECT_TRUE(json["ended"].is_null());
}

TEST(StatusOfEnforce, SaysThatItIsConfirmedOrHasEnded) {
    Status status = enforcing();
    status.desired.enforcement.confirmed = true;
    status.effect = status.desired.in_effect(status.read_at);
    EXPECT_TRUE(has(status_text(status, false), "enforce, confirmed"));
    EXPECT_TRUE(status_json(status)["enforcement"]["confirm_within_seconds"].is_null());
    status = enforcing();
    status.read_at.boot = "another";
    status.effect = status.desired.in_effect(status.read_at);
    EXPECT_EQ(status_json(status)["enforcement"]["ended"], "rebooted");
    status.desired.mode = KUDO_PRIORITISE;
    EXPECT_TRUE(status_json(status)["enforcement"].is_null());
}

TEST(StatusOfEnforce, ListsRulesAndLifelines) {
    const std::string text = status_text(enforcing(), false);
    for (const char* line : {"  allow       icmp\n", "  lifelines   arp: arp with any\n", " dns: off\n",
                             " ntp: udp/123 to 10.0.0.0/8 restricted to 10.0.0.0/8\n",
                             " ssh: nothing: the command was not given over SSH\n"})
        EXPECT_TRUE(has(text, line)) << line << text;
    const OrderedJson lifelines = status_json(enforcing())["lifelines"];
    ASSERT_EQ(lifelines.size(), lifeline_names().size());
    EXPECT_EQ(lifelines[4]["name"], "dns");
    EXPECT_EQ(lifelines[4]["off"], true);
    EXPECT_EQ(lifelines[5]["only"], OrderedJson({"10.0.0.0/8"}));
}

TEST(StatusOfEnforce, ListsLifelinesAsTheKernelHasThem) {
    Status status = enforcing();
    status.lifelines[0].in_kernel.clear();
    status.lifelines[4].in_kernel = {"udp/53 to 10.0.0.53"};
    const std::string text = status_text(status, false);
    for (const char* line : {"  lifelines   arp: not in the kernel now\n", " dns: udp/53 to 10.0.0.53\n"})
        EXPECT_TRUE(has(text, line)) << line << text;
    const OrderedJson lifelines = status_json(status)["lifelines"];
    EXPECT_EQ(lifelines[0]["rules"], OrderedJson::array());
    EXPECT_EQ(lifelines[0]["desired"], OrderedJson({"arp with any"}));
    EXPECT_EQ(lifelines[4]["rules"], OrderedJson({"udp/53 to 10.0.0.53"}));
}

Diagnosis denying(kudo_admission admission) {
    Diagnosis diagnosis;
    DeniedFlow flow{.protocol = IPPROTO_UDP,
                    .local = Address::parse("10.0.0.2").value(),
                    .remote = Address::parse("198.51.100.7").value(),
                    .local_port = 50000,
                    .remote_port = 123,
                    .interface = "eth0",
                    .name = "ntp"};
    flow.counters[KUDO_EGRESS] = {7, 700};
    flow.reasons = {KUDO_REASON_UNSOLICITED, KUDO_REASON_STRANGER};
    diagnosis.statistics.denied.admission = admission;
    diagnosis.statistics.denied.would_drop[KUDO_REASON_STRANGER][KUDO_EGRESS] = {9, 900};
    diagnosis.statistics.denied.untracked_packets = 2;
    diagnosis.statistics.denied.flows = {flow, flow};
    diagnosis.denied[0].processes = {{.pid = 7, .name = "chronyd"}};
    return diagnosis;
}

TEST(StatsOfEnforce, ListDeniedFlowsByProcessNameAndReason) {
    const std::string text = denied_text(denying(KUDO_ADMISSION_ENFORCE), {.width = 200}, 1);
    for (const char* part :
         {"DROPPED FLOW", "198.51.100.7:123", "ntp", "chronyd", "stranger", "and 1 more", "2 packets more are in none"})
        EXPECT_TRUE(has(text, part)) << part << text;
    EXPECT_FALSE(has(text, "WOULD BE"));
    const std::string rehearsed = denied_text(denying(KUDO_ADMISSION_REHEARSE), {.width = 200}, 1);
    EXPECT_TRUE(has(rehearsed, "WOULD BE DROPPED")) << rehearsed;
    EXPECT_TRUE(denied_text({}, {}, 10).empty());
}

TEST(StatsOfEnforce, AreInJson) {
    std::string text;
    const auto write = [&](std::string_view part) -> Result<void> {
        text += part;
        return {};
    };
    ASSERT_TRUE(write_stats_json(denying(KUDO_ADMISSION_REHEARSE), {}, true, write));
    const auto json = nlohmann::json::parse(text);
    EXPECT_TRUE(json.at("flows").empty());
    const auto& denied = json.at("denied");
    EXPECT_EQ(denied.at("admission"), "rehearse");
    EXPECT_EQ(denied.at("would_drop").at("stranger").at("egress").at("packets"), 9);
    EXPECT_EQ(denied.at("untracked_packets"), 2);
    ASSERT_EQ(denied.at("flows").size(), 2U);
    EXPECT_EQ(denied.at("flows")[0].at("reason"), "stranger");
    EXPECT_EQ(denied.at("flows")[0].at("processes")[0].at("name"), "chronyd");
}

} // namespace
} // namespace kudo
