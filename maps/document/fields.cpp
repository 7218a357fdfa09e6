// SPDX-License-Identifier: MIT
#include "maps/document/fields.h"

#include <algorithm>
#include <limits>
#include <unordered_map>

#include <fmt/format.h>

#include "maps/base/text.h"

namespace kudo {
namespace {

std::string_view kind_of(const Json& value) {
    if (value.is_object()) return "an object";
    if (value.is_array()) return "an array";
    if (value.is_string()) return "a string";
    if (value.is_boolean()) return "true or false";
    if (value.is_null()) return "null";
    return "a number";
}

tl::unexpected<Error> wrong_type(std::string_view path, std::string_view expected, const Json& value) {
    return wrong(path, fmt::format("must be {}, is {}", expected, kind_of(value)));
}

std::string names_of(std::span<const Field> fields) {
    std::vector<std::string> names(fields.size());
    std::ranges::transform(fields, names.begin(), [](const Field& field) { return std::string(field.name); });
    return joined(names);
}

Result<void> append_ranges(std::vector<Range>& ranges, const Json& object, std::string_view path, Family family) {
    const bool ipv4 = family == Family::IPv4;
    auto list = KUDO_TRY(read_list(object, path, ipv4 ? "ipv4" : "ipv6"));
    for (Text& text : list) {
        const auto prefix = KUDO_TRY(Prefix::parse(text.value).in(text.path));
        if (prefix.address.family != family)
            return wrong(text.path, fmt::format("{} is {}; put it into \"{}\"", quoted_text(text.value),
                                                ipv4 ? "IPv6" : "IPv4", ipv4 ? "ipv6" : "ipv4"));
        ranges.push_back({prefix, std::move(text.path)});
    }
    return {};
}

} // namespace

tl::unexpected<Error> wrong(std::string_view path, std::string_view what) {
    return bad_input(path.empty() ? std::string(what) : fmt::format("{}: {}", path, what));
}

Result<void> check_fields(const Json& value, std::string_view path, std::span<const Field> fields) {
    if (!value.is_object()) return wrong_type(path, "an object", value);
    for (const auto& [key, member] : value.get_ref<const Json::object_t&>()) {
        if (std::ranges::find(fields, key, &Field::name) == fields.end())
            return wrong(path_of(path, key), "unknown field; expected one of " + names_of(fields));
    }
    for (const Field& field : fields) {
        if (field.required && !value.contains(field.name))
            return wrong(path_of(path, field.name), "missing; every such object has it");
    }
    return {};
}

Result<void> check_format(const Json& root, std::string_view format, std::span<const Field> fields) {
    // Before the fields: a later format may have others, and its name is the better answer.
    if (root.is_object() && root.contains("format"))
        if (const auto found = KUDO_TRY(read_text(root, "", "format")); found.value != format)
            return wrong("format",
                         fmt::format("{} is not supported; expected \"{}\"", quoted_text(found.value), format));
    return check_fields(root, "", fields);
}

Result<Text> read_text(const Json& object, std::string_view path, std::string_view field) {
    const Json& value = object.at(std::string(field));
    if (!value.is_string()) return wrong_type(path_of(path, field), "a string", value);
    return Text{value.get<std::string>(), path_of(path, field)};
}

Result<bool> read_flag(const Json& object, std::string_view path, std::string_view field) {
    const auto entry = object.find(field);
    if (entry == object.end()) return false;
    if (!entry->is_boolean()) return wrong_type(path_of(path, field), "true or false", *entry);
    return entry->get<bool>();
}

Result<uint64_t> read_serial(const Json& object, std::string_view path, std::string_view field) {
    constexpr uint64_t largest = std::numeric_limits<int64_t>::max();
    const Json& value = object.at(std::string(field));
    if (!value.is_number()) return wrong_type(path_of(path, field), "a whole number", value);
    const uint64_t serial = value.is_number_unsigned() ? value.get<uint64_t>() : 0;
    if (serial < 1 || serial > largest)
        return wrong(path_of(path, field), fmt::format("must be a whole number from 1 to {}", largest));
    return serial;
}

Result<Time> read_time(const Json& object, std::string_view path, std::string_view field) {
    const auto text = KUDO_TRY(read_text(object, path, field));
    return parse_rfc3339(text.value).in(text.path);
}

Result<std::vector<Text>> read_list(const Json& object, std::string_view path, std::string_view field) {
    std::vector<Text> list;
    const auto entry = object.find(field);
    if (entry == object.end()) return list;
    const std::string list_path = path_of(path, field);
    if (!entry->is_array()) return wrong_type(list_path, "an array of strings", *entry);
    list.reserve(entry->size());
    for (const Json& value : *entry) {
        std::string item_path = path_of(list_path, list.size());
        if (!value.is_string()) return wrong_type(item_path, "a string", value);
        list.push_back({value.get<std::string>(), std::move(item_path)});
    }
    return list;
}

Result<std::vector<Text>> read_set(const Json& object, std::string_view path, std::string_view field) {
    auto list = KUDO_TRY(read_list(object, path, field));
    std::unordered_map<std::string_view, std::string_view> first_paths;
    for (const Text& text : list) {
        const auto [first, fresh] = first_paths.try_emplace(text.value, text.path);
        if (!fresh)
            return wrong(text.path,
                         fmt::format("{} is a duplicate; it is at {} already", quoted_text(text.value), first->second));
    }
    return list;
}

Result<std::vector<Range>> read_ranges(const Json& object, std::string_view path) {
    std::vector<Range> ranges;
    KUDO_TRY(append_ranges(ranges, object, path, Family::IPv4));
    KUDO_TRY(append_ranges(ranges, object, path, Family::IPv6));
    return ranges;
}

} // namespace kudo
