// SPDX-License-Identifier: MIT
#include "cli/top/terminal_description.h"

#define NCURSES_NOMACROS
#include <curses.h>
#include <term.h>
#include <unistd.h>

#include <cstdlib>

#include <fmt/format.h>

#include "maps/base/text.h"

namespace kudo {
namespace {

// Without the pauses that terminals of old needed ("$<5>").
std::string capability(const char* name) {
    const char* const text = tigetstr(name);
    if (!text || text == reinterpret_cast<char*>(-1)) return "";
    std::string sequence = text;
    for (std::size_t at = 0; (at = sequence.find("$<", at)) != std::string::npos;) {
        const std::size_t end = sequence.find('>', at);
        if (end == std::string::npos) break;
        sequence.erase(at, end - at + 1);
    }
    return sequence;
}

} // namespace

Result<std::string> describe_terminal() {
    if (::isatty(STDIN_FILENO) != 1 || ::isatty(STDOUT_FILENO) != 1)
        return bad_input(
            "top draws on a terminal, and standard input or output is none; for a file or a pipe: kudo-agent stats "
            "--flows, with --watch to repeat it");
    const char* const name = std::getenv("TERM");
    const std::string instead = "; without one: kudo-agent stats --flows --watch";
    if (!name || !*name) return bad_input("TERM is not set, so top does not know the terminal" + instead);
    int error = 0;
    if (setupterm(name, STDOUT_FILENO, &error) != OK)
        return bad_input(fmt::format("TERM: {} is not known here ({}); try TERM=xterm{}", quoted_text(name),
                                     error < 0 ? "no terminfo database" : "terminfo has no such terminal", instead));
    if (capability("cup").empty())
        return bad_input(fmt::format("TERM: {} cannot place the cursor, as top must{}", quoted_text(name), instead));
    std::string leaving;
    for (const char* each : {"sgr0", "op", "cnorm", "rmkx", "rmcup"})
        leaving += capability(each);
    return leaving;
}

} // namespace kudo
