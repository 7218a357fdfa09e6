// SPDX-License-Identifier: MIT
#include "maps/document/guards.h"

#include <algorithm>
#include <array>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "maps/base/text.h"
#include "maps/document/coverage.h"
#include "maps/net/special_addresses.h"

namespace kudo {
namespace {

struct Name {
    Guard guard;
    std::string_view text;
};

constexpr std::array<Name, 4> guard_names{{{Guard::WidePrefix, "wide-prefix"},
                                           {Guard::SpecialAddress, "special-address"},
                                           {Guard::OwnAddress, "own-address"},
                                           {Guard::Shrink, "shrink"}}};

constexpr std::size_t max_of_each = 10;
constexpr unsigned shortest4 = 8, shortest6 = 19;
constexpr std::size_t max_percent_gone = 30;

// What a guard says to one range, beginning behind the range's path; nothing if the range is good.
using Complaint = std::optional<std::string>;

Complaint ask_wide_prefix(const Prefix& prefix) {
    const unsigned shortest = prefix.address.family == Family::IPv4 ? shortest4 : shortest6;
    if (prefix.length >= shortest) return std::nullopt;
    return fmt::format("{} is wider than /{}", prefix.text(), shortest);
}

Complaint ask_special_address(const Prefix& prefix) {
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

Complaint ask_own_address(const Prefix& prefix, const std::vector<Address>& own_addresses) {
    const auto own = std::ranges::lower_bound(own_addresses, prefix.address);
    if (own == own_addresses.end() || !prefix.contains(*own)) return std::nullopt;
    return fmt::format("{} holds {}, an address of this host", prefix.text(), own->text());
}

Complaint ask_shrink(const RangeMap& map, const RangeMap& previous) {
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
    return fmt::format("{} of the {} ranges of serial {} would be gone, {} first; at most {} % may", gone, all,
                       previous.serial, example, max_percent_gone);
}

// Keeps what the guards say, as far as it is wanted.
class Violations {
public:
    explicit Violations(const RangeMap& map) : map_(map) {}

    [[nodiscard]] bool wants(Guard guard) const {
        return std::ranges::find(map_.overrides, guard_name(guard)) == map_.overrides.end() &&
               std::ranges::count(found_, guard, &Violation::guard) < static_cast<std::ptrdiff_t>(max_of_each);
    }
    void add(Guard guard, std::string_view path, const Complaint& complaint) {
        if (complaint) found_.push_back({guard, fmt::format("{}: {}", path, *complaint)});
    }
    std::vector<Violation> take() { return std::move(found_); }

private:
    const RangeMap& map_;
    std::vector<Violation> found_; // at most max_of_each of each guard
};

} // namespace

std::string_view guard_name(Guard guard) {
    return std::ranges::find(guard_names, guard, &Name::guard)->text;
}

std::optional<Guard> guard_of(std::string_view name) {
    const auto found = std::ranges::find(guard_names, name, &Name::text);
    if (found == guard_names.end()) return std::nullopt;
    return found->guard;
}

std::vector<Violation> find_violations(const RangeMap& map, const RangeMap& previous,
                                       std::span<const Address> own_addresses) {
    const std::vector<Address> own = sorted(own_addresses);
    Violations found(map);
    for (const Service& service : map.services) {
        for (const auto& [prefix, path] : service.ranges) {
            if (found.wants(Guard::WidePrefix)) found.add(Guard::WidePrefix, path, ask_wide_prefix(prefix));
            if (found.wants(Guard::SpecialAddress)) found.add(Guard::SpecialAddress, path, ask_special_address(prefix));
            if (found.wants(Guard::OwnAddress)) found.add(Guard::OwnAddress, path, ask_own_address(prefix, own));
        }
    }
    if (found.wants(Guard::Shrink)) found.add(Guard::Shrink, "services", ask_shrink(map, previous));
    return found.take();
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
    return fmt::format("{}: {}{}; if that is meant, its signer writes \"overrides\": [{}] into the map", name,
                       fmt::join(messages, "; "), more, joined(guards));
}

} // namespace kudo
