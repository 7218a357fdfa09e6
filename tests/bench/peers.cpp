// SPDX-License-Identifier: MIT
// What Debian has that does parts of the same, on the same packets and the same path: nftables with the same ranges, a
// DSCP and counters by flow; xdp-filter. Frames come in over a veth pair, from BPF_PROG_TEST_RUN with live frames, and
// are dropped behind what is measured.
#include <bpf/bpf.h>
#include <linux/if_link.h>
#include <net/if.h>

#include <algorithm>
#include <filesystem>
#include <stdexcept>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "maps/document/built_in.h"
#include "tests/bench/sections.h"
#include "tests/bench/stage.h"
#include "tests/support/packet_builder.h"

namespace kudo::bench {

using namespace test;

namespace {

Bytes frame_from(const std::string& source, const std::string& destination, uint16_t from, uint16_t to) {
    Raw payload = Payload(172); // 20 ms of Opus
    const uint8_t rtp[] = {0x80, 111, 0, 1, 0, 0, 0, 1, 0xa0, 0xd1, 0, 1};
    std::ranges::copy(rtp, payload.bytes.begin());
    Packet packet = Ethernet{};
    packet.add(IPv4{.source = source, .destination = destination});
    packet.add(Udp{.source_port = from, .destination_port = to});
    packet.add(std::move(payload));
    return packet.bytes();
}

// The same ranges, a mark, a counter for each flow.
std::string nft_rules() {
    return fmt::format(
        "table netdev bench {{\n"
        "  set kudo {{ type ipv4_addr; flags interval; auto-merge; elements = {{ {} }}; }}\n"
        "  set flows {{ type ipv4_addr . ipv4_addr . inet_service . inet_service; flags dynamic; "
        "size 65536; }}\n"
        "  chain judge {{\n"
        "    type filter hook ingress device eth0 priority 0;\n"
        "    ip saddr != @kudo counter drop\n"
        "    udp sport 3478 ip dscp set af41 update @flows {{ ip saddr . ip daddr . udp sport . udp dport "
        "counter }} drop\n"
        "  }}\n}}\n",
        fmt::join(built_in_ranges(), ", "));
}

// What stands on the near end while frames come in: removed with it.
class Standing {
public:
    Standing(const TestHost& host, const std::string& nft_table) : host_(host) {
        host.in_host({"nft", "-f", host.write_file("bench.nft", nft_table)});
    }
    ~Standing() { host_.in_host({"nft", "delete", "table", "netdev", "bench"}); }
    Standing(const Standing&) = delete;
    Standing& operator=(const Standing&) = delete;

private:
    const TestHost& host_;
};

class Path {
public:
    Path(const TestHost& host, Stage& stage, const Options& options)
        : host_(host), stage_(stage), frames_(options.quick ? 30'000U : 60'000U) {
        host.in_host({"ethtool", "-K", "eth0", "gro", "on"}); // or a veth takes redirected frames only where XDP is
        stage.set_target(inside<uint32_t>(host.far, [] { return if_nametoindex("eth0"); }));
    }

