// SPDX-License-Identifier: MIT
// Is an interface a Wi-Fi one? Asked of nl80211, since /sys may show another network namespace's interfaces.
// Included by the queues. Invariant: what cannot be known is no.
#pragma once

#include <cstdint>

namespace kudo {

bool is_wireless(uint32_t interface);

} // namespace kudo
