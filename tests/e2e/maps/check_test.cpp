// SPDX-License-Identifier: MIT
// What `ranges check` and `ranges diff` say would become of a map on this host.
// Invariant: nothing is changed; what they say is what `ranges apply` then does.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include <fmt/format.h>

#include "tests/support/host_test.h"
#include "tests/support/minisign_key.h"

namespace kudo::test {
namespace {

struct MapText {
    uint64_t serial = 2022050002;
    std::string more = "", ranges = R"("3.123.12.128/28")", effective = "2022-03-01T00:00:00Z", expires = "null";
    [[nodiscard]] std::string text() const {
        return fmt::format(R"({{"format": "kudo-range-map/1", "serial": {}, "issued": "2022-03-01T00:00:00Z",
 "effective": "{}", "expires": {}, {}"services": [
 {{"name": "media", "class": "media", "regions": ["ca"], "ports": ["udp/3478"], "ipv4": [{}]}}]}})",
                           serial, effective, expires, more, ranges);
    }
};
constexpr const char* may_shrink = R"("overrides": ["shrink"], )";

class RangesCheck : public HostTest {
protected:
    void SetUp() override {
        HostTest::SetUp();
        if (!test_) return;
        keys_ = test_->folder + "/keys";
        key_.emplace(keys_, "publisher");
        ASSERT_EQ(apply(file({.serial = 2022050001, .more = may_shrink})).status, 0);
        const Outcome enabled = test_->agent({"enable", "--region", "ca"});
        ASSERT_EQ(enabled.status, 0) << enabled.err;
    }

    std::string file(const MapText& map) const { return test_->write_file("map.json", map.text()); }
    Outcome apply(const std::string& path, std::vector<std::string> more = {}) const {
        more.insert(more.begin(), {"ranges", "apply", path, "--keys", keys_, "--allow-unsigned"});
        return test_->agent(more);
    }
    Outcome run(const std::string& command, const std::string& path, std::vector<std::string> more = {}) const {
        more.insert(more.begin(), {"ranges", command, path});
        more.insert(more.end(), {"--keys", keys_});
        return test_->agent(more);
    }
    // What `check --json` says, which must end so.
    nlohmann::json check(const MapText& map, int status = 0) const {
        const Outcome outcome = run("check", file(map), {"--json"});
        EXPECT_EQ(outcome.status, status) << outcome.out << outcome.err;
        return nlohmann::json::parse(outcome.out);
    }
    void expect_would(const MapText& map, const std::string& outcome, const std::string& words, int status = 0) const {
        const auto before = test_->status();
        const auto said = check(map, status);
        EXPECT_EQ(said.at("would").at("outcome"), outcome);
        EXPECT_EQ(said.at("valid"), status == 0);
        const Outcome different = run("diff", file(map));
        EXPECT_EQ(different.status, 0) << different.err;
        EXPECT_NE(said.at("would").at("text").get<std::string>().find(words), std::string::npos)
            << words << " in " << said.at("would");
        if (outcome != "activated") {
            EXPECT_NE(different.out.find("note: this host would "), std::string::npos) << different.out;
            EXPECT_NE(different.out.find(words), std::string::npos) << words << " in " << different.out;
        }
        EXPECT_EQ(test_->status(), before) << "something was taken in";
    }

    std::string keys_;
    std::optional<MinisignKey> key_;
};

TEST_F(RangesCheck, SaysThatAGoodMapWouldBeInEffectAtOnce) {
    expect_would({}, "activated", "at once");
    EXPECT_EQ(run("diff", file({})).out.find("note:"), std::string::npos);
}

TEST_F(RangesCheck, SaysUntilWhenAMapWouldBeStaged) {
    expect_would({.effective = "2100-01-01T00:00:00Z"}, "staged", "until 2100-01-01T00:00:00Z");
}

TEST_F(RangesCheck, HoldsNoSerialAndNoAudienceAgainstTheFile) {
    expect_would({.serial = 2022050001, .more = may_shrink}, "known", "2022050001 is known already");
    expect_would({.serial = 7}, "superseded", "serial: 7 is lower than 2022050001");
    expect_would({.serial = 2022050001}, "refused", "other content");
    expect_would({.more = R"("audience": "acme", )"}, "refused", "this host is in no fleet");
}

