// SPDX-License-Identifier: MIT
// Checks of the ways by which the kernel sends to KUDO.
#pragma once

#include "agent/doctor/check.h"
#include "agent/doctor/subject.h"

namespace kudo {

// Does every range of the chosen services have a route that does not refuse? One address of each is asked for, and
// every route that refuses is compared with all of them.
CheckReport check_routes(const Subject& subject);
// Do the next hops answer ARP or neighbour discovery? As the kernel knows it, which may be from before.
CheckReport check_gateway(const Subject& subject);
// Does KUDO go through a VPN or tunnel? Only where that is an interface without Ethernet: tun, WireGuard, IPsec.
CheckReport check_tunnel(const Subject& subject);
// Would the reverse path filter drop what comes in by another interface than the route's?
CheckReport check_rp_filter(const Subject& subject);

} // namespace kudo
