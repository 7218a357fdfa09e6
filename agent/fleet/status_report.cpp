// SPDX-License-Identifier: MIT
#include "agent/fleet/status_report.h"

#include <fmt/format.h>

#include "agent/system/uptime.h"
#include "maps/base/abi_names.h"

namespace kudo {

HostReport report_of(const Status& status, const HostIdentity& identity, std::string_view version) {
    HostReport report;
    report.host = identity.host;
    report.fleet = identity.fleet;
    report.ring = identity.ring;
    report.serial = status.serial;
    report.content_hash = status.content_hash;
    report.mode = mode_name(status.generation != 0 ? status.mode : status.desired.mode);
    report.health = !status.desired.enabled ? health_none : is_healthy(status) ? health_good : health_degraded;
    report.problems = status.drift;
    if (status.desired.ranges.rolled_back_from != 0)
        report.problems.push_back(
            fmt::format("rolled back from {} by its admin", status.desired.ranges.rolled_back_from));
    report.alarms = status.alarms;
    if (const auto& staged = status.desired.ranges.staged; !staged.empty()) {
        report.staged_serial = staged.back().serial;
        report.staged_effective = staged.back().effective;
    }
    if (const auto& keys = status.desired.ranges.keys) report.key_set_serial = keys->serial;
    report.version = version;
    report.time = wall_time();
    return report;
}

} // namespace kudo
