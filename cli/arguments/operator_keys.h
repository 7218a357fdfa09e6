// SPDX-License-Identifier: MIT
// The operator's own keys, with which everything is verified before it is sent.
// Invariant: a folder with too few keys for the threshold, or without any, gives none; a file that is no key is logged.
#pragma once

#include "cli/arguments/command.h"
#include "maps/trust/key_set.h"

namespace kudo {

// Those of --keys and --key-threshold.
Result<KeySet> load_operator_keys(const GlobalOptions& global);

} // namespace kudo
