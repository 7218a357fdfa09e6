// SPDX-License-Identifier: MIT
// The library alone would keep the last of two equal keys, and take a NUL byte as the end of the text.
#include "maps/document/json_document.h"

#include <algorithm>
#include <optional>
#include <vector>

#include <fmt/format.h>

#include "maps/base/text.h"
#include "maps/document/range_map.h"

namespace kudo {
namespace {

constexpr std::size_t max_depth = 8; // a range map needs four

std::string place(std::string_view text, std::size_t byte) {
    const std::string_view before = text.substr(0, byte == 0 ? 0 : byte - 1);
    const auto line = 1 + std::ranges::count(before, '\n');
    const std::size_t line_start = before.rfind('\n') == std::string_view::npos ? 0 : before.rfind('\n') + 1;
    return fmt::format("line {}, column {} (byte {})", line, before.size() - line_start + 1,
                       std::max<std::size_t>(byte, 1));
}

// The library's sentence without its own prefix, and without the text it last read, which may be long and binary.
std::string plain_reason(std::string_view what) {
    if (what.starts_with('[')) what.remove_prefix(std::min(what.find("] ") + 2, what.size()));
    if (what.starts_with("parse error at ")) what.remove_prefix(std::min(what.find(": ") + 2, what.size()));
    what = what.substr(0, what.find("; last read: "));
    return escaped(what, 200);
}

// Builds the document from the parser's events and stops at the first that is not allowed.
class Builder final : public nlohmann::json_sax<Json> {
public:
    explicit Builder(std::string_view text) : text_(text) {}

    bool null() override { return put(nullptr); }
    bool boolean(bool value) override { return put(value); }
    bool number_integer(number_integer_t value) override { return put(value); }
    bool number_unsigned(number_unsigned_t value) override { return put(value); }
    bool number_float(number_float_t value, const string_t&) override { return put(value); }
    bool string(string_t& value) override { return put(std::move(value)); }
    bool binary(binary_t&) override { return false; }
    bool start_object(std::size_t) override { return open(Json::object()); }
    bool start_array(std::size_t) override { return open(Json::array()); }
    bool end_object() override { return close(); }
    bool end_array() override { return close(); }

    bool key(string_t& name) override {
        const auto [entry, fresh] = open_.back().value->get_ref<Json::object_t&>().try_emplace(name);
        if (!fresh) error_ = path_of(path(open_.size() - 1), name) + ": duplicate key in the same object";
        open_.back().key = &entry->first;
        return fresh;
    }

    bool parse_error(std::size_t byte, const std::string&, const nlohmann::detail::exception& error) override {
        error_ = place(text_, byte) + ": " + plain_reason(error.what());
        return false;
    }

    Json root;
    [[nodiscard]] const std::optional<std::string>& error() const { return error_; }

private:
    struct Open {
        Json* value;
        const std::string* key; // of the member being read, in an object
    };

    Json* add(Json value) {
        if (open_.empty()) return &(root = std::move(value));
        Json& parent = *open_.back().value;
        if (parent.is_array()) {
            parent.push_back(std::move(value));
            return &parent.back();
        }
        return &(parent[*open_.back().key] = std::move(value));
    }

    bool put(Json value) {
        add(std::move(value));
        return true;
    }

    bool open(Json value) {
        if (open_.size() == max_depth) {
            error_ = fmt::format("{}: nested more than {} deep", path(open_.size()), max_depth);
            return false;
        }
        open_.push_back({add(std::move(value)), nullptr});
        return true;
    }

    bool close() {
        open_.pop_back();
        return true;
    }

    // Of the value being read in the `depth` outermost containers.
    [[nodiscard]] std::string path(std::size_t depth) const {
        std::string result;
        for (std::size_t level = 0; level < depth; ++level) {
            const Open& container = open_[level];
            const bool innermost = level + 1 == open_.size();
            if (container.value->is_object())
                result = path_of(result, *container.key);
            else
                result = path_of(result, container.value->size() - (innermost ? 0 : 1));
        }
        return result;
    }

    std::string_view text_;
    std::vector<Open> open_;
    std::optional<std::string> error_;
};

} // namespace

Result<Json> read_json(std::string_view text) {
    if (text.size() > range_map_max_bytes)
        return bad_input(fmt::format("{} bytes are too many; at most {} are read", text.size(), range_map_max_bytes));
    if (const std::size_t nul = text.find('\0'); nul != std::string_view::npos)
        return bad_input(place(text, nul + 1) + ": a NUL byte");
    Builder builder(text);
    try {
        const bool whole = Json::sax_parse(text.begin(), text.end(), &builder);
        if (builder.error()) return bad_input(*builder.error());
        if (!whole) return bad_input("cannot be read as JSON");
    } catch (const nlohmann::detail::exception& error) {
        return bad_input(plain_reason(error.what()));
    }
    return std::move(builder.root);
}

std::string path_of(std::string_view parent, std::string_view key) {
    const bool plain = !key.empty() && key.size() <= 64 && std::ranges::all_of(key, [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
    });
    if (!plain) return fmt::format("{}[{}]", parent, quoted_text(key));
    return parent.empty() ? std::string(key) : fmt::format("{}.{}", parent, key);
}

std::string path_of(std::string_view parent, std::size_t index) {
    return fmt::format("{}[{}]", parent, index);
}

} // namespace kudo
