// SPDX-License-Identifier: MIT
// From 44 ranges to a million: what a known flow and a stranger cost, how long compiling and swapping take, memory.
#include <unistd.h>

#include <fstream>
#include <random>
#include <set>

#include <fmt/format.h>

#include "agent/datapath/generation.h"
#include "maps/document/built_in.h"
#include "tests/bench/sections.h"
#include "tests/bench/stage.h"
#include "tests/support/packet_builder.h"

namespace kudo::bench {

using namespace test;

namespace {

// Distinct ranges of 18 to 32 bits like KUDO's, outside each other; the first holds the known flow.
RangeMap map_of(uint32_t count) {
    RangeMap map = built_in_range_map();
    if (count <= 44) return map;
    Service& media = map.services.at(0);
    std::mt19937 random(7);
    std::set<uint32_t> taken;
    while (media.ranges.size() < count) {
        // 4096 addresses apart, so that a range of any length fits between two; a million needs less room.
        const uint32_t step = count > 200'000 ? 8 : 12;
        const uint32_t place = static_cast<uint32_t>(random()) >> step;
        if (!taken.insert(place).second) continue;
        const auto length = static_cast<uint8_t>(32 - random() % (step + 1));
        Address address;
        const uint32_t bits = place << step;
        for (int i = 0; i < 4; i++)
            address.bytes[static_cast<std::size_t>(i)] = static_cast<uint8_t>(bits >> (24 - 8 * i));
        const Prefix prefix = prefix_of(address, length);
        media.ranges.push_back({prefix, prefix.text()});
    }
    return map;
}

// Bytes that the kernel accounts to a map.
uint64_t memory_of(int fd) {
    std::ifstream info(fmt::format("/proc/self/fdinfo/{}", fd));
    std::string word;
    uint64_t value = 0;
    while (info >> word)
        if (word == "memlock:") info >> value;
    return value;
}

} // namespace

void measure_prefixes(const TestHost& host, Report& report) {
    const Options& options = report.options();
    report.section("by number of ranges");
    Stage stage(host, "prefixes", built_in_range_map(), KUDO_PRIORITISE);
    const int xdp = stage.program(Program::Xdp), empty = stage.bench_program("empty");
    const Bytes media = (Ethernet{} / IPv4{.source = "3.123.12.129", .destination = "10.77.0.2"} /
                         Udp{.source_port = 3478, .destination_port = 40000} / Payload(160))
                            .bytes();
    const RangeMap small = built_in_range_map();
    const std::vector<uint32_t> counts =
        options.quick ? std::vector<uint32_t>{44, 10'000} : std::vector<uint32_t>{44, 1000, 10'000, 100'000, 1'000'000};
    double known_at_44 = 0, miss_at_44 = 0;
    for (const uint32_t count : counts) {
        const RangeMap map = map_of(count);
        const std::string name = fmt::format("{} ranges: ", count);
        std::vector<double> compiling, swapping, both;
        for (int round = 0; round < (count > 100'000 || options.quick ? 1 : 3); round++) {
            // The swap fills the new slot and empties the old one: as many ranges in both.
            double compile_time = 0, swap_time = 0;
            for (int side = 0; side < 2; side++) {
                CompiledPolicy policy;
                compile_time = time_of([&] { policy = compiled(map, side ? KUDO_PRIORITISE : KUDO_OBSERVE); });
                swap_time = time_of([&] { value_of(publish(stage.data_path().maps(), policy)); });
            }
            compiling.push_back(compile_time / 1e6);
            swapping.push_back(swap_time / 1e6);
            both.push_back((compile_time + swap_time) / 1e6);
        }
        report.line(name + "compile", "ms", spread_of(compiling));
        report.line(name + "swap, as many before and after", "ms", spread_of(swapping));
        report.line(name + "compile and swap", "ms", spread_of(both), count == 100'000 ? 300 : 0);
        report.line(name + "memory of the tries", "MB",
                    spread_of({static_cast<double>(memory_of(stage.data_path().maps().lpm4[0].get()) +
                                                   memory_of(stage.data_path().maps().lpm4[1].get())) /
                               1e6}));
        const Spread known = compare(xdp, empty, media, options);
        report.line(name + "known flow above empty", "ns", known);
        // With more of them "everywhere" is mostly within some range.
        const bool has_strangers = count <= 10'000;
        const Spread miss = has_strangers ? compare(stage.bench_program("strangers"),
                                                    stage.bench_program("strangers_empty"), media, options)
                                          : Spread{};
        if (has_strangers) report.line(name + "strangers from everywhere above empty", "ns", miss);
        if (count == 44) {
            known_at_44 = known.median;
            miss_at_44 = miss.median;
            continue;
        }
        report.line(name + "known flow against 44 ranges", "x", spread_of({known.median / known_at_44}),
                    count == 1'000'000 ? 1.2 : 0, 5);
        if (has_strangers)
            report.line(name + "strangers against 44 ranges", "x", spread_of({miss.median / miss_at_44}), 1);
    }
}

} // namespace kudo::bench
