// SPDX-License-Identifier: MIT
// What only several flows together tell of the network.
// Invariant: pure.
#pragma once

#include <vector>

#include "agent/diagnosis/findings.h"

namespace kudo {

// What only several flows together tell: UDP without an answer while TCP is in use, an inspected TLS, a stale map.
std::vector<Finding> network_findings(const Diagnosis& diagnosis);

} // namespace kudo
