// SPDX-License-Identifier: MIT
#include "agent/flowrecords/confined_sink.h"

#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include <fmt/format.h>

#include "agent/flowrecords/batch.h"

namespace kudo {
namespace {

constexpr std::chrono::milliseconds first_wait{1000}, max_wait{60'000};
constexpr std::chrono::seconds lives_well{60}; // a process that lives so long is one that works
constexpr int max_timeouts = 6;                // of a batch that it says nothing about
constexpr int max_reads = 16;                  // at a time: the service has other things to do

} // namespace

ConfinedSink::ConfinedSink(WorkerSettings settings, EventLoop& loop, HandedOver handed_over)
    : settings_(std::move(settings)), loop_(loop), handed_over_(std::move(handed_over)), wait_(first_wait) {}

ConfinedSink::~ConfinedSink() {
    if (process_) loop_.forget(process_->socket());
}

void ConfinedSink::start_if_due() {
    if (is_busy_ && problem_.empty() && Clock::now() - sent_ > max_timeouts * settings_.timeout)
        return end("does not answer");
    if (process_ || Clock::now() < next_start_) return;
    auto started = ConfinedProcess::start(Confinement::Network, [this](int socket) { run_worker(socket, settings_); });
    if (!started) return end("cannot be started: " + started.error().message);
    process_.emplace(std::move(*started));
    started_ = Clock::now();
    received_.clear();
    problem_.clear();
    if (const auto watched = loop_.watch(process_->socket(), [this] { receive(); }); !watched)
        end(watched.error().message);
}

void ConfinedSink::send(const std::vector<DataRecord>& batch) {
    const std::string text = write_batch(batch);
    is_busy_ = true;
    sent_ = Clock::now();
    const ssize_t sent = ::send(process_->socket(), text.data(), text.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
    // It has taken all that was sent before: there is room, unless it hangs.
    if (sent != static_cast<ssize_t>(text.size())) end("does not answer");
}

void ConfinedSink::receive() {
    bool good = true;
    for (int reads = 0; good && reads < max_reads; reads++) {
        char bytes[4096];
        const ssize_t got = recv(process_->socket(), bytes, sizeof bytes, MSG_DONTWAIT);
        if (got > 0) received_.append(bytes, static_cast<std::size_t>(got));
        good = got > 0 || (got < 0 && (errno == EINTR || errno == EAGAIN));
        if (got < 0) break;
    }
    // What it still said before it ended counts.
    if (const auto taken = take_all_news(); !taken)
        end("sent " + taken.error().message);
    else if (!good && process_) // which the next batch may have ended already
        end("");
}

Result<void> ConfinedSink::take_all_news() {
    while (process_) {
        auto news = KUDO_TRY(take_news(received_));
        if (!news) return {};
        if (!news->handed_over) {
            problem_ = news->problem.empty() ? "" : fmt::format("{}: {}", settings_.destination.text, news->problem);
        } else if (!std::exchange(is_busy_, false)) {
            return fail("more than it was asked for");
        } else {
            handed_over_(*news->handed_over); // which may send the next batch
        }
    }
    return {};
}

void ConfinedSink::end(const std::string& why) {
    if (process_) loop_.forget(process_->socket());
    if (Clock::now() - started_ > lives_well) wait_ = first_wait;
    const std::string how = process_ ? process_->end() : "";
    process_.reset();
    problem_ =
        fmt::format("{}: its process {}; it is started again", settings_.destination.text, why.empty() ? how : why);
    next_start_ = Clock::now() + wait_;
    wait_ = std::min(2 * wait_, max_wait);
    if (std::exchange(is_busy_, false)) handed_over_(0);
}

} // namespace kudo
