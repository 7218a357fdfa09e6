// SPDX-License-Identifier: MIT
// Generations: putting a compiled policy into the kernel without a gap, and reading back which one is there.
// Invariant: the active slot is never written; a slot is written only after every program that could have been reading
// it has ended. A writer killed at any point leaves the old generation active.
#pragma once

#include <functional>

#include "agent/datapath/datapath.h"
#include "maps/compile/compile.h"

namespace kudo {

// Builds the whole next generation in the idle slot, makes it active with one store, waits until nobody reads the old
// one and empties that. Returns the new generation's number. The caller holds the lock.
Result<uint32_t> publish(const DataPath& data_path, const CompiledPolicy& compiled);

// The number of the active generation; 0: none yet.
Result<uint32_t> active_generation(const DataPath& data_path);

// Everything of the active generation as it stands in the kernel's tables. `slots` is not filled. Needs no lock:
// reads again where a swap comes in between.
struct ActivePolicy {
    uint32_t generation = 0;
    CompiledPolicy compiled;
    [[nodiscard]] std::array<uint8_t, 32> hash() const; // recomputed from what was read
};
Result<ActivePolicy> read_active(const DataPath& data_path);

// Only the policy itself, without the tries: cheap.
Result<kudo_policy> read_active_policy(const DataPath& data_path);

// Waits until every program that was running when this was called has ended.
Result<void> wait_for_readers(const DataPath& data_path);

} // namespace kudo
