// SPDX-License-Identifier: MIT
// One thing's trouble is its own: a queue, an interface, a lost document or a full disk stop nothing else.
// R7 (agent/reconcile/reconcile.h).
#include <gtest/gtest.h>

#include <sys/mount.h>

#include <csignal>
#include <filesystem>
#include <fstream>

#include <fmt/format.h>

#include "tests/e2e/link_fixture.h"
#include "tests/support/minisign_key.h"
#include "tests/support/running_service.h"

namespace kudo::test {
namespace {

constexpr const char* every_second = "--reconcile-every=1s";

class OneTrouble : public LineTest {
protected:
    void SetUp() override {
        LineTest::SetUp();
        if (!test_) return;
        test_->in_host({"ip", "link", "add", "eth1", "type", "veth", "peer", "name", "far1"});
        for (const char* name : {"eth1", "far1"})
            test_->in_host({"ip", "link", "set", name, "up"});
    }
    [[nodiscard]] Outcome enable_both(std::vector<std::string> more = {}) const {
        std::vector<std::string> arguments = {"enable", "--region", "ca", "--interface", "eth0", "--interface", "eth1"};
        arguments.insert(arguments.end(), more.begin(), more.end());
        return test_->agent(arguments);
    }
    [[nodiscard]] nlohmann::json interface(const std::string& name) const {
        const auto status = test_->status();
        for (const auto& line : status["interfaces"])
            if (line["name"] == name) return line;
        return nullptr;
    }
    // Another program than ours at the root, as an administrator would put it there.
    void put_foreign_qdisc() const {
        test_->in_host({"tc", "qdisc", "replace", "dev", "eth1", "root", "pfifo", "limit", "77"});
    }
    [[nodiscard]] std::string map_file(uint64_t serial) const {
        return test_->write_file(fmt::format("{}.json", serial),
                                 fmt::format(R"({{"format": "kudo-range-map/1", "serial": {},
 "issued": "2022-03-01T00:00:00Z", "effective": "2022-03-01T00:00:00Z", "expires": null, "overrides": ["shrink"],
 "services": [{{"name": "media", "class": "media", "regions": ["ca"], "ports": ["udp/3478"],
 "ipv4": ["{}/32"]}}]}})",
                                             serial, media_address));
    }
    // Sends media out of eth0 and returns how many of them were counted since.
    uint64_t media_counted(unsigned packets) const {
        const auto count = [&]() -> uint64_t { return test_->stats()["services"]["media"]["egress"]["packets"]; };
        const uint64_t before = count();
        const Endpoint remote{media_address, 3478};
        const Fd near = udp_socket(test_->host, {host_address, 0}), far = udp_socket(test_->far, remote);
        send_datagrams(near.get(), remote, far.get(), packets, 100);
        return count() - before;
    }
};

TEST_F(OneTrouble, AForeignQdiscOnOneUplinkKeepsNothingElseFromHealing) {
    ASSERT_EQ(enable_both({"--uplink", "20mbit"}).status, 0);
    RunningService service(*test_, {every_second});
    put_foreign_qdisc();
    const auto status = test_->status();
    EXPECT_FALSE(status["healthy"]);
    EXPECT_NE(interface("eth1")["problem"].get<std::string>().find("configured by the administrator"),
              std::string::npos)
        << status;
    EXPECT_TRUE(interface("eth0")["healthy"]) << status;
    EXPECT_EQ(interface("eth1")["uplink"]["why"].get<std::string>().rfind("shapes to", 0), std::string::npos)
        << "the foreign qdisc shapes nothing: " << status;

    // Drift of the other interface is healed, and a new map takes effect on both.
    test_->in_host({"tc", "qdisc", "del", "dev", "eth0", "root"});
    EXPECT_TRUE(eventually([&] { return interface("eth0")["healthy"] == true; })) << test_->status();
    EXPECT_EQ(test_->apply(map_file(2022050001)).status, 0);
    EXPECT_EQ(test_->status()["map"]["serial"], 2022050001);
    EXPECT_EQ(test_->agent({"ranges", "rollback"}).status, 0);
    EXPECT_EQ(media_counted(7), 7u);
    // It is theirs and stays.
    EXPECT_NE(test_->in_host({"tc", "qdisc", "show", "dev", "eth1"}).find("pfifo"), std::string::npos);
    EXPECT_TRUE(service.is_running());
    // Named once in the log, not at every round.
    const std::string log = service.log();
    const auto first = log.find("configured by the administrator");
    ASSERT_NE(first, std::string::npos) << log;
    EXPECT_EQ(log.find("configured by the administrator", first + 1), std::string::npos) << log;
    // The administrator takes it away again: ours comes back.
    test_->in_host({"tc", "qdisc", "del", "dev", "eth1", "root"});
    test_->in_host({"ip", "link", "set", "eth1", "mtu", "1400"}); // an event of the interface: no waiting
    EXPECT_TRUE(eventually([&] { return test_->status()["healthy"] == true; })) << test_->status();
}

