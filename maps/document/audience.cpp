// SPDX-License-Identifier: MIT
#include "maps/document/audience.h"

#include "maps/base/text.h"

namespace kudo {

std::string Audience::text() const {
    return ring.empty() ? fleet : fleet + '/' + ring;
}

Result<Audience> Audience::parse(std::string_view text) {
    const std::size_t slash = text.find('/');
    const bool has_ring = slash != std::string_view::npos;
    const std::string_view fleet = text.substr(0, slash), ring = has_ring ? text.substr(slash + 1) : "";
    if (!is_simple_name(fleet) || (has_ring && !is_simple_name(ring)))
        return bad_input(quoted_text(text) + " is not an audience; write FLEET or FLEET/RING, each 1 to 63 of a-z, 0-9 "
                                             "and -");
    return Audience{std::string(fleet), std::string(ring)};
}

} // namespace kudo
