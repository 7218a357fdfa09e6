// SPDX-License-Identifier: MIT
// What `doctor` meets besides ordinary hosts: servers that flood it with nonsense, files that are something else, a
// full disk.
#include <sys/stat.h>

#include <chrono>
#include <filesystem>
#include <fstream>

#include <fmt/format.h>

#include "tests/e2e/doctor/fixture.h"
#include "tests/support/running_service.h"

namespace kudo::test {
namespace {

// Answers each datagram with a hundred that look like STUN and are none, with attributes that claim more than there is,
// and each connection with bytes without end.
constexpr const char* nonsense = R"(
import os, socket, sys, threading
def datagrams(address):
    line = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    line.bind((address, 3478))
    while True:
        request, client = line.recvfrom(2048)
        for i in range(100):
            line.sendto(b"\x01\x01\x00\x04\x21\x12\xa4\x42" + os.urandom(12) + b"\x00\x20\xff\xff", client)
            line.sendto(b"\x01\x01\x00\x04\x21\x12\xa4\x42" + request[8:20] + b"\x00\x20\xff\xff", client)
def flood(line):
    try:
        while True: line.sendall(os.urandom(4096))
    except OSError: pass
def streams(address):
    listener = socket.create_server((address, 443))
    while True: threading.Thread(target=flood, args=(listener.accept()[0],), daemon=True).start()
for address in sys.argv[1:]:
    for work in (datagrams, streams): threading.Thread(target=work, args=(address,), daemon=True).start()
threading.Event().wait()
)";

// Runs a program as on a kernel that has no nfnetlink.
constexpr const char* without_netfilter = R"(
import ctypes, os, sys
class Argument(ctypes.Structure):
    _fields_ = [("number", ctypes.c_uint), ("comparison", ctypes.c_int), ("a", ctypes.c_uint64), ("b", ctypes.c_uint64)]
library = ctypes.CDLL("libseccomp.so.2")
library.seccomp_init.restype = ctypes.c_void_p
filter = ctypes.c_void_p(library.seccomp_init(ctypes.c_uint(0x7fff0000)))
equal, netlink, netfilter, not_supported = 4, 16, 12, 93
arguments = (Argument * 2)(Argument(0, equal, netlink, 0), Argument(2, equal, netfilter, 0))
assert library.seccomp_rule_add_array(filter, ctypes.c_uint(0x00050000 | not_supported),
    library.seccomp_syscall_resolve_name(b"socket"), 2, arguments) == 0
assert library.seccomp_load(filter) == 0
os.execvp(sys.argv[1], sys.argv[1:])
)";

class DoctorOddCases : public DoctorTest {};

TEST_F(DoctorOddCases, ServersThatSendNonsenseWithoutEndDelayNothing) {
    stop_turn();
    run_on_servers({"python3", test_->write_file("nonsense.py", nonsense), media[0], media[1], media[2]});
    ASSERT_TRUE(eventually(
        [&] { return servers_shell("ss -Hulnt").find(fmt::format("{}:443", media[2])) != std::string::npos; }));
    const Findings findings = doctor();
    EXPECT_LE(findings.seconds, 15.0);
    EXPECT_EQ(findings.of("media_tcp").result, "fail") << findings.of("media_tcp").all;
    EXPECT_EQ(findings.of("nat").result, "skip") << findings.of("nat").all;
    EXPECT_EQ(findings.of("region").result, "pass") << findings.of("region").all;
}

TEST_F(DoctorOddCases, NobodyAnswersAnythingAndItEndsInTime) {
    router_shell("nft add table ip t; nft 'add chain ip t c { type filter hook forward priority 0; policy drop; }'");
    cover_file("/etc/resolv.conf", "nameserver 10.88.0.2\nnameserver 10.88.0.3\nnameserver 10.88.0.4\n");
    const Findings findings = doctor({"--teams"}, {}, {"https_proxy=http://10.88.0.2:3128"});
    EXPECT_EQ(findings.status, 4);
    EXPECT_LE(findings.seconds, 15.0);
    // Silence alone is no proof.
    EXPECT_EQ(findings.of("media_udp").result, "warn") << findings.of("media_udp").all;
    EXPECT_EQ(findings.of("media_tcp").result, "warn") << findings.of("media_tcp").all;
    EXPECT_EQ(findings.of("dns").result, "warn") << findings.of("dns").all;
    EXPECT_EQ(findings.of("proxy").result, "fail") << findings.of("proxy").all;
    EXPECT_EQ(findings.of("ipv6").result, "skip") << findings.of("ipv6").all;
}

