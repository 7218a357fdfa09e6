// SPDX-License-Identifier: MIT
// What is ours and what is not: filters without an owner, two instances on one interface, another state directory, a
// mount that will not last, a disk that cannot be written.
// Invariant: exit 0 of `status` means exactly one counting program on each side.
#include "tests/e2e/link_fixture.h"
#include "tests/support/running_service.h"

#include <sys/mount.h>
#include <sys/stat.h>

#include <bpf/bpf.h>
#include <net/if.h>
#include <netinet/in.h>

#include <algorithm>

#include <fmt/format.h>

#include "agent/attach/attachment.h"

namespace kudo::test {
namespace {

const std::vector<std::string> exactly_three = {"setpriv",
                                                "--reuid=65534",
                                                "--regid=65534",
                                                "--clear-groups",
                                                "--bounding-set=-all,+bpf,+net_admin,+perfmon",
                                                "--inh-caps=-all,+bpf,+net_admin,+perfmon",
                                                "--ambient-caps=-all,+bpf,+net_admin,+perfmon"};

class Ownership : public LineTest {
protected:
    [[nodiscard]] int our_filters(const std::string& side) const {
        const std::string text = test_->in_host({"tc", "filter", "show", "dev", "eth0", side});
        int count = 0;
        for (std::size_t at = 0; (at = text.find(" name kudo_", at)) != std::string::npos; at++)
            count++;
        return count;
    }
    // Media packets that egress has counted.
    [[nodiscard]] uint64_t media_out(const nlohmann::json& stats) const {
        return stats.at("services").at("media").at("egress").at("packets");
    }
    void send_media(unsigned packets) const {
        const Endpoint remote{media_address, 3478};
        const Fd near = udp_socket(test_->host, {host_address, 50001}), far = udp_socket(test_->far, remote);
        send_datagrams(near.get(), remote, far.get(), packets, 100);
    }
    Outcome agent_with(const Instance& instance, std::vector<std::string> arguments) const {
        std::vector<std::string> argv{KUDO_AGENT_PROGRAM, "--bpffs", instance.bpffs, "--state-dir", instance.state_dir};
        argv.insert(argv.end(), arguments.begin(), arguments.end());
        return inside<Outcome>(test_->host, [&] { return run_program(argv); });
    }
    void expect_refused(const Outcome& outcome, const std::vector<std::string>& words, int status = 2) const {
        EXPECT_EQ(outcome.status, status) << outcome.out << outcome.err;
        EXPECT_EQ(std::ranges::count(outcome.err, '\n'), 1) << outcome.err;
        for (const std::string& word : words)
            EXPECT_NE(outcome.err.find(word), std::string::npos) << word << " in " << outcome.err;
    }
};

// bpf_prog_get_fd_by_id() needs CAP_SYS_ADMIN: ours must be known without it.
TEST_F(Ownership, FiltersAreKnownWithExactlyTheThreeCapabilities) {
    const std::string home = test_->folder + "/user";
    for (const char* folder : {"", "/bpf", "/state"})
        std::filesystem::create_directory(home + folder);
    ASSERT_EQ(mount("bpf", (home + "/bpf").c_str(), "bpf", 0, "mode=0777"), 0);
    std::filesystem::permissions(home + "/state", std::filesystem::perms::all);
    std::filesystem::copy_file(KUDO_AGENT_PROGRAM, home + "/kudo-agent");
    const auto run = [&](const std::vector<std::string>& arguments) {
        auto argv = exactly_three;
        for (const std::string& word :
             {home + "/kudo-agent", std::string("--bpffs"), home + "/bpf", std::string("--state-dir"), home + "/state"})
            argv.push_back(word);
        argv.insert(argv.end(), arguments.begin(), arguments.end());
        return inside<Outcome>(test_->host, [&] { return run_program(argv); });
    };
    for (int i = 0; i < 3; i++) {
        const Outcome enabled = run({"enable", "--region", "ca", "--tc-hook", "clsact"});
        ASSERT_EQ(enabled.status, 0) << enabled.err;
        EXPECT_EQ(our_filters("egress"), 1);
    }
    EXPECT_EQ(run({"status"}).status, 0) << run({"status"}).out;
    send_media(10);
    EXPECT_EQ(media_out(nlohmann::json::parse(run({"stats", "--json"}).out)), 10u);
    EXPECT_EQ(run({"disable"}).status, 0);
    EXPECT_EQ(our_filters("egress"), 0);
    EXPECT_EQ(test_->in_host({"tc", "qdisc", "show", "dev", "eth0"}).find("clsact"), std::string::npos);
    umount((home + "/bpf").c_str());
}

// State, snapshots, pins: nobody else reads or writes them.
TEST_F(Ownership, NothingThatIsWrittenIsOpenToOthers) {
    const mode_t wide = umask(0);
    enable({"--uplink", "20mbit"});
    const RunningService service(*test_, {"--reconcile-every", "1s"});
    EXPECT_TRUE(eventually([&] { return std::filesystem::exists(test_->instance.state_dir.string() + "/snapshots"); }));
    umask(wide);
    unsigned looked_at = 0;
    for (const auto& folder : {test_->instance.state_dir, test_->instance.pins()}) {
        EXPECT_EQ(std::filesystem::status(folder).permissions(), std::filesystem::perms::owner_all) << folder;
        for (const auto& entry : std::filesystem::recursive_directory_iterator(folder)) {
            struct stat is {};
            if (lstat(entry.path().c_str(), &is) != 0 || S_ISLNK(is.st_mode)) continue; // a temporary one is gone
            EXPECT_EQ(is.st_mode & 077, 0u) << entry.path();
            looked_at++;
        }
    }
    EXPECT_GT(looked_at, 30u);
}

TEST_F(Ownership, TwoInstancesOnOneInterfaceCountEachForThemselves) {
    const Instance second{test_->instance.bpffs.string() + "/second", test_->folder + "/second-state"};
    enable({"--tc-hook", "clsact"});
    const Outcome enabled = agent_with(second, {"enable", "--region", "ca", "--tc-hook", "clsact"});
    ASSERT_EQ(enabled.status, 0) << enabled.err;
    EXPECT_EQ(our_filters("egress"), 2);
    send_media(10);
    EXPECT_EQ(media_out(test_->stats()), 10u);
    // The first filter's verdict lets the next one have a look.
    EXPECT_EQ(media_out(nlohmann::json::parse(agent_with(second, {"stats", "--json"}).out)), 10u);
    EXPECT_EQ(agent_with(second, {"disable"}).status, 0);
    EXPECT_EQ(our_filters("egress"), 1);
    EXPECT_EQ(test_->agent({"status"}).status, 0);
    EXPECT_FALSE(std::filesystem::exists(second.bpffs)) << "the folder that enable made";
}

TEST_F(Ownership, ALinkAndAFilterThatBothCountAreDegradedUntilTheNextEnable) {
    if (!kernel_has_tcx()) GTEST_SKIP() << "this kernel has no tcx";
    enable({"--tc-hook", "clsact"});
    auto data_path = DataPath::open(test_->instance);
    ASSERT_TRUE(data_path);
    auto program = data_path->program(Program::TcEgress);
    ASSERT_TRUE(program);
    // What a command killed between the new hook and the old one leaves: both.
    const auto index = inside<int>(test_->host, [] { return static_cast<int>(if_nametoindex("eth0")); });
    const Fd link(inside<int>(test_->host, [&] {
        return bpf_link_create(program->get(), index, static_cast<bpf_attach_type>(47 /* tcx egress */), nullptr);
    }));
    ASSERT_TRUE(link);
    const std::string pin = fmt::format("{}/{}_tcx_egress", data_path->links().string(), index);
    ASSERT_EQ(bpf_obj_pin(link.get(), pin.c_str()), 0);
    EXPECT_EQ(test_->agent({"status"}).status, 4);
    const Outcome enabled = test_->agent({"enable", "--region", "ca"});
    EXPECT_EQ(enabled.status, 0) << enabled.err;
    EXPECT_EQ(enabled.out.find("nothing changed"), std::string::npos) << enabled.out;
    EXPECT_EQ(test_->agent({"status"}).status, 0);
    EXPECT_EQ(our_filters("egress"), 0);
    send_media(10);
    EXPECT_EQ(media_out(test_->stats()), 10u);
}

TEST_F(Ownership, AFilterThatOnlyMarksIsNoIngressThatCounts) {
    enable({"--ingress", "xdp", "--tc-hook", "clsact", "--firewall-mark", "0x10"});
    ASSERT_EQ(test_->status().at("interfaces").at(0).at("ingress"), "xdp-native");
    for (const auto& entry : std::filesystem::directory_iterator(test_->instance.layout().string() + "/links"))
        if (entry.path().string().ends_with("_xdp_native")) {
            const Fd link(bpf_obj_get(entry.path().c_str()));
            ASSERT_EQ(bpf_link_detach(link.get()), 0);
        }
    const auto status = test_->status();
    EXPECT_EQ(status.at("healthy"), false);
    EXPECT_TRUE(status.at("interfaces").at(0).at("ingress").is_null()) << status.dump(1);
}

TEST_F(Ownership, AnotherStateDirectoryOrNetworkNamespaceIsRefused) {
    enable();
    const auto before = test_->status();
    const Instance other{test_->instance.bpffs, test_->folder + "/other-state"};
    for (const std::vector<std::string>& arguments :
         {std::vector<std::string>{"disable"}, {"enable", "--region", "us"}, {"status"}, {"stats"}})
        expect_refused(agent_with(other, arguments), {"belongs to --state-dir " + test_->instance.state_dir.string()});
    EXPECT_FALSE(std::filesystem::exists(other.state_dir));
    const Outcome elsewhere = inside<Outcome>(test_->far, [&] { return run_program(test_->agent_argv({"disable"})); });
    expect_refused(elsewhere, {"belongs to network namespace", "nsenter"});
    EXPECT_EQ(test_->status(), before);
}

TEST_F(Ownership, ABpffsThatWouldEndWithTheCommandIsRefused) {
    const Outcome enabled = inside<Outcome>(test_->host, [&] {
        return run_program({"unshare", "-m", "sh", "-c",
                            std::string("mount -t sysfs none /sys && exec ") + KUDO_AGENT_PROGRAM + " --state-dir " +
                                test_->instance.state_dir.string() + " enable --region ca --interface eth0"});
    });
    expect_refused(enabled, {"/sys/fs/bpf: no bpffs", "nsenter --net="});
    EXPECT_FALSE(std::filesystem::exists(test_->instance.state_dir)) << "it was not there before";
}

TEST_F(Ownership, AFullOrReadOnlyStateDirectoryDoesNotKeepUsFromSwitchingOff) {
    for (const char* option : {"size=4k", "ro"}) {
        const std::string state = test_->folder + "/small-state";
        std::filesystem::create_directory(state);
        ASSERT_EQ(mount("tmpfs", state.c_str(), "tmpfs", 0, "size=64k"), 0);
        const Instance small{test_->instance.bpffs, state};
        ASSERT_EQ(agent_with(small, {"enable", "--region", "ca"}).status, 0);
        const bool read_only = std::string(option) == "ro";
        if (read_only)
            ASSERT_EQ(mount(nullptr, state.c_str(), nullptr, MS_REMOUNT | MS_RDONLY, nullptr), 0);
        else
            while (run_program({"sh", "-c", "head -c 4096 /dev/zero >> " + state + "/filler"}).status == 0) {
            }
        const Outcome disabled = agent_with(small, {"disable"});
        if (read_only)
            expect_refused(disabled, {"everything is detached, but the state still says enabled", state}, 1);
        else
            EXPECT_EQ(disabled.status, 0) << disabled.err << "; a rename needs no room";
        EXPECT_FALSE(std::filesystem::exists(small.pins()));
        send_media(5);
        if (read_only) {
            ASSERT_EQ(mount(nullptr, state.c_str(), nullptr, MS_REMOUNT, "size=64k"), 0);
        }
        std::filesystem::remove(state + "/filler");
        EXPECT_EQ(agent_with(small, {"status"}).status, read_only ? 4 : 3);
        EXPECT_EQ(agent_with(small, {"disable"}).status, 0);
        ASSERT_EQ(umount2(state.c_str(), MNT_DETACH), 0);
    }
}

TEST_F(Ownership, AMapThatIsNotInEffectAnyMoreIsRefused) {
    enable();
    const auto before = test_->status();
    const auto map = [&](const char* expires) {
        return test_->write_file("dated.json", fmt::format(R"({{"format": "kudo-range-map/1", "serial": 2022050001,
  "issued": "2022-03-02T00:00:00Z", "effective": "2022-03-02T00:00:00Z", "expires": {}, "overrides": ["shrink"], "services": [
  {{"name": "media", "class": "media", "regions": ["ca"], "ports": ["udp/3478"], "ipv4": ["3.123.12.128/28"]}}]}})",
                                                           expires));
    };
    expect_refused(test_->apply(map("\"2022-06-01T00:00:00Z\"")), {"dated.json", "expires", "has passed"});
    EXPECT_EQ(test_->status(), before);
    EXPECT_EQ(test_->apply(map("\"2099-06-01T00:00:00Z\"")).status, 0);
}

