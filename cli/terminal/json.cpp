// SPDX-License-Identifier: MIT
#include "cli/terminal/json.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "maps/base/time.h"

namespace kudo {

std::string json_text(const OrderedJson& document, bool one_line) {
    return document.dump(one_line ? -1 : 2, ' ', false, OrderedJson::error_handler_t::replace);
}

OrderedJson text_or_null(const std::string& text) {
    return text.empty() ? OrderedJson(nullptr) : OrderedJson(text);
}

std::string rfc3339_milliseconds(std::chrono::system_clock::time_point time) {
    const auto seconds = std::chrono::floor<std::chrono::seconds>(time);
    const auto rest = std::chrono::floor<std::chrono::milliseconds>(time) - seconds;
    std::string text = rfc3339(seconds);
    text.pop_back();
    return fmt::format("{}.{:03}Z", text, rest.count());
}

} // namespace kudo
