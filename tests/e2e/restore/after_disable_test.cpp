// SPDX-License-Identifier: MIT
// disable puts everything back: ours is gone from the kernel, what others have put there stands as it stood.
// Invariant: the interface is compared before enable and after disable with what tc and ip say of it, and between them
// ours is seen to be there.
#include <gtest/gtest.h>

#include <bpf/bpf.h>
#include <linux/bpf.h>
#include <net/if.h>

#include <set>
#include <thread>

#include "agent/attach/in_kernel.h"
#include "agent/datapath/bpf_object.h"
#include "tests/support/host_test.h"

namespace kudo::test {
namespace {

constexpr auto tcx_ingress = static_cast<bpf_attach_type>(46); // linux/bpf.h >= 6.6
constexpr auto tcx_egress = static_cast<bpf_attach_type>(47);

// A program of somebody else: returns `answer`.
Fd foreign_program(bpf_prog_type type, int answer) {
    const bpf_insn code[] = {{BPF_ALU64 | BPF_MOV | BPF_K, 0, 0, 0, answer}, {BPF_JMP | BPF_EXIT, 0, 0, 0, 0}};
    Fd program(bpf_prog_load(type, "foreign", "GPL", code, std::size(code), nullptr));
    if (!program) throw std::runtime_error(std::string("foreign program: ") + strerror(errno));
    return program;
}

class RestoreAfterDisable : public HostTest {
protected:
    void SetUp() override {
        HostTest::SetUp();
        if (!test_) return;
        test_->wait_for_carrier();
    }

    // Attaches to the host's eth0. No value: the kernel does not know the hook.
    std::optional<Fd> attach(const Fd& program, bpf_attach_type type) const {
        const int fd = inside<int>(test_->host, [&] {
            const int link = bpf_link_create(program.get(), static_cast<int>(if_nametoindex("eth0")), type, nullptr);
            return link < 0 ? -errno : link;
        });
        if (fd == -EINVAL) return {};
        if (fd < 0) throw std::runtime_error(std::string("link: ") + strerror(-fd));
        return std::optional<Fd>(Fd(fd));
    }

    // The interface as its admin sees it.
    [[nodiscard]] std::string picture() const {
        std::string text;
        for (const std::vector<std::string>& command : {std::vector<std::string>{"tc", "qdisc", "show"},
                                                        {"tc", "class", "show", "dev", "eth0"},
                                                        {"tc", "filter", "show", "dev", "eth0"},
                                                        {"tc", "filter", "show", "dev", "eth0", "ingress"},
                                                        {"tc", "filter", "show", "dev", "eth0", "egress"},
                                                        {"ip", "-d", "link", "show"},
                                                        {"ip", "-4", "route", "show", "table", "all"}})
            text += test_->in_host(command);
        // tc and ip of Debian 12 do not know tcx.
        return text + inside<std::string>(test_->host, [] {
                   std::string programs;
                   for (const bool ingress : {true, false})
                       for (const uint32_t id : tcx_programs(if_nametoindex("eth0"), ingress))
                           programs += program_text(id) + "\n";
                   return programs;
               });
    }

    // Ids of every program, map and link that our pins hold, and of the programs' own maps.
    struct Ids {
        std::set<uint32_t> programs, maps, links;
    };
    [[nodiscard]] Ids ids() const {
        Ids result;
        for (const auto& pin : std::filesystem::recursive_directory_iterator(test_->instance.layout())) {
            if (pin.is_directory() || pin.is_symlink()) continue;
            const std::string folder = pin.path().parent_path().filename();
            const Fd fd = open_pin(pin.path()).value();
            bpf_map_info map{};
            bpf_link_info link{};
            bpf_prog_info program{};
            uint32_t used[64] = {};
            program.nr_map_ids = std::size(used);
            program.map_ids = reinterpret_cast<uint64_t>(used);
            void* info = folder == "maps"    ? static_cast<void*>(&map)
                         : folder == "links" ? static_cast<void*>(&link)
                                             : &program;
            uint32_t size = folder == "maps" ? sizeof map : folder == "links" ? sizeof link : sizeof program;
            if (bpf_obj_get_info_by_fd(fd.get(), info, &size) != 0)
                throw std::runtime_error("no info of " + pin.path().string());
            if (folder == "maps")
                result.maps.insert(map.id);
            else if (folder == "links")
                result.links.insert(link.id);
            else {
                result.programs.insert(program.id);
                result.maps.insert(used, used + program.nr_map_ids);
            }
        }
        return result;
    }

