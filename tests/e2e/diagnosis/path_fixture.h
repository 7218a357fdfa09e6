// SPDX-License-Identifier: MIT
// A host, a middlebox on its way to KUDO, and a media server behind it, each in a namespace of its own.
// Invariant: the host reaches the server through the middlebox and in no other way.
#pragma once

#include <optional>
#include <set>
#include <string>
#include <vector>

#include "tests/e2e/diagnosis/call.h"
#include "tests/e2e/link_fixture.h"

namespace kudo::test {

//   host: eth0 10.77.0.2 -- the middlebox, which is TestHost's far: eth0 10.77.0.1, wan0 192.168.9.1
//   server: eth0 192.168.9.2 and media_address
class PathTest : public LineTest {
protected:
    void SetUp() override;

    std::string in_middlebox(const std::string& line) const; // words separated by spaces
    std::string in_server(const std::string& line) const;
    std::string in_host(const std::string& line) const;
    void nft_in_middlebox(const std::string& rules) const; // nft -f
    void nft_in_host(const std::string& rules) const;

    [[nodiscard]] Call call(uint16_t port = 40000) const {
        return {test_->host, *server_, {.host = {host_address, port}, .server = {media_address, 3478}}};
    }

    // What `stats --json` has recognised, and the whole verdict for messages.
    struct Recognised {
        std::set<std::string> names;
        std::string where, layer, all;
    };
    [[nodiscard]] Recognised recognised() const;

    std::optional<NetworkNamespace> server_;
};

} // namespace kudo::test
