// SPDX-License-Identifier: MIT
#include "maps/document/range_map.h"

#include <algorithm>
#include <charconv>
#include <set>

#include <fmt/format.h>
#include <netinet/in.h>

#include "maps/base/text.h"

namespace kudo {

std::string Audience::text() const {
    return ring.empty() ? fleet : fleet + '/' + ring;
}

Result<Audience> Audience::parse(std::string_view text) {
    const auto names = split(text, '/');
    if (names.size() > 2 || !std::ranges::all_of(names, is_simple_name))
        return bad_input(quoted_text(text) + " is not an audience; write FLEET or FLEET/RING, each 1 to 63 of a-z, 0-9 "
                                             "and -");
    return Audience{std::string(names[0]), names.size() == 2 ? std::string(names[1]) : ""};
}

std::string PortRule::text() const {
    return fmt::format("{}/{}", protocol == IPPROTO_UDP ? "udp" : "tcp", port);
}

Result<PortRule> PortRule::parse(std::string_view text) {
    PortRule rule;
    if (text.starts_with("udp/"))
        rule.protocol = IPPROTO_UDP;
    else if (text.starts_with("tcp/"))
        rule.protocol = IPPROTO_TCP;
    const std::string_view digits = rule.protocol ? text.substr(4) : std::string_view{};
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), rule.port);
    const bool plain =
        !digits.empty() && digits.front() != '0' && error == std::errc{} && end == digits.data() + digits.size();
    if (!plain) return bad_input(quoted_text(text) + " is not a port; write udp/N or tcp/N with N from 1 to 65535");
    return rule;
}

std::vector<std::string> RangeMap::regions() const {
    std::set<std::string> names;
    for (const Service& service : services)
        names.insert(service.regions.begin(), service.regions.end());
    names.erase("*");
    return {names.begin(), names.end()};
}

const Service* RangeMap::find(std::string_view service) const {
    const auto found = std::ranges::find(services, service, &Service::name);
    return found == services.end() ? nullptr : &*found;
}

} // namespace kudo
