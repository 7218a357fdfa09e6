// SPDX-License-Identifier: MIT
#include "cli/top/reader.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <ctime>

namespace kudo {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds shortest_interval{1000}, longest_interval{60'000};
constexpr double largest_share = 0.015;

std::chrono::nanoseconds cpu_so_far() {
    timespec time{};
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
    return std::chrono::seconds(time.tv_sec) + std::chrono::nanoseconds(time.tv_nsec);
}

} // namespace

milliseconds interval_for(std::chrono::nanoseconds cpu_of_a_round) {
    const std::chrono::duration<double, std::milli> wanted = cpu_of_a_round / largest_share;
    return std::clamp(std::chrono::ceil<milliseconds>(wanted), shortest_interval, longest_interval);
}

Result<Reader> Reader::make(const Instance& instance) {
    Fd ended(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    if (!ended) return fail_errno("eventfd");
    return Reader(instance, std::move(ended));
}

void Reader::start() {
    begun_ = Clock::now();
    reading_ = std::async(std::launch::async, [instance = instance_, ended = ended_.get()] {
        auto diagnosis = diagnose(instance);
        eventfd_write(ended, 1);
        return diagnosis;
    });
}

Result<Diagnosis> Reader::take() {
    eventfd_t count = 0;
    eventfd_read(ended_.get(), &count);
    auto result = reading_.get();
    const auto cpu = cpu_so_far();
    const auto round = cpu_ ? cpu - *cpu_ : std::chrono::nanoseconds(0);
    // A round may learn something once, such as the kernel's names: what the next one takes as well is the pace.
    interval_ = interval_for(std::min(round, round_before_));
    round_before_ = round;
    cpu_ = cpu;
    return result;
}

} // namespace kudo
