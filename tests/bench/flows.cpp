// SPDX-License-Identifier: MIT
// From 10,000 flows to a million: what a packet costs over a shuffled set, time and memory of `stats --json`.
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>

#include <fmt/format.h>

#include "agent/datapath/flow_table.h"
#include "maps/document/built_in.h"
#include "tests/bench/sections.h"
#include "tests/bench/stage.h"
#include "tests/support/packet_builder.h"

namespace kudo::bench {

using namespace test;

namespace {

struct Process {
    double milliseconds = 0, megabytes = 0; // wall time; the most memory it had
};

// Runs it to its end, output thrown away.
Process run_process(const std::vector<std::string>& argv) {
    std::vector<char*> words;
    for (const std::string& word : argv)
        words.push_back(const_cast<char*>(word.c_str()));
    words.push_back(nullptr);
    rusage usage{};
    int status = 0;
    const double taken = time_of([&] {
        const pid_t child = fork();
        if (child == 0) {
            const int nowhere = open("/dev/null", O_WRONLY);
            dup2(nowhere, STDOUT_FILENO);
            execv(words[0], words.data());
            _exit(127);
        }
        wait4(child, &status, 0, &usage);
    });
    if (status != 0) throw std::runtime_error(fmt::format("{} ended with {}", argv[0], status));
    return {taken / 1e6, static_cast<double>(usage.ru_maxrss) / 1000};
}

} // namespace

void measure_flows(const TestHost& host, Report& report) {
    const Options& options = report.options();
    report.section("by number of flows");
    const Bytes media = (Ethernet{} / IPv4{.source = "3.123.12.129", .destination = "10.77.0.2"} /
                         Udp{.source_port = 3478, .destination_port = 40000} / Payload(160))
                            .bytes();
    const std::vector<uint32_t> counts =
        options.quick ? std::vector<uint32_t>{10'000} : std::vector<uint32_t>{10'000, 100'000, 1'000'000};
    for (const uint32_t count : counts) {
        Stage stage(host, "flows", built_in_range_map(), KUDO_PRIORITISE, count > 100'000 ? 1 << 21 : 1 << 18);
        stage.set_flows(count);
        const int ours = stage.bench_program("flows"), empty = stage.bench_program("flows_empty"),
                  one_lookup = stage.bench_program("flows_lookup");
        test_run(ours, media, count); // all of them are known now
        const auto cpus = value_of(Mapped<const kudo_cpu>::map(stage.data_path().maps().cpus.get(), "the counters"));
        const auto table = value_of(read_flow_table(stage.data_path().maps().flows4.get(),
                                                    stage.data_path().maps().flows6.get(), cpus.elements()));
        if (table.flows4.size() != count)
            throw std::runtime_error(fmt::format("{} flows instead of {}", table.flows4.size(), count));
        std::vector<double> packet, lookup, time, memory;
        for (int round = 0; round < options.rounds(); round++) {
            const double before = test_run(empty, media, count * 2);
            packet.push_back(test_run(ours, media, count * 2) - before);
            lookup.push_back(test_run(one_lookup, media, count * 2) - before);
        }
        for (int round = 0; round < std::min(options.rounds(), 5); round++) {
            const Process stats = run_process({KUDO_AGENT_PROGRAM, "--bpffs", stage.instance().bpffs, "--state-dir",
                                               stage.instance().state_dir, "stats", "--json"});
            time.push_back(stats.milliseconds);
            memory.push_back(stats.megabytes);
        }
        const std::string name = fmt::format("{} flows: ", count);
        const double goal_time = count == 100'000 ? 300 : count == 1'000'000 ? 3000 : 0;
        report.line(name + "a packet, above empty", "ns", spread_of(packet), count == 100'000 ? 80 : 0);
        report.line(name + "of that, parsing and one lookup in the table", "ns", spread_of(lookup));
        report.line(name + "stats --json", "ms", spread_of(time), goal_time);
        report.line(name + "memory of stats --json", "MB", spread_of(memory), count == 1'000'000 ? 500 : 0);
    }
}

} // namespace kudo::bench
