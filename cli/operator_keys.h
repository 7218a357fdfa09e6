// SPDX-License-Identifier: MIT
// The operator's own keys, with which everything is verified before it is sent.
// Included by the fleet commands. Invariant: a folder with any key wrong gives no keys.
#pragma once

#include <string>

#include <CLI/App.hpp>

#include "maps/key_set.h"
#include "maps/result.h"

namespace kudo {

struct OperatorKeysOptions {
    std::string folder = "/etc/kudo-agent/keys";
    unsigned threshold = 1;
};

// --keys and --key-threshold. `options` outlives the app.
void add_operator_keys_options(CLI::App& app, OperatorKeysOptions& options);

// All of FOLDER/*.pub.
Result<KeySet> load_operator_keys(const OperatorKeysOptions& options);

} // namespace kudo