    // ns from the far end until the near end is through with a frame: the fastest of some runs, undisturbed.
    [[nodiscard]] double frame_time(const Bytes& frame) const {
        double fastest = one_run(frame);
        for (int run = 1; run < 8; run++)
            fastest = std::min(fastest, one_run(frame));
        return fastest;
    }
    [[nodiscard]] Fd attach(int program, int type) const {
        LIBBPF_OPTS(bpf_link_create_opts, options, .flags = type == BPF_XDP ? XDP_FLAGS_DRV_MODE : 0u);
        Fd link(bpf_link_create(program, static_cast<int>(if_nametoindex("eth0")), static_cast<bpf_attach_type>(type),
                                &options));
        if (!link) throw std::system_error(errno, std::generic_category(), "cannot attach");
        return link;
    }

private:
    [[nodiscard]] double one_run(const Bytes& frame) const {
        const uint64_t before = arrived();
        const double taken = send_frames(host_, stage_, frame, frames_);
        return taken / static_cast<double>(std::max<uint64_t>(arrived() - before, 1));
    }
    [[nodiscard]] uint64_t arrived() const {
        const auto links = nlohmann::json::parse(host_.in_host({"ip", "-s", "-j", "link", "show", "dev", "eth0"}));
        return links.at(0).at("stats64").at("rx").at("packets").get<uint64_t>();
    }
    const TestHost& host_;
    Stage& stage_;
    uint32_t frames_;
};

} // namespace

void measure_peers(const TestHost& host, Report& report) {
    report.section("ns per frame on a veth pair, above the same path without it");
    const Options& options = report.options();
    Stage stage(host, "peers", built_in_range_map(), KUDO_PRIORITISE);
    const Path path(host, stage, options);
    constexpr int xdp = BPF_XDP, ingress = 46; // BPF_TCX_INGRESS, linux/bpf.h of 6.6
    const std::string media = "3.123.12.129", stranger = "198.51.100.7", local = "10.77.0.2";
    const int drop = stage.bench_program("empty_drop"), drop_tc = stage.bench_program("drop_tc");

    const bool has_xdp_filter = std::filesystem::exists("/usr/sbin/xdp-filter");
    for (const bool known : {false, true}) {
        const std::string remote = known ? media : stranger, name = known ? "media flow" : "stranger";
        const Bytes in = frame_from(remote, local, known ? 3478 : 4500, 40000);
        const auto row = [&](const std::string& what, const std::function<double()>& without,
                             const std::function<double()>& with) {
            // In turns, and of each the fastest: a frame here takes some hundred ns, give or take as many.
            double nothing = without(), ours = with();
            for (int round = 1; round < 2 * options.rounds(); round++) {
                nothing = std::min(nothing, without());
                ours = std::min(ours, with());
            }
            report.line(fmt::format("{}, {}", name, what), "ns", spread_of({ours - nothing}));
        };
        const auto through = [&](int program, int type) {
            const Fd link = path.attach(program, type);
            return path.frame_time(in);
        };
        const auto by_xdp = [&](int program) { return [&, program] { return through(program, xdp); }; };
        row("in by XDP: kudo-agent", by_xdp(drop), by_xdp(stage.bench_program("count_and_drop")));
        if (!has_xdp_filter)
            fmt::print("  {}, in by XDP: xdp-filter: skipped, there is none (package xdp-tools)\n", name);
        else
            row("in by XDP: xdp-filter, one address", by_xdp(drop), [&] {
                // It drops whom it is told to; so that both end in a drop: all but some, or some.
                setenv("LIBXDP_SKIP_DISPATCHER", "1", 1);
                host.in_host({"xdp-filter", "load", "-p", known ? "allow" : "deny", "-f", "ipv4,udp", "eth0"});
                host.in_host({"xdp-filter", "ip", "-m", "src", media});
                const double time = path.frame_time(in);
                host.in_host({"xdp-filter", "unload", "eth0"});
                return time;
            });
        row(
            "in by tc: kudo-agent", [&] { return through(drop_tc, ingress); },
            [&] {
                const Fd ours = path.attach(stage.program(Program::TcIngress), ingress);
                return through(drop_tc, ingress);
            });
        row(
            "in: nftables (set, DSCP, flow counters)",
            [&] {
                const Standing rules(host, "table netdev bench {\n  chain judge {\n    type filter hook ingress device "
                                           "eth0 priority 0;\n    counter drop\n  }\n}\n");
                return path.frame_time(in);
            },
            [&] {
                const Standing rules(host, nft_rules());
                const double time = path.frame_time(in);
                if (known &&
                    host.in_host({"nft", "list", "set", "netdev", "bench", "flows"}).find(media) == std::string::npos)
                    throw std::runtime_error("nftables counted no flow");
                return time;
            });
    }
}

} // namespace kudo::bench
