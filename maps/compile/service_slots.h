// SPDX-License-Identifier: MIT
// Gives services their slots in the kernel's table.
// Invariant: a name keeps its slot until no slot is free, and for as long as a service has that name; slot 0 is never
// given.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "maps/compile/compile.h"

namespace kudo {

// The name under which a service has its slot: its own, or where that does not fit into the kernel's table ("~retiring"
// after a long one) its beginning, a hash of all of it, and its suffix.
std::string slot_name(std::string_view service);

// `slots`, and the lowest free slot for each service that has none yet, in order; where none is free, the first of
// `reusable` whose name no service has.
Result<ServiceSlots> assign_slots(ServiceSlots slots, std::span<const Service* const> services,
                                  const ReusableSlots& reusable = std::nullopt);

} // namespace kudo
