// SPDX-License-Identifier: MIT
// The folder of pins in the bpffs: making it, cleaning up after killed commands, removing it.
// Invariant: what a killed command left partially made is found by its name and holds nothing that is attached.
#pragma once

#include <filesystem>
#include <vector>

#include "agent/system/instance.h"
#include "maps/base/result.h"

namespace kudo {

// The folder of pins: makes sure `instance.bpffs` is a bpffs (mounts the default one if nothing is mounted there, and
// remembers), and removes what killed commands left partially made.
Result<void> prepare_pin_folder(const Instance& instance);
// The opposite: removes this layout's pins and, if they are then empty, the folders; unmounts what it mounted.
Result<void> remove_pin_folder(const Instance& instance);
// The layouts that are there, this version's and others', oldest first.
struct PinnedLayout {
    std::filesystem::path folder;
    unsigned version = 0;
};
std::vector<PinnedLayout> pinned_layouts(const Instance& instance);
// Of another version. Call once nothing in it is attached.
Result<void> remove_layout(const std::filesystem::path& folder);
// Moves what is attached (links, filters, saved qdiscs, the programs that they run) from older or damaged layouts into
// a new one's folder. An Error leaves each where it is found again.
Result<void> adopt_layouts(const Instance& instance, const std::filesystem::path& into);
// After a kill in the middle of that: what was already moved is where it is found again, to be used or restored.
Result<void> recover_layout(const Instance& instance);
// One folder in a bpffs, mode 0700, if there is none yet.
Result<void> make_pin_folder(const std::filesystem::path& path);
// Is there anything of this instance under its bpffs?
bool has_pins(const Instance& instance);
// Notes in a new layout whose it is: which state directory's and which network namespace's.
Result<void> write_owner(const Instance& instance, const std::filesystem::path& layout);
// instance_id() of the data path in this folder; 0: its owner is not known.
uint64_t instance_of_layout(const std::filesystem::path& layout);
// BadInput if a layout there is another state directory's or another network namespace's.
Result<void> check_layout_is_ours(const Instance& instance);
// An Error if a newer version's is there, which this one does not know how to go on with.
Result<void> check_no_newer_layout(const Instance& instance);

} // namespace kudo
