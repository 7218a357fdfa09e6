// SPDX-License-Identifier: MIT
#include "cli/ranges/current_rules.h"

#include <algorithm>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "cli/arguments/read_file.h"
#include "maps/base/text.h"
#include "maps/document/built_in.h"
#include "maps/document/parse_range_map.h"
#include "maps/document/vendor_list.h"
#include "maps/trust/key_set.h"

namespace kudo {
namespace {

bool is_forbidden(const Error& error) {
    return error.kind == ErrorKind::NotPermitted || error.number == EACCES || error.number == EPERM;
}

CurrentRules built_in_rules(const Error& error) {
    return {.state = {},
            .maps = {{built_in_range_map(), std::string(built_in_range_map_json()), "built-in"}, {}, {}, {}},
            .note =
                fmt::format("the rules of this host may not be read by this user, so these are the built-in ones ({})",
                            error.message)};
}

std::string trimmed(const std::string& word) {
    const auto first = word.find_first_not_of(" \t\r\n");
    if (first == std::string::npos) return "";
    return word.substr(first, word.find_last_not_of(" \t\r\n") - first + 1);
}

} // namespace

Result<CurrentRules> current_rules(const Instance& instance) {
    auto state = load_desired_state(instance);
    if (!state && is_forbidden(state.error())) return built_in_rules(state.error());
    if (!state) return fail(std::move(state.error()));
    auto maps = load_honoured_maps(instance, *state);
    if (!maps && is_forbidden(maps.error())) return built_in_rules(maps.error());
    if (!maps) return fail(std::move(maps.error()));
    return CurrentRules{std::move(*state), std::move(*maps), ""};
}

Result<ReadMap> read_map(const Instance& instance, const std::string& path) {
    auto text = KUDO_TRY(read_range_file(path));
    if (is_key_set(text))
        return bad_input(
            fmt::format("{}: a key set and no range map; ranges apply takes it, fleet publish sends it", path));
    if (!is_vendor_list(text)) {
        auto map = KUDO_TRY(parse_range_map(text, path));
        return ReadMap{std::move(map), false, std::move(text)};
    }
    const auto current = KUDO_TRY(current_rules(instance));
    auto map = KUDO_TRY(apply_vendor_list(current.maps.active.map, text, path));
    return ReadMap{std::move(map), true, std::move(text)};
}

std::string map_text(const RangeMap& map, const std::string& source) {
    return fmt::format("range map {} ({})", map.serial, source.empty() ? "built-in" : source);
}

std::vector<std::string> normalised(const std::vector<std::string>& words) {
    std::vector<std::string> result;
    for (const std::string& word : words)
        result.push_back(trimmed(word));
    std::ranges::sort(result);
    result.erase(std::unique(result.begin(), result.end()), result.end());
    std::erase(result, "");
    return result;
}

std::string_view region_meaning(std::string_view region) {
    if (region == "us") return "United States";
    if (region == "eu") return "Europe";
    if (region == "ca") return "Canada";
    if (region == "cn") return "China";
    return "";
}

std::string regions_text(const RangeMap& map) {
    std::vector<std::string> texts;
    for (const std::string& region : map.regions()) {
        const std::string_view meaning = region_meaning(region);
        texts.push_back(meaning.empty() ? region : fmt::format("{} ({})", region, meaning));
    }
    return texts.empty() ? "none" : fmt::format("{}", fmt::join(texts, ", "));
}

Result<void> check_regions(const RangeMap& map, const std::vector<std::string>& regions) {
    const auto known = map.regions();
    for (const std::string& region : regions) {
        if (std::ranges::find(known, region) == known.end())
            return bad_input(
                fmt::format("--region: {} is not in the range map; it has {}", quoted_text(region), regions_text(map)));
    }
    return {};
}

std::vector<std::string> choice_warnings(const RangeMap& map, const CompileOptions& options) {
    std::vector<std::string> warnings;
    for (const Service& service : map.services) {
        // Only what was asked for by name: opentok and its like are always there and nobody expects them by address.
        if (!service.optional || !is_chosen(service, options) || !service.ranges.empty()) continue;
        warnings.push_back(
            fmt::format("{} has no IP ranges in range map {}: its packets cannot be told from others by address, "
                        "so they are neither counted nor prioritised yet",
                        service.name, map.serial));
    }
    return warnings;
}

} // namespace kudo
