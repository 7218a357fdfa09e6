// SPDX-License-Identifier: MIT
// For whom a range map is.
// Invariant: parse(text()) gives the value back; both names obey is_simple_name().
#pragma once

#include <string>
#include <string_view>

#include "maps/base/result.h"

namespace kudo {

// For whom a map is: "acme", or "acme/canary" for one ring only. Both names are 1..63 of [a-z0-9-].
struct Audience {
    std::string fleet;
    std::string ring; // empty: every ring
    [[nodiscard]] std::string text() const;
    static Result<Audience> parse(std::string_view text);
    bool operator==(const Audience&) const = default;
};

} // namespace kudo
