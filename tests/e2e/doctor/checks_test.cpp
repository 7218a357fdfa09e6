// SPDX-License-Identifier: MIT
// A host and a network built to fail each check of `doctor`, one at a time: that check says so, no other does, and its
// fix makes it pass.
// Invariant: the command that doctor gives as the fix is what is run, unless somebody else must act: then the row does
// what its advice says.
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/bpf.h>
#include <linux/if_link.h>
#include <net/if.h>
#include <sys/mount.h>

#include <filesystem>
#include <fstream>
#include <functional>
#include <ostream>

#include "tests/e2e/doctor/fixture.h"
#include "tests/e2e/link_fixture.h"
#include "tests/support/foreign_program.h"

namespace kudo::test {
namespace {

using Words = std::vector<std::string>;

class DoctorTable;
struct Row {
    const char* name;
    const char* check;
    const char* result;
    Words says; // in the check's summary, evidence, fix or advice
    std::function<void(DoctorTable&)> break_it;
    // Nothing: the command that doctor gives.
    std::function<void(DoctorTable&)> fix = {};
    Words arguments = {};
    Words fixed_arguments = {}; // behind the others, where the fix is an option
    Words prefix = {};          // what the program is run by, until it is fixed
    Words environment = {};
};

// For gtest's output.
void PrintTo(const Row& row, std::ostream* out) {
    *out << row.name;
}

class DoctorTable : public DoctorTest, public testing::WithParamInterface<Row> {
public:
    using DoctorTest::authority;
    using DoctorTest::cover_file;
    using DoctorTest::cover_folder;
    using DoctorTest::host_shell;
    using DoctorTest::media;
    using DoctorTest::region;
    using DoctorTest::router_shell;
    using DoctorTest::run_dns;
    using DoctorTest::run_turn;
    using DoctorTest::run_web;
    using DoctorTest::servers_shell;
    using DoctorTest::stop_dns;
    using DoctorTest::teams;
    using DoctorTest::trust;
    using DoctorTest::uncover;
    [[nodiscard]] TestHost& host() { return *test_; }

