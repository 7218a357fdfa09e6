// SPDX-License-Identifier: MIT
// A host of which the kernel itself is asked: what is attached, and how packets arrive.
#pragma once

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

namespace fs = std::filesystem;

inline const std::vector<std::string> three_capabilities = {"setpriv", "--bounding-set=-all,+bpf,+net_admin,+perfmon",
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
    void expect_no_queue_of_ours() const {
        EXPECT_EQ(kernel().find("4b55"), std::string::npos) << kernel();
        EXPECT_EQ(test_->in_host({"ip", "link"}).find("kudo-ifb"), std::string::npos);
        EXPECT_EQ(kernel().find("clsact"), std::string::npos) << kernel();
    }
    static constexpr auto marked = 34 << 2; // AF41: media that is not known to be audio
};

} // namespace kudo::test
