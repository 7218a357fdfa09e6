// SPDX-License-Identifier: MIT
// Switches an instance off and puts back what it changed.
// Invariant: says that all is removed only after it has looked: by the pins, and in the kernel itself.
#pragma once

#include <string>
#include <vector>

#include "agent/system/instance.h"
#include "maps/base/result.h"

namespace kudo {

struct Disabled {
    bool changed = false; // there was anything
    // Programs on this host's interfaces of which this process, without CAP_SYS_ADMIN, may not know whose they are.
    std::vector<std::string> unknown;
    std::vector<std::string> kept; // nftables sets that the administrator's rules refer to: whole sentences
};

// Works whatever the state file, the disk and the pins are like, and with another version's pins. Where some of it
// cannot be put back, the rest is, and the Error names what is left; the next disable tries again.
Result<Disabled> disable(const Instance& instance);

} // namespace kudo
