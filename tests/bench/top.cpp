// SPDX-License-Identifier: MIT
// What the live view takes of a core while it shows 10,000 flows, on a terminal of 200 columns.
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <cstdlib>
#include <stdexcept>

#include <fmt/format.h>

#include "agent/system/fd.h"
#include "maps/document/built_in.h"
#include "tests/bench/sections.h"
#include "tests/bench/stage.h"
#include "tests/support/packet_builder.h"
#include "tests/support/process.h"

namespace kudo::bench {

using namespace test;

namespace {

struct Cost {
    double start = 0; // ms of CPU, user and system, in the first seconds: it learns the kernel's names once
    double share = 0; // percent of a core from then on
};
constexpr std::chrono::seconds starting{5};

// `time`: from the start's end on.
Cost cost_of_top(const Instance& instance, std::chrono::seconds time) {
    winsize size{.ws_row = 50, .ws_col = 200, .ws_xpixel = 0, .ws_ypixel = 0};
    int terminal = -1;
    const pid_t child = forkpty(&terminal, nullptr, nullptr, &size);
    if (child < 0) throw std::runtime_error("forkpty");
    if (child == 0) {
        setenv("TERM", "xterm-256color", 1);
        execl(KUDO_AGENT_PROGRAM, KUDO_AGENT_PROGRAM, "--bpffs", instance.bpffs.c_str(), "--state-dir",
              instance.state_dir.c_str(), "top", nullptr);
        _exit(127);
    }
    const Fd owner(terminal);
    std::string shown;
    const auto begin = std::chrono::steady_clock::now();
    double at_start = 0;
    while (std::chrono::steady_clock::now() < begin + starting + time) {
        if (at_start == 0 && std::chrono::steady_clock::now() > begin + starting) at_start = cpu_seconds(child);
        pollfd ready{terminal, POLLIN, 0};
        if (poll(&ready, 1, 100) != 1) continue;
        std::array<char, 65536> text{};
        const ssize_t size_read = read(terminal, text.data(), text.size());
        if (size_read <= 0) break;
        shown.append(text.data(), static_cast<std::size_t>(size_read));
    }
    const double taken = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    const double cpu = cpu_seconds(child) - at_start;
    kill(child, SIGTERM);
    waitpid(child, nullptr, 0);
    if (shown.find("10000 flows") == std::string::npos) throw std::runtime_error("top showed no flows: " + shown);
    return {1000 * at_start, 100 * cpu / (taken - std::chrono::duration<double>(starting).count())};
}

} // namespace

void measure_top(const TestHost& host, Report& report) {
    report.section("the live view");
    constexpr uint32_t count = 10'000;
    const Bytes media = (Ethernet{} / IPv4{.source = "3.123.12.129", .destination = "10.77.0.2"} /
                         Udp{.source_port = 3478, .destination_port = 40000} / Payload(160))
                            .bytes();
    Stage stage(host, "top", built_in_range_map(), KUDO_PRIORITISE, 1 << 18);
    stage.set_flows(count);
    test_run(stage.bench_program("flows"), media, count); // all of them are known now
    const auto time = std::chrono::seconds(report.options().quick ? 10 : 30);
    const Cost cost = cost_of_top(stage.instance(), time);
    report.line("top with 10,000 flows, its first 5 s", "ms", spread_of({cost.start}));
    report.line(fmt::format("the same, of a core in the {} s after", time.count()), "%", spread_of({cost.share}), 2, 6);
}

} // namespace kudo::bench
