// SPDX-License-Identifier: MIT
// What a host says of itself: written, read, and what of a stranger's words is refused.
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "agent/fleet/host_report.h"

namespace kudo {
namespace {

HostReport report() {
    HostReport report;
    report.host = "web-1.example.com";
    report.fleet = "acme";
    report.ring = "canary";
    report.serial = 2022030100;
    report.content_hash = std::string(64, 'a');
    report.mode = "prioritise";
    report.health = "healthy";
    report.problems = {"source \"x\": \\ is not there"};
    report.staged_serial = 2022040100;
    report.staged_effective = parse_rfc3339("2022-04-01T00:00:00Z").value();
    report.key_set_serial = 3;
    report.version = "0.1.0";
    report.time = parse_rfc3339("2022-03-02T00:00:00Z").value();
    return report;
}

std::string changed(const std::string& field, const nlohmann::json& value) {
    auto document = nlohmann::json::parse(to_json(report()));
    document[field] = value;
    return document.dump();
}

std::string refusal(const std::string& json) {
    const auto parsed = parse_host_report(json, "host.x");
    if (parsed) return "accepted";
    EXPECT_EQ(parsed.error().kind, ErrorKind::BadInput);
    return parsed.error().message;
}

TEST(HostReport, IsReadAsItWasWritten) {
    EXPECT_EQ(parse_host_report(to_json(report()), "x").value(), report());
    HostReport bare = report();
    bare.serial = bare.staged_serial = bare.key_set_serial = 0;
    bare.staged_effective.reset();
    bare.content_hash = bare.mode = bare.version = "";
    bare.health = "not enabled";
    bare.problems.clear();
    EXPECT_EQ(parse_host_report(to_json(bare), "x").value(), bare);
}

TEST(HostReport, WritesWhateverItHoldsSoThatItCanBeRead) {
    HostReport wild = report();
    wild.problems.assign(1000, "\x1b]0;owned\x07 \xff\xfe \xc3\xa9 \n" + std::string(100'000, '"'));
    wild.alarms = wild.problems;
    wild.version = std::string(1000, '\x01');
    const std::string json = to_json(wild);
    EXPECT_LE(json.size(), host_report_max_bytes);
    const auto parsed = parse_host_report(json, "x");
    ASSERT_TRUE(parsed) << parsed.error().message;
    EXPECT_TRUE(parsed->problems[0].starts_with("\\x1b]0;owned\\x07 \\xff"));
    EXPECT_EQ(parsed->problems.back(), "and 977 more");
}

TEST(HostReport, WithControlCharactersIsRefused) {
    EXPECT_TRUE(refusal(changed("problems", {"\x1b[2J"})).starts_with("host.x: problems[0]: must be"));
    EXPECT_TRUE(refusal(changed("alarms", {"a", "\n"})).starts_with("host.x: alarms[1]: must be"));
    EXPECT_TRUE(refusal(changed("version", "\x07")).starts_with("host.x: version: \"\\x07\": expected"));
    EXPECT_TRUE(refusal(changed("host", "\x1b")).starts_with("host.x: host: \"\\x1b\": expected"));
}

TEST(HostReport, WithAnythingWrongIsRefused) {
    for (const auto& [field, value] :
         std::vector<std::pair<std::string, nlohmann::json>>{{"format", "kudo-host-report/2"},
                                                             {"host", ""},
                                                             {"host", "a..b"},
                                                             {"fleet", "Acme"},
                                                             {"ring", "a.b"},
                                                             {"serial", -1},
                                                             {"serial", "1"},
                                                             {"serial", 1e30},
                                                             {"content_hash", "xyz"},
                                                             {"mode", "a b"},
                                                             {"health", "fine"},
                                                             {"problems", "x"},
                                                             {"problems", std::vector<std::string>(25, "x")},
                                                             {"problems", {std::string(401, 'x')}},
                                                             {"staged", 3},
                                                             {"staged", {{"serial", 0}, {"effective", nullptr}}},
                                                             {"staged", {{"serial", 1}}},
                                                             {"key_set_serial", nullptr},
                                                             {"version", std::string(65, 'x')},
                                                             {"time", "yesterday"},
                                                             {"extra", 1}}) {
        EXPECT_NE(refusal(changed(field, value)), "accepted") << field << " " << value;
        EXPECT_NE(refusal(changed(field, value)).find(field), std::string::npos) << refusal(changed(field, value));
    }
    EXPECT_NE(refusal(to_json(report()) + " "), refusal("")) << "blanks at the end are no fault";
    EXPECT_NE(refusal(std::string(host_report_max_bytes + 1, ' ')).find("too many"), std::string::npos);
}

TEST(HostName, IsAlsoAKeyOfTheStore) {
    for (const char* name : {"a", "web-1.example.com", "A_b"})
        EXPECT_TRUE(is_host_name(name)) << name;
    for (const char* name : {"", ".a", "a.", "a..b", "a b", "a*", ">", "a/b", "\xc3\xa9"})
        EXPECT_FALSE(is_host_name(name)) << name;
}

} // namespace
} // namespace kudo
