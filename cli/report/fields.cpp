// SPDX-License-Identifier: MIT
#include "cli/report/fields.h"

#include <nlohmann/json.hpp>

namespace kudo {

const OrderedJson& field(const OrderedJson& object, std::string_view name) {
    static const OrderedJson nothing;
    if (!object.is_object()) return nothing;
    const auto found = object.find(std::string(name));
    return found == object.end() ? nothing : *found;
}

std::string text_of(const OrderedJson& value) {
    if (value.is_string()) return value.get<std::string>();
    return value.is_number() ? value.dump() : "";
}

std::string text_field(const OrderedJson& object, std::string_view name) {
    return text_of(field(object, name));
}

double number_field(const OrderedJson& object, std::string_view name) {
    const OrderedJson& value = field(object, name);
    return value.is_number() ? value.get<double>() : 0;
}

bool has_number(const OrderedJson& object, std::string_view name) {
    return field(object, name).is_number();
}

double missing_packets(const OrderedJson& stream) {
    if (has_number(stream, "missing")) return number_field(stream, "missing");
    return number_field(stream, "lost") + number_field(stream, "pending");
}

bool is_true(const OrderedJson& object, std::string_view name) {
    const OrderedJson& value = field(object, name);
    return value.is_boolean() && value.get<bool>();
}

const OrderedJson& list_field(const OrderedJson& object, std::string_view name) {
    static const OrderedJson none = OrderedJson::array();
    const OrderedJson& value = field(object, name);
    return value.is_array() ? value : none;
}

} // namespace kudo
