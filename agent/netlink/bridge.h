// SPDX-License-Identifier: MIT
// Behind which port of a bridge a neighbour is, as the kernel's neighbour table and the bridge's own table know it.
// Invariant: read-only, and nothing is sent: what has not been learned by itself is not known.
#pragma once

#include <cstdint>
#include <optional>

#include "maps/base/result.h"
#include "maps/net/prefix.h"

namespace kudo {

// The ifindex of the port. Nothing: the neighbour's hardware address or its port is not known now, or it is in a VLAN
// of the bridge other than 1; kernels before 5.0 do not tell.
Result<std::optional<uint32_t>> find_bridge_port(uint32_t bridge, const Address& neighbour);

} // namespace kudo
