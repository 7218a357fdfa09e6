// SPDX-License-Identifier: MIT
// Lifelines as a policy has them, told by name.
// Invariant: nothing here asks the kernel: policies are compiled.
#include <gtest/gtest.h>

#include "agent/inspect/lifelines_there.h"
#include "maps/compile/compile.h"
#include "maps/document/built_in.h"

namespace kudo {
namespace {

using Texts = std::vector<std::string>;

LifelineFacts facts(const char* resolver) {
    return {.resolvers = {Address::parse(resolver).value()},
            .gateways = {Address::parse("10.0.0.1").value(), Address::parse("fe80::1").value()},
            .ssh = "203.0.113.9 50022 10.0.0.2 22",
            .sources = {{"ranges.example.com:443", 443, {Address::parse("198.51.100.80").value()}}},
            .sources_known = true};
}

CompiledPolicy compiled(const LifelineFacts& of, const Texts& allow = {}, const Texts& settings = {}) {
    CompileOptions options{.regions = {"ca"}, .mode = KUDO_ENFORCE, .admission = KUDO_ADMISSION_ENFORCE};
    for (const std::string& rule : allow)
        options.allow.push_back(parse_allow_rule(rule).value());
    for (Lifeline& lifeline : make_lifelines(of, parse_lifelines(settings).value()))
        std::ranges::move(lifeline.rules, std::back_inserter(options.allow));
    return compile(built_in_range_map(), options).value();
}

const Lifeline& named(const std::vector<Lifeline>& lifelines, const char* name) {
    return *std::ranges::find(lifelines, name, &Lifeline::name);
}

TEST(LifelinesThere, AreThoseThatWereCompiled) {
    std::vector<Lifeline> lifelines = make_lifelines(facts("10.0.0.53"), {});
    read_lifelines_there(compiled(facts("10.0.0.53"), {"udp/53 to 10.0.0.0/8", "tcp/22 from any"}), lifelines);
    for (const Lifeline& lifeline : lifelines) {
        Texts wanted;
        for (const AllowRule& rule : lifeline.rules)
            wanted.push_back(rule.text);
        EXPECT_EQ(lifeline.in_kernel, wanted) << "the administrator's are none";
        EXPECT_FALSE(wanted.empty()) << lifeline.name;
        EXPECT_EQ(lifeline_difference(lifeline), "");
    }
}

TEST(LifelinesThere, OthersAreToldBesideThoseThatAreMissing) {
    std::vector<Lifeline> lifelines = make_lifelines(facts("10.0.0.54"), {});
    read_lifelines_there(compiled(facts("10.0.0.53"), {}, {"ntp=off"}), lifelines);
    EXPECT_EQ(named(lifelines, "dns").in_kernel,
              (Texts{"udp/53 to 10.0.0.53", "tcp/53 to 10.0.0.53", "tcp/853 to 10.0.0.53"}));
    EXPECT_EQ(lifeline_difference(named(lifelines, "dns")),
              "not in the kernel: udp/53 to 10.0.0.54; tcp/53 to 10.0.0.54; tcp/853 to 10.0.0.54; in the kernel only: "
              "udp/53 to 10.0.0.53; tcp/53 to 10.0.0.53; tcp/853 to 10.0.0.53");
    EXPECT_EQ(lifeline_difference(named(lifelines, "ntp")), "not in the kernel: udp/123 to any");
    EXPECT_EQ(lifeline_difference(named(lifelines, "ssh")), "");
}

TEST(LifelinesThere, AreNoneInAPolicyWithoutAdmission) {
    std::vector<Lifeline> lifelines = make_lifelines(facts("10.0.0.53"), {});
    read_lifelines_there(compile(built_in_range_map(), {.regions = {"ca"}}).value(), lifelines);
    for (const Lifeline& lifeline : lifelines)
        EXPECT_TRUE(lifeline.in_kernel.empty()) << lifeline.name;
}

} // namespace
} // namespace kudo
