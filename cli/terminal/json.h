// SPDX-License-Identifier: MIT
// JSON for programs: stable names in a stable order.
// Invariant: whatever bytes a name holds, the text is valid JSON in UTF-8.
#pragma once

#include <chrono>
#include <string>

#include <nlohmann/json_fwd.hpp>

namespace kudo {

using OrderedJson = nlohmann::ordered_json;

std::string json_text(const OrderedJson& document, bool one_line = false);

// Null for an empty text.
OrderedJson text_or_null(const std::string& text);

// "2022-03-01T12:00:00.250Z"
std::string rfc3339_milliseconds(std::chrono::system_clock::time_point time);

} // namespace kudo
