// SPDX-License-Identifier: MIT
// What every command owes a person: colours for a terminal only, what this kernel can do, and nothing sent anywhere.
#include <gtest/gtest.h>

#include <sys/mount.h>

#include <algorithm>
#include <sstream>
#include <thread>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "tests/support/host_test.h"
#include "tests/support/running_service.h"
#include "tests/support/traffic.h"

namespace kudo::test {
namespace {

// Of UTF-8.
std::size_t characters(const std::string& line) {
    return static_cast<std::size_t>(
        std::ranges::count_if(line, [](char c) { return (static_cast<unsigned char>(c) & 0xc0) != 0x80; }));
}

class Manners : public HostTest {
protected:
    // What `version` shows on a terminal.
    [[nodiscard]] std::string on_a_terminal(const std::string& environment) const {
        const std::string command =
            fmt::format("env {} {}", environment, fmt::join(test_->agent_argv({"version"}), " "));
        return test_->in_host({"script", "-qec", command, "/dev/null"});
    }
    // Packets of the rule with this comment.
    [[nodiscard]] int counted(const std::string& comment) const {
        const auto listed =
            nlohmann::json::parse(test_->in_host({"nft", "-j", "list", "chain", "inet", "seen", "out"}));
        for (const auto& item : listed.at("nftables"))
            if (item.contains("rule") && item.at("rule").value("comment", "") == comment)
                for (const auto& part : item.at("rule").at("expr"))
                    if (part.contains("counter")) return part.at("counter").at("packets");
        return -1;
    }
};

TEST_F(Manners, ColoursAreForATerminalThatWantsThem) {
    const std::string begin = "\x1b[";
    EXPECT_NE(on_a_terminal("-u NO_COLOR").find(begin), std::string::npos);
    EXPECT_NE(on_a_terminal("NO_COLOR=").find(begin), std::string::npos) << "no-color.org: when it is not empty";
    const std::string plain = on_a_terminal("NO_COLOR=1");
    EXPECT_EQ(plain.find(begin), std::string::npos) << plain;
    EXPECT_NE(plain.find("FEATURE"), std::string::npos) << plain;
    EXPECT_EQ(test_->agent({"version"}).out.find(begin), std::string::npos) << "no terminal";
}

TEST_F(Manners, DoctorTellsATerminalHowFarItIsAndNobodyElse) {
    const std::string command =
        fmt::format("{}; true", fmt::join(test_->agent_argv({"doctor", "--region", "ca"}), " "));
    const std::string on_terminal = test_->in_host({"script", "-qec", command, "/dev/null"});
    EXPECT_NE(on_terminal.find(" checks: "), std::string::npos);
    const auto last = on_terminal.rfind("\r\x1b[K");
    ASSERT_NE(last, std::string::npos);
    EXPECT_EQ(on_terminal.substr(last).find(" checks: "), std::string::npos) << "nothing of it stays";
    EXPECT_EQ(test_->agent({"doctor", "--region", "ca"}).err.find(" checks: "), std::string::npos);
}

TEST_F(Manners, VersionTellsWhatThisKernelCanDo) {
    const auto told = nlohmann::json::parse(test_->agent({"version", "--json"}).out);
    EXPECT_EQ(told.at("version"), KUDO_VERSION);
    EXPECT_TRUE(told.at("layout").is_number());
    const auto& features = told.at("kernel").at("features");
    for (const char* name : {"bpffs", "btf", "drop_reasons", "tc", "tcx", "xdp", "xdp_link", "xdp_frags"})
        EXPECT_TRUE(features.at(name).is_boolean()) << name << ' ' << features;
    EXPECT_EQ(features.at("tcx"), kernel_has_tcx());

    std::vector<std::string> as_nobody = {"setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"};
    for (const std::string& word : test_->agent_argv({"version", "--json"}))
        as_nobody.push_back(word);
    const auto by_nobody = nlohmann::json::parse(test_->in_host(as_nobody));
    EXPECT_EQ(by_nobody.at("kernel").at("features").at("tcx"), nullptr) << "this user may not ask";
}

// Of a host with flows, a queue and losses.
TEST_F(Manners, NothingIsWiderThanTheTerminal) {
    test_->add_far_address("52.200.60.17/32");
    test_->in_host({"sh", "-c",
                    "nft add table ip guard; nft add chain ip guard in '{ type filter hook input priority 0; }'; "
                    "nft add rule ip guard in udp sport 3478 limit rate over 5/second drop"});
    ASSERT_EQ(test_->agent({"enable", "--region", "ca", "--uplink", "20mbit"}).status, 0);
    const Endpoint here{"10.77.0.2", 40000}, there{"52.200.60.17", 3478};
    const Fd near = udp_socket(test_->host, here), far = udp_socket(test_->far, there);
    for (int i = 0; i < 50; i++) {
        send_datagram(near.get(), there, Bytes(200, 0x5a));
        send_datagram(far.get(), here, Bytes(200, 0x5a));
    }
    const std::vector<std::vector<std::string>> commands = {
        {"enable", "--region", "ca", "--uplink", "20mbit", "--interface", "eth0"},
        {"status"},
        {"stats"},
        {"stats", "--drops"},
        {"stats", "--flows"},
        {"stats", "--since", "1m"},
        {"ranges", "show", "--domains"},
        {"ranges", "list"},
        {"explain", "52.200.60.17", "udp/3478"},
        {"version"}};
    for (const int width : {80, 100, 200})
        for (const auto& command : commands) {
            std::istringstream lines(test_->agent(command, {fmt::format("COLUMNS={}", width)}).out);
            for (std::string line; std::getline(lines, line);)
                EXPECT_LE(characters(line), static_cast<std::size_t>(width))
                    << fmt::format("{}", fmt::join(command, " ")) << ": " << line;
        }
}

// Neighbour discovery and multicast listener reports are the kernel's own.
TEST_F(Manners, NothingIsSentButWhatWasAskedFor) {
    const std::string rules = test_->write_file("seen.nft", "table inet seen {\n"
                                                            "  chain out {\n"
                                                            "    type filter hook output priority 0;\n"
                                                            "    oif lo accept\n"
                                                            "    meta l4proto ipv6-icmp accept\n"
                                                            "    udp dport 53 counter accept comment \"names\"\n"
                                                            "    counter comment \"others\"\n"
                                                            "  }\n"
                                                            "}\n");
    test_->in_host({"nft", "-f", rules});
    {
        const RunningService service(*test_, {RunningService::resolves_names, "--reconcile-every", "1s"});
        std::this_thread::sleep_for(std::chrono::seconds(3));
        EXPECT_EQ(counted("names"), 0) << "not enabled";
        EXPECT_EQ(counted("others"), 0);
    }
    ASSERT_EQ(test_->agent({"enable", "--region", "ca"}).status, 0);
    for (const char* command : {"status", "stats", "version"})
        test_->agent({command});
    test_->agent({"explain", "52.200.60.17"});
    EXPECT_EQ(counted("names"), 0);
    {
        const RunningService service(*test_, {"--reconcile-every", "1s"});
        std::this_thread::sleep_for(std::chrono::seconds(3));
        EXPECT_EQ(counted("names"), 0) << "--no-resolve-names";
    }
    const std::string servers = test_->write_file("resolv.conf", "nameserver 10.77.0.1\n");
    ASSERT_EQ(mount(servers.c_str(), "/etc/resolv.conf", nullptr, MS_BIND, nullptr), 0) << strerror(errno);
    const RunningService service(*test_, {RunningService::resolves_names, "--reconcile-every", "1s"});
    EXPECT_TRUE(eventually([&] { return counted("names") > 0; })) << "the range map's names, by default";
    umount2("/etc/resolv.conf", MNT_DETACH);
    EXPECT_EQ(counted("others"), 0);
}

} // namespace
} // namespace kudo::test
