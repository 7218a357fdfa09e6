// SPDX-License-Identifier: MIT
// Takes everything of an instance out of the kernel. Included by reconcile.
// Invariant: needs nothing but the pins, so that it works whatever state a killed command has left.
#pragma once

#include "agent/instance.h"
#include "maps/result.h"

namespace kudo {

Result<void> teardown(const Instance& instance);

// For an instance that was enabled and whose pins somebody has deleted by hand: links end with their pins, tc filters do
// not. Removes our filters from every interface; a clsact stays, since nobody remembers who made it.
Result<void> remove_orphaned_filters();

} // namespace kudo
