// SPDX-License-Identifier: MIT
#include "agent/sources/threaded_source.h"

#include <signal.h>
#include <sys/eventfd.h>

#include <algorithm>
#include <utility>

#include "agent/system/uptime.h"

namespace kudo {

ThreadedSource::ThreadedSource(std::string name)
    : random_(std::random_device{}()), name_(std::move(name)), ready_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {}

void ThreadedSource::on_ready(const Deliver& deliver) {
    // First: what comes after this makes it readable again.
    eventfd_t count = 0;
    [[maybe_unused]] const int result = ::eventfd_read(ready_.get(), &count);
    std::vector<Delivery> arrived;
    {
        const std::lock_guard lock(mutex_);
        arrived.swap(waiting_);
    }
    for (Delivery& delivery : arrived)
        deliver(std::move(delivery));
}

SourceHealth ThreadedSource::health() const {
    const std::lock_guard lock(mutex_);
    return health_;
}

void ThreadedSource::takes_no_signals() {
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, nullptr);
}

void ThreadedSource::put(Delivery delivery) {
    {
        const std::lock_guard lock(mutex_);
        std::erase_if(waiting_, [&](const Delivery& other) { return other.source == delivery.source; });
        waiting_.push_back(std::move(delivery));
    }
    // Fails only when the counter is full, and then it is readable.
    [[maybe_unused]] const int result = ::eventfd_write(ready_.get(), 1);
}

void ThreadedSource::all_read() {
    const std::lock_guard lock(mutex_);
    health_ = {wall_time(), ""};
}

void ThreadedSource::set_problem(std::string problem) {
    const std::lock_guard lock(mutex_);
    health_.problem = std::move(problem);
}

ThreadedSource::Milliseconds ThreadedSource::random_part(Milliseconds wait, double min_part, double max_part) {
    const double part = std::uniform_real_distribution(min_part, max_part)(random_);
    return Milliseconds(std::llround(static_cast<double>(wait.count()) * part));
}

ThreadedSource::Milliseconds ThreadedSource::retry_wait(Milliseconds first, Milliseconds max, unsigned& failures,
                                                        double min_part) {
    const auto doubled = first * (1U << std::min(failures++, 16U));
    return random_part(std::min<Milliseconds>(doubled, max), min_part, 1);
}

} // namespace kudo
