// SPDX-License-Identifier: MIT
// Bulk TCP of a stranger over a veth pair: what the agent leaves of it, by the hook that judges incoming packets; and
// where a rule of mode enforce allows it, beside a flood of strangers.
#include <net/if.h>
#include <sched.h>

#include <atomic>
#include <stdexcept>
#include <thread>

#include "maps/document/built_in.h"
#include "tests/bench/sections.h"
#include "tests/bench/stage.h"
#include "tests/support/packet_builder.h"
#include "tests/support/traffic.h"

namespace kudo::bench {

using namespace test;

namespace {

constexpr const char* stranger = "198.51.100.7";

// Gbit/s of payload, one connection. Each has a port of its own: the last one's are still held (TIME_WAIT).
class Transfers {
public:
    Transfers(const TestHost& host, uint64_t bytes) : host_(host), bytes_(bytes) {}

    double in() { return rate(0, bytes_); }
    double out() { return rate(bytes_, 0); }

private:
    double rate(uint64_t up, uint64_t down) {
        const uint16_t port = next_port_++;
        TcpOutcome outcome;
        const double ns = time_of([&] {
            outcome = transfer_tcp({host_.host, {"10.77.0.2", port}, host_.far, {stranger, port}, 4 << 20}, up, down);
        });
        if (outcome.uploaded != up || outcome.downloaded != down) throw std::runtime_error("a transfer broke off");
        return static_cast<double>(bytes_) * 8 / ns;
    }

    const TestHost& host_;
    const uint64_t bytes_;
    uint16_t next_port_ = 20000;
};

struct Rates {
    std::vector<double> in, out;
    void add(Transfers& transfers) {
        in.push_back(transfers.in());
        out.push_back(transfers.out());
    }
};

// What each of `part` is of the mean of `around` before and behind it; its first one stands behind the `first` of
// those.
Spread of_around(const std::vector<double>& part, const std::vector<double>& around, std::size_t first) {
    std::vector<double> ratios;
    for (std::size_t i = 0; i < part.size(); i++)
        ratios.push_back(2 * part[i] / (around[2 * i + first] + around[2 * i + first + 1]));
    return spread_of(std::move(ratios));
}

// A stranger's datagrams, as many as one CPU can send and the near end take, until it is destroyed.
class Flood {
public:
    Flood(const TestHost& host, const Stage& stage)
        : sender_([&host, &stage, this] {
              cpu_set_t first;
              CPU_ZERO(&first);
              CPU_SET(0, &first);
              sched_setaffinity(0, sizeof first, &first);
              const Bytes frame = (Ethernet{} / IPv4{.source = "198.51.100.9", .destination = "10.77.0.2"} /
                                   Udp{.source_port = 4500, .destination_port = 40000} / Payload(160))
                                      .bytes();
              for (; !ends_; sent_ += 20'000)
                  send_frames(host, stage, frame, 20'000);
          }) {}
    Flood(const Flood&) = delete;
    Flood& operator=(const Flood&) = delete;
    ~Flood() {
        ends_ = true;
        sender_.join();
    }
    [[nodiscard]] uint64_t sent() const { return sent_; }

private:
    std::atomic<bool> ends_ = false;
    std::atomic<uint64_t> sent_ = 0;
    std::thread sender_;
};

} // namespace

void measure_bulk(const TestHost& host, Report& report) {
    report.section("bulk TCP over a veth pair, of what it is without the agent");
    host.add_far_address(std::string(stranger) + "/32");
    Transfers transfers(host, report.options().quick ? 400'000'000 : 600'000'000);
    Rates without, by_tc, by_xdp, unused;
    unused.add(transfers); // what only the first one costs
    without.add(transfers);
    for (int round = 0; round < report.options().rounds(); round++) {
        for (const auto& [hook, rates] : {std::pair{"tc", &by_tc}, {"xdp", &by_xdp}}) {
            run_agent(host, {"enable", "--region", "ca", "--ingress", hook});
            rates->add(transfers);
            run_agent(host, {"disable"});
            without.add(transfers);
        }
    }
    report.line("into the host, without the agent", "Gbit/s", spread_of(without.in));
    report.line("out of the host, without the agent", "Gbit/s", spread_of(without.out));
    report.at_least("into the host, ingress by tc (the default)", "x", of_around(by_tc.in, without.in, 0), 0.97, 0.5);
    report.at_least("out of the host, ingress by tc (the default)", "x", of_around(by_tc.out, without.out, 0), 0.97,
                    0.5);
    report.line("into the host, ingress by native XDP", "x", of_around(by_xdp.in, without.in, 1));
    report.line("out of the host, ingress by native XDP", "x", of_around(by_xdp.out, without.out, 1));
}

void measure_flood(const TestHost& host, Report& report) {
    report.section("allowed bulk TCP into the host, mode enforce, beside a flood of strangers from one CPU");
    host.add_far_address(std::string(stranger) + "/32");
    Stage stage(host, "flood", built_in_range_map(), KUDO_OBSERVE); // for what sends
    stage.set_target(inside<uint32_t>(host.far, [] { return if_nametoindex("eth0"); }));
    host.in_host({"ethtool", "-K", "eth0", "gro", "on"}); // or without XDP nothing of the flood comes in
    Transfers transfers(host, report.options().quick ? 200'000'000 : 600'000'000);
    struct Figures {
        std::vector<double> quiet, beside, frames;
    };
    const auto measure = [&](Figures& figures) {
        figures.quiet.push_back(transfers.in());
        const Flood flood(host, stage);
        figures.frames.push_back(1000 / time_of([&] { figures.beside.push_back(transfers.in()); }));
        figures.frames.back() *= static_cast<double>(flood.sent());
    };
    Figures without, by_tc, by_xdp;
    for (int round = 0; round < report.options().rounds(); round++) {
        measure(without);
        for (const auto& [hook, figures] : {std::pair{"tc", &by_tc}, {"xdp", &by_xdp}}) {
            run_agent(host,
                      {"enable", "--region", "ca", "--mode", "enforce", "--no-confirm", "--ingress", hook, "--allow",
                       std::string("tcp to ") + stranger, "--allow", std::string("tcp from ") + stranger});
            measure(*figures);
            run_agent(host, {"disable"});
        }
    }
    host.in_host({"ethtool", "-K", "eth0", "gro", "off"});
    const std::pair<const char*, const Figures*> all[] = {
        {"without the agent", &without}, {"ingress by tc", &by_tc}, {"ingress by native XDP (the default)", &by_xdp}};
    for (const auto& [name, figures] : all) {
        report.line(std::string(name) + ": bulk alone", "Gbit/s", spread_of(figures->quiet));
        report.line(std::string(name) + ": bulk beside the flood", "Gbit/s", spread_of(figures->beside));
        report.line(std::string(name) + ": the flood that was sent", "Mpps", spread_of(figures->frames));
    }
}

} // namespace kudo::bench
