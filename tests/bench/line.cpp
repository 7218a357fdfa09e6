// SPDX-License-Identifier: MIT
// Frames over a veth pair: how many a second its receiving end drops, by what is attached there.
#include <bpf/bpf.h>
#include <linux/if_link.h>
#include <net/if.h>

#include <algorithm>
#include <stdexcept>
#include <thread>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "maps/document/built_in.h"
#include "tests/bench/sections.h"
#include "tests/bench/stage.h"
#include "tests/support/packet_builder.h"

namespace kudo::bench {

using namespace test;

namespace {

// `ethtool -S`'s figure of the near end, summed over its queues.
uint64_t counted(const TestHost& host, const std::string& figure) {
    const std::string text = host.in_host({"ethtool", "-S", "eth0"});
    uint64_t sum = 0;
    for (std::size_t at = 0; (at = text.find(figure + ": ", at)) != std::string::npos; at++)
        sum += std::stoull(text.substr(at + figure.size() + 2));
    return sum;
}

uint64_t nft_counted(const TestHost& host) {
    const std::string text = host.in_host({"nft", "list", "table", "netdev", "bench"});
    const auto at = text.find("packets ");
    return at == std::string::npos ? 0 : std::stoull(text.substr(at + 8));
}

} // namespace

void measure_line(const TestHost& host, Report& report) {
    const Options& options = report.options();
    report.section("millions of frames a second dropped at the end of a veth pair");
    Stage stage(host, "line", built_in_range_map(), KUDO_ENFORCE);
    const Bytes stranger = (Ethernet{} / IPv4{.source = "198.51.100.7", .destination = "10.77.0.2"} /
                            Udp{.source_port = 4500, .destination_port = 40000} / Payload(160))
                               .bytes();
    Raw record = Payload(160);
    record.bytes[0] = 23; // DTLS (RFC 7983): neither RTP nor STUN, which are followed
    const Bytes media = (Ethernet{} / IPv4{.source = "3.123.12.129", .destination = "10.77.0.2"} /
                         Udp{.source_port = 3478, .destination_port = 40000} / record)
                            .bytes();
    // Mode enforce lets media in that this host has asked for.
    const Bytes request = (Ethernet{} / IPv4{.source = "10.77.0.2", .destination = "3.123.12.129"} /
                           Udp{.source_port = 40000, .destination_port = 3478} / Payload(160))
                              .bytes();
    test_run(stage.program(Program::TcEgress), request, 1);
    const int near = static_cast<int>(if_nametoindex("eth0"));
    const auto far = inside<uint32_t>(host.far, [] { return if_nametoindex("eth0"); });
    stage.set_target(far);
    host.in_host({"ethtool", "-K", "eth0", "gro", "on"}); // or a veth takes redirected frames only where XDP is

    // Frames per second that the near end has seen, while the generator runs.
    const auto rate = [&](const Bytes& frame, const std::function<uint64_t()>& seen) {
        const uint32_t frames = options.quick ? 500'000 : 1'500'000;
        const uint64_t before = seen();
        const double taken = send_frames(host, stage, frame, frames);
        return static_cast<double>(seen() - before) / taken * 1000;
    };
    const auto with_xdp = [&](int program, const Bytes& frame) {
        LIBBPF_OPTS(bpf_link_create_opts, link_options, .flags = XDP_FLAGS_DRV_MODE);
        const Fd link(bpf_link_create(program, near, BPF_XDP, &link_options));
        if (!link) throw std::system_error(errno, std::generic_category(), "cannot attach XDP");
        return rate(frame, [&] { return counted(host, "xdp_drops"); });
    };
    const auto with_nft = [&](const Bytes& frame) {
        const std::string rules =
            fmt::format("table netdev bench {{\n"
                        "  set kudo {{ type ipv4_addr; flags interval; auto-merge; elements = {{ {} }}; }}\n"
                        "  chain in {{\n"
                        "    type filter hook ingress device eth0 priority 0;\n"
                        "    ip saddr != @kudo counter drop;\n  }}\n}}\n",
                        fmt::join(built_in_ranges(), ", "));
        host.in_host({"nft", "-f", host.write_file("bench.nft", rules)});
        const double result = rate(frame, [&] { return nft_counted(host); });
        host.in_host({"nft", "delete", "table", "netdev", "bench"});
        return result;
    };

    std::vector<double> empty, ours, ours_ratio, known, known_ratio, nft, nft_ratio;
    const int drop = stage.bench_program("empty_drop"), xdp = stage.program(Program::Xdp);
    for (int round = 0; round < 2 * options.rounds(); round++) {
        const double first = with_xdp(drop, stranger);
        ours.push_back(with_xdp(xdp, stranger));
        known.push_back(with_xdp(stage.bench_program("count_and_drop"), media));
        const double last = with_xdp(drop, stranger);
        nft.push_back(with_nft(stranger));
        empty.push_back((first + last) / 2);
        ours_ratio.push_back(ours.back() / empty.back());
        known_ratio.push_back(known.back() / empty.back());
        nft_ratio.push_back(nft.back() / empty.back());
    }
    report.line("an empty program that drops", "Mpps", spread_of(empty));
    report.line("strangers, enforce", "Mpps", spread_of(ours));
    report.line("known media flow, counted, then dropped", "Mpps", spread_of(known));
    report.line("nftables at netdev ingress, the same ranges", "Mpps", spread_of(nft));
    report.at_least("strangers, enforce / empty", "", spread_of(ours_ratio), 0.90, 0.4);
    report.at_least("known media flow / empty", "", spread_of(known_ratio), 0.85, 0.3);
    report.line("nftables / empty", "", spread_of(nft_ratio));
}

} // namespace kudo::bench
