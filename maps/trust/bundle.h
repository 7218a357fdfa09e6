// SPDX-License-Identifier: MIT
// A document and its signatures as one value: the concatenated signature files, an empty line, then the raw
// bytes of the document.
// Invariant: split(join(b)) == b, byte for byte in the document; the document is not looked at.
#pragma once

#include <string>
#include <string_view>

#include "maps/base/result.h"
#include "maps/document/range_map.h"
#include "maps/trust/minisign.h"

namespace kudo {

struct Bundle {
    std::string signatures; // ends with a newline, holds no empty line; may be empty
    std::string document;
    bool operator==(const Bundle&) const = default;
};

inline constexpr std::size_t bundle_max_bytes = signatures_max_bytes + 1 + range_map_max_bytes;

// A missing newline at the end of the signatures is added, and their empty lines, which would end them early, are left
// out. BadInput: too long.
Result<std::string> join(const Bundle& bundle);

// BadInput: too long, or no empty line.
Result<Bundle> split_bundle(std::string_view value);

} // namespace kudo
