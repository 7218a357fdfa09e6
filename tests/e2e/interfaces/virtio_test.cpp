// SPDX-License-Identifier: MIT
// A virtio network card, as tests/kernels/run --nic has one: what native XDP leaves there.
// Invariant: without such a card, named by KUDO_TEST_NIC, these tests do nothing.
#include <gtest/gtest.h>

#include <cstdlib>

#include <fmt/format.h>

#include "tests/support/host_test.h"
#include "tests/support/running_service.h"

namespace kudo::test {
namespace {

class VirtioNic : public HostTest {
protected:
    // True: it is in the host's namespace, up. It comes back when that ends.
    bool take() {
        const char* name = std::getenv("KUDO_TEST_NIC");
        if (!name) return false;
        const std::string space = fmt::format("/proc/{}/fd/{}", getpid(), test_->host.fd());
        const auto moved = [&](const std::string& from) {
            return run_program({"ip", "link", "set", from, "netns", space, "name", nic}).status == 0;
        };
        // A test before this one may have given it the other name, and its namespace take a moment to end.
        EXPECT_TRUE(eventually([&] { return moved(name) || moved(nic); }));
        test_->in_host({"ip", "link", "set", nic, "up"});
        return true;
    }
    [[nodiscard]] Outcome enable(const std::string& ingress) const {
        return test_->agent(
            {"enable", "--region", "ca", "--interface", nic, "--interface", "eth0", "--ingress", ingress});
    }
    void set_mtu(const std::string& mtu) const { test_->in_host({"ip", "link", "set", nic, "mtu", mtu}); }
    static bool is_loaded() {
        const Outcome programs = run_program({"bpftool", "prog", "show", "name", "kudo_xdp"});
        return programs.out.find("kudo_xdp") != std::string::npos;
    }
    static constexpr const char* nic = "nic0";
};

TEST_F(VirtioNic, IsNotLeftWithAProgramByAnMtuThatForbidsIt) {
    if (!take()) return;
    const Outcome enabled = enable("xdp");
    ASSERT_EQ(enabled.status, 0) << enabled.out << enabled.err;
    ASSERT_TRUE(is_loaded());
    set_mtu("9000");
    const Outcome disabled = test_->agent({"disable"});
    if (disabled.status != 0) { // before Linux 6.12
        EXPECT_NE(disabled.err.find("does not let XDP go at an MTU of 9000"), std::string::npos) << disabled.err;
        EXPECT_EQ(test_->agent({"status"}).status, 4) << "it is still there";
        set_mtu("1500");
        const Outcome again = test_->agent({"disable"});
        EXPECT_EQ(again.status, 0) << again.err;
    }
    EXPECT_TRUE(eventually([] { return !is_loaded(); }));
}

TEST_F(VirtioNic, MovesToTcOnceTheMtuAllowsIt) {
    if (!take()) return;
    ASSERT_EQ(enable("xdp").status, 0);
    set_mtu("9000");
    if (enable("tc").status != 0) {
        set_mtu("1500");
        EXPECT_EQ(enable("tc").status, 0);
    }
    EXPECT_EQ(test_->agent({"status"}).status, 0) << test_->agent({"status"}).out;
    const auto status = test_->status();
    for (const auto& interface : status.at("interfaces"))
        EXPECT_EQ(interface.at("ingress"), tc_hook_name()) << interface;
    EXPECT_EQ(test_->agent({"disable"}).status, 0);
}

} // namespace
} // namespace kudo::test
