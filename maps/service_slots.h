// SPDX-License-Identifier: MIT
// Gives services their slots in the kernel's table.
// Included by the compiler of policies.
// Invariant: a slot that a name has is never taken away; slot 0 is never given.
#pragma once

#include <span>

#include "maps/compile.h"

namespace kudo {

// `slots`, and the lowest free slot for each service that has none yet, in order.
Result<ServiceSlots> assign_slots(ServiceSlots slots, std::span<const Service* const> services);

} // namespace kudo
