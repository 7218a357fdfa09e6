// SPDX-License-Identifier: MIT
// The interfaces that led to KUDO when routes last told: before the network is up, and while it is down, no route does.
// Invariant: they are believed only where no interface leads to KUDO; never of interfaces that are named.
#pragma once

#include <string>
#include <vector>

#include "agent/netlink/interfaces.h"
#include "agent/system/instance.h"
#include "maps/base/result.h"

namespace kudo {

// Their names. None: never noted, forgotten, or what is there cannot be read.
std::vector<std::string> last_interfaces(const Instance& instance);
// Replaces the names, if they differ.
Result<void> note_last_interfaces(const Instance& instance, const std::vector<Interface>& interfaces);
void forget_last_interfaces(const Instance& instance);

} // namespace kudo
