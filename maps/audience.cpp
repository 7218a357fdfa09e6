// SPDX-License-Identifier: MIT
// For whom a range map is, from text and to text. Used by the reader and the writer of range maps and by the agent.
// Invariant: parse(text()) gives the value back; each name obeys the rule of simple names.
#include "maps/range_map.h"
#include "maps/text.h"

namespace kudo {

std::string Audience::text() const {
    return ring.empty() ? fleet : fleet + '/' + ring;
}

Result<Audience> Audience::parse(std::string_view text) {
    const std::size_t slash = text.find('/');
    const bool has_ring = slash != std::string_view::npos;
    const std::string_view fleet = text.substr(0, slash), ring = has_ring ? text.substr(slash + 1) : "";
    if (!is_simple_name(fleet) || (has_ring && !is_simple_name(ring)))
        return bad_input(in_quotes(text) + " is not an audience; write FLEET or FLEET/RING, each 1 to 63 of a-z, 0-9 "
                                           "and -");
    return Audience{std::string(fleet), std::string(ring)};
}

} // namespace kudo