    // eth9, a second interface that leads nowhere.
    void add_interface() const {
        host_shell("ip link add eth9 type veth peer name eth9-far; ip link set eth9-far up; "
                   "ip address add 10.99.0.2/24 dev eth9; ip link set eth9 up");
    }
    Fd tun, held;
};

auto host_does(const std::string& command) {
    return [command](DoctorTable& test) { test.host_shell(command); };
}
auto router_does(const std::string& command) {
    return [command](DoctorTable& test) { test.router_shell(command); };
}
// A ruleset in the host's own firewall.
auto host_filters(const std::string& rules) {
    return [rules](DoctorTable& test) { test.host_shell("nft -f " + test.host().write_file("rules.nft", rules)); };
}
auto router_filters(const std::string& rule, const std::string& hook = "forward") {
    return router_does("nft add table ip t; nft 'add chain ip t c { type filter hook " + hook +
                       " priority 0; }'; nft 'add rule ip t c " + rule + "'");
}
const auto router_lets_through = router_does("nft delete table ip t");

// Firewall rows are about this range; the servers that are asked are others, which its rules let through.
const Words others_are_asked{"--server", "3.123.12.129", "--server", "52.200.60.1"};

const Row rows[] = {
    // Host.
    {"CapabilitiesAreMissing",
     "privileges",
     "fail",
     {"CAP_NET_ADMIN", "container"},
     [](DoctorTable&) {},
     [](DoctorTable&) {},
     {},
     {},
     {"setpriv", "--bounding-set", "-net_admin,-bpf,-perfmon,-sys_admin"}},
    {"NoTypes",
     "btf",
     "warn",
     {"/sys/kernel/btf/vmlinux"},
     [](DoctorTable& test) { test.cover_folder("/sys/kernel/btf"); },
     [](DoctorTable& test) { test.uncover("/sys/kernel/btf"); }},
    {"NoBpffs",
     "bpffs",
     "fail",
     {"mount -t bpf"},
     [](DoctorTable& test) { umount2((test.host().folder + "/bpf").c_str(), MNT_DETACH); }},
    {"NoJit",
     "jit",
     "warn",
     {"bpf_jit_enable"},
     [](DoctorTable& test) {
         const std::string folder = test.cover_folder("/proc/sys/net/core");
         std::ofstream(folder + "/bpf_jit_enable") << "0\n";
     }},
    {"SmallSocketBuffers",
     "socket_buffers",
     "warn",
     {"rmem_max"},
     [](DoctorTable& test) {
         const std::string folder = test.cover_folder("/proc/sys/net/core");
         std::ofstream(folder + "/rmem_default") << "65536\n";
         std::ofstream(folder + "/rmem_max") << "65536\n";
         std::ofstream(folder + "/bpf_jit_enable") << "1\n";
     }},
    // Routes.
    {"BlackholeOfARange",
     "routes",
     "fail",
     {"blackhole", "3.127.48.224/28", "media"},
     host_does("ip route add blackhole 3.127.48.224/28"),
     {},
     others_are_asked},
    {"BlackholeOfAPartOfARange",
     "routes",
     "fail",
     {"blackhole", "3.127.48.232/30"},
     host_does("ip route add blackhole 3.127.48.232/30"),
     {},
     others_are_asked},
    {"UnreachableWithAMetric",
     "routes",
     "fail",
     {"unreachable", "metric 50"},
     host_does("ip route add unreachable 3.127.48.224/28 metric 50"),
     {},
     others_are_asked},
    {"ProhibitInATableOfARule",
     "routes",
     "fail",
     {"prohibit", "table 77"},
     host_does("ip route add prohibit 3.127.48.0/24 table 77; ip rule add to 3.127.48.0/24 lookup 77"),
     {},
     others_are_asked},
    {"RefusedByARule",
     "routes",
     "fail",
     {"3.127.48.224/28"},
     host_does("ip rule add to 3.127.48.0/24 prohibit"),
     host_does("ip rule del to 3.127.48.0/24 prohibit"),
     others_are_asked},
    {"NoRoute",
     "routes",
     "fail",
     {"no route", "ip route add default via ROUTER"},
     host_does("ip route del default"),
     host_does("ip route add default via 10.77.0.1")},
    {"TheRouterIsSilent",
     "gateway",
     "fail",
     {"10.77.0.1", "ARP"},
     [](DoctorTable& test) {
         test.router_shell("ip link set eth0 arp off");
         test.host_shell("ip neigh flush dev eth0; ping -c 1 -W 1 3.97.146.187 >/dev/null || true; "
                         "while ! ip neigh show 10.77.0.1 | grep -q FAILED; do sleep 0.1; done");
     },
     [](DoctorTable& test) {
         test.router_shell("ip link set eth0 arp on");
         test.host_shell("ping -c 3 -W 1 3.97.146.187 >/dev/null");
     }},
    {"ARangeGoesThroughATunnel",
     "tunnel",
     "warn",
     {"tun0", "split tunnel"},
     [](DoctorTable& test) {
         test.tun = open_tun(test.host().host);
         test.host_shell("ip address add 10.99.0.2/24 dev tun0; ip link set tun0 up; ip route add 3.127.48.224/28 dev "
                         "tun0");
     },
     host_does("printf 'route replace %s via 10.77.0.1 dev eth0\\n' 3.127.48.224/28 | ip -batch -"),
     others_are_asked},
    {"TheWayBackLeadsElsewhere",
     "rp_filter",
     "warn",
     {"eth9", "strict"},
     [](DoctorTable& test) {
         test.add_interface();
         test.host_shell("ip route add default via 10.99.0.1 metric 1000; sysctl -qw net.ipv4.conf.eth9.rp_filter=1");
     }},
    // Interfaces.
    {"ARangeLeavesByAnotherInterface",
     "interfaces",
     "fail",
     {"eth9", "--interface"},
     [](DoctorTable& test) {
         test.add_interface();
         test.host_shell("ip route add 3.127.48.224/28 dev eth9");
     },
     [](DoctorTable&) {},
     {"--interface", "eth0", "--server", "3.123.12.129"},
     {"--interface", "eth9"}},
    {"ANamedInterfaceIsDown",
     "interfaces",
     "fail",
     {"eth9 is down"},
     [](DoctorTable& test) {
         test.add_interface();
         test.host_shell("ip link set eth9 down");
     },
     {},
     {"--interface", "eth0", "--interface", "eth9"}},
    {"AnotherXdpProgram",
     "programs",
     "warn",
     {"XDP", "eth0"},
     [](DoctorTable& test) {
         const Fd program = foreign_program(BPF_PROG_TYPE_XDP, XDP_PASS);
         ASSERT_EQ(inside<int>(test.host().host,
                               [&] {
                                   return bpf_xdp_attach(static_cast<int>(if_nametoindex("eth0")), program.get(), 0,
                                                         nullptr);
                               }),
                   0);
     }},
    {"AnotherGenericXdpProgram",
     "programs",
     "warn",
     {"XDP", "xdpgeneric off"},
     [](DoctorTable& test) {
         const Fd program = foreign_program(BPF_PROG_TYPE_XDP, XDP_PASS);
         ASSERT_EQ(inside<int>(test.host().host,
                               [&] {
                                   return bpf_xdp_attach(static_cast<int>(if_nametoindex("eth0")), program.get(),
                                                         XDP_FLAGS_SKB_MODE, nullptr);
                               }),
                   0);
     }},
    // No command takes it away.
    {"AnotherXdpProgramByALink",
     "programs",
     "warn",
     {"XDP", "\"fix\": null"},
     [](DoctorTable& test) {
         const Fd program = foreign_program(BPF_PROG_TYPE_XDP, XDP_PASS);
         test.held = Fd(inside<int>(test.host().host, [&] {
             return bpf_link_create(program.get(), static_cast<int>(if_nametoindex("eth0")), BPF_XDP, nullptr);
         }));
         ASSERT_TRUE(test.held);
     },
     [](DoctorTable& test) { test.held = Fd(); }},
    {"AQueueThatIgnoresMarks",
     "queue",
     "warn",
     {"tbf", "eth0"},
     host_does("tc qdisc add dev eth0 root tbf rate 100mbit burst 64kb latency 50ms"),
     host_does("tc qdisc del dev eth0 root")},
    {"ReceiveOffloadIsOff",
     "offloads",
     "warn",
     {"tun0", "generic receive offload"},
     [](DoctorTable& test) {
         test.tun = open_tun(test.host().host);
         test.host_shell("ip link set tun0 up; ethtool -K tun0 gro off");
     },
     {},
     {"--interface", "eth0", "--interface", "tun0"}},
    {"AnInterfaceWhoseNameIsACommandIsDown",
     "interfaces",
     "fail",
     {"is down", "'e;id'"},
     [](DoctorTable& test) {
         test.add_interface();
         test.host_shell("ip link set eth9 down; ip link set eth9 name 'e;id'");
     },
     {},
     {"--interface", "eth0", "--interface", "e;id"}},
    {"ASmallMtu", "mtu", "fail", {"eth0", "1000"}, host_does("ip link set dev eth0 mtu 1000")},
    {"ARouteWithASmallMtu",
     "mtu",
     "fail",
     {"1200"},
     host_does("ip route change default via 10.77.0.1 mtu 1200"),
     host_does("ip route change default via 10.77.0.1")},
    // This host's firewall.
    {"OutputDrops",
     "firewall_out",
     "fail",
     {"inet f out handle", "udp/3478"},
     host_filters("table inet f { chain out { type filter hook output priority 0; "
                  "ip daddr 3.127.48.224/28 udp dport 3478 drop; }; }"),
     {},
     others_are_asked},
    {"OutputRejects",
     "firewall_out",
     "fail",
     {"tcp/443"},
     host_filters("table inet f { chain out { type filter hook output priority 0; "
                  "ip daddr 3.127.48.224/28 tcp dport 443 reject; }; }"),
     {},
     others_are_asked},
    {"OutputRejectsMedia", // by UDP: media_udp names this host as well, and not the network
     "firewall_out",
     "fail",
     {"udp/3478"},
     host_filters("table inet f { chain out { type filter hook output priority 0; "
                  "ip daddr 3.127.48.224/28 udp dport 3478 reject; }; }"),
     {},
     others_are_asked},
    {"OutputDropsByPolicy",
     "firewall_out",
     "fail",
     {"policy drop"},
     host_filters("table inet f { chain out { type filter hook output priority 0; policy drop; "
                  "oifname lo accept; ip daddr != 3.127.48.224/28 accept; }; }"),
     {},
     others_are_asked},
    {"ASetOfOutputDrops",
     "firewall_out",
     "fail",
     {"@bad"},
     host_filters("table ip f { set bad { type ipv4_addr; flags interval; elements = { 3.127.48.0/24 }; }; "
                  "chain out { type filter hook output priority 0; ip daddr @bad drop; }; }"),
     {},
     others_are_asked},
    {"AJumpOfOutputDrops",
     "firewall_out",
     "fail",
     {"ip f blocked"},
     host_filters("table ip f { chain blocked { udp dport 3478 drop; }; "
                  "chain out { type filter hook output priority 0; ip daddr 3.127.48.0/24 jump blocked; }; }"),
     {},
     others_are_asked},
    {"PostroutingDrops",
     "firewall_out",
     "fail",
     {"post"},
     host_filters("table ip f { chain post { type filter hook postrouting priority 0; "
                  "ip daddr 3.127.48.0/24 meta l4proto { tcp, udp } drop; }; }"),
     {},
     others_are_asked},
    {"OutputLimits",
     "firewall_out",
     "warn",
     {"may be dropped", "limit"},
     host_filters("table ip f { chain out { type filter hook output priority 0; "
                  "ip daddr 3.127.48.0/24 udp dport 3478 limit rate over 100/second drop; }; }"),
     {},
     others_are_asked},
    {"OutputDropsOfAUser",
     "firewall_out",
     "warn",
     {"may be dropped"},
     host_filters("table ip f { chain out { type filter hook output priority 0; "
                  "ip daddr 3.127.48.0/24 udp dport 3478 meta skuid 1000 drop; }; }"),
     {},
     others_are_asked},
    {"IptablesOutputDrops",
     "firewall_out",
     "fail",
     {"ip filter OUTPUT"},
     host_does("iptables-nft -A OUTPUT -d 3.127.48.224/28 -p udp --dport 3478 -j DROP"),
     {},
     others_are_asked},
    {"InputDrops",
     "firewall_in",
     "fail",
     {"inet f in handle", "udp/3478"},
     host_filters("table inet f { chain in { type filter hook input priority 0; "
                  "ip saddr 3.127.48.224/28 udp sport 3478 drop; }; }"),
     {},
     others_are_asked},
    {"InputDropsByPolicy",
     "firewall_in",
     "fail",
     {"policy drop"},
     host_filters("table inet f { chain in { type filter hook input priority 0; policy drop; "
                  "iifname lo accept; ip protocol icmp accept; ip saddr != 3.127.48.224/28 accept; }; }"),
     {},
     others_are_asked},
    {"InputLimits",
     "firewall_in",
     "warn",
     {"may be dropped", "limit"},
     host_filters("table ip f { chain in { type filter hook input priority 0; "
                  "ip saddr 3.127.48.0/24 limit rate over 500/second drop; }; }"),
     {},
     others_are_asked},
    {"PreroutingDrops",
     "firewall_in",
     "fail",
     {"raw"},
     host_filters("table ip f { chain raw { type filter hook prerouting priority -300; "
                  "ip saddr 3.127.48.0/24 drop; }; }"),
     {},
     others_are_asked},
    // nft 1.0.6 does not tell in JSON of which device the chain is.
    {"IngressDrops",
     "firewall_in",
     "warn",
     {"netdev f first"},
     host_filters("table netdev f { chain first { type filter hook ingress device eth0 priority 0; "
                  "ip saddr 3.127.48.0/24 udp sport 3478 drop; }; }"),
     {},
     others_are_asked},
    {"IptablesInputRejects",
     "firewall_in",
     "fail",
     {"ip filter INPUT"},
     host_does("iptables-nft -A INPUT -s 3.127.48.224/28 -p tcp --sport 443 -j REJECT"),
     {},
     others_are_asked},
    {"TheConnectionTableIsFull",
     "conntrack",
     "fail",
     {"200 of 200"},
     [](DoctorTable& test) {
         const std::string folder = test.cover_folder("/proc/sys/net/netfilter");
         std::ofstream(folder + "/nf_conntrack_count") << "200\n";
         std::ofstream(folder + "/nf_conntrack_max") << "200\n";
     }},
    {"TheConnectionTableIsNearlyFull",
     "conntrack",
     "warn",
     {"170 of 200"},
     [](DoctorTable& test) {
         const std::string folder = test.cover_folder("/proc/sys/net/netfilter");
         std::ofstream(folder + "/nf_conntrack_count") << "170\n";
         std::ofstream(folder + "/nf_conntrack_max") << "200\n";
     }},
    {"UdpFlowsAreForgotten",
     "conntrack_timeouts",
     "fail",
     {"10 s"},
     host_does("sysctl -qw net.netfilter.nf_conntrack_udp_timeout=10")},
    // Names.
    {"NobodyAnswersDns",
     "dns",
     "fail",
     {"live.kudoway.ca", "127.0.0.1"},
     [](DoctorTable& test) { test.stop_dns(); },
     [](DoctorTable& test) { test.run_dns(); }},
    {"ANameIsNotThere",
     "dns",
     "fail",
     {"api.kudoway.ca"},
     [](DoctorTable& test) { test.run_dns({"--address=/live.kudoway.ca/3.97.146.187"}); },
     [](DoctorTable& test) { test.run_dns(); }},
    {"TheFirstNameServerIsDead",
     "dns",
     "warn",
     {"slow"},
     [](DoctorTable& test) {
         router_filters("udp dport 53 drop")(test);
         test.cover_file("/etc/resolv.conf", "nameserver 10.88.0.2\nnameserver 127.0.0.1\n");
     },
     [](DoctorTable& test) { test.uncover("/etc/resolv.conf"); }},
    // Of its interface, whose number no confined process may ask for.
    {"TheFirstNameServerIsLinkLocal",
     "dns",
     "warn",
     {"slow", "by 127.0.0.1"},
     [](DoctorTable& test) { test.cover_file("/etc/resolv.conf", "nameserver fe80::1%eth0\nnameserver 127.0.0.1\n"); },
     [](DoctorTable& test) { test.uncover("/etc/resolv.conf"); }},
    {"DnsBlocksTheNames",
     "dns",
     "fail",
     {"DNS blocks", "answers 0.0.0.0"},
     [](DoctorTable& test) { test.run_dns({"--address=/kudoway.ca/0.0.0.0"}); },
     [](DoctorTable& test) { test.run_dns(); }},
    {"ResolvedAsksOverTls",
     "encrypted_dns",
     "warn",
     {"DNSOverTLS=on"},
     [](DoctorTable& test) {
         const std::string folder = test.cover_folder("/etc/systemd");
         std::ofstream(folder + "/resolved.conf") << "[Resolve]\n DNSOverTLS = on\n";
     },
     [](DoctorTable& test) { test.uncover("/etc/systemd"); }},
    {"ABrowserAsksOverHttps",
     "encrypted_dns",
     "warn",
     {"DnsOverHttpsMode"},
     [](DoctorTable& test) {
         const std::string folder = test.cover_folder("/etc/opt") + "/chrome/policies/managed";
         std::filesystem::create_directories(folder);
         std::ofstream(folder + "/policy.json") << R"({"DnsOverHttpsMode": "secure"})";
     },
     [](DoctorTable& test) { test.uncover("/etc/opt"); }},
    // The network.
    {"UdpIsBlocked",
     "media_udp",
     "fail",
     {"blocked", "UDP 3478"},
     router_filters("udp dport 3478 drop"),
     router_lets_through},
    {"UdpIsRefused",
     "media_udp",
     "fail",
     {"10.77.0.1", "UDP 3478"},
     router_filters("udp dport 3478 reject with icmp type admin-prohibited"),
     router_lets_through},
    {"OneServerIsSilent",
     "media_udp",
     "warn",
     {"52.200.60.1", "no answer"},
     router_filters("ip daddr 52.200.60.1 udp dport 3478 drop"),
     router_lets_through},
    {"TcpIsBlocked",
     "media_tcp",
     "fail",
     {"TCP 443", "blocked"},
     router_filters("ip daddr != 3.97.146.187 tcp dport 443 drop"),
     router_lets_through},
    {"TcpIsReset",
     "media_tcp",
     "fail",
     {"Connection refused"},
     router_filters("ip daddr != 3.97.146.187 tcp dport 443 reject with tcp reset"),
     router_lets_through},
    {"TlsIsCutOff",
     "media_tcp",
     "warn",
     {"TLS 443"},
     [](DoctorTable& test) {
         test.run_turn({"--alt-listening-port", "443", "--no-tls"});
     },
     [](DoctorTable& test) { test.run_turn(); }},
    {"TheRegionIsBlocked",
     "region",
     "fail",
     {"live.kudoway.ca"},
     router_filters("ip daddr 3.97.146.187 tcp dport 443 drop"),
     router_lets_through},
    {"TheCertificateIsSomebodyElses",
     "region",
     "fail",
     {"live.kudoway.ca", "not trusted"},
     [](DoctorTable& test) { test.run_web("kudo-test", "DNS:portal.example"); },
     [](DoctorTable& test) { test.run_web(); }},
    {"NoAuthorities",
     "region",
     "fail",
     {"apt-get install ca-certificates"},
     [](DoctorTable& test) { test.uncover("/etc/ssl/certs/ca-certificates.crt"); },
     [](DoctorTable& test) { test.trust({"kudo-test"}); }},
    {"AnUntrustedAuthorityInspects",
     "region",
     "fail",
     {"issued by", "inspector"},
     [](DoctorTable& test) { test.run_web("inspector"); },
     [](DoctorTable& test) { test.run_web(); }},
    {"AnAddedAuthorityInspects",
     "inspection",
     "warn",
     {"inspected", "inspector"},
     [](DoctorTable& test) {
         test.trust({"kudo-test", "inspector"});
         test.run_web("inspector");
     },
     [](DoctorTable& test) { test.run_web(); }},
    {"ARegionWithoutNamesIsInspected",
     "region",
     "fail",
     {"issued by", "inspector", "not trusted"},
     [](DoctorTable& test) { test.run_web("inspector"); },
     [](DoctorTable& test) { test.run_web(); },
     {"--region", "cn"}},
    {"ARegionWithoutNamesIsInspectedByAnAddedAuthority",
     "inspection",
     "warn",
     {"inspected", "inspector"},
     [](DoctorTable& test) {
         test.trust({"kudo-test", "inspector"});
         test.run_web("inspector");
     },
     [](DoctorTable& test) { test.run_web(); },
     {"--region", "cn"}},
    {"TeamsPortIsBlocked",
     "teams",
     "fail",
     {"8445"},
     router_filters("tcp dport 8445 drop"),
     router_lets_through,
     {"--teams"}},
    {"Ipv6LeadsNowhere",
     "ipv6",
     "warn",
     {"fd99::1"},
     [](DoctorTable& test) { test.run_dns({"--host-record=live.kudoway.ca,3.97.146.187,fd99::1"}); },
     [](DoctorTable& test) { test.run_dns(); }},
    {"NatByDestination",
     "nat",
     "warn",
     {"symmetric"},
     router_does("nft add table ip t; nft 'add chain ip t c { type nat hook postrouting priority 100; }'; "
                 "nft 'add rule ip t c oifname eth1 meta l4proto udp masquerade fully-random'"),
     router_lets_through},
    // Marks.
    {"EfIsDropped",
     "marks",
     "fail",
     {"EF", "10.77.0.1", "--mark audio=none"},
     router_filters("ip dscp ef drop"),
     [](DoctorTable&) {},
     {},
     {"--mark", "audio=none"}},
    {"Af41IsDropped",
     "marks",
     "fail",
     {"AF41", "--mark video=none"},
     router_filters("ip dscp af41 drop"),
     [](DoctorTable&) {},
     {},
     {"--mark", "video=none", "--mark", "fallback=none"}},
    {"AllMarksAreDropped",
     "marks",
     "fail",
     {"EF", "AF41", "AF21", "10.77.0.1"},
     router_filters("ip dscp != cs0 udp dport 3478 drop"),
     router_lets_through},
    {"MarksAreBleached",
     "marks",
     "warn",
     {"EF is CS0", "10.77.0.1"},
     router_filters("ip dscp set cs0", "prerouting"),
     router_lets_through},
    // Proxies.
    {"AProxyIsDead",
     "proxy",
     "fail",
     {"http://10.77.0.1:3128", "https_proxy"},
     [](DoctorTable&) {},
     [](DoctorTable&) {},
     {},
     {},
     {"env", "https_proxy=http://10.77.0.1:3128"}},
};

TEST_P(DoctorTable, NamesWhatIsWrongAndItsFixHelps) {
    const Row& row = GetParam();
    row.break_it(*this);
    if (HasFatalFailure()) return;
    const Findings broken = doctor(row.arguments, row.prefix);
    const Finding& finding = broken.of(row.check);
    EXPECT_EQ(finding.result, row.result) << finding.all;
    for (const std::string& word : row.says)
        EXPECT_NE(finding.all.find(word), std::string::npos) << word << " in " << finding.all;
    EXPECT_EQ(broken.troubles(row.check), Words()) << "other checks";
    EXPECT_EQ(broken.status, std::string(row.result) == "fail" ? 4 : 0);

    Words arguments = row.arguments;
    arguments.insert(arguments.end(), row.fixed_arguments.begin(), row.fixed_arguments.end());
    if (row.fix)
        row.fix(*this);
    else {
        ASSERT_NE(finding.fix, "") << finding.all;
        host_shell(finding.fix);
        host_shell("iptables-nft -S >/dev/null"); // nobody's tables are made unreadable for it
    }
    const Findings fixed = doctor(arguments);
    EXPECT_EQ(fixed.of(row.check).result, "pass") << fixed.of(row.check).all;
    EXPECT_EQ(fixed.troubles(), Words());
    EXPECT_EQ(fixed.status, 0);
}
INSTANTIATE_TEST_SUITE_P(Rows, DoctorTable, testing::ValuesIn(rows),
                         [](const auto& info) { return std::string(info.param.name); });

} // namespace
} // namespace kudo::test
