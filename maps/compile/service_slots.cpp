// SPDX-License-Identifier: MIT
#include "maps/compile/service_slots.h"

#include <array>
#include <deque>

#include <fmt/format.h>

#include "maps/base/hash.h"
#include "maps/base/text.h"
#include "maps/compile/combine.h"

namespace kudo {
namespace {

// The owner of each slot; empty: free.
using Owners = std::array<std::string, KUDO_MAX_SERVICES>;

Result<Owners> owners_of(const ServiceSlots& slots) {
    Owners owners;
    for (const auto& [name, slot] : slots) {
        if (slot == 0 || slot >= owners.size() || !owners[slot].empty())
            return fail(fmt::format("service {}: its slot {} is not usable; disable and enable again",
                                    quoted_text(name), slot));
        owners[slot] = name;
    }
    return owners;
}

// What may be given, first to last: the free slots, then those that are taken from others.
std::deque<uint8_t> givable(const Owners& owners, const ServiceSlots& wanted, const ReusableSlots& reusable) {
    std::deque<uint8_t> result;
    for (std::size_t slot = 1; slot < owners.size(); ++slot)
        if (owners[slot].empty()) result.push_back(static_cast<uint8_t>(slot));
    const auto add = [&](uint8_t slot) {
        if (!owners[slot].empty() && !wanted.contains(owners[slot])) result.push_back(slot);
    };
    if (reusable)
        for (const uint8_t slot : *reusable)
            add(slot);
    else
        for (std::size_t slot = 1; slot < owners.size(); ++slot)
            add(static_cast<uint8_t>(slot));
    return result;
}

} // namespace

std::string slot_name(std::string_view service) {
    constexpr std::size_t longest = sizeof kudo_service_name::name - 1, hash_length = 8;
    if (service.size() <= longest) return std::string(service);
    const std::string_view name = parts_of(service).service, suffix = service.substr(name.size());
    const std::string tail =
        fmt::format("-{}{}", content_hash(service).substr(0, hash_length), suffix.substr(0, longest / 2));
    return std::string(name.substr(0, longest - tail.size())) + tail;
}

Result<ServiceSlots> assign_slots(ServiceSlots slots, std::span<const Service* const> services,
                                  const ReusableSlots& reusable) {
    auto owners = KUDO_TRY(owners_of(slots));
    ServiceSlots wanted;
    for (const Service* service : services)
        wanted.emplace(slot_name(service->name), 0);
    std::deque<uint8_t> free = givable(owners, wanted, reusable);
    for (const Service* service : services) {
        std::string name = slot_name(service->name);
        if (slots.contains(name)) continue;
        if (free.empty())
            return bad_input(fmt::format("service {}: the services of this map and of the one before have more than {} "
                                         "names; disable and enable again",
                                         quoted_text(service->name), KUDO_MAX_SERVICES - 1));
        const uint8_t slot = free.front();
        free.pop_front();
        slots.erase(owners[slot]);
        slots.emplace(std::move(name), slot);
    }
    return slots;
}

} // namespace kudo