TEST_F(OneTrouble, AForeignQdiscAtBootKeepsNoInterfaceFromBeingAttached) {
    ASSERT_EQ(enable_both({"--uplink", "20mbit"}).status, 0);
    put_foreign_qdisc();
    std::filesystem::remove_all(test_->instance.layout()); // what a reboot does to it
    test_->in_host({"tc", "qdisc", "del", "dev", "eth0", "root"});
    const RunningService service(*test_, {every_second});
    EXPECT_EQ(interface("eth0")["healthy"], true) << test_->status();
    EXPECT_NE(interface("eth1")["egress"], nullptr) << "its programs are there, only its queue is not";
    EXPECT_EQ(media_counted(7), 7u);
}

TEST_F(OneTrouble, EnableRefusesAForeignQdiscThatItWasAskedToReplaceAndSaysHow) {
    put_foreign_qdisc();
    const Outcome refused = enable_both({"--uplink", "20mbit"});
    EXPECT_EQ(refused.status, 2) << refused.out;
    EXPECT_NE(refused.err.find("--replace-qdisc"), std::string::npos) << refused.err;
    EXPECT_EQ(test_->agent({"status"}).status, 3) << "nothing has changed";
}

TEST_F(OneTrouble, AnInterfaceThatCannotBeAttachedPublishesNoPolicyAgainAndAgain) {
    ASSERT_EQ(enable_both({"--tc-hook", "clsact"}).status, 0);
    // sch_ingress in place of clsact: there is no egress to attach to.
    test_->in_host({"tc", "qdisc", "del", "dev", "eth1", "clsact"});
    test_->in_host({"tc", "qdisc", "add", "dev", "eth1", "handle", "ffff:", "ingress"});
    const std::vector<std::string> environment = {RunningService::tells_of_its_rounds};
    RunningService service(*test_, {every_second}, environment);
    const auto before = test_->status();
    EXPECT_FALSE(before["healthy"]);
    ASSERT_TRUE(service.has_looked(3));
    EXPECT_EQ(test_->status()["generation"], before["generation"]);
    EXPECT_EQ(test_->apply(map_file(2022050001)).status, 0);
    const uint64_t generation = test_->status()["generation"];
    EXPECT_EQ(generation, before["generation"].get<uint64_t>() + 1);
    ASSERT_TRUE(service.has_looked(3));
    EXPECT_EQ(test_->status()["generation"], generation);
    EXPECT_EQ(interface("eth0")["healthy"], true) << test_->status();
}

TEST_F(OneTrouble, AnEgressThatCannotBeAttachedKeepsNeitherIngressNorQueuesAway) {
    test_->in_host({"tc", "qdisc", "add", "dev", "eth1", "handle", "ffff:", "ingress"});
    const Outcome enabled = enable_both({"--tc-hook", "clsact", "--uplink", "20mbit", "--downlink", "20mbit"});
    EXPECT_EQ(enabled.status, 4) << enabled.out << enabled.err;
    const auto line = interface("eth1");
    EXPECT_NE(line["ingress"], nullptr) << line;
    EXPECT_EQ(line["egress"], nullptr) << line;
    EXPECT_TRUE(line["uplink"]["healthy"]) << line;
    EXPECT_TRUE(line["downlink"]["healthy"]) << line;
    EXPECT_NE(line["problem"].get<std::string>().find("an ingress qdisc stands where clsact would be"),
              std::string::npos)
        << line;
    EXPECT_EQ(line["problem"].get<std::string>().find("marks incoming"), std::string::npos) << line;
    EXPECT_EQ(interface("eth0")["healthy"], true);
    EXPECT_NE(test_->agent({"status"}).out.find("enable again does not correct it"), std::string::npos)
        << test_->agent({"status"}).out;
    test_->in_host({"tc", "qdisc", "del", "dev", "eth1", "ingress"});
    EXPECT_NE(test_->agent({"status"}).out.find("Run the same kudo-agent enable again to correct it."),
              std::string::npos)
        << test_->agent({"status"}).out;
    EXPECT_EQ(enable_both({"--tc-hook", "clsact", "--uplink", "20mbit", "--downlink", "20mbit"}).status, 0);
}

// How often the log has this.
std::size_t times(const std::string& log, const std::string& text) {
    std::size_t count = 0;
    for (auto at = log.find(text); at != std::string::npos; at = log.find(text, at + 1))
        count++;
    return count;
}

