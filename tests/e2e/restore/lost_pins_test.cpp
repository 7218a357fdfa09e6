// SPDX-License-Identifier: MIT
// Pins that were deleted, covered by another mount or are elsewhere, records of queues that are lost: what is ours is
// found in the kernel, and goes.
#include "tests/e2e/restore/kernel_truth.h"

namespace kudo::test {
namespace {

class LostPins : public KernelTruth, public testing::WithParamInterface<const char*> {
protected:
    // `options`: besides those of the hook.
    static std::vector<std::string> enable_arguments(const std::vector<std::string>& options = {}) {
        std::vector<std::string> arguments{"enable", "--region", "ca"};
        const bool xdp = GetParam() == std::string("xdp");
        arguments.insert(arguments.end(), {xdp ? "--ingress" : "--tc-hook", GetParam()});
        arguments.insert(arguments.end(), options.begin(), options.end());
        return arguments;
    }
    void enable_by_hook(const std::vector<std::string>& options = {}) {
        const Outcome enabled = test_->agent(enable_arguments(options));
        ASSERT_EQ(enabled.status, 0) << enabled.err;
    }
};
INSTANTIATE_TEST_SUITE_P(Hooks, LostPins, testing::Values("auto", "clsact", "xdp"));

TEST_P(LostPins, DisableRemovesAllThatIsBelowACoveredMount) {
    enable_by_hook();
    ASSERT_EQ(mount("bpf", test_->instance.bpffs.c_str(), "bpf", 0, nullptr), 0);
    const Outcome disabled = test_->agent({"disable"});
    EXPECT_EQ(disabled.status, 0) << disabled.err;
    expect_nothing_of_ours();
    EXPECT_EQ(marked_as(), 0);
    umount2(test_->instance.bpffs.c_str(), MNT_DETACH);
}

TEST_P(LostPins, EnableBelowACoveredMountKnowsItsOwnPrograms) {
    enable_by_hook();
    ASSERT_EQ(mount("bpf", test_->instance.bpffs.c_str(), "bpf", 0, nullptr), 0);
    const Outcome enabled = test_->agent(enable_arguments());
    EXPECT_EQ(enabled.status, 0) << enabled.err << enabled.out;
    EXPECT_EQ(enabled.out.find("another XDP program"), std::string::npos) << enabled.out;
    EXPECT_EQ(marked_as(), marked);
    EXPECT_EQ(test_->stats()["services"]["media"]["egress"]["packets"], 1) << "counted once";
    EXPECT_EQ(test_->agent({"disable"}).status, 0);
    expect_nothing_of_ours();
    umount2(test_->instance.bpffs.c_str(), MNT_DETACH);
}

TEST_P(LostPins, ADamagedStateAsWellLeavesNothing) {
    enable_by_hook({"--uplink", "20mbit", "--downlink", "20mbit"});
    fs::remove_all(test_->instance.layout());
    std::ofstream(test_->instance.state_dir.string() + "/state.json") << "{";
    const Outcome disabled = test_->agent({"disable"});
    EXPECT_EQ(disabled.status, 0) << disabled.err;
    expect_nothing_of_ours();
    EXPECT_EQ(kernel().find("4b55"), std::string::npos) << kernel();
    EXPECT_EQ(test_->in_host({"ip", "link"}).find("kudo-ifb"), std::string::npos);
}

TEST_P(LostPins, TheThreeCapabilitiesAreEnoughToDisable) {
    enable_by_hook();
    fs::remove_all(test_->instance.layout());
    const Outcome disabled = agent_with_three_capabilities({"disable"});
    EXPECT_EQ(disabled.status, 0) << disabled.err;
    expect_nothing_of_ours();
}

// Filters tell whose they are, links do not.
TEST_F(KernelTruth, WhatMayNotBeLookedAtIsNamedAndNotCalledRemoved) {
    if (!kernel_has_tcx()) GTEST_SKIP() << "this kernel has no tcx: all that is attached are filters";
    enable();
    ASSERT_EQ(mount("bpf", test_->instance.bpffs.c_str(), "bpf", 0, nullptr), 0);
    const Outcome disabled = agent_with_three_capabilities({"disable"});
    EXPECT_EQ(disabled.status, 1) << disabled.out;
    EXPECT_NE(disabled.err.find("eth0"), std::string::npos) << disabled.err;
    EXPECT_NE(disabled.err.find("CAP_SYS_ADMIN"), std::string::npos) << disabled.err;
    const Outcome again = agent_with_three_capabilities({"disable"});
    EXPECT_EQ(again.status, 1) << again.out;
    EXPECT_NE(again.err.find("eth0"), std::string::npos) << again.out << again.err;
    EXPECT_EQ(test_->agent({"disable"}).status, 0) << "root may look";
    expect_nothing_of_ours();
    umount2(test_->instance.bpffs.c_str(), MNT_DETACH);
}

// Enabled again over a covered mount by a process that may not look: both data paths run.
TEST_F(KernelTruth, ADataPathBelowACoveredMountIsNotCalledHealthy) {
    if (!kernel_has_tcx()) GTEST_SKIP() << "this kernel has no tcx: all that is attached are filters";
    enable({"--mode", "prioritise"});
    ASSERT_EQ(mount("bpf", test_->instance.bpffs.c_str(), "bpf", 0, nullptr), 0);
    const Outcome enabled = agent_with_three_capabilities({"enable", "--region", "ca", "--mode", "observe"});
    EXPECT_NE((enabled.out + enabled.err).find("CAP_SYS_ADMIN"), std::string::npos) << enabled.out << enabled.err;
    EXPECT_EQ(marked_as(), marked) << "the one below still marks";
    const Outcome seen = agent_with_three_capabilities({"status", "--json"});
    EXPECT_FALSE(nlohmann::json::parse(seen.out).at("not_checked").empty()) << seen.out;
    const Outcome status = test_->agent({"status"});
    EXPECT_EQ(status.status, 4) << status.out;
    EXPECT_NE(status.out.find("without a pin"), std::string::npos) << status.out;
    EXPECT_EQ(test_->agent({"enable", "--region", "ca", "--mode", "observe"}).status, 0) << "root removes it";
    EXPECT_EQ(marked_as(), 0);
    EXPECT_EQ(test_->agent({"disable"}).status, 0);
    expect_nothing_of_ours();
    umount2(test_->instance.bpffs.c_str(), MNT_DETACH);
}

TEST_P(LostPins, QueuesWithoutTheirRecordsAreOursAndGo) {
    enable_by_hook({"--uplink", "20mbit", "--downlink", "20mbit"});
    fs::remove_all(test_->instance.layout().string() + "/queues");
    EXPECT_EQ(test_->agent({"status"}).status, 4);
    const Outcome again = test_->agent(enable_arguments({"--uplink", "20mbit", "--downlink", "20mbit"}));
    EXPECT_EQ(again.status, 0) << again.err << again.out;
    fs::remove_all(test_->instance.layout().string() + "/queues");
    const Outcome disabled = test_->agent({"disable"});
    EXPECT_EQ(disabled.status, 0) << disabled.err;
    expect_nothing_of_ours();
    expect_no_queue_of_ours();
}

TEST_P(LostPins, WithoutStateAndPinsDisableStillFindsAll) {
    enable_by_hook({"--uplink", "20mbit", "--downlink", "20mbit"});
    fs::remove_all(test_->instance.pins());
    fs::remove_all(test_->instance.state_dir);
    const Outcome disabled = test_->agent({"disable"});
    EXPECT_EQ(disabled.status, 0) << disabled.err;
    EXPECT_NE(disabled.out.find("disabled"), std::string::npos) << disabled.out;
    expect_nothing_of_ours();
    expect_no_queue_of_ours();
}

TEST_F(KernelTruth, TheDeviceOfAnInterfaceThatIsGoneGoes) {
    test_->in_host({"ip", "link", "add", "eth1", "type", "veth", "peer", "name", "far1"});
    test_->in_host({"ip", "link", "set", "eth1", "up"});
    enable({"--interface", "eth0", "--interface", "eth1", "--downlink", "20mbit"});
    fs::remove_all(test_->instance.layout());
    test_->in_host({"ip", "link", "del", "eth1"});
    EXPECT_EQ(test_->agent({"disable"}).status, 0);
    expect_no_queue_of_ours();
}

TEST_F(KernelTruth, AnotherInstancesQueueStaysWhereThisOnesPinsAreLost) {
    test_->in_host({"ip", "link", "add", "eth1", "type", "veth", "peer", "name", "far1"});
    test_->in_host({"ip", "link", "set", "eth1", "up"});
    enable({"--interface", "eth0", "--uplink", "20mbit"});
    const std::string bpffs = test_->instance.bpffs.string() + "/other", state = test_->folder + "/other-state";
    const auto other = [&](std::vector<std::string> arguments) {
        arguments.insert(arguments.begin(), {KUDO_AGENT_PROGRAM, "--bpffs", bpffs, "--state-dir", state});
        return inside<Outcome>(test_->host, [&] { return run_program(arguments); }).status;
    };
    ASSERT_EQ(other({"enable", "--region", "ca", "--interface", "eth1"}), 4) << "KUDO leaves by eth0";
    fs::remove_all(bpffs + "/kudo-agent");
    EXPECT_EQ(other({"disable"}), 0);
    EXPECT_EQ(test_->agent({"status"}).status, 0) << test_->agent({"status"}).out;
}

TEST_F(KernelTruth, ALostOwnerMakesNoFilterTwice) {
    enable({"--tc-hook", "clsact"});
    fs::remove(test_->instance.layout().string() + "/owner");
    for (const auto& entry : fs::directory_iterator(test_->instance.layout()))
        if (entry.path().filename().string().starts_with("programs_")) fs::remove_all(entry.path());
    EXPECT_EQ(test_->agent({"enable", "--region", "ca", "--tc-hook", "clsact"}).status, 0);
    EXPECT_EQ(marked_as(), marked);
    EXPECT_EQ(test_->stats()["services"]["media"]["egress"]["packets"], 1) << "counted once";
}

TEST_P(LostPins, AnotherBpffsDoesNotAttachTwice) {
    enable_by_hook();
    const std::string other = test_->folder + "/other-bpf";
    fs::create_directory(other);
    ASSERT_EQ(mount("bpf", other.c_str(), "bpf", 0, nullptr), 0);
    const Instance second{other, test_->instance.state_dir};
    const auto agent = [&](std::vector<std::string> arguments) {
        std::vector<std::string> argv{KUDO_AGENT_PROGRAM, "--bpffs", second.bpffs, "--state-dir", second.state_dir};
        argv.insert(argv.end(), arguments.begin(), arguments.end());
        return inside<Outcome>(test_->host, [&] { return run_program(argv); });
    };
    EXPECT_EQ(agent(enable_arguments()).status, 0);
    const std::string text = kernel();
    const auto first = text.find("kudo_tc_egress");
    ASSERT_NE(first, std::string::npos) << text;
    EXPECT_EQ(agent({"disable"}).status, 0);
    expect_nothing_of_ours();
    umount2(other.c_str(), MNT_DETACH);
}

TEST_P(LostPins, OneMissingPinIsDamageThatEnableRepairsWithoutCountingTwice) {
    enable_by_hook();
    fs::remove(test_->instance.layout().string() + "/maps/kudo_strays6");
    const Outcome status = test_->agent({"status"});
    EXPECT_EQ(status.status, 4) << status.err;
    EXPECT_NE(status.out.find("kudo_strays6"), std::string::npos) << status.out;
    EXPECT_EQ(test_->agent(enable_arguments()).status, 0);
    EXPECT_EQ(marked_as(), marked);
    EXPECT_EQ(test_->stats()["services"]["media"]["egress"]["packets"], 1);
    EXPECT_EQ(test_->agent({"disable"}).status, 0);
    expect_nothing_of_ours();
}

TEST_P(LostPins, AnOlderLayoutIsTakenOverWithoutAGap) {
    enable_by_hook();
    const fs::path older = test_->instance.pins().string() + "/v1";
    fs::rename(test_->instance.layout(), older);
    EXPECT_EQ(test_->agent({"status"}).status, 4);
    EXPECT_EQ(marked_as(), marked) << "its programs work on";
    EXPECT_EQ(test_->agent(enable_arguments()).status, 0);
    EXPECT_FALSE(fs::exists(older));
    EXPECT_EQ(marked_as(), marked);
    EXPECT_EQ(test_->stats()["services"]["media"]["egress"]["packets"], 1) << "by the new programs alone";
    EXPECT_EQ(test_->agent({"disable"}).status, 0);
    expect_nothing_of_ours();
}

// Really older builds: tests/package/older.py.
TEST_P(LostPins, AnOlderLayoutHandsOnWhatThisHostHasSaid) {
    enable_by_hook({"--mode", "enforce", "--no-confirm"});
    const Endpoint here{host_address, 50000}, media{media_address, 3478};
    const Fd near = udp_socket(test_->host, here), far = udp_socket(test_->far, media); // as browsers': not connected
    send_datagrams(near.get(), media, far.get(), 1, 100);
    send_datagrams(far.get(), here, near.get(), 1, 100);
    const fs::path older = test_->instance.pins().string() + fmt::format("/v{}", KUDO_LAYOUT_VERSION - 1);
    fs::rename(test_->instance.layout(), older);
    EXPECT_EQ(test_->agent(enable_arguments({"--mode", "enforce", "--no-confirm"})).status, 0);
    EXPECT_FALSE(fs::exists(older));
    send_datagrams(far.get(), here, near.get(), 50, 100); // the host says nothing; throws if one is lost
    EXPECT_EQ(test_->agent({"disable"}).status, 0);
    expect_nothing_of_ours();
}

TEST_P(LostPins, ANewerLayoutIsLeftToItsVersionButDisableRemovesIt) {
    enable_by_hook();
    fs::rename(test_->instance.layout(), test_->instance.pins().string() + "/v99");
    const Outcome enabled = test_->agent({"enable", "--region", "ca"});
    EXPECT_EQ(enabled.status, 1);
    EXPECT_NE(enabled.err.find("newer version"), std::string::npos) << enabled.err;
    EXPECT_EQ(marked_as(), marked);
    EXPECT_EQ(test_->agent({"disable"}).status, 0);
    expect_nothing_of_ours();
    EXPECT_FALSE(fs::exists(test_->instance.pins()));
}

} // namespace
} // namespace kudo::test
