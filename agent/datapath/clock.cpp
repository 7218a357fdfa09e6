// SPDX-License-Identifier: MIT
#include "agent/datapath/clock.h"

#include <bpf/bpf.h>

#include <ctime>

#include "agent/system/uptime.h"

namespace kudo {

uint64_t ticks_per_second() {
    timespec tick{};
    clock_getres(CLOCK_MONOTONIC_COARSE, &tick); // cannot fail: Linux has had this clock since 2.6.32
    return static_cast<uint64_t>((1'000'000'000 + tick.tv_nsec / 2) / tick.tv_nsec);
}

Result<TickClock> TickClock::read(DataPath& data_path) {
    auto program = KUDO_TRY(data_path.program(Program::Clock));
    char frame[64] = {};
    LIBBPF_OPTS(bpf_test_run_opts, options);
    options.data_in = frame;
    options.data_size_in = sizeof frame;
    TickClock clock;
    const uint32_t key = 0;
    if (bpf_prog_test_run_opts(program.get(), &options) != 0 ||
        bpf_map_lookup_elem(data_path.maps().clock.get(), &key, &clock.jiffies_) != 0)
        return fail_errno("cannot read the kernel's clock");
    clock.now_ = std::chrono::system_clock::now();
    return clock;
}

std::chrono::system_clock::time_point TickClock::wall_time(uint64_t jiffies) const {
    const auto ago = static_cast<int64_t>(jiffies_ - jiffies) * 1'000'000 / static_cast<int64_t>(ticks_per_second());
    return now_ - std::chrono::microseconds(ago);
}

MonotonicClock MonotonicClock::read() {
    return {kernel_monotonic_time(), std::chrono::system_clock::now()};
}

std::chrono::system_clock::time_point MonotonicClock::wall_time(uint64_t monotonic) const {
    const auto ago = static_cast<int64_t>(monotonic_ - monotonic);
    return wall_ - std::chrono::duration_cast<std::chrono::system_clock::duration>(std::chrono::nanoseconds(ago));
}

} // namespace kudo
