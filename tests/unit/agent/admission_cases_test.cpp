// SPDX-License-Identifier: MIT
// explain's account of admission.
// Invariant: what it says follows docs/enforce.md, step by step.
#include <gtest/gtest.h>

#include "agent/inspect/explanation.h"
#include "maps/document/built_in.h"

namespace kudo {
namespace {

CompileOptions enforced(const std::vector<std::string>& rules) {
    CompileOptions options{.regions = {"ca"}, .optional_services = {}, .mode = KUDO_ENFORCE, .marks = default_marks()};
    options.admission = KUDO_ADMISSION_ENFORCE;
    for (const std::string& rule : rules)
        options.allow.push_back(parse_allow_rule(rule).value());
    return options;
}

// "reason by" of each case.
std::vector<std::string> cases(const CompileOptions& options, const char* remote, const char* port = nullptr) {
    const auto explained = explain(built_in_range_map(), options, Address::parse(remote).value(),
                                   port ? std::optional(PortRule::parse(port).value()) : std::nullopt);
    std::vector<std::string> result;
    for (const AdmissionCase& each : explained.value().admission.value().cases)
        result.push_back(std::to_string(each.reason) + (each.admitted ? "+" : "-") + each.by);
    return result;
}
std::string is(kudo_reason reason, bool admitted, const char* by = "") {
    return std::to_string(reason) + (admitted ? "+" : "-") + by;
}

using Cases = std::vector<std::string>;

TEST(AdmissionCases, KudoAnswersAndDoesNotOpen) {
    for (const char* port : {"udp/3478", "tcp/443"})
        EXPECT_EQ(cases(enforced({"any from any"}), "3.123.12.129", port),
                  (Cases{is(KUDO_REASON_RULE, true), is(KUDO_REASON_RULE, true), is(KUDO_REASON_UNSOLICITED, false)}));
    EXPECT_EQ(cases(enforced({}), "3.123.12.129", "udp/53"), (Cases(3, is(KUDO_REASON_PORT_NOT_LISTED, false))));
    EXPECT_EQ(cases(enforced({}), "3.123.12.129"),
              (Cases{is(KUDO_REASON_ICMP, true), is(KUDO_REASON_ICMP_DENIED, false)}));
}

TEST(AdmissionCases, AnAllowRuleSaysWhoOpens) {
    const char* const to = "udp/51820 to 198.51.100.7";
    EXPECT_EQ(cases(enforced({to}), "198.51.100.7", "udp/51820"),
              (Cases{is(KUDO_REASON_ALLOWED, true, to), is(KUDO_REASON_ALLOWED, true, to),
                     is(KUDO_REASON_UNSOLICITED, false, to)}));
    EXPECT_EQ(cases(enforced({to}), "198.51.100.8", "udp/51820"), (Cases(3, is(KUDO_REASON_STRANGER, false))));
    EXPECT_EQ(cases(enforced({"icmp from any"}), "198.51.100.7"),
              (Cases{is(KUDO_REASON_STRANGER, false), is(KUDO_REASON_ALLOWED, true, "icmp from any")}));
}

TEST(AdmissionCases, ALifelineIsNamed) {
    CompileOptions options = enforced({"udp/53 to 10.0.0.53"});
    options.allow.front().lifeline = "dns";
    EXPECT_EQ(cases(options, "10.0.0.53", "udp/53").front(),
              is(KUDO_REASON_LIFELINE, true, "lifeline dns: udp/53 to 10.0.0.53"));
}

} // namespace
} // namespace kudo
