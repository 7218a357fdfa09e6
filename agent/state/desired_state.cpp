// SPDX-License-Identifier: MIT
#include "agent/state/desired_state.h"
#include "agent/state/range_ledger_json.h"

#include <unistd.h>

#include <algorithm>
#include <utility>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "agent/system/files.h"
#include "maps/base/abi_names.h"

namespace kudo {

namespace {

constexpr std::size_t state_max_bytes = 1024 * 1024;
constexpr std::string_view state_format = "kudo-agent-state/3";

std::filesystem::path state_file(const Instance& instance) {
    return instance.state_dir / "state.json";
}
// What must outlive a damaged state: see rollback_protection().
std::filesystem::path floor_file(const Instance& instance) {
    return instance.state_dir / "range-floor.json";
}

// As far as it can be read: nothing else knows it.
RangeLedger load_floor(const Instance& instance) {
    const auto content = read_file(floor_file(instance), state_max_bytes);
    if (!content) return {};
    try {
        return range_ledger_from_json(nlohmann::json::parse(*content));
    } catch (const std::exception&) {
        return {};
    }
}

Result<void> save_floor(const Instance& instance, const RangeLedger& ledger) {
    const std::string content = to_json(rollback_protection(ledger)).dump(2) + "\n";
    if (rollback_protection(ledger).empty()) return {};
    if (const auto there = read_file(floor_file(instance), state_max_bytes); there && *there == content) return {};
    return replace_file(floor_file(instance), content);
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
            {"ranges", to_json(state.ranges)}};
}

ShaperSpec line_from(const std::string& text) {
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
    state.ranges = range_ledger_from_json(json.at("ranges"));
    state.queues.uplink = line_from(json.at("uplink"));
    state.queues.downlink = line_from(json.at("downlink"));
    const std::string queue = json.at("queue");
    state.queues.kind = queue_kind_of(queue);
    // "fq": a kind of an earlier version; the next command or tick replaces that queue.
    if (!state.queues.kind && queue != "auto" && queue != "fq") throw std::out_of_range("unknown queue");
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

Result<DesiredState> load_desired_state(const Instance& instance) {
    const auto path = state_file(instance);
    auto content = read_file(path, state_max_bytes);
    if (!content && content.error().number == ENOENT) return fresh_state(instance);
    if (!content) return fail(std::move(content.error()));
    try {
        return from_json(nlohmann::json::parse(*content));
    } catch (const std::exception& exception) {
        return fail(fmt::format("{}: not a state file of this version ({}); move it away and run enable again",
                                path.string(), exception.what()));
    }
}

bool is_same(const DesiredState& a, const DesiredState& b) {
    return to_json(a) == to_json(b);
}

DesiredState fresh_state(const Instance& instance) {
    DesiredState state;
    state.ranges = load_floor(instance);
    return state;
}

Result<void> save_desired_state(const Instance& instance, const DesiredState& state) {
    const std::string content = to_json(state).dump(2) + "\n";
    if (content.size() > state_max_bytes)
        return fail(fmt::format("{}: would be larger than {} bytes, which could not be read again",
                                state_file(instance).string(), state_max_bytes));
    KUDO_TRY(make_folder(instance.state_dir));
    KUDO_TRY(save_floor(instance, state.ranges));
    return replace_file(state_file(instance), content);
}

Result<void> forget_desired_state(const Instance& instance) {
    for (const auto& file : {state_file(instance), floor_file(instance)})
        for (const char* suffix : {"", ".new"}) {
            const std::string path = file.string() + suffix;
            if (unlink(path.c_str()) != 0 && errno != ENOENT) return fail_errno(path + ": cannot remove");
        }
    return {};
}

} // namespace kudo
