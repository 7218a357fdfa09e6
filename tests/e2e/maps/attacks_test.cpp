// SPDX-License-Identifier: MIT
// Range maps that must not come in, by hand and through the service.
// Invariant: after every refusal the last good map judges on, its content hash read back from the kernel.
#include <gtest/gtest.h>

#include <sys/mount.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>

#include <fmt/format.h>

#include "agent/acceptance/acceptance.h"
#include "agent/sources/source_messages.h"
#include "tests/support/host_test.h"
#include "tests/support/minisign_key.h"
#include "tests/support/running_service.h"

namespace kudo::test {
namespace {

using namespace std::chrono_literals;

struct MapText {
    uint64_t serial = 2022050001;
    std::string expires = "null", more = "", ranges = R"("3.123.12.128/28")", day = "2022-03-01";
    [[nodiscard]] std::string text() const {
        return fmt::format(R"({{"format": "kudo-range-map/1", "serial": {}, "issued": "{}T00:00:00Z",
 "effective": "{}T00:00:00Z", "expires": {}, {}"services": [
 {{"name": "media", "class": "media", "regions": ["ca"], "ports": ["udp/3478"], "ipv4": [{}]}}]}})",
                           serial, day, day, expires, more, ranges);
    }
};
constexpr const char* may_shrink = R"("overrides": ["shrink"], )";

class RangeAttack : public HostTest {
protected:
    void SetUp() override {
        HostTest::SetUp();
        if (!test_) return;
        keys_ = test_->folder + "/keys";
        key_.emplace(keys_, "publisher");
        stranger_.emplace(test_->folder + "/strangers", "stranger");
        ASSERT_EQ(apply(signed_map({.more = may_shrink})).status, 0);
        const Outcome enabled = test_->agent({"enable", "--region", "ca"});
        ASSERT_EQ(enabled.status, 0) << enabled.err;
        before_ = facts();
        ASSERT_EQ(before_.at("map").at("serial"), 2022050001);
    }

    Outcome apply(const std::string& file, std::vector<std::string> more = {}) const {
        std::vector<std::string> arguments = {"ranges", "apply", file, "--keys", keys_};
        arguments.insert(arguments.end(), more.begin(), more.end());
        return test_->agent(arguments);
    }
    std::string signed_map(const MapText& map, const std::string& name = "map.json") const {
        const std::string file = test_->write_file(name, map.text());
        key_->sign(file);
        return file;
    }
    // What judges packets, as the kernel has it.
    nlohmann::json facts() const {
        const auto status = test_->status();
        return {{"content_hash", status.at("content_hash")},
                {"map", status.at("map")},
                {"staged", status.at("staged")},
                {"generation", status.at("generation")}};
    }
    void expect_refused(const std::string& file, const std::string& reason, std::vector<std::string> more = {}) const {
        const Outcome outcome = apply(file, std::move(more));
        EXPECT_EQ(outcome.status, 2) << outcome.out << outcome.err;
        EXPECT_NE(outcome.err.find(reason), std::string::npos) << reason << " in: " << outcome.err;
        EXPECT_EQ(std::count(outcome.err.begin(), outcome.err.end(), '\n'), 1) << outcome.err;
        EXPECT_EQ(facts(), before_) << reason;
    }

    std::string keys_;
    std::optional<MinisignKey> key_, stranger_;
    nlohmann::json before_;
};

TEST_F(RangeAttack, TheNextGoodMapIsTaken) {
    const Outcome outcome = apply(signed_map({.serial = 2022050002}));
    EXPECT_EQ(outcome.status, 0) << outcome.err;
    EXPECT_EQ(test_->status().at("map").at("serial"), 2022050002) << "the checks below cannot fail";
}

TEST_F(RangeAttack, UnsignedIsRefused) {
    expect_refused(test_->write_file("plain.json", MapText{.serial = 2022050002}.text()), "signature");
}

TEST_F(RangeAttack, AStrangersKeyIsRefused) {
    const std::string file = test_->write_file("strange.json", MapText{.serial = 2022050002}.text());
    stranger_->sign(file);
    expect_refused(file, "key");
}

TEST_F(RangeAttack, TheLegacySignatureIsRefused) {
    const std::string file = test_->write_file("legacy.json", MapText{.serial = 2022050002}.text());
    key_->sign_legacy(file);
    expect_refused(file, "legacy");
}