TEST_F(OneTrouble, TheServiceLogsWhatOnlyStatusFindsOnceAndItsEndOnce) {
    ASSERT_EQ(test_->agent({"enable", "--region", "ca", "--interface", "eth0"}).status, 0);
    RunningService service(*test_, {every_second}, {RunningService::tells_of_its_rounds});
    ASSERT_TRUE(service.has_looked(2));
    test_->in_host({"ip", "addr", "add", "10.9.0.2/24", "dev", "eth1"});
    test_->in_host({"ip", "route", "add", "3.123.12.128/28", "via", "10.9.0.1", "dev", "eth1"});
    const std::string unwatched = "add --interface eth1";
    EXPECT_TRUE(eventually([&] { return times(service.log(), unwatched) > 0; })) << service.log();
    ASSERT_TRUE(service.has_looked(6));
    EXPECT_EQ(times(service.log(), unwatched), 1U) << service.log();
    test_->in_host({"ip", "route", "del", "3.123.12.128/28"});
    EXPECT_TRUE(eventually([&] { return times(service.log(), "no longer: ") > 0; })) << service.log();
    ASSERT_TRUE(service.has_looked(4));
    EXPECT_EQ(times(service.log(), unwatched), 2U) << service.log();
    EXPECT_EQ(times(service.log(), "no longer: "), 1U) << service.log();
}

TEST_F(OneTrouble, TheServiceDoesNotLogWhatItHealsAtOnce) {
    ASSERT_EQ(enable_both({"--uplink", "20mbit"}).status, 0);
    RunningService service(*test_, {every_second}, {RunningService::tells_of_its_rounds});
    ASSERT_TRUE(service.has_looked(2));
    for (int round = 0; round < 5; round++) {
        test_->in_host({"tc", "qdisc", "del", "dev", "eth1", "root"});
        EXPECT_TRUE(eventually([&] { return test_->status()["healthy"] == true; })) << test_->status();
    }
    ASSERT_TRUE(service.has_looked(3));
    EXPECT_EQ(times(service.log(), "warn"), 0U) << service.log();
    EXPECT_EQ(times(service.log(), "no longer"), 0U) << service.log();
}

TEST_F(OneTrouble, KeysThatCannotBeEnoughKeepTheServiceFromNothing) {
    const std::string keys = test_->folder + "/keys";
    const MinisignKey one(keys, "one");
    ASSERT_EQ(enable_both().status, 0);
    const std::string file = test_->write_file("file", "no folder");
    for (const auto& [wrong, said] :
         {std::pair<std::vector<std::string>, std::string>{{"--keys", keys, "--key-threshold", "2"}, "--key-threshold"},
          {{"--keys", keys, "--key-threshold", "0"}, "--key-threshold"},
          {{"--keys", file}, "is not a folder"}}) {
        std::vector<std::string> arguments = {"run", "--check"};
        arguments.insert(arguments.end(), wrong.begin(), wrong.end());
        EXPECT_EQ(test_->agent(arguments).status, 2) << said;
        std::filesystem::remove_all(test_->instance.layout()); // what a reboot does to it
        arguments = wrong;
        arguments.emplace_back(every_second);
        RunningService service(*test_, arguments, {RunningService::tells_of_its_rounds});
        EXPECT_EQ(test_->status()["healthy"], true) << test_->status();
        EXPECT_TRUE(eventually([&, &text = said] {
            return test_->status()["alarms"].dump().find(text) != std::string::npos;
        })) << test_->status();
        ASSERT_TRUE(service.has_looked(4));
        EXPECT_EQ(times(service.log(), said), 1U) << service.log();
    }
}

TEST_F(OneTrouble, AKeySetIsFollowedWhateverTheDataPathIs) {
    const MinisignKey first(test_->folder + "/keys", "first"), second(test_->folder, "second");
    ASSERT_EQ(enable_both({"--uplink", "20mbit"}).status, 0);
    put_foreign_qdisc();
    std::ifstream in(second.public_file);
    std::string comment, key;
    std::getline(in, comment);
    std::getline(in, key);
    const std::string file = test_->write_file("keys.json", fmt::format(R"({{"format": "kudo-key-set/1", "serial": 2,
 "threshold": 1, "keys": ["{}"]}})",
                                                                        key));
    first.sign(file);
    second.sign(file, file + ".second");
    std::ofstream(file + ".minisig", std::ios::app) << std::ifstream(file + ".second").rdbuf();
    const Outcome applied = test_->agent({"--keys", test_->folder + "/keys", "ranges", "apply", file});
    EXPECT_EQ(applied.status, 0) << applied.err;
    const std::string map = map_file(2022050001);
    first.sign(map);
    EXPECT_EQ(test_->agent({"--keys", test_->folder + "/keys", "ranges", "apply", map}).status, 2)
        << "the first key was revoked";
    // Without any data path as well, and what was followed stays followed after a failure.
    std::filesystem::remove_all(test_->instance.layout());
    second.sign(map);
    EXPECT_EQ(test_->agent({"--keys", test_->folder + "/keys", "ranges", "apply", map}).status, 0);
    // The folder counts no more, however few keys it has.
    RunningService service(*test_, {"--keys", test_->folder + "/keys", "--key-threshold", "2", every_second},
                           {RunningService::tells_of_its_rounds});
    ASSERT_TRUE(service.has_looked(3));
    EXPECT_EQ(test_->status()["alarms"], nlohmann::json::array());
}

