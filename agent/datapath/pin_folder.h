// SPDX-License-Identifier: MIT
// The folder of pins in the bpffs: making it, cleaning up after killed commands, removing it.
// Invariant: what a killed command left partially made is found by its name and holds nothing that is attached.
#pragma once

#include <filesystem>

#include "agent/system/instance.h"
#include "maps/base/result.h"

namespace kudo {

// The folder of pins: makes sure `instance.bpffs` is a bpffs (mounts the default one if nothing is mounted there, and
// remembers), and removes what killed commands left partially made.
Result<void> prepare_pin_folder(const Instance& instance);
// The opposite: removes the layout's pins and, if they are then empty, the folders; unmounts what it mounted.
Result<void> remove_pin_folder(const Instance& instance);
// One folder in a bpffs, mode 0700, if there is none yet.
Result<void> make_pin_folder(const std::filesystem::path& path);
// Is there anything of this instance under its bpffs?
bool has_pins(const Instance& instance);
// Notes in a new layout whose it is: which state directory's and which network namespace's.
Result<void> write_owner(const Instance& instance, const std::filesystem::path& layout);
// An Error if the layout there is another version's, another state directory's or another network namespace's.
Result<void> check_layout_is_ours(const Instance& instance);

} // namespace kudo
