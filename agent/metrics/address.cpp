// SPDX-License-Identifier: MIT
#include "agent/metrics/address.h"

#include <arpa/inet.h>
#include <sys/socket.h>

#include <charconv>
#include <cstdint>
#include <optional>
#include <string_view>

#include <fmt/format.h>

#include "agent/query/socket.h"
#include "maps/base/text.h"

namespace kudo {
namespace {

constexpr std::string_view unix_prefix = "unix:";
constexpr int backlog = 16;

std::optional<uint16_t> port_of(std::string_view text) {
    uint16_t port = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), port);
    if (error != std::errc{} || end != text.data() + text.size() || port == 0) return std::nullopt;
    return port;
}

sockaddr_in& ipv4_part(sockaddr_in6& address) {
    return reinterpret_cast<sockaddr_in&>(address); // the first of both is the family
}

} // namespace

bool MetricsAddress::is_loopback() const {
    if (!path.empty()) return true;
    if (tcp.sin6_family == AF_INET6) return IN6_IS_ADDR_LOOPBACK(&tcp.sin6_addr);
    sockaddr_in6 copy = tcp;
    return ntohl(ipv4_part(copy).sin_addr.s_addr) >> 24 == IN_LOOPBACKNET;
}

Result<MetricsAddress> parse_metrics_address(const std::string& text) {
    const auto refused = [&] {
        return bad_input(fmt::format("{} is not an address to serve at; expected ADDRESS:PORT, as in 127.0.0.1:9475 or "
                                     "[::1]:9475, or unix:PATH",
                                     quoted_text(text)));
    };
    MetricsAddress address{.text = text};
    if (text.starts_with(unix_prefix)) {
        address.path = text.substr(unix_prefix.size());
        if (!address.path.is_absolute() || !address.path.has_filename() ||
            address.path.native().size() > max_socket_path)
            return refused();
        return address;
    }
    const auto colon = text.rfind(':');
    const auto port = colon == std::string::npos ? std::nullopt : port_of(std::string_view(text).substr(colon + 1));
    if (!port) return refused();
    const std::string host = text.substr(0, colon);
    if (host.starts_with('[') && host.ends_with(']') &&
        inet_pton(AF_INET6, host.substr(1, host.size() - 2).c_str(), &address.tcp.sin6_addr) == 1) {
        address.tcp.sin6_family = AF_INET6;
        address.tcp.sin6_port = htons(*port);
        return address;
    }
    sockaddr_in& ipv4 = ipv4_part(address.tcp);
    if (inet_pton(AF_INET, host.c_str(), &ipv4.sin_addr) != 1) return refused();
    ipv4.sin_family = AF_INET;
    ipv4.sin_port = htons(*port);
    return address;
}

Result<Fd> listen_on(const MetricsAddress& address) {
    const int one = 1;
    Fd fd(socket(address.tcp.sin6_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    const socklen_t size = address.tcp.sin6_family == AF_INET6 ? sizeof(sockaddr_in6) : sizeof(sockaddr_in);
    if (!fd || setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) != 0 ||
        bind(fd.get(), reinterpret_cast<const sockaddr*>(&address.tcp), size) != 0 || listen(fd.get(), backlog) != 0)
        return fail_errno(address.text + ": cannot listen");
    return fd;
}

} // namespace kudo
