// SPDX-License-Identifier: MIT
// What a host reports to its fleet.
// Invariant: what another host wrote is untrusted: a report that parse_host_report() returned is of bounded size, and
// its texts are printable ASCII.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "agent/fleet/machine.h"
#include "maps/base/result.h"
#include "maps/document/range_map.h"

namespace kudo {

struct Status;

inline constexpr std::string_view host_report_format = "kudo-host-report/1";
inline constexpr std::size_t host_report_max_bytes = 64 * 1024;

inline constexpr std::string_view health_good = "healthy";
inline constexpr std::string_view health_degraded = "degraded";
inline constexpr std::string_view health_none = "not enabled";

struct HostReport {
    std::string host, fleet, ring;
    std::string machine, identity;     // machine.h; empty: an older version's report, or not known
    Time booted{};                     // by the host's clock; of a report with an identity
    uint64_t serial = 0;               // of the map in effect; 0: none
    std::string content_hash;          // read back from the kernel; empty: there is no data path
    std::string mode;                  // "observe", "prioritise", "enforce"; may be empty
    std::string health;                // "healthy", "degraded", "not enabled"
    std::vector<std::string> problems; // whole sentences
    std::vector<std::string> alarms;
    uint64_t staged_serial = 0; // 0: nothing is staged
    std::optional<Time> staged_effective;
    uint64_t key_set_serial = 0; // 0: the administrator's own folder of keys
    std::string version;
    Time time{};
    bool operator==(const HostReport&) const = default;
};

struct HostIdentity {
    std::string host, fleet, ring;
    Machine machine = {};
};
HostReport report_of(const Status& status, const HostIdentity& identity, std::string_view version);

// One line. Texts that are not printable, too long or too many are escaped, cut and counted: whatever the report holds,
// parse_host_report() takes the result if its names and its health are valid.
std::string to_json(const HostReport& report);

// Strict: refused as a whole if any part of it is invalid. `name` is what errors call it.
Result<HostReport> parse_host_report(std::string_view json, std::string_view name);

// 1..253 of [A-Za-z0-9_.-]; no empty part between dots: also a key of the message server's store.
bool is_host_name(std::string_view text);

} // namespace kudo