TEST_F(RangeAttack, TooFewSignaturesAreRefusedAndTheSameOneTwiceIsOne) {
    const MinisignKey second(keys_, "second");
    const std::string file = signed_map({.serial = 2022050002});
    expect_refused(file, "2", {"--key-threshold", "2"});
    std::ifstream one(file + ".minisig");
    const std::string text((std::istreambuf_iterator<char>(one)), {});
    std::ofstream(file + ".minisig", std::ios::app) << text;
    expect_refused(file, "2", {"--key-threshold", "2"});
    second.sign(file, file + ".second");
    std::ifstream two(file + ".second");
    std::ofstream(file + ".minisig", std::ios::app) << two.rdbuf();
    EXPECT_EQ(apply(file, {"--key-threshold", "2"}).status, 0) << "the check above cannot fail";
}

TEST_F(RangeAttack, AChangedDocumentIsRefused) {
    const std::string file = signed_map({.serial = 2022050002});
    std::fstream changed(file, std::ios::in | std::ios::out);
    changed.seekp(50);
    changed.put('9');
    changed.close();
    expect_refused(file, "signature");
}

TEST_F(RangeAttack, ATruncatedDocumentIsRefusedAtEveryLength) {
    const std::string file = signed_map({.serial = 2022050002});
    const auto size = std::filesystem::file_size(file);
    for (uintmax_t length = 0; length < size; length += 37) {
        std::filesystem::resize_file(file, length);
        expect_refused(file, "signature");
        std::ofstream(file, std::ios::trunc) << MapText{.serial = 2022050002}.text();
    }
}

TEST_F(RangeAttack, AnOldSerialIsRefused) {
    ASSERT_EQ(apply(signed_map({.serial = 2022050005})).status, 0);
    before_ = facts();
    expect_refused(signed_map({.serial = 2022050004}), "serial");
    expect_refused(signed_map({.more = may_shrink}), "serial");
}

TEST_F(RangeAttack, ASerialWithADigitTooManyIsRefusedUnlessItIsMeant) {
    const std::string leap = signed_map({.serial = 20220402000});
    expect_refused(leap, "serial-leap");
    expect_refused(leap, "not a guard; expected wide-prefix", {"--override", "shrink,leap"});
    EXPECT_EQ(apply(leap, {"--override", "shrink,serial-leap"}).status, 0);
    EXPECT_EQ(test_->status().at("map").at("serial"), 20220402000);
}

TEST_F(RangeAttack, AnAdminGoesBackToASerialThatWasLeaptOver) {
    ASSERT_EQ(apply(signed_map({.serial = 20220402000}), {"--override", "serial-leap"}).status, 0);
    MapText next{.serial = 2022050002};
    before_ = facts();
    expect_refused(signed_map(next), "lower than 20220402000");
    const std::string plain = test_->write_file("plain.json", next.text());
    expect_refused(plain, "signature", {"--reset-serial"});
    const Outcome reset = apply(signed_map(next), {"--reset-serial"});
    EXPECT_EQ(reset.status, 0) << reset.err;
    EXPECT_EQ(test_->status().at("map").at("serial"), 2022050002);
    EXPECT_EQ(apply(signed_map({.serial = 2022050003})).status, 0) << "and goes on from there";
}

TEST_F(RangeAttack, AMapThatIsIgnoredAlthoughItIsNewerIsSaid) {
    ASSERT_EQ(apply(signed_map({.serial = 20220402000}), {"--override", "serial-leap"}).status, 0);
    before_ = facts();
    const std::string file = test_->write_file("newer.json", MapText{.serial = 2022050003, .day = "2022-04-03"}.text());
    key_->sign(file);
    expect_refused(file, "--reset-serial");
    // The same through the service.
    const std::string folder = test_->folder + "/drop";
    std::filesystem::create_directory(folder);
    std::filesystem::copy(file + ".minisig", folder + "/newer.json.minisig");
    std::filesystem::copy(file, folder + "/newer.json");
    const RunningService service(*test_, {"--keys", keys_, "--drop-folder", folder});
    EXPECT_TRUE(eventually([&] {
        const std::string alarms = test_->status().at("alarms").dump();
        return alarms.find("newer.json") != std::string::npos && alarms.find("--reset-serial") != std::string::npos;
    })) << test_->agent({"status"}).out
        << service.log();
    EXPECT_EQ(facts(), before_);
}

