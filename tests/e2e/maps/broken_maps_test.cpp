// SPDX-License-Identifier: MIT
// Broken range maps through the real program: what it says, and that the running data path is left alone.
// Invariant: every refusal is exit status 2 and one line that names the file, the field and what was expected; nothing
// on standard output.
#include <gtest/gtest.h>

#include <bpf/bpf.h>
#include <sys/stat.h>

#include <algorithm>
#include <fstream>

#include "agent/datapath/bpf_object.h"
#include "maps/document/range_map.h"
#include "tests/support/host_test.h"

namespace kudo::test {
namespace {

constexpr const char* good =
    R"({"format": "kudo-range-map/1", "serial": 2022050001, "expires": null, "overrides": ["shrink"],
  "issued": "2022-03-01T00:00:00Z", "effective": "2022-03-01T00:00:00Z", "services": [
  {"name": "media", "class": "media", "regions": ["*"], "ports": ["udp/3478", "tcp/443"], "ipv4": ["3.123.12.128/28"]},
  {"name": "region-ca", "class": "control", "regions": ["ca"], "ports": ["tcp/443"], "ipv4": ["3.97.146.187"]}]})";

// The good map with the first `from` replaced by `to`.
struct BrokenMap {
    const char *from, *to;
    const char* field;    // as the message names it
    const char* expected; // a part of what it says was expected
};
constexpr BrokenMap broken_maps[] = {
    {"kudo-range-map/1", "kudo-range-map/2", "format", "expected \"kudo-range-map/1\""},
    {"2022050001", "\"2022050001\"", "serial", "must be a whole number"},
    {"2022050001", "0", "serial", "must be a whole number from 1"},
    {"2022050001", "-1", "serial", "must be a whole number from 1"},
    {"2022050001", "2.5", "serial", "must be a whole number"},
    {"\"serial\": 2022050001,", "", "serial", "missing"},
    {"2022050001", "7", "serial", "lower than 2022030100"},
    {"2022-03-01T00:00:00Z", "2022-13-01T00:00:00Z", "issued", "2022-13-01"},
    {"2022-03-01T00:00:00Z", "2023-03-01T00:00:00Z", "effective", "before the map was issued"},
    {"\"expires\": null", "\"expires\": \"2021-01-01T00:00:00Z\"", "expires", "not after"},
    {"\"expires\"", "\"colour\": 1, \"expires\"", "colour", "unknown field"},
    {"\"expires\"", "\"serial\": 2022050002, \"expires\"", "serial", "duplicate"},
    {"\"name\": \"media\"", "\"name\": \"Media\"", "services[0].name", "a-z"},
    {"\"region-ca\"", "\"media\"", "services[1].name", "services[0] has that name already"},
    {"\"class\": \"control\"", "\"class\": \"gold\"", "services[1].class", "expected media, control or fallback"},
    {"[\"ca\"]", "[]", "services[1].regions", "\"*\""},
    {"[\"ca\"]", "[\"ca\", \"*\"]", "services[1].regions[1]", "must be the only entry"},
    {"udp/3478", "udp/65536", "services[0].ports[0]", "65535"},
    {"tcp/443\"],", "sctp/443\"],", "services[0].ports[1]", "tcp/"},
    {"3.123.12.128/28", "3.123.12.129/28", "services[0].ipv4[0]", "write 3.123.12.128/28"},
    {"3.123.12.128/28", "3.123.12.128/33", "services[0].ipv4[0]", "32"},
    {"3.123.12.128/28", "3.123.12.1280/28", "services[0].ipv4[0]", "address"},
    {"3.123.12.128/28", "2001:db8::/32", "services[0].ipv4[0]", "put it into \"ipv6\""},
    {"[\"3.97.146.187\"]", "\"3.97.146.187\"", "services[1].ipv4", "must be an array"},
    {", \"ipv4\": [\"3.97.146.187\"]", "", "services[1]", "give it ipv4, ipv6 or domains"},
    {"\"ipv4\": [\"3.97.146.187\"]", "\"domains\": [\"*.\"]", "services[1].domains[0]", "domain"},
    {"null,", "null", "line 1", "column"},
};

std::string broken(const BrokenMap& change) {
    std::string text = good;
    return text.replace(text.find(change.from), std::string(change.from).size(), change.to);
}

class InputRangeMap : public HostTest {
protected:
    void SetUp() override {
        HostTest::SetUp();
        if (!test_) return;
        const Outcome enabled = test_->agent({"enable", "--region", "ca"});
        ASSERT_EQ(enabled.status, 0) << enabled.err;
        before_ = trace();
    }
    void TearDown() override {
        if (test_) {
            EXPECT_EQ(trace(), before_) << "refused input has changed something";
        }
    }

