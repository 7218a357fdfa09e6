// SPDX-License-Identifier: MIT
// Gives services their slots in the kernel's table. Used by the compiler of policies.
// Invariant: see service_slots.h.
#include "maps/service_slots.h"

#include <bitset>

#include <fmt/format.h>

#include "maps/text.h"

namespace kudo {

Result<ServiceSlots> assign_slots(ServiceSlots slots, std::span<const Service* const> services) {
    std::bitset<KUDO_MAX_SERVICES> taken;
    taken.set(0);
    for (const auto& [name, slot] : slots) {
        if (slot >= taken.size() || taken.test(slot))
            return fail(
                fmt::format("service {}: its slot {} is not usable; disable and enable again", in_quotes(name), slot));
        taken.set(slot);
    }
    std::size_t next = 1;
    for (const Service* service : services) {
        if (slots.contains(service->name)) continue;
        while (next < taken.size() && taken.test(next))
            ++next;
        if (next == taken.size())
            return bad_input(
                fmt::format("service {}: more than {} service names since enable; disable and enable again",
                            in_quotes(service->name), KUDO_MAX_SERVICES - 1));
        taken.set(next);
        slots.emplace(service->name, static_cast<uint8_t>(next));
    }
    return slots;
}

} // namespace kudo