TEST_F(RangeAttack, ASlipInTheYearIsRefusedThoughTheDateHasItToo) {
    const MapText slip{.serial = 2106030100, .day = "2106-03-01"};
    expect_refused(signed_map(slip), "serial-leap");
    // Where it was meant, and is only staged, an honest map is not ignored in silence.
    ASSERT_EQ(apply(signed_map(slip), {"--override", "serial-leap"}).status, 0);
    const std::string folder = test_->folder + "/drop";
    std::filesystem::create_directory(folder);
    const std::string file = signed_map({.serial = 2022112800, .day = "2022-11-28"}, "honest.json");
    std::filesystem::copy(file + ".minisig", folder + "/honest.json.minisig");
    std::filesystem::copy(file, folder + "/honest.json");
    RunningService service(
        *test_, {"--keys", keys_, "--drop-folder", folder, "--reread-every", "1s", "--reconcile-every", "1s"},
        {RunningService::tells_of_its_rounds});
    EXPECT_TRUE(eventually([&] {
        return test_->status().at("alarms").dump().find("honest.json: ignored") != std::string::npos;
    })) << service.log();
    EXPECT_TRUE(service.has_looked(6));
    const std::string log = service.log();
    const auto first = log.find("honest.json: ignored");
    ASSERT_NE(first, std::string::npos) << log;
    EXPECT_EQ(log.find("honest.json: ignored", first + 1), std::string::npos) << log;
}

TEST_F(RangeAttack, TheSameSerialWithOtherBytesIsRefused) {
    expect_refused(signed_map({.ranges = R"("3.123.12.128/28", "3.7.161.0/26")"}), "other content");
}

TEST_F(RangeAttack, AnotherFleetsMapIsRefused) {
    const std::string file = signed_map({.serial = 2022050002, .more = R"("audience": "acme/canary", )"});
    expect_refused(file, "acme/canary");
    expect_refused(file, "acme/canary", {"--fleet", "umbrella", "--ring", "canary"});
    expect_refused(file, "acme/canary", {"--fleet", "acme", "--ring", "stable"});
    EXPECT_EQ(apply(file, {"--fleet", "acme", "--ring", "canary"}).status, 0) << "the check above cannot fail";
}

TEST_F(RangeAttack, AnExpiredMapIsRefused) {
    expect_refused(signed_map({.serial = 2022050002, .expires = "\"2022-06-01T00:00:00Z\""}), "expires");
}

TEST_F(RangeAttack, AMapThatLosesMostRangesIsRefusedUnlessItsSignerMeansIt) {
    const char* many = R"("3.123.12.128/28", "3.7.161.0/26", "3.7.162.0/26", "3.7.163.0/26")";
    ASSERT_EQ(apply(signed_map({.serial = 2022050002, .ranges = many})).status, 0);
    before_ = facts();
    expect_refused(signed_map({.serial = 2022050003}), "30 %");
    EXPECT_EQ(apply(signed_map({.serial = 2022050003, .more = may_shrink})).status, 0);
}

TEST_F(RangeAttack, EveryAddressAndSpecialOnesAreRefused) {
    for (const char* range : {"0.0.0.0/0", "3.0.0.0/7", "10.1.0.0/16", "192.168.7.0/24", "127.0.0.0/8", "224.0.0.0/4",
                              "169.254.0.0/16", "100.64.0.0/10"})
        expect_refused(signed_map({.serial = 2022050002, .ranges = fmt::format(R"("3.123.12.128/28", "{}")", range)}),
                       range);
}

TEST_F(RangeAttack, TheHostsOwnAddressIsRefused) {
    test_->in_host({"ip", "address", "add", "3.44.0.7/32", "dev", "lo"});
    expect_refused(signed_map({.serial = 2022050002, .ranges = R"("3.123.12.128/28", "3.44.0.0/24")"}), "3.44.0");
}

TEST_F(RangeAttack, AnEndlessBodyIsRefused) {
    const std::string file = test_->write_file("endless.json", std::string(2 << 20, ' '));
    key_->sign(file);
    expect_refused(file, "1048576");
    EXPECT_EQ(apply("/dev/zero").status, 2);
}

