// SPDX-License-Identifier: MIT
// The terminal, by ncurses: draws lines, gives keys.
// Invariant: while a Screen exists the terminal is its own; when it is gone, however that came, the terminal is as it
// was before (a crash: restore.h).
#pragma once

#include <optional>

#include <termios.h>

#include "cli/top/layout.h"
#include "cli/top/line.h"
#include "cli/top/restore.h"
#include "cli/top/state.h"
#include "maps/base/result.h"

namespace kudo {

class Screen {
public:
    // Errors: BadInput, if standard input and output are no terminal, or one that cannot place the cursor.
    static Result<Screen> open(bool colour);
    Screen(Screen&& other) noexcept
        : restore_(std::move(other.restore_)), utf8_(other.utf8_), colour_(other.colour_),
          open_(std::exchange(other.open_, false)) {}
    Screen& operator=(Screen&&) = delete;
    ~Screen();

    // As the terminal is now; takes note of it.
    [[nodiscard]] ScreenSize size() const;
    // As many lines as size() said.
    void draw(const Lines& lines) const;
    // All of it again with the next draw(): something else has written there.
    void redraw() const;
    // The next key that was typed; nothing: none is waiting. A key without a meaning is an empty one.
    [[nodiscard]] std::optional<TypedKey> key() const;
    // Gives the terminal back, stops this process as Ctrl-Z does, and takes the terminal again once it goes on.
    void suspend() const;

private:
    Screen(TerminalRestore restore, bool utf8, bool colour)
        : restore_(std::move(restore)), utf8_(utf8), colour_(colour) {}

    TerminalRestore restore_;
    bool utf8_, colour_;
    bool open_ = true;
};

} // namespace kudo