    // Everything that a refused command must leave as it was.
    nlohmann::json trace() const {
        nlohmann::json result = {{"status", test_->status()}, {"state", nlohmann::json::object()}};
        for (const char* kind : {"links", "maps"}) {
            for (const auto& pin : std::filesystem::directory_iterator(test_->instance.layout() / kind)) {
                bpf_map_info info{}; // map, link and program alike: the id is the second word
                uint32_t size = sizeof info;
                const Fd fd = open_pin(pin.path()).value();
                if (bpf_obj_get_info_by_fd(fd.get(), &info, &size) != 0) throw std::runtime_error("no info");
                result[kind][pin.path().filename()] = info.id;
            }
        }
        for (const auto& file : std::filesystem::recursive_directory_iterator(test_->instance.state_dir))
            result["state"][file.path()] = file.is_directory() ? 0 : file.last_write_time().time_since_epoch().count();
        return result;
    }

    void expect_refused(const std::string& command, const std::string& file,
                        const std::vector<std::string>& words) const {
        const Outcome outcome = command == "apply" ? test_->apply(file) : test_->agent({"ranges", command, file});
        const std::string what = command + " " + file + ": " + outcome.out + outcome.err;
        EXPECT_EQ(outcome.status, 2) << what;
        EXPECT_EQ(outcome.out, "") << what;
        EXPECT_EQ(std::count(outcome.err.begin(), outcome.err.end(), '\n'), 1) << what;
        EXPECT_TRUE(outcome.err.starts_with("kudo-agent: " + file + ": ")) << what;
        for (const std::string& word : words)
            EXPECT_NE(outcome.err.find(word), std::string::npos) << word << " in " << what;
    }

    nlohmann::json before_;
};

TEST_F(InputRangeMap, TheGoodMapOfTheseTestsIsTaken) {
    const std::string file = test_->write_file("good.json", good);
    const Outcome checked = test_->agent({"ranges", "check", file});
    EXPECT_EQ(checked.status, 0) << checked.err;
    const Outcome applied = test_->apply(file);
    EXPECT_EQ(applied.status, 0) << applied.err;
    EXPECT_NE(trace(), before_) << "the comparison cannot fail";
    before_ = trace();
}

TEST_F(InputRangeMap, EveryBrokenOneIsRefusedWithTheFieldAndWhatWasExpected) {
    for (const BrokenMap& change : broken_maps) {
        const std::string file = test_->write_file("broken.json", broken(change));
        expect_refused("apply", file, {change.field, change.expected});
        // Only apply knows of the map that is in use.
        if (std::string(change.to) != "7") expect_refused("check", file, {change.field, change.expected});
    }
}

TEST_F(InputRangeMap, AMapWithoutTheEnabledRegionIsRefused) {
    std::string text = good;
    text.replace(text.find("\"ca\""), 4, "\"eu\"");
    expect_refused("apply", test_->write_file("other.json", text), {"ca", "eu"});
}

TEST_F(InputRangeMap, ABrokenVendorListIsRefused) {
    expect_refused("apply", test_->write_file("vendor.json", R"({"ipv4": ["3.7.161.48/28", "3.7.161.9/26"]})"),
                   {"ipv4[1]", "write 3.7.161.0/26"});
}

TEST_F(InputRangeMap, WhatIsNoRegularFileIsRefusedAndNeverWaitedFor) {
    const std::string fifo = test_->folder + "/fifo";
    ASSERT_EQ(mkfifo(fifo.c_str(), 0600), 0);
    for (const std::string& file : {fifo, test_->folder, std::string("/dev/zero")})
        for (const char* command : {"apply", "check", "diff"}) {
            const auto start = std::chrono::steady_clock::now();
            expect_refused(command, file, {"not a regular file"});
            EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(5));
        }
}

TEST_F(InputRangeMap, AFileOfOneByteTooManyIsRefusedAndOneByteLessIsNot) {
    std::string text = good;
    text.append(range_map_max_bytes - text.size(), ' ');
    EXPECT_EQ(test_->agent({"ranges", "check", test_->write_file("full.json", text)}).status, 0);
    for (const char* command : {"apply", "check", "diff"})
        expect_refused(command, test_->write_file("large.json", text + " "), {"larger than 1048576 bytes"});
}

TEST_F(InputRangeMap, AMissingFileAndAnEmptyOneAreRefused) {
    for (const char* command : {"apply", "check", "diff"}) {
        expect_refused(command, test_->folder + "/missing.json", {"No such file"});
        expect_refused(command, test_->write_file("empty.json", ""), {"line 1"});
    }
}

TEST_F(InputRangeMap, ARefusedOneLeavesNoTraceWhereNothingIsEnabled) {
    ASSERT_EQ(test_->agent({"disable"}).status, 0);
    ASSERT_TRUE(std::filesystem::is_empty(test_->instance.state_dir));
    for (const BrokenMap& change : broken_maps)
        expect_refused("apply", test_->write_file("broken.json", broken(change)), {change.field});
    EXPECT_TRUE(std::filesystem::is_empty(test_->instance.state_dir));
    EXPECT_FALSE(std::filesystem::exists(test_->instance.pins()));
    ASSERT_EQ(test_->agent({"disable"}).status, 0);
    test_.reset();
}

} // namespace
} // namespace kudo::test
