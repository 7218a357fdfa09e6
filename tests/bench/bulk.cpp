// SPDX-License-Identifier: MIT
// Bulk TCP of a stranger over a veth pair: what the agent leaves of it, by the hook that judges incoming packets.
#include <stdexcept>

#include "tests/bench/sections.h"
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

} // namespace

void measure_bulk(const TestHost& host, Report& report) {
    report.section("bulk TCP over a veth pair, of what it is without the agent");
    host.add_far_address(std::string(stranger) + "/32");
    const auto agent = [&](const std::vector<std::string>& arguments) {
        const Outcome outcome = run_program(host.agent_argv(arguments));
        if (outcome.status != 0) throw std::runtime_error(outcome.err);
    };
    Transfers transfers(host, report.options().quick ? 400'000'000 : 600'000'000);
    Rates without, by_tc, by_xdp, unused;
    unused.add(transfers); // what only the first one costs
    without.add(transfers);
    for (int round = 0; round < report.options().rounds(); round++) {
        for (const auto& [hook, rates] : {std::pair{"tc", &by_tc}, {"xdp", &by_xdp}}) {
            agent({"enable", "--region", "ca", "--ingress", hook});
            rates->add(transfers);
            agent({"disable"});
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

} // namespace kudo::bench
