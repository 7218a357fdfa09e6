// SPDX-License-Identifier: MIT
// Many causes at once: what was sent is what was delivered and what the rows say, to the packet, and each cause has its
// layer. The amounts are drawn by a seed; KUDO_DROP_SEEDS says how many there are.
#include "tests/e2e/drops/drops_fixture.h"

#include <bpf/bpf.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <cstdlib>
#include <random>

#include <fmt/format.h>

#include "agent/attach/in_kernel.h"
#include "agent/drops/reasons.h"

namespace kudo::test {
namespace {

constexpr const char* second_media_address = "3.123.12.130";
constexpr const char* third_media_address = "3.123.12.131";
constexpr const char* fourth_media_address = "3.123.12.132";
constexpr std::size_t by_tc_in = 901, by_tc_out = 902, by_xdp = 903; // payloads by which somebody's programs choose

unsigned seeds() {
    const char* text = std::getenv("KUDO_DROP_SEEDS");
    return text ? static_cast<unsigned>(std::strtoul(text, nullptr, 10)) : 20;
}

constexpr unsigned shares = 4; // of the seeds, which run beside each other

class Conservation : public DropsTest, public testing::WithParamInterface<unsigned> {
protected:
    void SetUp() override {
        DropsTest::SetUp();
        if (!test_) return;
        for (const char* address : {second_media_address, third_media_address, fourth_media_address})
            test_->add_far_address(std::string(address) + "/32");
        add_second_interface();
        for (const char* name : {"net/ipv4/conf/all/rp_filter", "net/ipv4/ip_forward", "net/ipv4/ipfrag_time"})
            sysctl(name, "1");
        test_->in_host({"ip", "route", "add", std::string(second_media_address) + "/32", "dev", "eth1"});
        test_->in_host({"ip", "route", "add", std::string(third_media_address) + "/32", "via", "10.77.0.99"});
        test_->in_host({"ip", "route", "add", std::string(fourth_media_address) + "/32", "via", "10.77.0.1", "mtu",
                        "lock", "1000"});
        nft("add table inet t; add chain inet t in { type filter hook input priority 0; }; "
            "add rule inet t in udp dport 5001 drop; "
            "add chain inet t strict { type filter hook input priority 10; policy drop; }; "
            "add rule inet t strict udp dport != 5002 accept; add rule inet t strict meta l4proto != udp accept; "
            "add chain inet t out { type filter hook postrouting priority 0; }; "
            "add rule inet t out udp sport 6001 drop; "
            "add table netdev t; add chain netdev t in { type filter hook ingress device eth0 priority 0; }; "
            "add rule netdev t in udp dport 5003 drop");
        test_->in_host(
            {"tc", "qdisc", "add", "dev", "eth0", "root", "tbf", "rate", "40mbit", "burst", "20000", "limit", "60000"});
        inside<int>(test_->host, [&] {
            const auto eth0 = static_cast<int>(if_nametoindex("eth0"));
            const auto attach = [&](bpf_prog_type type, std::size_t size, bpf_attach_type hook) {
                programs_.push_back(length_dropper(type, static_cast<uint32_t>(size + udp_headers + 14)));
                programs_.emplace_back(bpf_link_create(programs_.back().get(), eth0, hook, nullptr));
                EXPECT_TRUE(bool(programs_.back())) << strerror(errno);
            };
            if (kernel_has_tcx()) {
                attach(BPF_PROG_TYPE_SCHED_CLS, by_tc_in, bpf_tcx_ingress);
                attach(BPF_PROG_TYPE_SCHED_CLS, by_tc_out, bpf_tcx_egress);
            }
            attach(BPF_PROG_TYPE_XDP, by_xdp, BPF_XDP);
            return 0;
        });
    }

    // What one cause was given.
    void sent(Count& sum, uint64_t packets, std::size_t size) const {
        sum.packets += packets;
        sum.bytes += packets * (size + udp_headers);
    }
    static Count sum_of(const DropSums& losses, kudo_direction direction) {
        Count sum;
        for (const auto& [key, count] : losses)
            if (std::get<2>(key) == direction) {
                sum.packets += count.packets;
                sum.bytes += count.bytes;
            }
        return sum;
    }
    void run(unsigned seed);

