// SPDX-License-Identifier: MIT
// Takes everything of an instance out of the kernel. Included by reconcile.
// Invariant: needs nothing but the pins, so that it works whatever state a killed command has left.
#pragma once

#include "agent/instance.h"
#include "maps/result.h"

namespace kudo {

Result<void> teardown(const Instance& instance);

} // namespace kudo
