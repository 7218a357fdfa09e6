// SPDX-License-Identifier: MIT
#include "cli/top/screen.h"

// Its macros have names that others use.
#define NCURSES_NOMACROS
#define NCURSES_WIDECHAR 1
#include <curses.h>
#include <langinfo.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <clocale>
#include <csignal>
#include <cstring>
#include <string>

#include "cli/terminal/printable.h"
#include "cli/top/terminal_description.h"

namespace kudo {
namespace {

constexpr short red = 1, green = 2, yellow = 3; // pairs of colours

attr_t attributes_of(Style style, bool colour) {
    switch (style) {
    case Style::Bold:
        return A_BOLD;
    case Style::Dim:
        return A_DIM;
    case Style::Red:
        return colour ? COLOR_PAIR(red) : A_BOLD;
    case Style::Green:
        return colour ? COLOR_PAIR(green) : A_NORMAL;
    case Style::Yellow:
        return colour ? COLOR_PAIR(yellow) : A_BOLD;
    case Style::Plain:
        break;
    }
    return A_NORMAL;
}

void choose_colours() {
    start_color();
    if (use_default_colors() != OK) return;
    init_pair(red, COLOR_RED, -1);
    init_pair(green, COLOR_GREEN, -1);
    init_pair(yellow, COLOR_YELLOW, -1);
}

std::optional<Action> action_of_code(int code) {
    switch (code) {
    case KEY_UP:
        return Action::Up;
    case KEY_DOWN:
        return Action::Down;
    case KEY_PPAGE:
        return Action::PageUp;
    case KEY_NPAGE:
        return Action::PageDown;
    case KEY_HOME:
        return Action::First;
    case KEY_END:
        return Action::Last;
    case KEY_ENTER:
    case '\r':
    case '\n':
        return Action::Open;
    case '\x1b':
        return Action::Back;
    default:
        return std::nullopt;
    }
}

} // namespace

Result<Screen> Screen::open(bool colour) {
    const std::string leaving = KUDO_TRY(describe_terminal());
    termios before{};
    if (::tcgetattr(STDIN_FILENO, &before) != 0) return fail_errno("cannot read the terminal's modes");
    std::setlocale(LC_CTYPE, "");
    const bool utf8 = std::strcmp(::nl_langinfo(CODESET), "UTF-8") == 0;
    // As set before the first newterm(): COLUMNS and LINES of the environment may be an older size's.
    use_env(FALSE);
    set_escdelay(50);
    auto restore = KUDO_TRY(TerminalRestore::arm(before, leaving));
    if (!newterm(nullptr, stdout, stdin)) return fail("the terminal cannot be set up");
    cbreak();
    noecho();
    nonl();
    keypad(stdscr, TRUE);
    nodelay(stdscr, TRUE);
    curs_set(0);
    colour = colour && has_colors();
    if (colour) choose_colours();
    return Screen(std::move(restore), utf8, colour);
}

Screen::~Screen() {
    if (open_) endwin();
}

ScreenSize Screen::size() const {
    winsize size{};
    const bool known = ::ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 && size.ws_row > 0;
    const ScreenSize now{
        std::min<std::size_t>(known ? size.ws_col : static_cast<std::size_t>(COLS), largest_screen.width),
        std::min<std::size_t>(known ? size.ws_row : static_cast<std::size_t>(LINES), largest_screen.height)};
    if (static_cast<int>(now.width) != COLS || static_cast<int>(now.height) != LINES) {
        resizeterm(static_cast<int>(now.height), static_cast<int>(now.width));
        clearok(curscr, TRUE); // terminals differ in what they leave of the old size
    }
    return now;
}

void Screen::draw(const Lines& lines) const {
    werase(stdscr);
    for (std::size_t y = 0; y < lines.size(); ++y) {
        const Line& line = lines[y];
        const attr_t reverse = line.selected ? A_REVERSE : A_NORMAL;
        wmove(stdscr, static_cast<int>(y), 0);
        for (const Span& span : line.spans) {
            wattrset(stdscr, static_cast<int>(attributes_of(span.style, colour_) | reverse));
            const std::string text = utf8_ ? span.text : in_ascii(span.text);
            waddnstr(stdscr, text.data(), static_cast<int>(text.size()));
        }
        if (line.selected && getcurx(stdscr) > 0) wchgat(stdscr, -1, A_REVERSE, 0, nullptr);
    }
    wattrset(stdscr, A_NORMAL);
    wrefresh(stdscr);
}

void Screen::redraw() const {
    reset_prog_mode();
    clearok(curscr, TRUE);
}

std::optional<TypedKey> Screen::key() const {
    const int code = wgetch(stdscr);
    if (code == ERR) return std::nullopt;
    TypedKey key;
    key.action = action_of_code(code);
    key.backspace = code == KEY_BACKSPACE || code == '\b' || code == 0x7f;
    if (!key.action && !key.backspace && code >= ' ' && code <= '~') key.character = static_cast<char>(code);
    return key;
}

void Screen::suspend() const {
    endwin();
    sigset_t stop, before;
    sigemptyset(&stop);
    sigaddset(&stop, SIGTSTP);
    struct sigaction by_default {
    }, ours{};
    by_default.sa_handler = SIG_DFL;
    sigaction(SIGTSTP, &by_default, &ours);
    ::raise(SIGTSTP);
    pthread_sigmask(SIG_UNBLOCK, &stop, &before); // here it stops
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
    sigaction(SIGTSTP, &ours, nullptr);
    redraw();
}

} // namespace kudo
