// SPDX-License-Identifier: MIT
// TLS ClientHellos as they are on the wire (RFC 8446 section 4.1.2), in one record.
// Invariant: nothing is checked: what a test asks for is what it gets.
#pragma once

#include <string_view>
#include <utility>
#include <vector>

#include "bpf/tls.h"
#include "tests/support/dns_message.h"

namespace kudo::test {

using TlsExtension = std::pair<unsigned, Bytes>; // type and data

inline TlsExtension server_name(std::string_view name) {
    Bytes data;
    append16(data, static_cast<unsigned>(name.size()) + 3);
    data.push_back(0);
    append16(data, static_cast<unsigned>(name.size()));
    data.insert(data.end(), name.begin(), name.end());
    return {KUDO_TLS_SERVER_NAME, data};
}
// As large as the post-quantum one of a browser.
inline TlsExtension key_share(std::size_t bytes = 1220) {
    return {51, Bytes(bytes, 0xab)};
}
inline TlsExtension encrypted_hello() {
    return {KUDO_TLS_ENCRYPTED_HELLO, Bytes(186, 0xcd)};
}

inline Bytes client_hello(const std::vector<TlsExtension>& extensions) {
    Bytes body{3, 3};
    body.insert(body.end(), 32, 0x11); // random
    body.push_back(32);
    body.insert(body.end(), 32, 0x22); // session
    append16(body, 6);
    for (const unsigned suite : {0x1301u, 0x1302u, 0xc02fu})
        append16(body, suite);
    body.push_back(1);
    body.push_back(0); // compression: none
    Bytes all;
    for (const auto& [type, data] : extensions) {
        append16(all, type);
        append16(all, static_cast<unsigned>(data.size()));
        all.insert(all.end(), data.begin(), data.end());
    }
    append16(body, static_cast<unsigned>(all.size()));
    body.insert(body.end(), all.begin(), all.end());
    Bytes record{22, 3, 1};
    append16(record, static_cast<unsigned>(body.size()) + 4);
    record.push_back(1);
    record.push_back(0);
    append16(record, static_cast<unsigned>(body.size()));
    record.insert(record.end(), body.begin(), body.end());
    return record;
}
inline Bytes client_hello(std::string_view name) {
    return client_hello({{43, {4, 3, 4, 3, 3}}, server_name(name), {16, {0, 3, 2, 'h', '2'}}});
}

} // namespace kudo::test
