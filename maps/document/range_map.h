// SPDX-License-Identifier: MIT
// The range map: one document with everything KUDO asks for, in memory.
// Invariant: a RangeMap that parse_range_map() returned obeys every rule of the format "kudo-range-map/1"; a document
// with any line wrong is refused whole.
#pragma once

#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "bpf/abi.h"
#include "maps/base/time.h"
#include "maps/net/prefix.h"

namespace kudo {

inline constexpr std::string_view range_map_format = "kudo-range-map/1";
inline constexpr std::size_t range_map_max_bytes = 1024 * 1024;

// For whom a map is: "acme", or "acme/canary" for one ring only. Both names obey is_simple_name().
struct Audience {
    std::string fleet;
    std::string ring;                       // empty: every ring
    [[nodiscard]] std::string text() const; // parse() gives it back
    static Result<Audience> parse(std::string_view text);
    bool operator==(const Audience&) const = default;
};

struct PortRule {
    uint8_t protocol = 0;                   // IPPROTO_TCP or IPPROTO_UDP
    uint16_t port = 0;                      // on KUDO's side
    [[nodiscard]] std::string text() const; // "udp/3478"; parse() gives it back
    static Result<PortRule> parse(std::string_view text);
    auto operator<=>(const PortRule&) const = default;
};

// A prefix and its place in the document, for messages: "services[0].ipv4[3]".
struct Range {
    Prefix prefix;
    std::string path;
};

struct Service {
    std::string name; // 1..63 of [a-z0-9-], begins with a letter
    kudo_class class_ = KUDO_CLASS_CONTROL;
    std::vector<std::string> regions; // region names, or exactly "*": every region
    bool optional = false;            // only where the admin asked for it by name (teams: --teams)
    std::vector<PortRule> ports;
    std::vector<Range> ranges;        // IPv4 first, then IPv6, in document order
    std::vector<std::string> domains; // "live.kudoway.ca" or "*.kudoway.ca"
};

struct RangeMap {
    uint64_t serial = 0;
    Time issued{};
    Time effective{};
    std::optional<Time> expires;
    std::optional<Audience> audience;   // none: every host that trusts its keys
    std::vector<std::string> overrides; // names of guards (guards.h) that the signer has switched off; sorted
    uint64_t supersedes = 0;            // also replaces what was rolled back from this serial or a lower one; 0: no
    std::vector<Service> services;

    // Every region that some service names, sorted.
    [[nodiscard]] std::vector<std::string> regions() const;
    [[nodiscard]] const Service* find(std::string_view service) const;
};

} // namespace kudo
