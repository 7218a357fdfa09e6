// SPDX-License-Identifier: MIT
#include "agent/own_addresses.h"

#include <ifaddrs.h>
#include <netinet/in.h>

#include <cstring>
#include <memory>

namespace kudo {

Result<std::vector<Address>> own_addresses() {
    ifaddrs* list = nullptr;
    if (getifaddrs(&list) != 0) return fail_errno("cannot list this host's addresses");
    const std::unique_ptr<ifaddrs, decltype(&freeifaddrs)> owner(list, freeifaddrs);
    std::vector<Address> addresses;
    for (const ifaddrs* entry = list; entry; entry = entry->ifa_next) {
        if (!entry->ifa_addr) continue;
        Address address;
        if (entry->ifa_addr->sa_family == AF_INET) {
            const auto* socket = reinterpret_cast<const sockaddr_in*>(entry->ifa_addr);
            address.family = Family::IPv4;
            std::memcpy(address.bytes.data(), &socket->sin_addr, 4);
        } else if (entry->ifa_addr->sa_family == AF_INET6) {
            const auto* socket = reinterpret_cast<const sockaddr_in6*>(entry->ifa_addr);
            address.family = Family::IPv6;
            std::memcpy(address.bytes.data(), &socket->sin6_addr, 16);
        } else {
            continue;
        }
        addresses.push_back(address);
    }
    return addresses;
}

} // namespace kudo
