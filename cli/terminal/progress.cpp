// SPDX-License-Identifier: MIT
#include "cli/terminal/progress.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <string>

#include "cli/terminal/output.h"

namespace kudo {
namespace {

constexpr std::string_view clear_line = "\r\x1b[K"; // ECMA-48, EL

// Of standard error, which may be another terminal than standard output's.
std::size_t width_of_errors() {
    winsize size{};
    return ::ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 1 ? size.ws_col : 80;
}

void write_to_errors(const std::string& text) {
    [[maybe_unused]] const ssize_t written = ::write(STDERR_FILENO, text.data(), text.size());
}

} // namespace

Progress::Progress() : on_terminal_(isatty(STDERR_FILENO) == 1) {}

Progress::~Progress() {
    if (shown_) write_to_errors(std::string(clear_line));
}

void Progress::show(std::string_view text) {
    if (!on_terminal_) return;
    shown_ = true;
    write_to_errors(std::string(clear_line) + cut(std::string(text), width_of_errors() - 1));
}

} // namespace kudo
