// SPDX-License-Identifier: MIT
// The addresses of this host, which no range map may take. Included by the acceptance of maps.
// Invariant: of the network namespace that we run in, as they are now.
#pragma once

#include <vector>

#include "maps/prefix.h"
#include "maps/result.h"

namespace kudo {

Result<std::vector<Address>> own_addresses();

} // namespace kudo
