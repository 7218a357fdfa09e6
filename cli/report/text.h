// SPDX-License-Identifier: MIT
// A report as text, for `report --show`.
// Invariant: pure; whatever a report holds, what is printed has no control characters but newlines and our own colours.
#pragma once

#include <cstddef>
#include <string>

#include "cli/terminal/json.h"

namespace kudo {

std::string report_as_text(const OrderedJson& document, std::size_t width, bool colour);

} // namespace kudo
