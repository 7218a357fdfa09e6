// SPDX-License-Identifier: MIT
// An address and a port as sockets take them.
#pragma once

#include <netinet/in.h>
#include <sys/socket.h>

#include <cstring>
#include <optional>
#include <span>

#include "maps/net/prefix.h"

namespace kudo {

// Nothing: neither IPv4 nor IPv6.
inline std::optional<Address> address_of_socket(const sockaddr_storage& storage) {
    if (storage.ss_family == AF_INET)
        return Address::from_bytes(Family::IPv4, &reinterpret_cast<const sockaddr_in&>(storage).sin_addr);
    if (storage.ss_family == AF_INET6)
        return Address::from_bytes(Family::IPv6, &reinterpret_cast<const sockaddr_in6&>(storage).sin6_addr);
    return std::nullopt;
}

struct SocketAddress {
    SocketAddress() = default;
    SocketAddress(const Address& address, uint16_t port) {
        if (address.family == Family::IPv4) {
            auto& v4 = reinterpret_cast<sockaddr_in&>(storage);
            v4.sin_family = AF_INET;
            v4.sin_port = htons(port);
            std::memcpy(&v4.sin_addr, address.bytes.data(), 4);
            size = sizeof v4;
        } else {
            auto& v6 = reinterpret_cast<sockaddr_in6&>(storage);
            v6.sin6_family = AF_INET6;
            v6.sin6_port = htons(port);
            std::memcpy(&v6.sin6_addr, address.bytes.data(), 16);
            size = sizeof v6;
        }
    }
    [[nodiscard]] const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage); }
    [[nodiscard]] std::optional<Address> address() const { return address_of_socket(storage); }
    [[nodiscard]] uint16_t port() const { // both families have it at the same place
        return ntohs(reinterpret_cast<const sockaddr_in&>(storage).sin_port);
    }
    // A message to be received, whose sender this becomes.
    msghdr message(iovec& part, std::span<char> control) {
        msghdr result{};
        result.msg_name = &storage;
        result.msg_namelen = sizeof storage;
        result.msg_iov = &part;
        result.msg_iovlen = 1;
        result.msg_control = control.data();
        result.msg_controllen = control.size();
        return result;
    }

    sockaddr_storage storage{};
    socklen_t size = sizeof storage;
};

} // namespace kudo
