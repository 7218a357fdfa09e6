// SPDX-License-Identifier: MIT
#include "cli/top/top.h"

#include <poll.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <csignal>
#include <ctime>
#include <utility>

#include "cli/top/layout.h"
#include "cli/top/order.h"
#include "cli/top/quiet_errors.h"
#include "cli/top/reader.h"
#include "cli/top/screen.h"

namespace kudo {
namespace {

std::string time_of_day() {
    const std::time_t now = std::time(nullptr);
    std::tm local{};
    localtime_r(&now, &local);
    std::array<char, 16> text{};
    return {text.data(), std::strftime(text.data(), text.size(), "%H:%M:%S", &local)};
}

// From here on these signals are read and interrupt nothing, in all threads that begin later.
Result<Fd> signals_as_messages() {
    sigset_t signals;
    sigemptyset(&signals);
    for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGWINCH, SIGTSTP, SIGCONT})
        sigaddset(&signals, signal);
    if (const int error = pthread_sigmask(SIG_BLOCK, &signals, nullptr); error != 0)
        return fail_errno("pthread_sigmask", error);
    Fd fd(::signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK));
    if (!fd) return fail_errno("signalfd");
    return fd;
}

class Top {
public:
    Top(Screen& screen, Reader& reader, const QuietErrors& errors, int signals)
        : screen_(screen), reader_(reader), errors_(errors), signals_(signals) {}

    Result<void> run() {
        while (going_) {
            if (!reader_.is_reading() && !state_.frozen && Reader::Clock::now() >= reader_.next()) reader_.start();
            if (std::exchange(changed_, false)) draw();
            KUDO_TRY(wait());
        }
        return {};
    }

private:
    Result<void> wait() {
        std::array<pollfd, 3> ready = {{{STDIN_FILENO, POLLIN, 0}, {signals_, POLLIN, 0}, {reader_.fd(), POLLIN, 0}}};
        int timeout = -1;
        if (!reader_.is_reading() && !state_.frozen) {
            const auto left = std::chrono::ceil<std::chrono::milliseconds>(reader_.next() - Reader::Clock::now());
            timeout = static_cast<int>(std::max<std::chrono::milliseconds::rep>(left.count(), 0));
        }
        if (::poll(ready.data(), ready.size(), timeout) < 0 && errno != EINTR) return fail_errno("poll");
        if (ready[1].revents != 0) read_signals();
        if (ready[2].revents != 0) take_reading();
        if (ready[0].revents != 0) read_keys(ready[0].revents);
        return {};
    }

    void take_reading() {
        const auto begun = reader_.begun();
        reading_.take(reader_.take(), begun);
        // What cannot be read now is older.
        if (reading_.problem().empty() || reading_.not_enabled()) pace_.read_at = time_of_day();
        pace_.interval = reader_.interval();
        pace_.slowed = pace_.interval > std::chrono::seconds(1);
        errors_.trim();
        changed_ = true;
    }

    void read_signals() {
        changed_ = true;
        signalfd_siginfo signal{};
        while (::read(signals_, &signal, sizeof signal) == static_cast<ssize_t>(sizeof signal)) {
            switch (signal.ssi_signo) {
            case SIGTSTP:
                screen_.suspend();
                break;
            case SIGCONT: // somebody else may have stopped us, and the shell has had the terminal
                screen_.redraw();
                break;
            case SIGWINCH: // draw() asks for the size
                break;
            default:
                going_ = false;
            }
        }
    }

    void read_keys(short events) {
        bool typed = false;
        while (going_) {
            const auto key = screen_.key();
            if (!key) break;
            typed = changed_ = true;
            const bool was_frozen = state_.frozen;
            going_ = press(state_, *key, {.flows = keys_, .rows = rows_});
            if (was_frozen && !state_.frozen && !reader_.is_reading()) reader_.start();
            choose();
        }
        // The terminal is gone. Part of a key's sequence is no key yet.
        if (!typed && (events & (POLLHUP | POLLERR | POLLNVAL)) != 0) going_ = false;
        constexpr int too_many = 100;
        empty_reads_ = typed ? 0 : empty_reads_ + 1;
        if (empty_reads_ > too_many) going_ = false;
    }

    void choose() {
        flows_ = chosen_flows(reading_, state_);
        keys_.clear();
        for (const std::size_t flow : flows_)
            keys_.push_back(key_of(reading_.diagnosis()->statistics.flows[flow]));
    }

    void draw() {
        choose();
        screen_.draw(layout(reading_, flows_, pace_, screen_.size(), state_, rows_));
    }

    Screen& screen_;
    Reader& reader_;
    const QuietErrors& errors_;
    int signals_;
    Reading reading_;
    TopState state_;
    Pace pace_;
    std::vector<std::size_t> flows_;
    std::vector<FlowKey> keys_; // of flows_
    std::size_t rows_ = 1;
    int empty_reads_ = 0;
    bool going_ = true, changed_ = true;
};

} // namespace

Result<void> run_top(const Instance& instance, bool colour) {
    // A reading that still goes on is waited for when the screen is closed already.
    auto reader = KUDO_TRY(Reader::make(instance));
    const Fd signals = KUDO_TRY(signals_as_messages());
    auto screen = KUDO_TRY(Screen::open(colour));
    const auto errors = KUDO_TRY(QuietErrors::begin());
    return Top(screen, reader, errors, signals.get()).run();
}

} // namespace kudo
