// SPDX-License-Identifier: MIT
#include "agent/sources/confined_source.h"

#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include "agent/sources/source_messages.h"
#include "maps/base/text.h"

namespace kudo {
namespace {

constexpr std::chrono::milliseconds first_wait{1000}, max_wait{60'000};
constexpr std::chrono::seconds lives_well{60};       // a process that lives so long is one that works
constexpr std::chrono::seconds makes_within{10};     // until its source is made
constexpr std::chrono::milliseconds look_every{250}; // at the source's health
constexpr std::size_t max_reads = 64;                // at a time: the service has other things to do

// In the confined process from here on.

bool send_all(int socket, std::string_view bytes) {
    while (!bytes.empty()) {
        const ssize_t sent = ::send(socket, bytes.data(), bytes.size(), MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR) continue;
        if (sent <= 0) return false;
        bytes.remove_prefix(static_cast<std::size_t>(sent));
    }
    return true;
}

// True: the socket is good.
bool receive(int socket, std::string& buffer, int flags) {
    char bytes[16384];
    const ssize_t got = recv(socket, bytes, sizeof bytes, flags);
    if (got > 0) buffer.append(bytes, static_cast<std::size_t>(got));
    return got > 0 || (got < 0 && (errno == EINTR || errno == EAGAIN));
}

// Until the service is gone.
void serve(int socket, ConfinedSource::Worker& worker) {
    Source& source = *worker.source;
    bool good = true;
    const Deliver deliver = [&](const Delivery& delivery) {
        good = good && send_all(socket, write_delivery(delivery));
    };
    std::string buffer, told;
    while (good) {
        pollfd waits[] = {{socket, POLLIN, 0}, {source.fd(), POLLIN, 0}};
        poll(waits, 2, static_cast<int>(look_every.count()));
        if (waits[0].revents != 0) good = receive(socket, buffer, MSG_DONTWAIT) && good;
        for (auto message = take_message(buffer); good && message && *message; message = take_message(buffer)) {
            if ((*message)->kind == SourceMessageKind::ReadAgain) source.read_again(deliver);
            if ((*message)->kind == SourceMessageKind::Text && worker.on_text && !(*message)->fields.empty())
                worker.on_text((*message)->fields.front());
        }
        if (waits[1].revents != 0) source.on_ready(deliver);
        std::string health = write_health(source.health());
        if (health != told) good = good && send_all(socket, told = std::move(health));
    }
}

void run_worker(int socket, const ConfinedSource::Make& make) {
    auto worker = make();
    if (!worker) {
        const char kind = static_cast<char>('0' + static_cast<int>(worker.error().kind));
        send_all(socket,
                 write_message(SourceMessageKind::Failed, {std::string_view(&kind, 1), worker.error().message}));
        return;
    }
    if (send_all(socket, write_message(SourceMessageKind::Made, {worker->source->name()}))) serve(socket, *worker);
    _exit(0); // threads of the source may wait for a server
}

} // namespace

ConfinedSource::ConfinedSource(bool trusts_transport, Make make, Epoll epoll, Timer timer)
    : trusts_transport_(trusts_transport), make_(std::move(make)), epoll_(std::move(epoll)), timer_(std::move(timer)),
      wait_(first_wait) {}

Result<std::unique_ptr<ConfinedSource>> ConfinedSource::open(bool trusts_transport, Make make) {
    auto epoll = KUDO_TRY(Epoll::create());
    auto timer = KUDO_TRY(Timer::create());
    KUDO_TRY(epoll.watch(timer.fd(), EPOLLIN));
    std::unique_ptr<ConfinedSource> source(
        new ConfinedSource(trusts_transport, std::move(make), std::move(epoll), std::move(timer)));
    KUDO_TRY(source->start());
    KUDO_TRY(source->wait_until_made());
    return source;
}

Result<void> ConfinedSource::start() {
    process_.emplace(
        KUDO_TRY(ConfinedProcess::start(Confinement::Network, [this](int socket) { run_worker(socket, make_); })));
    started_ = Clock::now();
    received_.clear();
    return epoll_.watch(process_->socket(), EPOLLIN);
}

Result<void> ConfinedSource::wait_until_made() {
    const auto deadline = Clock::now() + makes_within;
    while (true) {
        const auto message = KUDO_TRY(take_message(received_));
        if (message && message->kind == SourceMessageKind::Made && message->fields.size() == 1) {
            name_ = escaped(message->fields[0], 4096);
            return {};
        }
        if (message && message->kind == SourceMessageKind::Failed && message->fields.size() == 2 &&
            message->fields[0].size() == 1)
            return fail(
                Error{static_cast<ErrorKind>(std::clamp(message->fields[0][0] - '0', 1, 5)), message->fields[1], 0});
        if (message) return fail("the source's process sent what was not expected");
        pollfd waits{process_->socket(), POLLIN, 0};
        const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(deadline - Clock::now());
        if (left.count() <= 0) return fail("the source's process did not start in time");
        poll(&waits, 1, static_cast<int>(left.count()));
        if (!receive(process_->socket(), received_, MSG_DONTWAIT))
            return fail("the source's process " + process_->end());
    }
}

void ConfinedSource::end(const std::string& why) {
    if (Clock::now() - started_ > lives_well) wait_ = first_wait;
    const std::string how = process_ ? process_->end() : "";
    process_.reset();
    health_.problem = fmt::format("{}: its process {}; it is started again in {} s", name_, why.empty() ? how : why,
                                  std::chrono::ceil<std::chrono::seconds>(wait_).count());
    spdlog::warn("{}", health_.problem);
    timer_.set(Clock::now() + wait_);
    wait_ = std::min(2 * wait_, max_wait);
}

void ConfinedSource::on_ready(const Deliver& deliver) {
    if (!process_) {
        // Not before its time: only the timer makes this readable then.
        timer_.set(Clock::time_point::max());
        if (const auto started = start(); !started) return end("cannot be started: " + started.error().message);
        order(static_cast<char>(SourceMessageKind::ReadAgain));
        if (!text_.empty()) order(static_cast<char>(SourceMessageKind::Text), text_);
        return;
    }
    bool good = true;
    for (std::size_t reads = 0; good && reads < max_reads; reads++) {
        const std::size_t before = received_.size();
        good = receive(process_->socket(), received_, MSG_DONTWAIT);
        if (received_.size() == before) break;
    }
    const auto taken = take_messages(deliver);
    if (!taken)
        end("sent " + taken.error().message);
    else if (!good)
        end("");
}

Result<void> ConfinedSource::take_messages(const Deliver& deliver) {
    while (const auto message = KUDO_TRY(take_message(received_))) {
        switch (message->kind) {
        case SourceMessageKind::Made:
            health_.problem.clear();
            break;
        case SourceMessageKind::Failed:
            return fail("an error: " + (message->fields.empty() ? "" : message->fields.back().substr(0, 500)));
        case SourceMessageKind::Delivery:
            deliver(KUDO_TRY(read_delivery(*message, trusts_transport_)));
            break;
        case SourceMessageKind::Health:
            health_ = KUDO_TRY(read_health(*message));
            break;
        default:
            return fail("what was not expected");
        }
    }
    return {};
}

void ConfinedSource::read_again(const Deliver&) {
    if (process_) order(static_cast<char>(SourceMessageKind::ReadAgain));
}

void ConfinedSource::send(std::string text) {
    text_ = std::move(text);
    if (process_) order(static_cast<char>(SourceMessageKind::Text), text_);
}

void ConfinedSource::order(char what, const std::string& text) {
    const std::string message = write_message(static_cast<SourceMessageKind>(what), {text});
    const ssize_t sent = ::send(process_->socket(), message.data(), message.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
    // A process that takes nothing any more hangs. (It reads all the time but while it delivers.)
    if (sent != static_cast<ssize_t>(message.size())) end("does not answer");
}

} // namespace kudo