TEST_F(RangesCheck, RefusesAMapThatEveryHostWouldRefuseWithAllThatIsWrong) {
    const MapText map{.ranges = R"("3.123.12.128/28", "2.0.0.0/7", "172.16.0.0/12")"};
    expect_would(map, "refused", "172.16.0.0/12 is private", 2);
    expect_would({.serial = 7, .ranges = R"("2.0.0.0/7")"}, "superseded", "serial: 7 is lower", 2);
    expect_would({.expires = R"("2022-04-01T00:00:00Z")"}, "refused", "expires: 2022-04-01", 2);
    const auto violations = check(map, 2).at("violations");
    ASSERT_EQ(violations.size(), 2U);
    EXPECT_EQ(violations.at(0).at("guard"), "wide-prefix");
    EXPECT_EQ(violations.at(1).at("text"), "services[0].ipv4[2]: 172.16.0.0/12 is private (RFC 1918)");
    const Outcome outcome = run("check", file(map));
    EXPECT_EQ(outcome.out, "");
    EXPECT_NE(outcome.err.find("map.json: services[0].ipv4[1]: 2.0.0.0/7 is wider than /8; services[0].ipv4[2]"),
              std::string::npos)
        << outcome.err;
}

TEST_F(RangesCheck, AsksTheGuardsOfThisHost) {
    test_->in_host({"ip", "address", "add", "3.44.0.7/32", "dev", "lo"});
    expect_would({.ranges = R"("3.123.12.128/28", "3.44.0.0/24")"}, "refused", "3.44.0.7, an address of this host", 2);
    expect_would({.ranges = R"("3.7.161.0/26")"}, "refused", "1 of the 1 ranges of serial 2022050001 would be gone", 2);
    expect_would({.more = may_shrink, .ranges = R"("3.7.161.0/26")"}, "activated", "at once");
}

TEST_F(RangesCheck, SaysThatARollbackHoldsTheMap) {
    ASSERT_EQ(apply(file({.serial = 2022050002})).status, 0);
    ASSERT_EQ(test_->agent({"ranges", "rollback"}).status, 0);
    expect_would({.serial = 2022050003}, "held", "rolled back from serial 2022050002");
    expect_would({.serial = 2022050003, .more = R"("supersedes": 2022050002, )"}, "activated", "at once");
}

TEST_F(RangesCheck, SaysWhetherTheSignatureBesideTheFileIsRight) {
    const auto signature = [&] { return check({}).at("signature"); };
    EXPECT_TRUE(signature().at("right").is_null());
    EXPECT_NE(run("check", file({})).out.find("signature: none: there is no "), std::string::npos);
    key_->sign(file({}));
    EXPECT_EQ(signature().at("right"), true);
    EXPECT_EQ(signature().at("signed_by").size(), 1U);
    EXPECT_NE(run("check", file({})).out.find("signature: valid, by "), std::string::npos);
    key_->sign(file({.serial = 2022050009}));
    EXPECT_EQ(signature().at("right"), false);
    keys_ = test_->folder + "/none";
    EXPECT_TRUE(signature().at("right").is_null()) << "there is no key";
}

TEST_F(RangesCheck, SaysOfAKeySetWhatToDoWithIt) {
    const std::string set = test_->write_file("set.json", R"({"format": "kudo-key-set/1", "serial": 1})");
    for (const char* command : {"check", "diff"}) {
        const Outcome outcome = run(command, set);
        EXPECT_EQ(outcome.status, 2);
        EXPECT_NE(outcome.err.find("ranges apply takes it"), std::string::npos) << outcome.err;
    }
}

TEST_F(RangesCheck, TellsWhomItMayNotAskInsteadOfGuessing) {
    const std::string path = file({}), program = test_->folder + "/kudo-agent";
    std::filesystem::copy_file(KUDO_AGENT_PROGRAM, program); // where anybody may run it, wherever it was built
    const Outcome outcome = inside<Outcome>(test_->host, [&] {
        auto argv = test_->agent_argv({"ranges", "check", path, "--json"});
        argv[0] = program;
        argv.insert(argv.begin(),
                    {"setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--bounding-set=-all"});
        return run_program(argv);
    });
    ASSERT_EQ(outcome.status, 0) << outcome.err;
    EXPECT_EQ(nlohmann::json::parse(outcome.out).at("would").at("outcome"), "unknown") << outcome.out;
}

} // namespace
} // namespace kudo::test
