// SPDX-License-Identifier: MIT
#include "agent/desired_state.h"

#include <unistd.h>

#include <algorithm>
#include <utility>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "agent/files.h"

namespace kudo {

namespace {

constexpr std::size_t state_max_bytes = 1024 * 1024;
constexpr std::string_view state_format = "kudo-agent-state/2";

std::filesystem::path state_file(const Instance& instance) {
    return instance.state_dir / "state.json";
}
std::filesystem::path map_folder(const Instance& instance) {
    return instance.state_dir / "range-maps";
}
std::filesystem::path map_file(const Instance& instance, const std::string& hash) {
    return map_folder(instance) / (hash + ".json");
}

constexpr std::pair<TcHook, const char*> tc_hooks[] = {
    {TcHook::Auto, "auto"}, {TcHook::Tcx, "tcx"}, {TcHook::Clsact, "clsact"}};
constexpr kudo_mode modes[] = {KUDO_OBSERVE, KUDO_PRIORITISE, KUDO_ENFORCE};
constexpr kudo_treatment treatments[] = {KUDO_TREATMENT_AUDIO, KUDO_TREATMENT_VIDEO, KUDO_TREATMENT_FALLBACK,
                                         KUDO_TREATMENT_CONTROL};

nlohmann::json to_json(const DesiredState& state) {
    nlohmann::json marks = nlohmann::json::object();
    for (const kudo_treatment treatment : treatments) {
        const kudo_mark& mark = state.marks[treatment];
        nlohmann::json json = nlohmann::json::object();
        if (mark.flags & KUDO_MARK_PRIORITY) json["priority"] = mark.priority;
        if (mark.flags & KUDO_MARK_DSCP) json["dscp"] = mark.dscp;
        marks[std::string(treatment_name(treatment))] = std::move(json);
    }
    const auto* hook = std::find_if(std::begin(tc_hooks), std::end(tc_hooks),
                                    [&](const auto& entry) { return entry.first == state.tc_hook; });
    return {{"format", state_format},
            {"enabled", state.enabled},
            {"regions", state.regions},
            {"teams", state.teams},
            {"mode", mode_name(state.mode)},
            {"interfaces", state.interfaces},
            {"max_flows", state.max_flows},
            {"xdp_generic", state.xdp_generic},
            {"tc_hook", hook->second},
            {"marks", std::move(marks)},
            {"firewall_mark", state.firewall_mark},
            {"firewall_mark_mask", state.firewall_mark_mask},
            {"uplink", line_text(state.queues.uplink)},
            {"downlink", line_text(state.queues.downlink)},
            {"queue", state.queues.kind ? queue_kind_name(*state.queues.kind) : "auto"},
            {"replace_qdisc", state.queues.replace_qdisc},
            {"range_map", state.range_map},
            {"range_map_source", state.range_map_source}};
}

LineWish line_from(const std::string& text) {
    auto line = parse_line(text);
    if (!line) throw std::out_of_range(line.error().message);
    return *line;
}

// Throws nlohmann's exceptions or std::out_of_range on anything unexpected; the caller turns them into one Error.
DesiredState from_json(const nlohmann::json& json) {
    if (json.at("format") != state_format) throw std::out_of_range("format is not " + std::string(state_format));
    DesiredState state;
    json.at("enabled").get_to(state.enabled);
    json.at("regions").get_to(state.regions);
    json.at("teams").get_to(state.teams);
    json.at("interfaces").get_to(state.interfaces);
    json.at("max_flows").get_to(state.max_flows);
    json.at("xdp_generic").get_to(state.xdp_generic);
    json.at("firewall_mark").get_to(state.firewall_mark);
    json.at("firewall_mark_mask").get_to(state.firewall_mark_mask);
    json.at("range_map").get_to(state.range_map);
    json.at("range_map_source").get_to(state.range_map_source);
    state.queues.uplink = line_from(json.at("uplink"));
    state.queues.downlink = line_from(json.at("downlink"));
    const std::string queue = json.at("queue");
    state.queues.kind = queue_kind_of(queue);
    if (!state.queues.kind && queue != "auto") throw std::out_of_range("unknown queue");
    json.at("replace_qdisc").get_to(state.queues.replace_qdisc);
    const auto* mode = std::find_if(std::begin(modes), std::end(modes),
                                    [&](kudo_mode candidate) { return json.at("mode") == mode_name(candidate); });
    if (mode == std::end(modes)) throw std::out_of_range("unknown mode");
    state.mode = *mode;
    const auto* hook = std::find_if(std::begin(tc_hooks), std::end(tc_hooks),
                                    [&](const auto& entry) { return json.at("tc_hook") == entry.second; });
    if (hook == std::end(tc_hooks)) throw std::out_of_range("unknown tc_hook");
    state.tc_hook = hook->first;
    for (const kudo_treatment treatment : treatments) {
        const nlohmann::json& from = json.at("marks").at(std::string(treatment_name(treatment)));
        kudo_mark mark{};
        if (from.contains("priority")) {
            mark.flags |= KUDO_MARK_PRIORITY;
            from.at("priority").get_to(mark.priority);
        }
        if (from.contains("dscp")) {
            mark.flags |= KUDO_MARK_DSCP;
            from.at("dscp").get_to(mark.dscp);
        }
        state.marks[treatment] = mark;
    }
    return state;
}

} // namespace

CompileOptions DesiredState::compile_options() const {
    CompileOptions options;
    options.regions = regions;
    if (teams) options.optional_services = {"teams"};
    options.mode = mode;
    options.marks = marks;
    options.firewall_mark = firewall_mark;
    options.firewall_mark_mask = firewall_mark_mask;
    return options;
}

std::string_view mode_name(kudo_mode mode) {
    switch (mode) {
    case KUDO_OBSERVE:
        return "observe";
    case KUDO_PRIORITISE:
        return "prioritise";
    case KUDO_ENFORCE:
        return "enforce";
    }
    return "unknown";
}

Result<DesiredState> load_desired_state(const Instance& instance) {
    const auto path = state_file(instance);
    auto content = read_file(path, state_max_bytes);
    if (!content && content.error().number == ENOENT) return DesiredState{};
    if (!content) return fail(std::move(content.error()));
    try {
        return from_json(nlohmann::json::parse(*content));
    } catch (const std::exception& exception) {
        return fail(fmt::format("{}: not a state file of this version ({}); move it away and run enable again",
                                path.string(), exception.what()));
    }
}

Result<void> save_desired_state(const Instance& instance, const DesiredState& state) {
    KUDO_TRY(make_folder(instance.state_dir));
    return replace_file(state_file(instance), to_json(state).dump(2) + "\n");
}

Result<void> forget_desired_state(const Instance& instance) {
    for (const char* suffix : {"", ".new"}) {
        const std::string path = state_file(instance).string() + suffix;
        if (unlink(path.c_str()) != 0 && errno != ENOENT) return fail_errno(path + ": cannot remove");
    }
    return {};
}

Result<StoredRangeMap> load_range_map(const Instance& instance, const DesiredState& state) {
    if (state.range_map.empty())
        return StoredRangeMap{built_in_range_map(), std::string(built_in_range_map_json()), "built-in"};
    const auto path = map_file(instance, state.range_map);
    auto json = read_file(path, range_map_max_bytes);
    if (!json && json.error().kind != ErrorKind::NotPermitted)
        return fail(fmt::format("{}; apply the range map again", json.error().message), json.error().number);
    if (!json) return fail(std::move(json.error()));
    if (content_hash(*json) != state.range_map)
        return fail(fmt::format("{}: its content is not what was applied; apply the range map again", path.string()));
    auto map = parse_range_map(*json, path.string());
    if (!map) return fail(std::move(map.error()));
    return StoredRangeMap{std::move(*map), std::move(*json), state.range_map_source};
}

Result<std::string> store_range_map(const Instance& instance, const RangeMap& map) {
    const std::string json = to_json(map);
    if (json.size() > range_map_max_bytes)
        return bad_input(fmt::format("the range map has {} bytes in canonical form, more than {}", json.size(),
                                     range_map_max_bytes));
    std::string hash = content_hash(json);
    KUDO_TRY(make_folder(map_folder(instance)));
    KUDO_TRY(replace_file(map_file(instance, hash), json));
    return hash;
}

Result<void> prune_range_maps(const Instance& instance, const DesiredState& state) {
    std::error_code error;
    std::filesystem::directory_iterator files(map_folder(instance), error);
    if (error) return {}; // there never was one
    const auto keep = map_file(instance, state.range_map).filename();
    for (const auto& file : files)
        if (file.path().filename() != keep) std::filesystem::remove(file.path(), error);
    return {};
}

} // namespace kudo