    std::vector<Fd> programs_;
};

DropSums difference(const DropSums& after, const DropSums& before) {
    DropSums result;
    for (const auto& [key, count] : after) {
        const auto was = before.find(key);
        const Count old = was == before.end() ? Count{} : was->second;
        if (count.packets != old.packets) result[key] = {count.packets - old.packets, count.bytes - old.bytes};
    }
    return result;
}

DropSums by_layer(const DropSums& losses) {
    DropSums result;
    for (const auto& [key, count] : losses) {
        Count& sum = result[{std::get<0>(key), "", std::get<2>(key)}];
        sum.packets += count.packets;
        sum.bytes += count.bytes;
    }
    return result;
}

void Conservation::run(unsigned seed) {
    std::mt19937 random(seed);
    const auto some = [&](unsigned least, unsigned most) {
        return std::uniform_int_distribution<unsigned>(least, most)(random);
    };
    const DropSums before = losses_now();
    Count in, out; // sent
    DropSums expected;
    const auto lost = [&](const char* layer, const char* reason, kudo_direction direction, uint64_t packets,
                          std::size_t size) {
        Count& count = expected[{layer, reason, direction}];
        sent(count, packets, size);
    };

    // Ingress: one socket far away, one flow for each cause.
    const Fd far = udp_socket(test_->far, {media_address, 3478});
    const Fd reader = udp_socket(test_->host, {host_address, 5000});
    const Fd slow = udp_socket(test_->host, {host_address, 5004});
    // Whose network namespace such a packet is of only its flow tells: the shares have the same addresses.
    const auto odd_port = static_cast<uint16_t>(5010 + GetParam());
    const Fd open = udp_socket(test_->host, {host_address, odd_port});
    const int small = 4096;
    setsockopt(slow.get(), SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
    unsigned delivered_in = 0;
    const auto in_flow = [&](uint16_t port, unsigned packets, std::size_t size) {
        flood(far.get(), {host_address, port}, packets, size);
        sent(in, packets, size);
    };
    for (const uint16_t port : std::initializer_list<uint16_t>{5001, 5002, 5003}) {
        const unsigned packets = some(5, 60);
        in_flow(port, packets, 100);
        lost("firewall", "NETFILTER_DROP", KUDO_INGRESS, packets, 100);
    }
    const unsigned closed = some(5, 60), tc_in = kernel_has_tcx() ? some(5, 60) : 0, xdp = some(5, 60);
    in_flow(5005, closed, 100);
    lost("socket", "NO_SOCKET", KUDO_INGRESS, closed, 100);
    in_flow(5000, tc_in, by_tc_in);
    if (tc_in) lost("tc", "TC_INGRESS", KUDO_INGRESS, tc_in, by_tc_in);
    in_flow(5000, xdp, by_xdp);
    lost("xdp", "NOT_SPECIFIED", KUDO_INGRESS, xdp, by_xdp);
    const unsigned good = some(5, 40), buffered = some(20, 100);
    in_flow(5000, good, 200);
    in_flow(5004, buffered, 100);
    const unsigned segments = some(2, 20);
    send_segmented(far.get(), {host_address, 5001}, segments * 1000, 1000);
    sent(in, segments, 1000);
    lost("firewall", "NETFILTER_DROP", KUDO_INGRESS, segments, 1000);
    const unsigned odd = some(5, 40);
    from_far(Ethernet{} / IPv4{.source = media_address, .destination = host_address} /
                 Udp{.source_port = 3478, .destination_port = odd_port, .checksum = 0x1234} / Payload(100),
             odd);
    sent(in, odd, 100);
    lost("network", "UDP_CSUM", KUDO_INGRESS, odd, 100);
    from_far(Ethernet{} / IPv4{.source = media_address, .destination = host_address} /
                 Tcp{.source_port = 443, .destination_port = 40001, .checksum = 0x1234} / Payload(8),
             odd); // as long as UDP with 20
    sent(in, odd, 20);
    lost("network", "TCP_CSUM", KUDO_INGRESS, odd, 20);
    from_far(Ethernet{} / IPv4{.source = second_media_address, .destination = host_address} /
                 Udp{.source_port = 3478, .destination_port = 5000} / Payload(100),
             odd);
    sent(in, odd, 100);
    lost("route", "IP_RPFILTER", KUDO_INGRESS, odd, 100);
    from_far(Ethernet{} /
             IPv4{.source = media_address,
                  .destination = host_address,
                  .id = static_cast<uint16_t>(seed + 1),
                  .more_fragments = true} /
             Udp{.source_port = 3478, .destination_port = 5000, .length = 2000} / Payload(104));
    sent(in, 1, 104);
    lost("network", "FRAG_REASM_TIMEOUT", KUDO_INGRESS, 1, 104);

    Bytes used_up = towards_host(Ethernet{} / IPv4{.source = media_address, .destination = "198.51.100.9"} /
                                 Udp{.source_port = 3478, .destination_port = 7} / Payload(100));
    set_ttl(used_up, 1);
    const FrameSender line(test_->far, "eth0");
    for (unsigned i = 0; i < odd; i++)
        line.send(used_up);
    sent(in, odd, 100);
    lost("network", "IP_INHDR", KUDO_INGRESS, odd, 100);

    // Egress.
    const Fd sink = udp_socket(test_->far, {fourth_media_address, 3478});
    const int large = 4 << 20;
    setsockopt(far.get(), SOL_SOCKET, SO_RCVBUFFORCE, &large, sizeof large);
    const Fd denied = udp_socket(test_->host, {host_address, 6001});
    const Fd sender = udp_socket(test_->host, {host_address, 6002});
    const unsigned refused = some(5, 40), tc_out = kernel_has_tcx() ? some(5, 40) : 0, nobody = some(2, 20),
                   burst = some(200, 800);
    const Bytes data(100, 1);
    for (unsigned i = 0; i < refused; i++)
        try {
            send_datagram(denied.get(), {media_address, 3478}, data);
        } catch (const std::system_error&) { // the sender is told
        }
    EXPECT_THROW(send_segmented(denied.get(), {media_address, 3478}, segments * 1000, 1000), std::system_error);
    sent(out, segments, 1000);
    lost("firewall", "NETFILTER_DROP", KUDO_EGRESS, segments, 1000);
    sent(out, refused, 100);
    lost("firewall", "NETFILTER_DROP", KUDO_EGRESS, refused, 100);
    flood(sender.get(), {media_address, 3478}, tc_out, by_tc_out);
    sent(out, tc_out, by_tc_out);
    if (tc_out) lost("tc", "TC_EGRESS", KUDO_EGRESS, tc_out, by_tc_out);
    flood(sender.get(), {third_media_address, 3478}, nobody, 100);
    sent(out, nobody, 100);
    lost("neighbour", "NEIGH_FAILED", KUDO_EGRESS, nobody, 100);
    Bytes forwarded = towards(
        Ethernet{} / IPv4{.source = "10.78.0.2", .destination = fourth_media_address} /
            Udp{.source_port = 5000, .destination_port = 3478} / Payload(1300),
        nlohmann::json::parse(test_->in_host({"ip", "-json", "link", "show", "dev", "eth1"})).at(0).at("address"),
        "02:00:00:00:00:01");
    dont_fragment(forwarded);
    const FrameSender lan(test_->far, "lan1");
    for (unsigned i = 0; i < odd; i++)
        lan.send(forwarded);
    sent(out, odd, 1300);
    lost("route", "PKT_TOO_BIG", KUDO_EGRESS, odd, 1300);
    flood(sender.get(), {media_address, 3478}, burst, 1200); // more than the queue takes
    sent(out, burst, 1200);

    // Until everything has come to its end.
    unsigned delivered_out = 0;
    Count all_in, all_out;
    DropSums losses;
    uint64_t delivered_in_bytes = 0;
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    do {
        delivered_out += take_all(far.get());
        const unsigned taken = take_all(reader.get()), taken_slow = take_all(slow.get());
        EXPECT_EQ(take_all(open.get()), 0u);
        delivered_in += taken + taken_slow;
        delivered_in_bytes += taken * (200 + udp_headers) + taken_slow * (100 + udp_headers);
        losses = difference(losses_now(), before);
        all_in = sum_of(losses, KUDO_INGRESS);
        all_in.packets += delivered_in;
        all_in.bytes += delivered_in_bytes;
        all_out = sum_of(losses, KUDO_EGRESS);
        all_out.packets += delivered_out;
        all_out.bytes += delivered_out * (1200 + udp_headers);
    } while ((all_in != in || all_out != out) && std::chrono::steady_clock::now() < deadline);
    EXPECT_EQ(all_in, in) << "sent is what was delivered and what was lost" << testing::PrintToString(losses);
    EXPECT_EQ(all_out, out) << "sent is what was delivered and what was lost" << testing::PrintToString(losses);

    // Each cause by itself; how much of the bursts was lost is the kernel's matter.
    const DropKey queue{"queue", "QDISC_DROP", KUDO_EGRESS}, buffer{"socket", "SOCKET_RCVBUFF", KUDO_INGRESS};
    for (const DropKey& key : {queue, buffer})
        if (losses.contains(key)) expected[key] = losses[key];
    // Some places of older kernels, and before 5.17 all, give no reason: what is told there is the layer, or nothing
    // more.
    const bool names_all = std::ranges::all_of(losses, [&](const auto& entry) {
        return expected.contains(entry.first) || std::get<1>(entry.first) != "NOT_SPECIFIED";
    });
    const auto reasons = DropReasons::of_running_kernel();
    if (!reasons || (*reasons)->tracepoint_arguments() < 3) return;
    EXPECT_GE(expected.size(), 12u);
    if (names_all)
        EXPECT_EQ(losses, expected);
    else
        EXPECT_EQ(by_layer(losses), by_layer(expected));
}

TEST_P(Conservation, SentIsDeliveredAndLost) {
    if (GetParam() >= seeds()) GTEST_SKIP() << "fewer seeds than shares";
    for (unsigned seed = GetParam(); seed < seeds() && !HasFailure(); seed += shares) {
        SCOPED_TRACE(fmt::format("seed {}", seed));
        run(seed);
    }
}
INSTANTIATE_TEST_SUITE_P(Share, Conservation, testing::Range(0U, shares));

} // namespace
} // namespace kudo::test