TEST_F(OneTrouble, AMissingDownlinkDeviceIsSaidOfTheDownlink) {
    ASSERT_EQ(enable_both({"--uplink", "20mbit", "--downlink", "20mbit"}).status, 0);
    const std::string text = test_->in_host({"ip", "-o", "link", "show"});
    const auto at = text.find("kudo-ifb");
    ASSERT_NE(at, std::string::npos) << text;
    test_->in_host({"ip", "link", "del", text.substr(at, text.find(':', at) - at)});
    const auto status = test_->status();
    unsigned unhealthy = 0;
    for (const auto& line : status["interfaces"]) {
        EXPECT_TRUE(line["uplink"]["healthy"]) << status;
        if (line["downlink"]["healthy"]) continue;
        unhealthy++;
        EXPECT_NE(line["problem"].get<std::string>().find("IFB device is gone"), std::string::npos) << status;
    }
    EXPECT_EQ(unhealthy, 1u);
}

// A file system of its own under the state directory.
class FullDisk {
public:
    explicit FullDisk(std::string folder) : folder_(std::move(folder)) {
        std::filesystem::create_directories(folder_);
        if (mount("tmpfs", folder_.c_str(), "tmpfs", 0, "size=256k") != 0)
            throw std::runtime_error("cannot mount a tmpfs");
    }
    void fill() const {
        std::ofstream filler(folder_ + "/filler");
        while (filler << std::string(4096, 'x') << std::flush) {
        }
    }
    void empty() const { std::filesystem::remove(folder_ + "/filler"); }
    ~FullDisk() { umount2(folder_.c_str(), MNT_DETACH); }

private:
    std::string folder_;
};

TEST_F(OneTrouble, DisableOnAFullDiskStaysDisabledThoughTheServiceRuns) {
    const FullDisk disk(test_->instance.state_dir.string());
    ASSERT_EQ(enable_both().status, 0);
    RunningService service(*test_, {every_second}, {RunningService::tells_of_its_rounds});
    disk.fill();
    const Outcome disabled = test_->agent({"disable"});
    EXPECT_EQ(disabled.status, 0) << disabled.err;
    ASSERT_TRUE(service.has_looked(3));
    EXPECT_EQ(test_->agent({"status"}).status, 3) << test_->agent({"status"}).out;
    disk.empty();
    ASSERT_TRUE(service.has_looked(3));
    EXPECT_EQ(test_->agent({"status"}).status, 3);
    EXPECT_EQ(enable_both().status, 0);
    EXPECT_EQ(test_->agent({"status"}).status, 0);
}

// Each round of the service has something to save: that a withdrawn range has had its time.
TEST_F(OneTrouble, AFullDiskKeepsNothingFromHealing) {
    const FullDisk disk(test_->instance.state_dir.string());
    ASSERT_EQ(enable_both().status, 0);
    ASSERT_EQ(test_->agent({"ranges", "apply", map_file(2022050001), "--allow-unsigned", "--grace", "6s"}).status, 0);
    ASSERT_FALSE(test_->status()["retiring"].empty());
    RunningService service(*test_, {every_second}, {RunningService::tells_of_its_rounds});
    disk.fill();
    std::this_thread::sleep_for(std::chrono::seconds(2));
    std::filesystem::remove_all(test_->instance.layout().string() + "/links");
    EXPECT_TRUE(eventually([&] { return test_->agent({"status"}).status == 0; }, std::chrono::seconds(10)))
        << test_->agent({"status"}).out << service.log();
    EXPECT_TRUE(eventually([&] { return service.log().find("No space left") != std::string::npos; })) << service.log();
    EXPECT_EQ(media_counted(100), 100u);
}

TEST_F(OneTrouble, NothingOfTheServiceIsLeftBehind) {
    ASSERT_EQ(enable_both().status, 0);
    const std::string file = test_->instance.service_lock();
    {
        RunningService service(*test_, {});
        EXPECT_TRUE(std::filesystem::exists(file));
        service.signal(SIGTERM);
        EXPECT_EQ(service.wait(), 0);
        EXPECT_FALSE(std::filesystem::exists(file));
    }
    {
        RunningService service(*test_, {});
        service.signal(SIGKILL);
        service.wait();
    }
    EXPECT_EQ(test_->agent({"disable"}).status, 0);
    EXPECT_FALSE(std::filesystem::exists(file));
}

} // namespace
} // namespace kudo::test
