// SPDX-License-Identifier: MIT
// Which machine this is, whatever its name.
// Invariant: hashes of this program's own, which tell nobody the ids that they are made of.
#pragma once

#include <filesystem>
#include <string>

namespace kudo {

struct Machine {
    std::string id; // of /etc/machine-id and the firmware's UUID: the same after a reboot; empty: neither is there
    // Of the id, of this boot and of a random number that the state directory keeps. Cloned disks differ by their boot,
    // containers of one host by their number. What two of them share all the same (a memory snapshot, a container's
    // image with a number in it) they find out from the reports: see NatsSource.
    std::string identity;
};
// Makes the number if there is none. Where it cannot be stored there is none.
Machine this_machine(const std::filesystem::path& state_dir);

// One that nobody else has, for a machine that shares its own: it lasts as long as the process.
std::string identity_apart(const std::string& identity);

} // namespace kudo
