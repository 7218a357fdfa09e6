// SPDX-License-Identifier: MIT
#include "agent/flowrecords/destination.h"

#include <arpa/inet.h>

#include <algorithm>
#include <cctype>
#include <charconv>
#include <string_view>
#include <utility>

#include <fmt/format.h>

#include "maps/base/text.h"

namespace kudo {
namespace {

constexpr std::size_t max_host = 253, max_path = 1024;

// A name is resolved when the collector is connected to; here it only must be one.
bool is_host(const std::string& host) {
    const auto fits = [](unsigned char c) { return std::isalnum(c) != 0 || c == '-' || c == '.' || c == '_'; };
    return !host.empty() && host.size() <= max_host && host.front() != '-' && host.front() != '.' &&
           std::ranges::all_of(host, fits);
}

bool is_ipv6(const std::string& host) {
    in6_addr address;
    return inet_pton(AF_INET6, host.c_str(), &address) == 1;
}

bool parse_collector(std::string_view text, FlowDestination& destination) {
    const auto colon = text.rfind(':');
    if (colon == std::string_view::npos) return false;
    const std::string_view port = text.substr(colon + 1);
    const auto [end, error] = std::from_chars(port.data(), port.data() + port.size(), destination.port);
    if (error != std::errc{} || end != port.data() + port.size() || destination.port == 0) return false;
    destination.host = text.substr(0, colon);
    if (destination.host.starts_with('[') && destination.host.ends_with(']')) {
        destination.host = destination.host.substr(1, destination.host.size() - 2);
        return is_ipv6(destination.host);
    }
    return is_host(destination.host);
}

} // namespace

Result<FlowDestination> parse_flow_destination(const std::string& text) {
    using Kind = FlowDestination::Kind;
    FlowDestination destination{.text = text};
    const std::string_view given = text;
    constexpr std::pair<std::string_view, Kind> transports[] = {
        {"ipfix:tcp:", Kind::Tcp}, {"ipfix:udp:", Kind::Udp}, {"ipfix:tls:", Kind::Tls}};
    for (const auto& [prefix, kind] : transports) {
        if (!given.starts_with(prefix)) continue;
        destination.kind = kind;
        if (parse_collector(given.substr(prefix.size()), destination)) return destination;
        return bad_input(fmt::format("{} names no collector; expected {}HOST:PORT, an IPv6 address in brackets",
                                     quoted_text(text), prefix));
    }
    if (text == "json:journal") {
        destination.kind = Kind::Journal;
        return destination;
    }
    if (given.starts_with("json:/")) {
        destination.path = given.substr(5);
        if (destination.path.has_filename() && text.size() <= max_path && text.find('\0') == std::string::npos)
            return destination;
    }
    return bad_input(fmt::format("{} is no destination; expected ipfix:tcp:HOST:PORT, ipfix:udp:HOST:PORT, "
                                 "ipfix:tls:HOST:PORT, json:/FILE or json:journal",
                                 quoted_text(text)));
}

} // namespace kudo
