// SPDX-License-Identifier: MIT
#include "cli/top/top.h"

#include <poll.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <utility>

#include "cli/top/quiet_errors.h"
#include "cli/top/screen.h"

namespace kudo {
namespace {

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
    Top(Screen& screen, View& view, const QuietErrors& errors, int signals)
        : screen_(screen), view_(view), errors_(errors), signals_(signals) {}

    Result<void> run() {
        while (going_ && !view_.has_ended()) {
            const int timeout = view_.tick();
            if (std::exchange(changed_, false)) screen_.draw(KUDO_TRY(view_.lines(screen_.size())));
            KUDO_TRY(wait(timeout));
        }
        return {};
    }

private:
    Result<void> wait(int timeout) {
        std::array<pollfd, 3> ready = {{{STDIN_FILENO, POLLIN, 0}, {signals_, POLLIN, 0}, {view_.fd(), POLLIN, 0}}};
        if (::poll(ready.data(), ready.size(), timeout) < 0 && errno != EINTR) return fail_errno("poll");
        if (ready[1].revents != 0) read_signals();
        if (ready[2].revents != 0) {
            changed_ |= KUDO_TRY(view_.take());
            errors_.trim();
        }
        if (ready[0].revents != 0) return read_keys(ready[0].revents);
        return {};
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

    Result<void> read_keys(short events) {
        bool typed = false;
        while (going_) {
            const auto key = screen_.key();
            if (!key) break;
            typed = changed_ = true;
            going_ = KUDO_TRY(view_.press(*key));
        }
        // The terminal is gone. Part of a key's sequence is no key yet.
        if (!typed && (events & (POLLHUP | POLLERR | POLLNVAL)) != 0) going_ = false;
        constexpr int too_many = 100;
        empty_reads_ = typed ? 0 : empty_reads_ + 1;
        if (empty_reads_ > too_many) going_ = false;
        return {};
    }

    Screen& screen_;
    View& view_;
    const QuietErrors& errors_;
    int signals_;
    int empty_reads_ = 0;
    bool going_ = true, changed_ = true;
};

} // namespace

Result<void> run_top(View& view, bool colour) {
    const Fd signals = KUDO_TRY(signals_as_messages());
    auto screen = KUDO_TRY(Screen::open(colour));
    const auto errors = KUDO_TRY(QuietErrors::begin());
    return Top(screen, view, errors, signals.get()).run();
}

} // namespace kudo
