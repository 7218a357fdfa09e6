// SPDX-License-Identifier: MIT
// Looks names up with a name server, as the C library does (RFC 1035, RFC 7766): over UDP, and over TCP what is
// truncated. Blocks: for a process of its own.
// Invariant: a response counts only if it comes from the server that was asked, with the query's identifier and
// question; whatever it is, nothing is read beyond it.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <netinet/in.h>

#include "agent/inspect/dns_message.h"
#include "bpf/dns.h"
#include "maps/base/result.h"

namespace kudo {

struct NameServer {
    Address address;
    uint32_t zone = 0; // of a link-local address: the interface's index
    uint16_t port = KUDO_DNS_PORT;
    bool operator==(const NameServer&) const = default;
};
// Those of a resolv.conf(5) that are asked: the first three, or this host where there are none.
std::vector<NameServer> name_servers_of(std::string_view resolv_conf);

struct Lookup {
    std::string name;
    bool ipv6 = false; // AAAA, else A
    Address server{};  // that answered
    bool tcp = false;
    std::string problem{}; // why there is no answer; empty: there is one, though perhaps without addresses
    std::vector<Address> addresses{};
    std::vector<uint32_t> ttls{}; // of each of them
};

class NameLookup {
public:
    explicit NameLookup(const std::vector<NameServer>& servers,
                        std::chrono::milliseconds timeout = std::chrono::seconds(2))
        : timeout_(timeout) {
        for (const NameServer& server : servers)
            servers_.push_back({server, {}});
    }
    // A server that cannot be reached is not asked again by the same object. One that is silent is: perhaps only those
    // that it asks itself are, for one name.
    Lookup look_up(const std::string& name, bool ipv6);

private:
    struct Server {
        NameServer where;
        std::string gone{};     // why it is not asked any more; empty: it is
        bool is_silent = false; // it has not answered the last time, and so is waited for less
    };
    std::vector<Server> servers_;
    std::chrono::milliseconds timeout_;
};

// One line, and back. Nothing: it is none.
std::string lookup_text(const Lookup& lookup);
std::optional<Lookup> parse_lookup(std::string_view line);

} // namespace kudo
