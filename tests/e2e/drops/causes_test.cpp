// SPDX-License-Identifier: MIT
// Each cause of a drop alone: its layer, its reason, its direction, and every packet and byte of it.
#include "tests/e2e/drops/drops_fixture.h"

#include <bpf/bpf.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "agent/attach/in_kernel.h"
#include "agent/drops/reasons.h"

namespace kudo::test {
namespace {

constexpr unsigned many = 50;
constexpr std::size_t payload = 100;
constexpr uint64_t bytes = many * (payload + udp_headers);
const Endpoint here{host_address, 40001}, there{media_address, 3478};

class DropCauses : public DropsTest {
protected:
    // From the host to the media address, and the other way.
    void send_out(unsigned count = many) {
        const Fd socket = udp_socket(test_->host, here);
        flood(socket.get(), there, count, payload);
    }
    void send_in(unsigned count = many) {
        const Fd socket = udp_socket(test_->far, there);
        flood(socket.get(), here, count, payload);
    }
    void expect_losses(const DropSums& expected) { EXPECT_EQ(losses_once(expected), expected) << text_of(drops()); }
    // Does the tracepoint tell the receiving socket (6.11)?
    static bool tells_receiver() {
        const auto reasons = DropReasons::of_running_kernel();
        return reasons && (*reasons)->tracepoint_arguments() >= 4;
    }
    Drop only_row() {
        DropReport report = drops();
        EXPECT_TRUE(report.available) << report.why_not;
        // Without those of the tests beside this one.
        std::erase_if(report.rows, [](const Drop& row) { return !row.is_loss || !row.namespace_known; });
        EXPECT_EQ(report.rows.size(), 1u) << text_of(report);
        return report.rows.empty() ? Drop{} : report.rows.front();
    }
};

TEST_F(DropCauses, ARuleOnInput) {
    nft("add table inet t; add chain inet t in { type filter hook input priority 0; }; "
        "add rule inet t in udp sport 3478 drop");
    const Fd receiver = udp_socket(test_->host, here);
    send_in();
    expect_losses({{{"firewall", "NETFILTER_DROP", KUDO_INGRESS}, {many, bytes}}});
    const Drop row = only_row();
    ASSERT_TRUE(row.flow);
    EXPECT_EQ(row.flow->protocol, IPPROTO_UDP);
    EXPECT_EQ(row.flow->local.text(), host_address);
    EXPECT_EQ(row.flow->remote.text(), media_address);
    EXPECT_EQ(row.flow->local_port, here.port);
    EXPECT_EQ(row.flow->remote_port, there.port);
    EXPECT_EQ(row.flow->interface_index, inside<uint32_t>(test_->host, [] { return if_nametoindex("eth0"); }));
    EXPECT_TRUE(row.namespace_known);
    EXPECT_NE(row.place.find("+0x"), std::string::npos) << row.place;
    EXPECT_FALSE(row.advice.empty());
    EXPECT_LE(row.first_seen, row.last_seen);
}

TEST_F(DropCauses, ARuleOnOutput) {
    nft("add table inet t; add chain inet t out { type filter hook output priority 0; }; "
        "add rule inet t out udp dport 3478 drop");
    const Fd socket = udp_socket(test_->host, here);
    const Bytes data(payload, 1);
    unsigned refused = 0;
    for (unsigned i = 0; i < many; i++) // a local sender is told
        try {
            send_datagram(socket.get(), there, data);
        } catch (const std::system_error&) {
            refused++;
        }
    EXPECT_EQ(refused, many);
    expect_losses({{{"firewall", "NETFILTER_DROP", KUDO_EGRESS}, {many, bytes}}});
    const Drop row = only_row();
    ASSERT_TRUE(row.socket) << "the sender is known";
    EXPECT_EQ(row.socket->protocol, IPPROTO_UDP);
    EXPECT_NE(row.socket->inode, 0u);
}

TEST_F(DropCauses, APolicy) {
    nft("add table inet t; add chain inet t in { type filter hook input priority 0; policy drop; }");
    send_in();
    expect_losses({{{"firewall", "NETFILTER_DROP", KUDO_INGRESS}, {many, bytes}}});
}

TEST_F(DropCauses, ARuleOfNetdevIngress) {
    nft("add table netdev t; add chain netdev t in { type filter hook ingress device eth0 priority 0; }; "
        "add rule netdev t in udp sport 3478 drop");
    send_in();
    expect_losses({{{"firewall", "NETFILTER_DROP", KUDO_INGRESS}, {many, bytes}}});
}

TEST_F(DropCauses, GsoBothWaysIsManyPackets) {
    nft("add table inet t; add chain inet t in { type filter hook input priority 0; }; "
        "add rule inet t in udp sport 3478 drop; "
        "add chain inet t out { type filter hook postrouting priority 0; }; add rule inet t out udp dport 3478 drop");
    const Fd near = udp_socket(test_->host, here), far = udp_socket(test_->far, there);
    send_segmented(far.get(), here, 10 * 1000 + 300, 1000);
    EXPECT_THROW(send_segmented(near.get(), there, 5 * 1200 + 7, 1200), std::system_error);
    expect_losses({{{"firewall", "NETFILTER_DROP", KUDO_INGRESS}, {11, 10300 + 11 * udp_headers}},
                   {{"firewall", "NETFILTER_DROP", KUDO_EGRESS}, {6, 6007 + 6 * udp_headers}}});
}

TEST_F(DropCauses, IPv6) {
    apply_map_with_ipv6();
    nft("add table inet t; add chain inet t in { type filter hook input priority 0; }; "
        "add rule inet t in udp sport 3478 drop");
    const Fd far = udp_socket(test_->far, {media_address6, 3478});
    flood(far.get(), {host_address6, 40001}, many, payload);
    expect_losses({{{"firewall", "NETFILTER_DROP", KUDO_INGRESS}, {many, many * (payload + 48)}}});
    EXPECT_EQ(only_row().flow->remote.text(), media_address6);
}

TEST_F(DropCauses, AFullReceiveBuffer) {
    const Fd receiver = udp_socket(test_->host, here);
    const int small = 4096;
    ASSERT_EQ(setsockopt(receiver.get(), SOL_SOCKET, SO_RCVBUF, &small, sizeof small), 0);
    send_in();
    const unsigned taken = take_all(receiver.get());
    ASSERT_LT(taken, many);
    const unsigned lost = many - taken;
    expect_losses({{{"socket", "SOCKET_RCVBUFF", KUDO_INGRESS}, {lost, lost * (payload + udp_headers)}}});
    const Drop row = only_row();
    if (!tells_receiver()) return;
    ASSERT_TRUE(row.socket);
    EXPECT_EQ(row.socket->receive_buffer, 2u * small);
    EXPECT_GT(row.socket->queued, 0u);
    EXPECT_EQ(row.socket->protocol, IPPROTO_UDP);
    EXPECT_NE(row.socket->inode, 0u);
}

TEST_F(DropCauses, NoSocket) {
    send_in();
    expect_losses({{{"socket", "NO_SOCKET", KUDO_INGRESS}, {many, bytes}}});
}

TEST_F(DropCauses, AFullQueue) {
    test_->in_host(
        {"tc", "qdisc", "add", "dev", "eth0", "root", "tbf", "rate", "8kbit", "burst", "1600", "limit", "2000"});
    const Fd far = udp_socket(test_->far, there);
    send_out();
    const DropSums losses = losses_now();
    ASSERT_EQ(losses.size(), 1u) << testing::PrintToString(losses);
    EXPECT_EQ(std::get<0>(losses.begin()->first), "queue");
    EXPECT_EQ(std::get<2>(losses.begin()->first), KUDO_EGRESS);
    EXPECT_GT(losses.begin()->second.packets, 10u);
    EXPECT_EQ(losses.begin()->second.bytes, losses.begin()->second.packets * (payload + udp_headers));
}

// Other kernels' shapers have queues that take far more, and begin to drop only after seconds.
TEST_F(DropCauses, OurOwnQueueWithTheClass) {
    enable({"--uplink", "200kbit"});
    const Fd socket = udp_socket(test_->host, here);
    const int large = 64 << 20;
    ASSERT_EQ(setsockopt(socket.get(), SOL_SOCKET, SO_SNDBUFFORCE, &large, sizeof large), 0);
    Drop front;
    for (int i = 0; i < 50 && front.layer != DropLayer::Queue; i++) {
        flood(socket.get(), there, 1000, payload);
        const DropReport report = drops();
        if (!report.rows.empty()) front = report.rows.front();
    }
    ASSERT_EQ(front.layer, DropLayer::Queue);
    EXPECT_NE(front.queue_class, 0u) << "the class or the priority that the program has given it";
}

TEST_F(DropCauses, ReversePath) {
    add_second_interface();
    sysctl("net/ipv4/conf/all/rp_filter", "1");
    test_->in_host({"ip", "route", "add", std::string(media_address) + "/32", "dev", "eth1"});
    send_in();
    expect_losses({{{"route", "IP_RPFILTER", KUDO_INGRESS}, {many, bytes}}});
}

TEST_F(DropCauses, AWrongTcpChecksum) {
    from_far(Ethernet{} / IPv4{.source = media_address, .destination = host_address} /
                 Tcp{.source_port = 443, .destination_port = 40001, .checksum = 0x1234} / Payload(10),
             many);
    expect_losses({{{"network", "TCP_CSUM", KUDO_INGRESS}, {many, many * 50}}});
}

TEST_F(DropCauses, AWrongUdpChecksumOnceTheApplicationReads) {
    const Fd receiver = udp_socket(test_->host, here);
    from_far(Ethernet{} / IPv4{.source = media_address, .destination = host_address} /
                 Udp{.source_port = 3478, .destination_port = here.port, .checksum = 0x1234} / Payload(payload),
             many);
    EXPECT_EQ(take_all(receiver.get()), 0u);
    expect_losses({{{"network", "UDP_CSUM", KUDO_INGRESS}, {many, bytes}}});
}

TEST_F(DropCauses, SomebodysTcPrograms) {
    if (!kernel_has_tcx()) return; // no way to attach them here
    const Fd program = length_dropper(BPF_PROG_TYPE_SCHED_CLS, payload + udp_headers + 14);
    std::vector<Fd> links;
    inside<int>(test_->host, [&] {
        for (const auto type : {bpf_tcx_ingress, bpf_tcx_egress})
            links.emplace_back(bpf_link_create(program.get(), static_cast<int>(if_nametoindex("eth0")), type, nullptr));
        return 0;
    });
    for (const Fd& link : links)
        ASSERT_TRUE(bool(link));
    send_in();
    send_out();
    expect_losses(
        {{{"tc", "TC_INGRESS", KUDO_INGRESS}, {many, bytes}}, {{"tc", "TC_EGRESS", KUDO_EGRESS}, {many, bytes}}});
    const DropReport report = drops();
    for (const Drop& row : report.rows) {
        // A test beside this one, with the same addresses, may have packets whose namespace only the flow tells.
        if (row.layer != DropLayer::Tc) continue;
        ASSERT_EQ(row.programs.size(), 1u) << row.reason << ' ' << row.place;
        EXPECT_EQ(row.programs.front().substr(0, 14), "length_dropper");
    }
}

TEST_F(DropCauses, SomebodysXdpProgram) {
    const Fd program = length_dropper(BPF_PROG_TYPE_XDP, payload + udp_headers + 14);
    const Fd link = inside<Fd>(test_->host, [&] {
        return Fd(bpf_link_create(program.get(), static_cast<int>(if_nametoindex("eth0")), BPF_XDP, nullptr));
    });
    ASSERT_TRUE(bool(link));
    send_in();
    expect_losses({{{"xdp", "NOT_SPECIFIED", KUDO_INGRESS}, {many, bytes}}});
    ASSERT_EQ(only_row().programs.size(), 1u);
    EXPECT_EQ(only_row().programs.front().substr(0, 14), "length_dropper");
}

TEST_F(DropCauses, ALinkThatGoesDownWithABacklog) {
    test_->in_host(
        {"tc", "qdisc", "add", "dev", "eth0", "root", "tbf", "rate", "8kbit", "burst", "1600", "limit", "100000"});
    const Fd far = udp_socket(test_->far, there);
    send_out();
    test_->in_host({"ip", "link", "set", "eth0", "down"});
    const unsigned lost = many - take_all(far.get());
    ASSERT_GT(lost, 10u);
    expect_losses({{{"queue", "NOT_SPECIFIED", KUDO_EGRESS}, {lost, lost * (payload + udp_headers)}}});
}

TEST_F(DropCauses, ATimeToLiveThatIsUsedUp) {
    sysctl("net/ipv4/ip_forward", "1");
    Bytes frame = towards_host(Ethernet{} / IPv4{.source = media_address, .destination = "198.51.100.9"} /
                               Udp{.source_port = 3478, .destination_port = 7} / Payload(payload));
    set_ttl(frame, 1);
    const FrameSender sender(test_->far, "eth0");
    for (unsigned i = 0; i < many; i++)
        sender.send(frame);
    expect_losses({{{"network", "IP_INHDR", KUDO_INGRESS}, {many, bytes}}});
}

TEST_F(DropCauses, APacketLargerThanTheNextLink) {
    add_second_interface();
    sysctl("net/ipv4/ip_forward", "1");
    test_->in_host({"ip", "link", "set", "eth0", "mtu", "1000"});
    const std::string lan =
        nlohmann::json::parse(test_->in_host({"ip", "-json", "link", "show", "dev", "eth1"})).at(0).at("address");
    Bytes frame = towards(Ethernet{} / IPv4{.source = "10.78.0.2", .destination = media_address} /
                              Udp{.source_port = 5000, .destination_port = 3478} / Payload(1300),
                          lan, "02:00:00:00:00:01");
    dont_fragment(frame);
    const FrameSender sender(test_->far, "lan1");
    for (unsigned i = 0; i < many; i++)
        sender.send(frame);
    expect_losses({{{"route", "PKT_TOO_BIG", KUDO_EGRESS}, {many, many * (1300 + udp_headers)}}});
}

TEST_F(DropCauses, ANextHopThatDoesNotAnswer) {
    test_->in_host({"ip", "route", "add", std::string(media_address) + "/32", "via", "10.77.0.99"});
    send_out(10);
    const Count sent{10, 10 * (payload + udp_headers)};
    expect_losses({{{"neighbour", "NEIGH_FAILED", KUDO_EGRESS}, sent}});
}

TEST_F(DropCauses, FragmentsWhoseRestNeverComes) {
    sysctl("net/ipv4/ipfrag_time", "1");
    from_far(Ethernet{} / IPv4{.source = media_address, .destination = host_address, .id = 77, .more_fragments = true} /
             Udp{.source_port = 3478, .destination_port = here.port, .length = 2000} / Payload(payload + 4));
    from_far(Ethernet{} /
             IPv4{.source = media_address,
                  .destination = host_address,
                  .id = 77,
                  .more_fragments = true,
                  .fragment_offset = 20,
                  .protocol = IPPROTO_UDP} /
             Payload(160));
    expect_losses({{{"network", "FRAG_REASM_TIMEOUT", KUDO_INGRESS}, {2, 132 + 180}}});
}

} // namespace
} // namespace kudo::test