TEST_F(Ownership, AStoredMapThatIsGoneStaysInTheKernelUntilItIsNeeded) {
    apply_map_with_ipv6();
    enable();
    const auto before = test_->status();
    for (const auto& file : std::filesystem::directory_iterator(test_->instance.state_dir.string() + "/range-maps"))
        std::filesystem::remove(file.path());
    // The kernel still judges by it: that is as desired, and an alarm.
    const Outcome status = test_->agent({"status"});
    EXPECT_EQ(status.status, 0) << status.out;
    EXPECT_NE(status.out.find("apply the range map again"), std::string::npos) << status.out;
    EXPECT_EQ(test_->agent({"enable", "--region", "ca"}).status, 0);
    EXPECT_EQ(test_->status()["content_hash"], before["content_hash"]);
    // Nothing knows what it says of another region: the last map that can be read does.
    const Outcome other = test_->agent({"enable", "--region", "us"});
    EXPECT_EQ(other.status, 4) << other.out;
    EXPECT_NE(other.out.find("apply the range map again"), std::string::npos) << other.out;
    send_media(5);
    EXPECT_EQ(media_out(test_->stats()), 5u);
    EXPECT_EQ(test_->agent({"enable", "--region", "ca"}).status, 4) << "of the built-in map, which is not the desired";
    apply_map_with_ipv6();
    EXPECT_EQ(test_->agent({"status"}).status, 0);
}

TEST_F(Ownership, AStoredMapThatIsGoneAndARebootLeaveTheBuiltInMap) {
    apply_map_with_ipv6();
    enable();
    std::filesystem::remove_all(test_->instance.state_dir.string() + "/range-maps");
    std::filesystem::remove_all(test_->instance.layout()); // what a reboot does to it
    const RunningService service(*test_, {});
    const auto status = test_->status();
    EXPECT_FALSE(status["healthy"]);
    EXPECT_EQ(status["map"]["serial"], 2022030100);
    ASSERT_FALSE(status["alarms"].empty());
    send_media(5);
    EXPECT_EQ(media_out(test_->stats()), 5u) << "attached, and judging by the built-in map";
}

} // namespace
} // namespace kudo::test
