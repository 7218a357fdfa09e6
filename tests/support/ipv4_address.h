// SPDX-License-Identifier: MIT
// An IPv4 address and port as sockets want them.
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>

#include <cstdint>

namespace kudo::test {

inline sockaddr_in ipv4_address(const char* address, uint16_t port) {
    sockaddr_in result{};
    result.sin_family = AF_INET;
    result.sin_port = htons(port);
    inet_pton(AF_INET, address, &result.sin_addr);
    return result;
}

} // namespace kudo::test
