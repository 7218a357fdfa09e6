// SPDX-License-Identifier: MIT
#include "agent/datapath/clock.h"

#include <bpf/bpf.h>

#include <array>
#include <cmath>
#include <thread>

namespace kudo {

namespace {

// Every value that CONFIG_HZ has on some architecture.
constexpr std::array<uint64_t, 10> rates = {24, 48, 100, 128, 250, 256, 300, 512, 1000, 1024};
constexpr double ambiguous_uptime = 300, ambiguous_margin = 60; // seconds

Result<kudo_clock_reading> read_clocks(DataPath& data_path) {
    auto program = KUDO_TRY(data_path.program(Program::Clock));
    char frame[64] = {};
    LIBBPF_OPTS(bpf_test_run_opts, options);
    options.data_in = frame;
    options.data_size_in = sizeof frame;
    if (bpf_prog_test_run_opts(program.get(), &options) != 0) return fail_errno("cannot read the kernel's clocks");
    kudo_clock_reading reading{};
    const uint32_t key = 0;
    if (bpf_map_lookup_elem(data_path.maps().clock.get(), &key, &reading) != 0)
        return fail_errno("cannot read the kernel's clocks");
    return reading;
}

} // namespace

uint64_t ticks_per_second(const kudo_clock_reading& reading) {
    const double uptime = static_cast<double>(reading.monotonic_ns) / 1e9;
    if (std::abs(uptime - ambiguous_uptime) < ambiguous_margin) return 0;
    uint64_t best = 0;
    double best_error = INFINITY;
    for (const uint64_t rate : rates) {
        const auto initial = static_cast<uint64_t>(static_cast<uint32_t>(-300 * static_cast<int64_t>(rate)));
        const double by_ticks =
            static_cast<double>(static_cast<int64_t>(reading.jiffies - initial)) / static_cast<double>(rate);
        const double error = std::abs(by_ticks - uptime);
        if (error < best_error) {
            best = rate;
            best_error = error;
        }
    }
    return best;
}

uint64_t ticks_per_second(const kudo_clock_reading& first, const kudo_clock_reading& second) {
    const double measured = static_cast<double>(second.jiffies - first.jiffies) * 1e9 /
                            static_cast<double>(second.monotonic_ns - first.monotonic_ns);
    uint64_t best = rates[0];
    for (const uint64_t rate : rates)
        if (std::abs(std::log(measured / static_cast<double>(rate))) <
            std::abs(std::log(measured / static_cast<double>(best))))
            best = rate;
    return best;
}

Result<TickClock> TickClock::read(DataPath& data_path) {
    auto reading = read_clocks(data_path);
    if (!reading) return fail(std::move(reading.error()));
    TickClock clock;
    clock.ticks_per_second_ = ticks_per_second(*reading);
    if (clock.ticks_per_second_ == 0) {
        std::this_thread::sleep_for(std::chrono::milliseconds(500));
        auto later = read_clocks(data_path);
        if (!later) return fail(std::move(later.error()));
        clock.ticks_per_second_ = ticks_per_second(*reading, *later);
        reading = std::move(later);
    }
    clock.jiffies_ = reading->jiffies;
    clock.now_ = std::chrono::system_clock::now();
    return clock;
}

std::chrono::system_clock::time_point TickClock::wall_time(uint64_t jiffies) const {
    const auto ago = static_cast<int64_t>(jiffies_ - jiffies) * 1'000'000 / static_cast<int64_t>(ticks_per_second_);
    return now_ - std::chrono::microseconds(ago);
}

} // namespace kudo
