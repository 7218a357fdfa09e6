// SPDX-License-Identifier: MIT
#include "agent/state/last_interfaces.h"

#include <algorithm>
#include <filesystem>
#include <iterator>
#include <system_error>

#include <nlohmann/json.hpp>

#include "agent/system/files.h"
#include "agent/system/own_files.h"

namespace kudo {
namespace {

constexpr std::size_t max_size = 64 * 1024;

} // namespace

std::vector<std::string> last_interfaces(const Instance& instance) {
    std::vector<std::string> names;
    const auto text = read_own_file(instance.last_interfaces(), max_size);
    if (!text) return names;
    const auto noted = nlohmann::json::parse(*text, nullptr, false);
    if (!noted.is_array()) return names;
    for (const auto& name : noted)
        if (name.is_string()) names.push_back(name.get<std::string>());
    return names;
}

Result<void> note_last_interfaces(const Instance& instance, const std::vector<Interface>& interfaces) {
    std::vector<std::string> names;
    std::ranges::transform(interfaces, std::back_inserter(names), &Interface::name);
    if (names == last_interfaces(instance)) return {};
    return replace_file(instance.last_interfaces(), nlohmann::json(names).dump());
}

void forget_last_interfaces(const Instance& instance) {
    std::error_code error;
    std::filesystem::remove(instance.last_interfaces(), error);
}

} // namespace kudo