TEST_F(RangeAttack, SymbolicLinksInTheStateFolderAreNotFollowed) {
    const std::string victim = test_->write_file("victim", "precious");
    const auto state = test_->instance.state_dir;
    std::filesystem::create_symlink(victim, state / "state.json.new");
    const std::string file = signed_map({.serial = 2022050002});
    EXPECT_EQ(apply(file).status, 0);
    std::ifstream after(victim);
    EXPECT_EQ(std::string(std::istreambuf_iterator<char>(after), {}), "precious");
}

// The highest serial outlives a state that was damaged and switched off, or moved away.
TEST_F(RangeAttack, ADamagedOrLostStateLetsNoOldMapIn) {
    const std::string old = signed_map({.serial = 2022050002}, "old.json");
    ASSERT_EQ(apply(signed_map({.serial = 2022050003})).status, 0);
    std::ofstream(test_->instance.state_dir / "state.json", std::ios::app) << "x";
    ASSERT_EQ(test_->agent({"disable"}).status, 0);
    const Outcome after_disable = apply(old);
    EXPECT_EQ(after_disable.status, 2);
    EXPECT_NE(after_disable.err.find("2022050003"), std::string::npos) << after_disable.err;
    std::filesystem::remove(test_->instance.state_dir / "state.json");
    EXPECT_EQ(apply(old).status, 2);
    EXPECT_EQ(apply(signed_map({.serial = 2022050004, .more = may_shrink})).status, 0);
}

TEST_F(RangeAttack, AMissingDocumentOfARetiringMapKeepsNoGoodMapOut) {
    ASSERT_EQ(apply(signed_map({.serial = 2022050002, .ranges = R"("3.123.12.128/28", "3.7.161.0/26")"})).status, 0);
    ASSERT_EQ(apply(signed_map({.serial = 2022050003, .more = may_shrink})).status, 0);
    const std::string active =
        nlohmann::json::parse(test_->agent({"ranges", "history", "--json"}).out).at("history").back().at("hash");
    for (const auto& file : std::filesystem::directory_iterator(test_->instance.state_dir / "range-maps"))
        if (file.path().stem() != active) std::filesystem::remove(file.path());
    const Outcome next = apply(signed_map({.serial = 2022050004}));
    EXPECT_EQ(next.status, 0) << next.err;
    EXPECT_EQ(test_->status().at("map").at("serial"), 2022050004);
}

TEST_F(RangeAttack, AVendorListTakesNoSerialFromTheSigner) {
    const std::string list = test_->write_file("list.json", R"({"ipv4": ["3.123.12.128/28", "3.7.161.0/26"]})");
    ASSERT_EQ(apply(list, {"--allow-unsigned"}).status, 0);
    EXPECT_EQ(test_->status().at("map").at("serial"), 2022050001);
    EXPECT_EQ(apply(signed_map({.more = may_shrink})).status, 0) << "known already";
    const Outcome next = apply(signed_map({.serial = 2022050002, .more = may_shrink}));
    EXPECT_EQ(next.status, 0) << next.err;
}

// The vendor's bare list has no place for "overrides".
TEST_F(RangeAttack, AVendorListThatLosesMostRangesIsRefusedUnlessItIsMeant) {
    const std::string four = R"({"ipv4": ["3.123.12.128/28", "3.7.161.0/26", "3.8.0.0/24", "3.9.0.0/24"]})";
    ASSERT_EQ(apply(test_->write_file("four.json", four), {"--allow-unsigned"}).status, 0);
    before_ = facts();
    const std::string one = test_->write_file("one.json", R"({"ipv4": ["3.123.12.128/28"]})");
    expect_refused(one, "ranges of serial", {"--allow-unsigned"});
    expect_refused(one, "ranges of serial", {"--allow-unsigned", "--override", "serial-leap"});
    const Outcome meant = apply(one, {"--allow-unsigned", "--override", "shrink"});
    EXPECT_EQ(meant.status, 0) << meant.err;
    EXPECT_EQ(test_->status().at("map").at("source"), one);
}

