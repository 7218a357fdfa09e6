// SPDX-License-Identifier: MIT
// What top and the service say to each other while top shows what the service sees: pictures one way, keys the other.
// Invariant: pure. Whatever is read, nothing of it acts on a terminal, and what is not of this form is refused whole.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

#include "cli/top/layout.h"
#include "cli/top/line.h"
#include "cli/top/state.h"
#include "maps/base/result.h"

namespace kudo {

inline constexpr std::size_t max_picture = 4u << 20; // bytes
inline constexpr std::size_t max_input = 64;         // bytes
inline constexpr char picture_end = '\x03';          // its last byte, and nowhere else in it

struct Picture {
    ScreenSize size; // that it was made for
    Lines lines;
};
std::string write_picture(const Picture& picture);
Result<Picture> read_picture(std::string_view text);

struct Drawn {}; // the last picture has been taken: there may be another
using TopInput = std::variant<TypedKey, ScreenSize, Drawn>;
std::string write_input(const TopInput& input);
// BadInput: it is none. A size is at least 1 x 1 and at most largest_screen.
Result<TopInput> read_input(std::string_view text);

} // namespace kudo
