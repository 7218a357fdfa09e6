// SPDX-License-Identifier: MIT
// The range map: one document with everything KUDO asks for. Its shape in memory, reading, writing, checking.
// Included by the compiler of policies, the agent and the commands.
// Invariant: a RangeMap that parse_range_map() returned obeys every rule of the format "kudo-range-map/1"; a document
// with any line wrong is refused whole.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "bpf/abi.h"
#include "maps/prefix.h"
#include "maps/result.h"

namespace kudo {

inline constexpr std::string_view range_map_format = "kudo-range-map/1";
inline constexpr std::size_t range_map_max_bytes = 1024 * 1024;

// "media", "fallback", "control", "none".
std::string_view class_name(kudo_class class_);

struct PortRule {
    uint8_t protocol = 0;                   // IPPROTO_TCP or IPPROTO_UDP
    uint16_t port = 0;                      // on KUDO's side
    [[nodiscard]] std::string text() const; // "udp/3478"
    static Result<PortRule> parse(std::string_view text);
    auto operator<=>(const PortRule&) const = default;
};

// A prefix and where it stands in the document, for messages: "services[0].ipv4[3]".
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

using Time = std::chrono::sys_seconds;

// For whom a map is: "acme", or "acme/canary" for one ring only. Both names are 1..63 of [a-z0-9-].
struct Audience {
    std::string fleet;
    std::string ring; // empty: every ring
    [[nodiscard]] std::string text() const;
    static Result<Audience> parse(std::string_view text);
    bool operator==(const Audience&) const = default;
};

struct RangeMap {
    uint64_t serial = 0;
    Time issued{};
    Time effective{};
    std::optional<Time> expires;
    std::optional<Audience> audience;   // nothing: every host whose keys fit
    std::vector<std::string> overrides; // names of guards (guards.h) that the signer has switched off; sorted
    uint64_t supersedes = 0;            // also replaces what was rolled back from this serial or a lower one; 0: no
    std::vector<Service> services;

    // Every region that some service names, sorted.
    [[nodiscard]] std::vector<std::string> regions() const;
    [[nodiscard]] const Service* find(std::string_view service) const;
};

// RFC 3339 in UTC, seconds resolution: "2022-03-01T00:00:00Z".
std::string rfc3339(Time time);
Result<Time> parse_rfc3339(std::string_view text);

// Reads a whole document. `name` is what errors call it (a file's path, "built-in range map"). Errors read
// "NAME: PATH: what is wrong, what was expected": "x.json: services[0].ipv4[3]: \"10.0.0.9/24\" has host bits set;
// write 10.0.0.0/24".
Result<RangeMap> parse_range_map(std::string_view json, std::string_view name);

// The vendor's bare list: exactly {"ipv4": [...]} with an optional "ipv6" beside it. Canonical form is not demanded of
// it beyond what parse_range_map() demands.
bool is_vendor_list(std::string_view json);
// `base` with the ranges of its service "media" replaced by those of the vendor's list; everything else, the serial
// included, stays.
Result<RangeMap> apply_vendor_list(const RangeMap& base, std::string_view json, std::string_view name);

// The document again, canonical: parse(to_json(map)) == map, to_json(parse(x)) is a fixed point. Two-space indent.
std::string to_json(const RangeMap& map);

// The map that is built into the agent: maps/data/.
const RangeMap& built_in_range_map();
std::string_view built_in_range_map_json();

// Ranges that lie inside another range or stand twice. Normal (the vendor's list has them): reported, never refused.
struct Overlap {
    std::string inner_service, outer_service;
    Range inner, outer;
};
std::vector<Overlap> find_overlaps(const RangeMap& map);

// What changes from one map to another, by service; in document order.
struct MapDiff {
    struct Change {
        std::string service;
        std::string what;  // "range", "port", "domain", "region", "class", "optional", "service"
        std::string value; // "3.97.146.187/32"
        bool added = false;
    };
    std::vector<Change> changes; // empty: the maps ask for the same
    uint64_t old_serial = 0, new_serial = 0;
};
MapDiff diff(const RangeMap& old_map, const RangeMap& new_map);

// BLAKE2b-256 of the bytes, in hex.
std::string content_hash(std::string_view bytes);

} // namespace kudo