TEST_F(RangeAttack, AServerThatIsTrustedForItsListCanSendNothingElseUnsigned) {
    AcceptanceSettings settings;
    settings.keys_folder = keys_;
    Delivery delivery{.source = "https://vendor", .document = {}, .signatures = {}, .trust_transport = true};
    const auto accepted = [&](const std::string& document) {
        delivery.document = document;
        // As it comes from the source's process.
        std::string message = write_delivery(delivery);
        const auto received = read_delivery(take_message(message).value().value(), true);
        return received &&
               inside<bool>(test_->host, [&] { return accept(test_->instance, settings, *received).has_value(); });
    };
    EXPECT_FALSE(accepted(MapText{.serial = 9000000000, .more = may_shrink}.text()));
    EXPECT_FALSE(accepted(R"({"format": "kudo-key-set/1", "serial": 1, "threshold": 1, "keys": []})"));
    EXPECT_EQ(facts(), before_);
    EXPECT_FALSE(inside<bool>(test_->host, [&] {
        delivery.document = R"({"ipv4": ["3.123.12.128/28", "3.7.161.0/26"]})";
        return accept(test_->instance, settings, delivery).has_value();
    })) << "it was not parsed outside";
    EXPECT_TRUE(accepted(R"({"ipv4": ["3.123.12.128/28", "3.7.161.0/26"]})")) << "the check above cannot fail";
}

TEST_F(RangeAttack, AKeyInTheFolderBringsNoRevokedKeyBack) {
    const MinisignKey second(test_->folder + "/next", "second");
    std::ifstream public_key(second.public_file);
    std::string line;
    std::getline(public_key, line);
    std::getline(public_key, line);
    const std::string set = test_->write_file(
        "set.json",
        fmt::format(R"({{"format": "kudo-key-set/1", "serial": 5, "threshold": 1, "keys": ["{}"]}})", line));
    key_->sign(set, set + ".old");
    second.sign(set, set + ".new");
    std::ofstream(set + ".minisig") << std::ifstream(set + ".old").rdbuf() << std::ifstream(set + ".new").rdbuf();
    ASSERT_EQ(apply(set).status, 0);
    before_ = facts();
    const MinisignKey third(keys_, "third");
    expect_refused(signed_map({.serial = 2022050002}), "key");
    EXPECT_EQ(apply(signed_map({.serial = 2022050002}), {"--trust-folder"}).status, 0) << "the admin's own word";
}

// Through the service: refused, raised as an alarm, and the last good map judges on.
TEST_F(RangeAttack, WhatTheServiceRefusesIsAnAlarmAndNothingElse) {
    const std::string folder = test_->folder + "/drop";
    std::filesystem::create_directory(folder);
    RunningService service(*test_, {"--keys", keys_, "--drop-folder", folder});
    const auto put = [&](const std::string& name, const std::string& text, const MinisignKey* key) {
        const std::string file = test_->write_file("staging.json", text);
        if (key) {
            key->sign(file);
            std::filesystem::rename(file + ".minisig", folder + "/" + name + ".minisig");
        }
        std::filesystem::rename(file, folder + "/" + name);
    };
    put("strange.json", MapText{.serial = 2022050002}.text(), &*stranger_);
    put("wide.json", MapText{.serial = 2022050003, .ranges = R"("3.0.0.0/7")"}.text(), &*key_);
    put("same.json", MapText{.ranges = R"("3.9.0.0/24")"}.text(), &*key_);
    std::filesystem::create_symlink("/etc/hostname", folder + "/link.json");
    std::filesystem::create_symlink("/etc/hostname", folder + "/link.json.minisig");
    const auto alarms = [&] { return test_->status().at("alarms").dump(); };
    EXPECT_TRUE(eventually(
        [&] {
            const std::string said = alarms();
            return said.find("strange.json") != std::string::npos && said.find("wide.json") != std::string::npos &&
                   said.find("same.json") != std::string::npos;
        },
        20s))
        << alarms() << service.log();
    EXPECT_EQ(alarms().find("hostname"), std::string::npos) << alarms();
    EXPECT_EQ(facts(), before_);
    EXPECT_EQ(test_->agent({"status"}).status, 0) << "an alarm is no fault of the host";
    put("good.json", MapText{.serial = 2022050004}.text(), &*key_);
    EXPECT_TRUE(eventually([&] { return test_->status().at("map").at("serial") == 2022050004; }, 20s)) << service.log();
}

} // namespace
} // namespace kudo::test
