// SPDX-License-Identifier: MIT
#include "cli/top/restore.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <csignal>
#include <cstdlib>

namespace kudo {
namespace {

constexpr std::array crashes = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGSYS, SIGTRAP, SIGQUIT, SIGXCPU, SIGXFSZ};

// Read by the handler.
struct Prepared {
    std::atomic<bool> armed = false;
    termios modes{};
    std::array<char, 256> sequence{};
    std::size_t size = 0;
};
Prepared prepared;
static_assert(std::atomic<bool>::is_always_lock_free);

void restore() {
    if (!prepared.armed.exchange(false)) return;
    [[maybe_unused]] const ssize_t written = ::write(STDOUT_FILENO, prepared.sequence.data(), prepared.size);
    ::tcsetattr(STDIN_FILENO, TCSANOW, &prepared.modes);
}

// SA_RESETHAND: the second one is the kernel's own. It is pending until this returns, also where it was sent by another
// process and the instruction is not executed again.
void on_crash(int signal) {
    restore();
    ::raise(signal);
}

} // namespace

Result<TerminalRestore> TerminalRestore::arm(const termios& before, const std::string& sequence) {
    prepared.modes = before;
    if (sequence.size() > prepared.sequence.size()) return fail("the terminal's own description is too long");
    prepared.size = sequence.size();
    std::ranges::copy(sequence, prepared.sequence.begin());
    // exit() from within a library.
    static const bool at_exit = std::atexit(restore) == 0;
    if (!at_exit) return fail("atexit");
    prepared.armed = true;
    struct sigaction action {};
    action.sa_handler = on_crash;
    action.sa_flags = static_cast<int>(SA_RESETHAND | SA_ONSTACK);
    sigfillset(&action.sa_mask); // tcsetattr() of a process in the background is stopped by SIGTTOU
    for (const int signal : crashes)
        if (sigaction(signal, &action, nullptr) != 0) return fail_errno("sigaction");
    return TerminalRestore();
}

TerminalRestore::~TerminalRestore() {
    if (!armed_) return;
    prepared.armed = false;
    for (const int signal : crashes)
        std::signal(signal, SIG_DFL);
}

} // namespace kudo
