// SPDX-License-Identifier: MIT
// What a host reports to its fleet, filled from its status.
#pragma once

#include <string>
#include <string_view>

#include "agent/fleet/host_report.h"
#include "agent/inspect/status.h"

namespace kudo {

struct HostIdentity {
    std::string host, fleet, ring;
};

HostReport report_of(const Status& status, const HostIdentity& identity, std::string_view version);

} // namespace kudo
