// SPDX-License-Identifier: MIT
#include "maps/document/guards.h"

#include <algorithm>
#include <array>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "maps/base/text.h"
#include "maps/document/built_in.h"
#include "maps/document/coverage.h"
#include "maps/net/special_addresses.h"

namespace kudo {
namespace {

constexpr std::array<std::string_view, 5> guard_names{"wide-prefix", "special-address", "own-address", "shrink",
                                                      "serial-leap"};

constexpr std::ptrdiff_t max_of_each = 10;
constexpr unsigned min_length4 = 8, min_length6 = 19;
constexpr std::size_t max_percent_gone = 30;

// What a guard objects to, without the range's path; none: nothing.
using Finding = std::optional<std::string>;

Finding check_wide_prefix(const Prefix& prefix) {
    const unsigned min_length = prefix.address.family == Family::IPv4 ? min_length4 : min_length6;
    if (prefix.length >= min_length) return std::nullopt;
    return fmt::format("{} is wider than /{}", prefix.text(), min_length);
}

Finding check_special_address(const Prefix& prefix) {
    const SpecialBlock* block = special_block_at(prefix);
    if (!block) return std::nullopt;
    if (block->prefix.contains(prefix)) return fmt::format("{} is {} ({})", prefix.text(), block->what, block->rfc);
    return fmt::format("{} holds {}, which is {} ({})", prefix.text(), block->prefix.text(), block->what, block->rfc);
}

// Sorted; IPv4 as IPv4, however the system showed it.
std::vector<Address> sorted(std::span<const Address> addresses) {
    std::vector<Address> result;
    for (const Address& address : addresses)
        result.push_back(ipv4_of_mapped(address).value_or(address));
    std::ranges::sort(result);
    return result;
}

Finding check_own_address(const Prefix& prefix, const std::vector<Address>& own_addresses) {
    const auto own = std::ranges::lower_bound(own_addresses, prefix.address);
    if (own == own_addresses.end() || !prefix.contains(*own)) return std::nullopt;
    return fmt::format("{} holds {}, an address of this host", prefix.text(), own->text());
}

Finding check_shrink(const RangeMap& map, const RangeMap& previous) {
    std::size_t all = 0, gone = 0;
    std::string example;
    for (const Service& service : previous.services) {
        const Service* now = map.find(service.name);
        const Coverage cover(now ? std::span<const Range>(now->ranges) : std::span<const Range>());
        std::vector<Prefix> distinct;
        for (const Range& range : service.ranges)
            distinct.push_back(range.prefix);
        std::ranges::sort(distinct);
        distinct.erase(std::unique(distinct.begin(), distinct.end()), distinct.end());
        all += distinct.size();
        for (const Prefix& prefix : distinct) {
            if (cover.holds(prefix)) continue;
            if (gone++ == 0) example = fmt::format("{} of \"{}\"", prefix.text(), service.name);
        }
    }
    if (gone * 100 <= all * max_percent_gone) return std::nullopt;
    return fmt::format("{} of the {} ranges of serial {} would be gone, {} first; at most {} % are allowed", gone, all,
                       previous.serial, example, max_percent_gone);
}

// The first serial of this day, YYYYMMDD00.
uint64_t serial_of(Time time) {
    const std::chrono::year_month_day day(std::chrono::floor<std::chrono::days>(time));
    return (static_cast<uint64_t>(static_cast<int>(day.year())) * 10000 + static_cast<unsigned>(day.month()) * 100 +
            static_cast<unsigned>(day.day())) *
           100;
}

// The year alone tells: who counts on after the 99th map of a day writes a 32nd day.
bool is_dated(uint64_t serial) {
    return serial >= 1970'00'00'00 && serial < 2200'00'00'00;
}

// When the map was issued as far as can be believed: a slip in the year is one in both, the date and the serial. A
// host's clock may have been set back; what it has accepted was issued all the same.
Time credible_issue(const RangeMap& map, const RangeMap& previous, Time now) {
    if (now < built_in_range_map().issued) return map.issued;
    return std::min(map.issued, std::max(now, previous.issued));
}

Finding check_serial_leap(const RangeMap& map, const RangeMap& previous, uint64_t highest, Time now) {
    constexpr uint64_t near_the_end = uint64_t{1} << 62U;
    constexpr unsigned max_times = 10;
    const auto leaps = [&](std::string_view why) {
        return fmt::format("{} {}; every later map needs a higher one", map.serial, why);
    };
    if (map.serial > near_the_end) return leaps("is near 2^63 - 1, the last there is");
    if (map.serial <= highest) return std::nullopt;
    if (is_dated(highest)) {
        const Time issued = credible_issue(map, previous, now);
        const uint64_t limit = serial_of(issued) + 2 * 1'00'00'00 + 99;
        if (map.serial <= limit) return std::nullopt;
        return leaps(fmt::format("leaps from {}, which is YYYYMMDDNN, beyond {}, two years after {}", highest, limit,
                                 issued == map.issued
                                     ? std::string("this map was issued")
                                     : fmt::format("{}; that this map was issued at {} is yet to come, by this clock",
                                                   rfc3339(issued), rfc3339(map.issued))));
    }
    if (highest == 0 || map.serial / max_times < highest || map.serial == highest * max_times) return std::nullopt;
    return leaps(fmt::format("is more than {} times {}, the highest before", max_times, highest));
}

} // namespace

std::string_view guard_name(Guard guard) {
    return guard_names.at(static_cast<std::size_t>(guard));
}

std::optional<Guard> guard_of(std::string_view name) {
    const auto found = std::ranges::find(guard_names, name);
    if (found == guard_names.end()) return std::nullopt;
    return static_cast<Guard>(found - guard_names.begin());
}

std::string guard_names_text() {
    return fmt::format("{} or {}", fmt::join(guard_names.begin(), guard_names.end() - 1, ", "), guard_names.back());
}

std::vector<Violation> find_violations(const RangeMap& map, const RangeMap& previous,
                                       std::span<const Address> own_addresses, Time now, uint64_t highest) {
    const std::vector<Address> own = sorted(own_addresses);
    std::vector<Violation> found;
    const auto check = [&](Guard guard, std::string_view path, const auto& guard_check) {
        if (std::ranges::find(map.overrides, guard_name(guard)) != map.overrides.end() ||
            std::ranges::count(found, guard, &Violation::guard) >= max_of_each)
            return;
        if (const Finding finding = guard_check()) found.push_back({guard, fmt::format("{}: {}", path, *finding)});
    };
    for (const Service& service : map.services) {
        for (const auto& [prefix, path] : service.ranges) {
            const Prefix& range = prefix;
            check(Guard::WidePrefix, path, [&] { return check_wide_prefix(range); });
            check(Guard::SpecialAddress, path, [&] { return check_special_address(range); });
            check(Guard::OwnAddress, path, [&] { return check_own_address(range, own); });
        }
    }
    check(Guard::Shrink, "services", [&] { return check_shrink(map, previous); });
    check(Guard::SerialLeap, "serial",
          [&] { return check_serial_leap(map, previous, highest != 0 ? highest : previous.serial, now); });
    return found;
}

std::string violations_text(std::string_view name, std::span<const Violation> violations, std::size_t most) {
    std::vector<std::string> messages, guards;
    for (const Violation& violation : violations) {
        messages.push_back(violation.message);
        std::string guard = quoted_text(guard_name(violation.guard));
        if (std::ranges::find(guards, guard) == guards.end()) guards.push_back(std::move(guard));
    }
    const std::size_t shown = std::min(most, messages.size());
    const std::string more = shown < messages.size() ? fmt::format(" (and {} more)", messages.size() - shown) : "";
    messages.resize(shown);
    return fmt::format("{}: {}{}; if that is intended, its signer writes \"overrides\": [{}] into the map; "
                       "--override is your own decision",
                       name, fmt::join(messages, "; "), more, joined(guards));
}

} // namespace kudo
