// SPDX-License-Identifier: MIT
// What the service takes of a core and keeps of memory: alone, and with 10,000 flows, metrics and flow records.
#include <chrono>
#include <fstream>
#include <stdexcept>
#include <string>
#include <thread>

#include <fmt/format.h>

#include "agent/system/fd.h"
#include "tests/bench/sections.h"
#include "tests/bench/stage.h"
#include "tests/support/process.h"
#include "tests/support/running_service.h"
#include "tests/support/traffic.h"

namespace kudo::bench {

using namespace test;

namespace {

constexpr const char* media = "52.200.60.17"; // the far end's
constexpr int flow_count = 10'000;

// A packet of each.
void send_of_each(const TestHost& host) {
    for (int flow = 0; flow < flow_count; flow++) {
        const Fd near = udp_socket(host.host, {"10.77.0.2", static_cast<uint16_t>(2000 + flow)});
        const uint8_t payload[] = {1};
        send_datagram(near.get(), {media, 3478}, payload);
    }
}

double resident_mb(int pid) {
    std::ifstream status(fmt::format("/proc/{}/status", pid));
    for (std::string line; std::getline(status, line);)
        if (line.starts_with("VmRSS:")) return std::stod(line.substr(6)) / 1024;
    throw std::runtime_error("the service is gone");
}

struct Cost {
    double share = 0;  // percent of a core
    double memory = 0; // MiB
};

template <typename Meanwhile> Cost cost_of(int service, double seconds, const Meanwhile& meanwhile) {
    const double before = cpu_seconds(service);
    const auto begin = std::chrono::steady_clock::now();
    const auto taken = [&] { return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count(); };
    for (int second = 1; taken() < seconds; second++) {
        meanwhile();
        std::this_thread::sleep_until(begin + std::chrono::seconds(second));
    }
    return {100 * (cpu_seconds(service) - before) / taken(), resident_mb(service)};
}

} // namespace

void measure_service(const TestHost& host, Report& report) {
    if (report.options().quick && report.options().only.empty()) return; // its rounds take a minute
    report.section("the service");
    const double time = 70; // a round of flow records, and more
    const auto print = [&](const std::string& name, const Cost& cost, double goal, double memory_goal,
                           double memory_limit) {
        report.line(name + ", of a core", "%", spread_of({cost.share}), goal, 5 * goal);
        report.line(name + ", resident", "MiB", spread_of({cost.memory}), memory_goal, memory_limit);
    };
    run_agent(host, {"enable", "--region", "ca"});
    {
        const RunningService service(host, {});
        print("enabled, nothing to do", cost_of(service.pid(), time, [] {}), 0.2, 15, 25);
    }
    {
        host.add_far_address(media);
        const Fd far = udp_socket(host.far, {media, 3478});
        const std::string records = host.folder + "/flows.json";
        const RunningService service(
            host, {"--metrics", "127.0.0.1:9475", "--flow-records", "json:" + records, "--flow-records-every", "60s"});
        const Cost cost = cost_of(service.pid(), time, [&] { send_of_each(host); });
        print(fmt::format("{} flows that send, metrics, records as JSON", flow_count), cost, 2, 0, 60);
        std::ifstream lines(records);
        int count = 0;
        for (std::string line; std::getline(lines, line);)
            count++;
        report.require(count >= flow_count, fmt::format("there are {} flow records", count));
    }
    run_agent(host, {"disable"});
}

} // namespace kudo::bench