    // How many of them still live. The kernel frees them a grace period after the last holder: it gets five seconds.
    [[nodiscard]] static std::size_t living(const Ids& ids) {
        std::size_t count = 0;
        for (int attempt = 0; attempt < 100; attempt++) {
            count = 0;
            for (const uint32_t id : ids.programs)
                count += static_cast<bool>(Fd(bpf_prog_get_fd_by_id(id)));
            for (const uint32_t id : ids.maps)
                count += static_cast<bool>(Fd(bpf_map_get_fd_by_id(id)));
            for (const uint32_t id : ids.links)
                count += static_cast<bool>(Fd(bpf_link_get_fd_by_id(id)));
            if (count == 0) break;
            std::this_thread::sleep_for(std::chrono::milliseconds(50));
        }
        return count;
    }

    // enable with these options and disable: the picture changes and comes back. `ingress`, `egress`: the hooks
    // meanwhile.
    void expect_restored(const std::vector<std::string>& options, const std::string& ingress,
                         const std::string& egress) {
        const std::string before = picture();
        std::vector<std::string> arguments = {"enable", "--region", "ca"};
        arguments.insert(arguments.end(), options.begin(), options.end());
        const Outcome enabled = test_->agent(arguments);
        ASSERT_EQ(enabled.status, 0) << enabled.err;
        EXPECT_EQ(enabled.err, "") << "noise on standard error";
        const auto status = test_->status();
        EXPECT_EQ(status.at("healthy"), true) << status;
        EXPECT_EQ(status.at("interfaces").at(0).at("ingress"), ingress);
        EXPECT_EQ(status.at("interfaces").at(0).at("egress"), egress);
        const Ids ours = ids();
        EXPECT_GE(ours.programs.size(), 2u);
        EXPECT_GE(ours.maps.size(), 12u);
        EXPECT_NE(picture(), before) << "enable cannot be seen: the comparison proves nothing";

        const Outcome disabled = test_->agent({"disable"});
        ASSERT_EQ(disabled.status, 0) << disabled.err;
        EXPECT_EQ(disabled.err, "") << "noise on standard error";
        EXPECT_EQ(picture(), before);
        EXPECT_EQ(living(ours), 0u) << "programs, maps or links of ours are still in the kernel";
        EXPECT_FALSE(std::filesystem::exists(test_->instance.pins()));
        EXPECT_TRUE(std::filesystem::is_empty(test_->instance.state_dir));
    }
};

TEST_F(RestoreAfterDisable, AnUntouchedInterface) {
    expect_restored({}, tc_hook_name(), tc_hook_name());
    expect_restored({"--ingress", "xdp"}, "xdp-native", tc_hook_name());
}

TEST_F(RestoreAfterDisable, AClsactThatWeMadeGoesAway) {
    expect_restored({"--tc-hook", "clsact"}, "tc", "tc");
    expect_restored({"--ingress", "xdp", "--tc-hook", "clsact", "--firewall-mark", "0x10"}, "xdp-native", "tc");
}

TEST_F(RestoreAfterDisable, AnAdminsEmptyClsactStays) {
    test_->in_host({"tc", "qdisc", "add", "dev", "eth0", "clsact"});
    expect_restored({"--tc-hook", "clsact"}, "tc", "tc");
    expect_restored({"--ingress", "xdp", "--tc-hook", "clsact"}, "xdp-native", "tc");
    EXPECT_NE(picture().find("clsact"), std::string::npos);
}

TEST_F(RestoreAfterDisable, AnAdminsFiltersAndTheirClsactStay) {
    test_->in_host({"tc", "qdisc", "add", "dev", "eth0", "clsact"});
    for (const char* side : {"ingress", "egress"})
        test_->in_host({"tc", "filter", "add", "dev", "eth0", side, "protocol", "all", "pref", "9", "u32", "match",
                        "u32", "0", "0", "flowid", "1:10"});
    expect_restored({"--tc-hook", "clsact"}, "tc", "tc");
    expect_restored({"--ingress", "xdp", "--tc-hook", "clsact", "--firewall-mark", "0x10"}, "xdp-native", "tc");
    EXPECT_NE(picture().find("u32"), std::string::npos);
}

TEST_F(RestoreAfterDisable, AnAdminsFilterThatCameAfterOursKeepsTheClsactThatWeMade) {
    ASSERT_EQ(test_->agent({"enable", "--region", "ca", "--tc-hook", "clsact"}).status, 0);
    test_->in_host({"tc", "filter", "add", "dev", "eth0", "egress", "protocol", "all", "pref", "50", "u32", "match",
                    "u32", "0", "0", "flowid", "1:10"});
    ASSERT_EQ(test_->agent({"disable"}).status, 0);
    const std::string filters = test_->in_host({"tc", "filter", "show", "dev", "eth0", "egress"});
    EXPECT_NE(filters.find("u32"), std::string::npos) << filters;
    EXPECT_EQ(filters.find("kudo"), std::string::npos) << filters;
}

TEST_F(RestoreAfterDisable, AnHtbRootQdiscStays) {
    test_->in_host({"tc", "qdisc", "add", "dev", "eth0", "root", "handle", "1:", "htb", "default", "10"});
    test_->in_host({"tc", "class", "add", "dev", "eth0", "parent", "1:", "classid", "1:10", "htb", "rate", "1mbit"});
    expect_restored({"--ingress", "xdp"}, "xdp-native", tc_hook_name());
    EXPECT_NE(picture().find("htb"), std::string::npos);
}

TEST_F(RestoreAfterDisable, AForeignXdpProgramStaysAndWeUseTc) {
    const Fd program = foreign_program(BPF_PROG_TYPE_XDP, XDP_PASS);
    const auto link = attach(program, BPF_XDP);
    ASSERT_TRUE(link);
    const std::string id = "prog/xdp id " + std::to_string(program_id(program.get()));
    EXPECT_NE(picture().find(id), std::string::npos) << picture();
    const Outcome enabled = test_->agent({"enable", "--region", "ca", "--ingress", "xdp"});
    ASSERT_EQ(enabled.status, 0);
    EXPECT_NE(enabled.out.find("another XDP program is attached to eth0; using tc"), std::string::npos) << enabled.out;
    EXPECT_EQ(test_->status().at("interfaces").at(0).at("ingress"), tc_hook_name());
    EXPECT_NE(picture().find(id), std::string::npos) << "enable has touched somebody else's program";
    ASSERT_EQ(test_->agent({"disable"}).status, 0);
    EXPECT_NE(picture().find(id), std::string::npos);
    // With clsact the picture shows ours too.
    expect_restored({"--ingress", "xdp", "--tc-hook", "clsact"}, "tc", "tc");
    EXPECT_NE(picture().find(id), std::string::npos);
}

TEST_F(RestoreAfterDisable, ForeignTcxProgramsStay) {
    const Fd program = foreign_program(BPF_PROG_TYPE_SCHED_CLS, -1);
    const auto ingress = attach(program, tcx_ingress), egress = attach(program, tcx_egress);
    if (!ingress || !egress) GTEST_SKIP() << "this kernel has no tcx";
    expect_restored({"--firewall-mark", "0x10"}, "tcx", "tcx");
    expect_restored({"--ingress", "xdp", "--firewall-mark", "0x10"}, "xdp-native", "tcx");
    for (const auto* link : {&*ingress, &*egress}) {
        const auto info = link_info(link->get());
        ASSERT_TRUE(info);
        EXPECT_NE(info->interface, 0u) << "the link was detached";
        EXPECT_EQ(info->program_id, program_id(program.get()));
    }
}

} // namespace
} // namespace kudo::test
