// SPDX-License-Identifier: MIT
#include "cli/ranges/current_rules.h"

#include <algorithm>
#include <set>

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include "agent/system/files.h"
#include "maps/base/text.h"
#include "maps/document/built_in.h"
#include "maps/document/guards.h"
#include "maps/trust/document.h"

namespace kudo {
namespace {

std::string trimmed(const std::string& word) {
    const auto first = word.find_first_not_of(" \t\r\n");
    if (first == std::string::npos) return "";
    return word.substr(first, word.find_last_not_of(" \t\r\n") - first + 1);
}

} // namespace

Result<CurrentRules> current_rules(const Instance& instance) {
    const auto read = [&]() -> Result<CurrentRules> {
        auto state = KUDO_TRY(load_desired_state(instance));
        auto maps = KUDO_TRY(load_honoured_maps(instance, state));
        return CurrentRules{std::move(state), std::move(maps), ""};
    };
    auto rules = read();
    if (rules || (rules.error().kind != ErrorKind::NotPermitted && rules.error().number != EACCES &&
                  rules.error().number != EPERM))
        return rules;
    return CurrentRules{
        .state = {},
        .maps = {{built_in_range_map(), "built-in"}, {}, {}, {}, {}},
        .note = fmt::format("this user may not read the rules of this host, so these are the built-in ones ({})",
                            rules.error().message)};
}

Result<std::string> read_range_file(const std::string& path) {
    auto text = read_file(path, range_map_max_bytes);
    if (!text) text.error().kind = ErrorKind::BadInput;
    return text;
}

Result<ReadMap> read_map(const Instance& instance, const std::string& path) {
    auto text = KUDO_TRY(read_range_file(path));
    const auto root = KUDO_TRY(read_json(text).in(path));
    if (is_key_set(root))
        return bad_input(
            fmt::format("{}: a key set and no range map; ranges apply takes it, fleet publish sends it", path));
    auto document = KUDO_TRY(parse_document(root, path));
    if (auto* map = std::get_if<RangeMap>(&document)) return ReadMap{std::move(*map), false, std::move(text)};
    auto current = KUDO_TRY(current_rules(instance));
    auto map = KUDO_TRY(apply_vendor_list(std::move(current.maps.active.map), std::get<VendorList>(document), path));
    return ReadMap{std::move(map), true, std::move(text)};
}

std::string map_text(const RangeMap& map, const std::string& source) {
    return fmt::format("range map {} ({})", map.serial, source.empty() ? "built-in" : source);
}

void add_override_option(CLI::App& app, std::string& names) {
    app.add_option("--override", names,
                   "Guards that do not count, separated by commas, your own decision: " + guard_names_text())
        ->type_name("GUARD,...");
}

Result<std::vector<std::string>> read_overrides(const std::string& names) {
    std::vector<std::string> guards;
    if (names.empty()) return guards;
    for (const std::string_view name : split(names)) {
        if (!guard_of(name))
            return bad_input(
                fmt::format("--override: {} is not a guard; expected {}", quoted_text(name), guard_names_text()));
        guards.emplace_back(name);
    }
    return guards;
}

std::vector<std::string> normalised(const std::vector<std::string>& words) {
    std::set<std::string> result;
    for (const std::string& word : words)
        result.insert(trimmed(word));
    result.erase("");
    return {result.begin(), result.end()};
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
        // Only what was asked for by name: opentok and its like are always there and not expected to be known by
        // address.
        if (!service.optional || !is_chosen(service, options) || !service.ranges.empty()) continue;
        const bool named = std::ranges::any_of(service.domains, [&](const std::string& domain) {
            return !options.exact_domains || !domain.starts_with("*.");
        });
        warnings.push_back(
            fmt::format("{} has no IP ranges in range map {}: {}", service.name, map.serial,
                        named ? "its packets are recognised by the addresses that DNS gives this host for its names"
                              : "its packets cannot be distinguished from others, so they are neither counted nor "
                                "prioritised"));
    }
    return warnings;
}

} // namespace kudo