TEST_F(DoctorOddCases, WhatReadsTheNetworkHasNoPrivilegesAndItsEndIsTold) {
    // Nobody answers, so that it takes a while.
    router_shell("nft add table ip t; nft 'add chain ip t c { type filter hook forward priority 0; policy drop; }'");
    std::string command;
    for (const std::string& word : test_->agent_argv({"doctor", "--region", "ca", "--json"}))
        command += word + " ";
    const std::string told = host_shell(
        command + "> " + test_->folder + "/report & agent=$!; " +
        "until child=$(pgrep -P $agent); do sleep 0.05; done; "
        "until grep -q 'Seccomp:.2' /proc/$child/status; do sleep 0.05; done; "
        "grep -E 'CapEff|CapPrm|NoNewPrivs' /proc/$child/status; kill -9 $child; wait $agent || echo exit $?");
    EXPECT_NE(told.find("CapPrm:\t0000000000000000"), std::string::npos) << told;
    EXPECT_NE(told.find("CapEff:\t0000000000000000"), std::string::npos) << told;
    EXPECT_NE(told.find("NoNewPrivs:\t1"), std::string::npos) << told;
    std::ifstream file(test_->folder + "/report");
    const auto report = nlohmann::json::parse(file);
    EXPECT_NE(told.find("exit 4"), std::string::npos) << told;
    EXPECT_NE(report.at("unfinished").dump().find("ended by signal 9"), std::string::npos) << report;
    for (const auto& check : report.at("checks"))
        if (check.at("name") == "media_udp" || check.at("name") == "region" || check.at("name") == "marks") {
            EXPECT_EQ(check.at("result"), "skip") << check;
            EXPECT_NE(check.at("summary").get<std::string>().find("ended by signal 9"), std::string::npos) << check;
        }
}

TEST_F(DoctorOddCases, AFileThatIsSomethingElseIsNotWaitedFor) {
    // A FIFO that nobody writes to, and settings that are no JSON.
    const std::string fifo = test_->folder + "/fifo";
    ASSERT_EQ(mkfifo(fifo.c_str(), 0644), 0);
    const std::string folder = cover_folder("/etc/opt") + "/chrome/policies/managed";
    host_shell("mkdir -p " + folder + "; mkfifo " + folder + "/a.json; echo '[1' > " + folder +
               "/b.json; echo '[]' > " + folder + "/c.json; echo '{\"ProxySettings\": 7}' > " + folder + "/d.json");
    const Findings findings = doctor();
    EXPECT_EQ(findings.troubles(), std::vector<std::string>());
}

TEST_F(DoctorOddCases, AFullDiskDoesNotMatter) {
    host_shell("mount -o remount,size=16m " + test_->folder + "; dd if=/dev/zero of=" + test_->folder +
               "/filler bs=1M 2>/dev/null || true");
    EXPECT_EQ(doctor().troubles(), std::vector<std::string>());
}

TEST_F(DoctorOddCases, AMarkThatIsLostFailsAlsoWhileEnabled) {
    ASSERT_EQ(test_->agent({"enable", "--region", "ca"}).status, 0);
    const Findings good = doctor();
    EXPECT_EQ(good.of("marks").result, "pass") << good.of("marks").all;
    router_shell("nft add table ip t; nft 'add chain ip t c { type filter hook forward priority 0; }'; "
                 "nft 'add rule ip t c ip dscp af41 drop'");
    const Findings findings = doctor();
    EXPECT_EQ(findings.of("marks").result, "fail") << findings.of("marks").all;
    EXPECT_NE(findings.of("marks").all.find("CS0: 20 of 20"), std::string::npos) << findings.of("marks").all;
    EXPECT_NE(findings.of("marks").all.find("AF41: 0 of 20"), std::string::npos) << findings.of("marks").all;
    // The programs stay attached where the state is lost.
    std::filesystem::remove(test_->instance.state_dir / "state.json");
    const Findings lost = doctor({"--server", media[0], "--server", media[1]});
    EXPECT_EQ(lost.of("marks").result, "fail") << lost.of("marks").all;
    EXPECT_NE(lost.of("marks").all.find("AF41: 0 of 20"), std::string::npos) << lost.of("marks").all;
}

