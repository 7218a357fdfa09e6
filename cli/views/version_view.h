// SPDX-License-Identifier: MIT
// This program's version and what the kernel under it offers, as JSON and as text.
// Invariant: reading only; what may not be asked is told as unknown.
#pragma once

#include <string>

#include <nlohmann/json.hpp>

#include "cli/terminal/json.h"

namespace kudo {

struct VersionView {
    OrderedJson json;
    std::string text;
};
// Asks the kernel.
VersionView version_view();

} // namespace kudo
