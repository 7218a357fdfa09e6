// SPDX-License-Identifier: MIT
// IPv4 sorts before IPv6, so that one list serves both families.
#include "maps/document/coverage.h"

#include <algorithm>

namespace kudo {
namespace {

// The addresses are those of one family, and `first` is the next after `last`. Nothing follows a family's last.
bool follows(const Address& first, const Address& last) {
    Address next = last;
    for (std::size_t byte = last.bits() / 8; byte-- > 0;) {
        if (++next.bytes[byte] != 0) return next == first;
    }
    return false;
}

} // namespace

Address last_of(const Prefix& prefix) {
    Address last = prefix.address;
    for (unsigned bit = prefix.length; bit < last.bits(); bit = (bit / 8 + 1) * 8)
        last.bytes[bit / 8] |= static_cast<uint8_t>(0xffu >> (bit % 8));
    return last;
}

Coverage::Coverage(std::span<const Range> ranges) {
    std::vector<Interval> sorted;
    sorted.reserve(ranges.size());
    for (const Range& range : ranges)
        sorted.push_back({range.prefix.address, last_of(range.prefix)});
    std::ranges::sort(sorted, {}, &Interval::first);
    for (const Interval& interval : sorted) {
        if (!intervals_.empty() &&
            (interval.first <= intervals_.back().last || follows(interval.first, intervals_.back().last)))
            intervals_.back().last = std::max(intervals_.back().last, interval.last);
        else
            intervals_.push_back(interval);
    }
}

bool Coverage::holds(const Prefix& prefix) const {
    // The last interval that begins at the prefix or before it.
    const auto after = std::ranges::upper_bound(intervals_, prefix.address, {}, &Interval::first);
    return after != intervals_.begin() && last_of(prefix) <= std::prev(after)->last;
}

} // namespace kudo