TEST_F(DoctorOddCases, AKernelWithoutNetfilterEndsNothing) {
    const Findings findings = doctor({}, {"python3", test_->write_file("without.py", without_netfilter)});
    EXPECT_EQ(findings.of("firewall_out").result, "pass") << findings.of("firewall_out").all;
    EXPECT_EQ(findings.troubles(), std::vector<std::string>());
}

TEST_F(DoctorOddCases, RefusingRoutesThatAreNotInTheWayAreNobodysFault) {
    // What a VPN's kill switch leaves: a worse metric, and a table that a rule gives to others.
    host_shell("ip route add 3.127.48.224/28 via 10.77.0.1; ip route add blackhole 3.127.48.224/28 metric 4000; "
               "ip route add blackhole default metric 5000; "
               "ip route add prohibit 3.127.48.0/24 table 77; ip rule add from 10.200.0.0/16 lookup 77");
    EXPECT_EQ(doctor().troubles(), std::vector<std::string>());
}

TEST_F(DoctorOddCases, ARulesetWithoutEndDelaysNothing) {
    host_shell(
        "{ echo 'table inet f { chain out { type filter hook output priority 0;'; "
        "for i in $(seq 30000); do echo \"ip daddr 198.51.100.7 udp dport $i meta skuid 77 counter drop\"; done; "
        "echo '}; }'; } | nft -f -");
    const Findings findings = doctor();
    EXPECT_LE(findings.seconds, 15.0);
    EXPECT_EQ(findings.of("region").result, "pass") << findings.of("region").all;
    EXPECT_EQ(findings.of("marks").result, "pass") << findings.of("marks").all;
    EXPECT_EQ(findings.troubles(), std::vector<std::string>());
    EXPECT_EQ(findings.status, 0);
}

TEST_F(DoctorOddCases, ANat64IsARoute) {
    host_shell("ip -4 address flush dev eth0; ip -6 address add fd76::2/64 dev eth0 nodad; "
               "ip -6 route add 64:ff9b::/96 via fd76::1 dev eth0");
    router_shell("ip -6 address add fd76::1/64 dev eth0 nodad");
    const Findings findings = doctor();
    for (const char* name : {"routes", "gateway", "interfaces", "firewall_out", "firewall_in"})
        EXPECT_EQ(findings.of(name).result, "pass") << findings.of(name).all;
}

TEST_F(DoctorOddCases, ANextHopThatHadFailedIsAskedAgain) {
    router_shell("ip link set eth0 arp off");
    host_shell("ip neigh flush dev eth0; ping -c 1 -W 1 3.97.146.187 >/dev/null || true; "
               "while ! ip neigh show 10.77.0.1 | grep -q FAILED; do sleep 0.1; done");
    router_shell("ip link set eth0 arp on");
    EXPECT_EQ(doctor().troubles(), std::vector<std::string>());
}

TEST_F(DoctorOddCases, AnEnabledInterfaceThatIsGoneFails) {
    host_shell("ip link add eth9 type veth peer name eth9-far; ip link set eth9 up; ip link set eth9-far up");
    ASSERT_EQ(test_->agent({"enable", "--region", "ca", "--interface", "eth0", "--interface", "eth9"}).status, 0);
    host_shell("ip link del eth9");
    const Findings findings = doctor();
    EXPECT_EQ(findings.of("interfaces").result, "fail") << findings.of("interfaces").all;
    EXPECT_EQ(findings.troubles("interfaces"), std::vector<std::string>());
}

} // namespace
} // namespace kudo::test
