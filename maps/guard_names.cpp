// SPDX-License-Identifier: MIT
// The names of the guards, as range maps write them. Used by the reader of range maps, the guards and the commands.
// Invariant: guard_of(guard_name(g)) == g.
#include <algorithm>
#include <array>

#include "maps/guards.h"

namespace kudo {
namespace {

struct Name {
    Guard guard;
    std::string_view text;
};

constexpr std::array<Name, 4> names{{{Guard::WidePrefix, "wide-prefix"},
                                     {Guard::SpecialAddress, "special-address"},
                                     {Guard::OwnAddress, "own-address"},
                                     {Guard::Shrink, "shrink"}}};

} // namespace

std::string_view guard_name(Guard guard) {
    return std::ranges::find(names, guard, &Name::guard)->text;
}

std::optional<Guard> guard_of(std::string_view name) {
    const auto found = std::ranges::find(names, name, &Name::text);
    if (found == names.end()) return std::nullopt;
    return found->guard;
}

} // namespace kudo
