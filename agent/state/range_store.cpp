// SPDX-License-Identifier: MIT
#include "agent/state/range_store.h"

#include <unistd.h>

#include <set>

#include <fmt/format.h>

#include "agent/system/files.h"
#include "agent/system/own_files.h"
#include "maps/base/hash.h"
#include "maps/compile/combine.h"
#include "maps/document/built_in.h"
#include "maps/document/parse_range_map.h"

namespace kudo {
namespace {

std::filesystem::path map_folder(const Instance& instance) {
    return instance.state_dir / "range-maps";
}
std::filesystem::path map_file(const Instance& instance, const std::string& hash) {
    return map_folder(instance) / (hash + ".json");
}

Result<RangeMap> read_document(const Instance& instance, const std::string& hash) {
    const auto path = map_file(instance, hash);
    const auto json = read_own_file(path, range_map_max_bytes);
    if (!json && json.error().kind != ErrorKind::NotPermitted)
        return fail(fmt::format("{}; apply the range map again", json.error().message), json.error().number);
    if (!json) return fail(json.error());
    if (content_hash(*json) != hash)
        return fail(fmt::format("{}: its content is not what was applied; apply the range map again", path.string()));
    return parse_range_map(*json, path.string());
}

std::string source_of(const AcceptedMap& map) {
    return map.hash.empty() ? "built-in" : map.source;
}

// The newest that was in effect before and can still be read.
StoredRangeMap last_readable(const Instance& instance, const RangeLedger& ledger, ParsedMaps* parsed) {
    for (auto entry = ledger.history.rbegin(); entry != ledger.history.rend(); ++entry) {
        if (!entry->took_effect() || entry->map.hash == ledger.active.hash) continue;
        if (auto map = load_document(instance, entry->map.hash, parsed))
            return {std::move(*map), source_of(entry->map)};
    }
    return {built_in_range_map(), "built-in"};
}

} // namespace

Result<RangeMap> load_document(const Instance& instance, const std::string& hash, ParsedMaps* parsed) {
    if (hash.empty()) return built_in_range_map();
    if (parsed)
        if (const auto known = parsed->find(hash); known != parsed->end()) return known->second;
    auto map = read_document(instance, hash);
    if (map && parsed) parsed->emplace(hash, *map);
    return map;
}

RangeMap HonouredMaps::combined() const {
    return combine(active.map, staged, retiring);
}

std::vector<HonouredMaps::Retiring> HonouredMaps::what_retires() const {
    std::vector<Retiring> counts;
    const auto honoured_with = [&](std::size_t maps) {
        Retiring count;
        for (const Service& service : combine(active.map, staged, std::span(retiring).first(maps)).services) {
            count.ranges += service.ranges.size();
            count.domains += service.domains.size();
        }
        return count;
    };
    for (std::size_t map = 0; map < retiring.size(); map++) {
        const Retiring with = honoured_with(map + 1), without = honoured_with(map);
        counts.push_back({with.ranges - without.ranges, with.domains - without.domains});
    }
    return counts;
}

Result<HonouredMaps> load_honoured_maps(const Instance& instance, const DesiredState& state, ParsedMaps* parsed) {
    HonouredMaps maps;
    auto active = load_document(instance, state.ranges.active.hash, parsed);
    if (!active && active.error().kind == ErrorKind::NotPermitted) return fail(std::move(active.error()));
    if (active) {
        maps.active = {std::move(*active), source_of(state.ranges.active)};
    } else {
        maps.active = last_readable(instance, state.ranges, parsed);
        maps.lost =
            fmt::format("the document of range map {}, which is in effect, is lost ({}); until it is applied "
                        "again, range map {} ({}) takes its place wherever a policy has to be compiled",
                        state.ranges.active.serial, active.error().message, maps.active.map.serial, maps.active.source);
    }
    const auto add = [&](std::vector<RangeMap>& to, const std::string& hash) {
        auto document = load_document(instance, hash, parsed);
        if (document)
            to.push_back(std::move(*document));
        else
            maps.problems.push_back("early or retiring ranges are honoured only in part: " + document.error().message);
    };
    for (const AcceptedMap& map : state.ranges.staged)
        if (map.early) add(maps.staged, map.hash);
    for (const RetiringMap& map : state.ranges.retiring)
        add(maps.retiring, map.hash);
    return maps;
}

Result<CompiledPolicy> compile_honoured(HonouredMaps& maps, const CompileOptions& options, const ServiceSlots& slots,
                                        const ReusableSlots& reusable) {
    while (true) {
        auto compiled = compile(maps.combined(), options, slots, reusable);
        if (compiled || (maps.retiring.empty() && maps.staged.empty())) return compiled;
        if (!maps.retiring.empty()) {
            maps.problems.push_back(fmt::format("what range map {} had is no longer honoured: {}",
                                                maps.retiring.back().serial, compiled.error().message));
            maps.retiring.pop_back();
        } else {
            maps.problems.push_back("what staged maps add is not honoured yet: " + compiled.error().message);
            maps.staged.clear();
        }
    }
}

Result<void> store_range_map(const Instance& instance, const std::string& hash, std::string_view json) {
    if (json.size() > range_map_max_bytes)
        return bad_input(fmt::format("the range map has {} bytes in canonical form, more than {}", json.size(),
                                     range_map_max_bytes));
    KUDO_TRY(make_folder(map_folder(instance)));
    return replace_file(map_file(instance, hash), json);
}

void prune_range_maps(const Instance& instance, const DesiredState& state) {
    std::error_code error;
    std::filesystem::directory_iterator files(map_folder(instance), error);
    if (error) return; // there never was one
    std::set<std::string> keep;
    for (const std::string& hash : state.ranges.documents())
        keep.insert(hash + ".json");
    for (const auto& file : files)
        if (!keep.contains(file.path().filename())) std::filesystem::remove(file.path(), error);
    rmdir(map_folder(instance).c_str()); // unless something is in it, or it is a link of the administrator's
}

} // namespace kudo
