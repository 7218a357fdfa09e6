// SPDX-License-Identifier: MIT
// The range map: one document with everything KUDO asks for, in memory.
// Invariant: a RangeMap that parse_range_map() returned obeys every rule of the format "kudo-range-map/1"; a document
// with any line wrong is refused whole.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "bpf/abi.h"
#include "maps/base/time.h"
#include "maps/document/audience.h"
#include "maps/document/port_rule.h"
#include "maps/net/prefix.h"

namespace kudo {

inline constexpr std::string_view range_map_format = "kudo-range-map/1";
inline constexpr std::size_t range_map_max_bytes = 1024 * 1024;

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

} // namespace kudo
