// SPDX-License-Identifier: MIT
// What status and disable say is what the kernel shows: other programs in front of ours, an ingress qdisc in clsact's
// place, lost and covered pins, other layouts, missing capabilities.
#include <gtest/gtest.h>

#include <net/if.h>
#include <sys/mount.h>

#include <filesystem>
#include <fstream>

#include <fmt/format.h>

#include "agent/attach/in_kernel.h"
#include "tests/e2e/link_fixture.h"
#include "tests/support/foreign_program.h"
#include "tests/support/running_service.h"

namespace kudo::test {
namespace {

namespace fs = std::filesystem;

const std::vector<std::string> three_capabilities = {"setpriv", "--bounding-set=-all,+bpf,+net_admin,+perfmon",
                                                     "--inh-caps=-all,+bpf,+net_admin,+perfmon"};

class KernelTruth : public LineTest {
protected:
    // Of media that left eth0, the DS field that arrived.
    [[nodiscard]] int marked_as() const {
        const Endpoint remote{media_address, 3478};
        const Fd near = udp_socket(test_->host, {host_address, 0}),
                 far = hearing_socket(test_->far, remote, std::chrono::seconds(5));
        send_datagram(near.get(), remote, std::array<uint8_t, 4>{});
        return receive_dsfield(far);
    }
    [[nodiscard]] Outcome agent_with_three_capabilities(const std::vector<std::string>& arguments) const {
        auto argv = three_capabilities;
        const auto words = test_->agent_argv(arguments);
        argv.insert(argv.end(), words.begin(), words.end());
        return inside<Outcome>(test_->host, [&] { return run_program(argv); });
    }
    [[nodiscard]] std::string kernel() const {
        std::string text = test_->in_host({"bpftool", "net"}) + test_->in_host({"tc", "qdisc", "show"});
        for (const char* side : {"ingress", "egress"})
            text += inside<Outcome>(test_->host, [&] {
                        return run_program({"tc", "filter", "show", "dev", "eth0", side});
                    }).out;
        const auto tcx = [] {
            std::string programs;
            for (const bool ingress : {true, false})
                for (const uint32_t id : tcx_programs(if_nametoindex("eth0"), ingress))
                    programs += program_text(id) + "\n";
            return programs;
        };
        return text + inside<std::string>(test_->host, tcx);
    }
    void expect_nothing_of_ours() const { EXPECT_EQ(kernel().find("kudo_"), std::string::npos) << kernel(); }
    static constexpr auto marked = 34 << 2; // AF41: media that is not known to be audio
};

TEST_F(KernelTruth, OursIsAtTheHeadOfTcxWhateverWasThereBefore) {
    if (!kernel_has_tcx()) GTEST_SKIP() << "this kernel has no tcx";
    const Fd other = attach_foreign_tcx(test_->host, "eth0", TcSide::Egress, tcx_pass, false);
    ASSERT_TRUE(other);
    enable();
    EXPECT_EQ(marked_as(), marked);
    EXPECT_EQ(test_->agent({"status"}).status, 0);
}

TEST_F(KernelTruth, AProgramThatGoesBeforeOursIsNamedAndOvertaken) {
    if (!kernel_has_tcx()) GTEST_SKIP() << "this kernel has no tcx";
    enable();
    const Fd other = attach_foreign_tcx(test_->host, "eth0", TcSide::Egress, tcx_pass, true);
    ASSERT_TRUE(other);
    EXPECT_EQ(marked_as(), 0) << "it ends the chain before ours";
    const Outcome status = test_->agent({"status"});
    EXPECT_EQ(status.status, 4) << status.out;
    EXPECT_NE(status.out.find("somebodys (#"), std::string::npos) << status.out;
    const RunningService service(*test_, {});
    EXPECT_EQ(test_->agent({"status"}).status, 0) << test_->agent({"status"}).out;
    EXPECT_EQ(marked_as(), marked);
    EXPECT_NE(kernel().find("somebodys"), std::string::npos) << "it is still there, behind ours";
}

TEST_F(KernelTruth, TcxProgramsBeforeOurFilterAreNamed) {
    if (!kernel_has_tcx()) GTEST_SKIP() << "this kernel has no tcx";
    enable({"--tc-hook", "clsact"});
    const Fd other = attach_foreign_tcx(test_->host, "eth0", TcSide::Egress, tcx_pass, false);
    const Outcome status = test_->agent({"status"});
    EXPECT_EQ(status.status, 4) << status.out;
    EXPECT_NE(status.out.find("somebodys (#"), std::string::npos) << status.out;
}

TEST_F(KernelTruth, AFilterBeforeOursIsNamed) {
    test_->in_host({"tc", "qdisc", "add", "dev", "eth0", "clsact"});
    test_->in_host({"tc", "filter", "add", "dev", "eth0", "egress", "pref", "1", "protocol", "ip", "u32", "match",
                    "u32", "0", "0", "flowid", "1:1"});
    const Outcome enabled = test_->agent({"enable", "--region", "ca", "--tc-hook", "clsact"});
    EXPECT_EQ(enabled.status, 4) << enabled.out;
    EXPECT_NE(enabled.out.find("u32 filter at preference 1"), std::string::npos) << enabled.out;
    EXPECT_EQ(marked_as(), 0);
    test_->in_host({"tc", "filter", "del", "dev", "eth0", "egress", "pref", "1"});
    EXPECT_EQ(test_->agent({"status"}).status, 0);
    EXPECT_EQ(marked_as(), marked);
}

TEST_F(KernelTruth, AnIngressQdiscIsNotTakenForClsact) {
    test_->in_host({"tc", "qdisc", "add", "dev", "eth0", "handle", "ffff:", "ingress"});
    const Outcome enabled = test_->agent({"enable", "--region", "ca", "--tc-hook", "clsact"});
    EXPECT_EQ(enabled.status, 4) << enabled.out;
    EXPECT_NE(enabled.out.find("ingress qdisc"), std::string::npos) << enabled.out;
    EXPECT_EQ(test_->agent({"status"}).status, 4);
    if (!kernel_has_tcx()) return;
    EXPECT_EQ(test_->agent({"enable", "--region", "ca"}).status, 0);
    EXPECT_EQ(marked_as(), marked);
    EXPECT_EQ(test_->agent({"disable"}).status, 0);
    EXPECT_NE(test_->in_host({"tc", "qdisc", "show", "dev", "eth0"}).find("ingress"), std::string::npos);
}

// Another XDP program is in front of all of tc, and nothing but the packets tell what it does with them.
TEST_F(KernelTruth, PacketsThatOurProgramNeverSeesAreNoticed) {
    const Fd other = attach_foreign_xdp(test_->host, "eth0", XDP_DROP);
    ASSERT_TRUE(other);
    enable();
    EXPECT_EQ(test_->agent({"status"}).status, 0) << "nothing has come yet";
    const Fd far = udp_socket(test_->far, {media_address, 3478});
    const auto send = [&] {
        for (int i = 0; i < 30; i++)
            send_datagram(far.get(), {host_address, 50001}, std::array<uint8_t, 4>{});
    };
    test_->in_far({"ip", "neigh", "replace", host_address, "lladdr", mac("host"), "nud", "permanent", "dev", "eth0"});
    send();
    EXPECT_TRUE(eventually([&] { return test_->agent({"status"}).status == 4; })) << test_->agent({"status"}).out;
    EXPECT_NE(test_->agent({"status"}).out.find("packets came in and kudo-agent's program saw none of them"),
              std::string::npos);
}

TEST_F(KernelTruth, ProgramsThatSeeTheirPacketsAreHealthyBusyOrIdle) {
    for (const char* hook : {"auto", "clsact"}) {
        enable({"--tc-hook", hook});
        for (int round = 0; round < 3; round++) {
            const Endpoint remote{media_address, 3478}, here{host_address, 50001};
            const Fd near = udp_socket(test_->host, here), far = udp_socket(test_->far, remote);
            send_datagrams(near.get(), remote, far.get(), 50, 100);
            send_datagrams(far.get(), here, near.get(), 50, 100);
            EXPECT_EQ(test_->agent({"status"}).status, 0) << test_->agent({"status"}).out;
            std::this_thread::sleep_for(std::chrono::milliseconds(round == 1 ? 2100 : 0));
        }
    }
}

class LostPins : public KernelTruth, public testing::WithParamInterface<const char*> {
protected:
    void enable_by_hook() { enable({"--tc-hook", GetParam()}); }
};
INSTANTIATE_TEST_SUITE_P(Hooks, LostPins, testing::Values("auto", "clsact"));

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
    const Outcome enabled = test_->agent({"enable", "--region", "ca", "--tc-hook", GetParam()});
    EXPECT_EQ(enabled.status, 0) << enabled.err << enabled.out;
    EXPECT_EQ(enabled.out.find("another XDP program"), std::string::npos) << enabled.out;
    EXPECT_EQ(marked_as(), marked);
    EXPECT_EQ(test_->stats()["services"]["media"]["egress"]["packets"], 1) << "counted once";
    EXPECT_EQ(test_->agent({"disable"}).status, 0);
    expect_nothing_of_ours();
    umount2(test_->instance.bpffs.c_str(), MNT_DETACH);
}

TEST_P(LostPins, ADamagedStateAsWellLeavesNothing) {
    enable({"--tc-hook", GetParam(), "--uplink", "20mbit", "--downlink", "20mbit"});
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
    enable();
    ASSERT_EQ(mount("bpf", test_->instance.bpffs.c_str(), "bpf", 0, nullptr), 0);
    const Outcome disabled = agent_with_three_capabilities({"disable"});
    EXPECT_EQ(disabled.status, 1) << disabled.out;
    EXPECT_NE(disabled.err.find("eth0"), std::string::npos) << disabled.err;
    EXPECT_NE(disabled.err.find("CAP_SYS_ADMIN"), std::string::npos) << disabled.err;
    const Outcome again = agent_with_three_capabilities({"disable"});
    EXPECT_NE((again.out + again.err).find("eth0"), std::string::npos) << again.out << again.err;
    EXPECT_EQ(test_->agent({"disable"}).status, 0) << "root may look";
    expect_nothing_of_ours();
    umount2(test_->instance.bpffs.c_str(), MNT_DETACH);
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
    EXPECT_EQ(agent({"enable", "--region", "ca", "--tc-hook", GetParam()}).status, 0);
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
    EXPECT_EQ(test_->agent({"enable", "--region", "ca", "--tc-hook", GetParam()}).status, 0);
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
    EXPECT_EQ(test_->agent({"enable", "--region", "ca", "--tc-hook", GetParam()}).status, 0);
    EXPECT_FALSE(fs::exists(older));
    EXPECT_EQ(marked_as(), marked);
    EXPECT_EQ(test_->stats()["services"]["media"]["egress"]["packets"], 1) << "by the new programs alone";
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
