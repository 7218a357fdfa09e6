// SPDX-License-Identifier: MIT
// What status and disable say is what the kernel shows: other programs in front of ours, an ingress qdisc in clsact's
// place, lost and covered pins, other layouts, missing capabilities.
#include "tests/e2e/restore/kernel_truth.h"

#include <fstream>

namespace kudo::test {
namespace {

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

TEST_F(KernelTruth, AForeignProgramThatIsCalledLikeOursIsForeign) {
    if (!kernel_has_tcx()) GTEST_SKIP() << "this kernel has no tcx";
    enable();
    const Fd other = attach_foreign_tcx(test_->host, "eth0", TcSide::Egress, tcx_pass, true, "kudo_tc_stats");
    ASSERT_TRUE(other);
    EXPECT_EQ(marked_as(), 0) << "it ends the chain before ours";
    const Outcome status = test_->agent({"status"});
    EXPECT_EQ(status.status, 4) << status.out;
    EXPECT_NE(status.out.find("kudo_tc_stats"), std::string::npos) << status.out;
}

TEST_F(KernelTruth, APolicyOfOtherRegionsIsNotSaidToDifferInWhatIsTheSame) {
    enable();
    const std::string file = test_->instance.state_dir.string() + "/state.json";
    std::ifstream before(file);
    nlohmann::json state = nlohmann::json::parse(before);
    ASSERT_EQ(state.at("regions"), nlohmann::json({"ca"}));
    state["regions"] = {"us"};
    std::ofstream(file) << state;
    const Outcome status = test_->agent({"status"});
    EXPECT_EQ(status.status, 4) << status.out;
    EXPECT_NE(status.out.find("it has the same serial, 2022030100, and mode, prioritise, but other regions"),
              std::string::npos)
        << status.out;
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
    for (const std::vector<std::string>& hook :
         {std::vector<std::string>{}, {"--tc-hook", "clsact"}, {"--ingress", "xdp"}}) {
        enable(hook);
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

} // namespace
} // namespace kudo::test
