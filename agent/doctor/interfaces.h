// SPDX-License-Identifier: MIT
// Checks of the interfaces that enable would attach to.
#pragma once

#include "agent/doctor/check.h"
#include "agent/doctor/subject.h"

namespace kudo {

// Which interfaces, at which hooks, and whether KUDO's packets pass by others. Native XDP is not tried: that would
// attach something.
CheckReport check_interfaces(const Subject& subject);
// Another program at XDP, which runs before all of tc, and at tc.
CheckReport check_programs(const Subject& subject);
// Does the root qdisc serve packets by their marks?
CheckReport check_queue(const Subject& subject);
// Generic receive offload off costs CPU; large receive offload keeps XDP away and breaks what is forwarded.
CheckReport check_offloads(const Subject& subject);
// 1280 bytes of layer 3 and more: what IPv6 needs (RFC 8200 section 5) and browsers' media packets fit into.
CheckReport check_mtu(const Subject& subject);
CheckReport check_wifi_power_save(const Subject& subject);

} // namespace kudo
