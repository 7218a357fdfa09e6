// SPDX-License-Identifier: MIT
// A source in a process of its own without any capability: what connects, speaks TLS, HTTP or NATS, and reads folders
// is there. A vendor's list, which no signature covers, is parsed there as well.
// Invariant: what comes from there is believed no more than what a server sent: it is of bounded size, no JSON, and
// counts only by its signatures. A process that ends is started again, after a wait that doubles; until then that is
// the source's problem.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "agent/confined/process.h"
#include "agent/sources/source.h"
#include "agent/system/event_loop.h"

namespace kudo {

class ConfinedSource : public Source {
public:
    // Made in the confined process: the source, and what does something with a text that the service sends it.
    struct Worker {
        std::unique_ptr<Source> source;
        std::function<void(const std::string& text)> on_text = {};
    };
    using Make = std::function<Result<Worker>()>;

    // `trusts_transport`: may its deliveries be a vendor's list without a signature?
    // Starts the process and waits until `make` has been called there, whose Error is given back.
    static Result<std::unique_ptr<ConfinedSource>> open(bool trusts_transport, Make make);

    [[nodiscard]] std::string name() const override { return name_; }
    [[nodiscard]] int fd() const override { return epoll_.fd(); }
    void on_ready(const Deliver& deliver) override;
    void read_again(const Deliver& deliver) override;
    [[nodiscard]] SourceHealth health() const override { return health_; }

    // To the worker's on_text, at most 64 KiB. A process that is not there gets it when it is.
    void send(std::string text);

private:
    using Clock = Timer::Clock;
    ConfinedSource(bool trusts_transport, Make make, Epoll epoll, Timer timer);
    Result<void> start();
    Result<void> wait_until_made();
    void end(const std::string& why);
    void order(char what, const std::string& text = {});
    Result<void> take_messages(const Deliver& deliver);

    std::string name_; // as the source has it
    const bool trusts_transport_;
    const Make make_;
    Epoll epoll_;
    Timer timer_; // when to start the process again
    std::optional<ConfinedProcess> process_;
    std::string received_; // a message that is not whole yet
    std::string text_;     // that was sent last
    SourceHealth health_;
    Clock::time_point started_{};
    std::chrono::milliseconds wait_;
};

} // namespace kudo
