// SPDX-License-Identifier: MIT
// Reading JSON of which nothing is promised: what is not there, or of another type, reads as empty.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include <nlohmann/json.hpp>

namespace kudo::firewall {

using Json = nlohmann::json;

inline const Json& at(const Json& object, const char* key) {
    static const Json nothing;
    if (!object.is_object()) return nothing;
    const auto found = object.find(key);
    return found == object.end() ? nothing : *found;
}
inline bool has(const Json& object, const char* key) {
    return object.is_object() && object.contains(key);
}
inline std::string text_at(const Json& object, const char* key) {
    const Json& value = at(object, key);
    return value.is_string() ? value.get<std::string>() : std::string();
}
inline std::optional<int64_t> number_at(const Json& object, const char* key) {
    const Json& value = at(object, key);
    if (!value.is_number_integer()) return std::nullopt;
    return value.get<int64_t>();
}

} // namespace kudo::firewall
