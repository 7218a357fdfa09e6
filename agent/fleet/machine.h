// SPDX-License-Identifier: MIT
// Which machine this is, whatever its name.
// Invariant: hashes of this program's own, which tell nobody the ids that they are made of.
#pragma once

#include <string>

namespace kudo {

struct Machine {
    std::string id; // of /etc/machine-id and the firmware's UUID: the same after a reboot; empty: neither is there
    std::string identity; // of the id and of this boot: no two running machines share it, clones neither
};
Machine this_machine();

} // namespace kudo
