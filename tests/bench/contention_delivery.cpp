// SPDX-License-Identifier: MIT
#include "tests/bench/contention_delivery.h"

#include <pthread.h>
#include <sched.h>
#include <time.h>

#include <algorithm>
#include <cerrno>
#include <cmath>

namespace kudo::bench {

namespace {
constexpr int64_t second = 1'000'000'000;
}

int64_t now_ns() {
    timespec time{};
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * second + time.tv_nsec;
}

void sleep_until(int64_t when) {
    const timespec time{when / second, when % second};
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &time, nullptr) == EINTR) {
    }
}

void before_other_threads() {
    const sched_param parameters{.sched_priority = 10};
    pthread_setschedparam(pthread_self(), SCHED_FIFO, &parameters);
}

Quantiles quantiles_of(std::vector<int64_t> nanoseconds) {
    if (nanoseconds.empty()) return {};
    std::ranges::sort(nanoseconds);
    const auto at = [&](double part) { // the smallest that at least this part does not exceed
        const double rank = std::ceil(part * static_cast<double>(nanoseconds.size()));
        return static_cast<double>(nanoseconds[static_cast<std::size_t>(std::max(rank, 1.0)) - 1]) / 1e6;
    };
    return {at(0.5), at(0.99), at(1)};
}

double Delivery::loss_percent() const {
    return sent == 0 ? 0 : 100 * static_cast<double>(lost) / static_cast<double>(sent);
}

} // namespace kudo::bench
