// SPDX-License-Identifier: MIT
// Mode enforce beside other programs: theirs before ours, and what is sent past all of them.
#include <linux/bpf.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <system_error>

#include "tests/e2e/enforce/enforce_fixture.h"
#include "tests/support/foreign_program.h"
#include "tests/support/packet_builder.h"

namespace kudo::test {
namespace {

const Endpoint here{host_address, 50001};
const Endpoint media{media_address, 3478}, stranger{stranger_address, 40000};

class EnforceBesideOthers : public EnforceTest {
protected:
    void expect_enforced() const {
        EXPECT_EQ(test_->agent({"status"}).status, 0) << test_->agent({"status"}).out;
        EXPECT_FALSE(strangers_pass());
        EXPECT_FALSE(goes_out(here, stranger));
        EXPECT_TRUE(answers(here, media));
    }
};

TEST_F(EnforceBesideOthers, AForeignXdpProgramLetsNothingPastOurs) {
    const Fd other = attach_foreign_xdp(test_->host, "eth0", XDP_PASS);
    ASSERT_TRUE(other);
    enforce({"--no-confirm"});
    EXPECT_EQ(test_->status().at("interfaces").at(0).at("ingress"), tc_hook_name());
    expect_enforced();
    EXPECT_TRUE(somebodys_xdp_stands());
}

TEST_F(EnforceBesideOthers, AForeignTcProgramOfBeforeIsBehindOurs) {
    if (!kernel_has_tcx()) GTEST_SKIP() << "this kernel has no tcx";
    const Fd in = attach_foreign_tcx(test_->host, "eth0", TcSide::Ingress, tcx_pass, false);
    const Fd out = attach_foreign_tcx(test_->host, "eth0", TcSide::Egress, tcx_pass, false);
    ASSERT_TRUE(in && out);
    enforce({"--no-confirm", "--ingress", "tc"});
    expect_enforced();
}

// One that goes to the front later, and lets everything pass: named, and overtaken.
TEST_F(EnforceBesideOthers, AForeignTcProgramInFrontIsNamedAndOvertaken) {
    if (!kernel_has_tcx()) GTEST_SKIP() << "this kernel has no tcx";
    enforce({"--no-confirm", "--ingress", "tc"});
    const Fd in = attach_foreign_tcx(test_->host, "eth0", TcSide::Ingress, tcx_pass, true);
    const Fd out = attach_foreign_tcx(test_->host, "eth0", TcSide::Egress, tcx_pass, true);
    ASSERT_TRUE(in && out);
    EXPECT_TRUE(strangers_pass()) << "it ends the chain before ours";
    EXPECT_TRUE(goes_out(here, stranger));
    const Outcome status = test_->agent({"status"});
    EXPECT_EQ(status.status, 4) << status.out;
    EXPECT_NE(status.out.find("somebodys (#"), std::string::npos) << status.out;
    const RunningService service(*test_, {});
    expect_enforced();
}

// docs/limits.md says so: whoever may open such a socket is not held back.
TEST_F(EnforceBesideOthers, WhatIsSentPastTheQdiscIsNotJudged) {
    enforce({"--no-confirm"});
    const Fd at = udp_socket(test_->far, stranger);
    const FrameSender sender(test_->host, "eth0");
    Bytes frame = (Ethernet{} / IPv4{.source = host_address, .destination = stranger_address} /
                   Udp{.source_port = here.port, .destination_port = stranger.port} / Payload(20))
                      .bytes();
    std::fill_n(frame.begin(), 6, uint8_t{0xff}); // to whoever is there
    EXPECT_THROW(sender.send(frame), std::system_error) << "a raw socket as such passes the programs";
    pollfd arrives{at.get(), POLLIN, 0};
    EXPECT_EQ(poll(&arrives, 1, 500), 0);
    inside<int>(test_->host, [&] {
        const Fd raw(socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0));
        const int on = 1;
        EXPECT_EQ(setsockopt(raw.get(), SOL_PACKET, PACKET_QDISC_BYPASS, &on, sizeof on), 0);
        sockaddr_ll address{};
        address.sll_family = AF_PACKET;
        address.sll_ifindex = static_cast<int>(if_nametoindex("eth0"));
        EXPECT_EQ(sendto(raw.get(), frame.data(), frame.size(), 0, reinterpret_cast<const sockaddr*>(&address),
                         sizeof address),
                  static_cast<ssize_t>(frame.size()));
        return 0;
    });
    EXPECT_EQ(poll(&arrives, 1, 5000), 1);
}

} // namespace
} // namespace kudo::test
