// SPDX-License-Identifier: MIT
#include "agent/state/desired_state.h"
#include "agent/state/range_ledger_json.h"

#include <unistd.h>

#include <utility>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "agent/system/files.h"
#include "maps/base/abi_names.h"
#include "maps/net/nat64.h"

namespace kudo {
namespace {

std::optional<kudo_mode> mode_of(std::string_view name) {
    for (const kudo_mode mode : {KUDO_OBSERVE, KUDO_PRIORITISE, KUDO_ENFORCE})
        if (mode_name(mode) == name) return mode;
    return std::nullopt;
}

std::string_view tc_hook_name(TcHook hook) {
    return hook == TcHook::Auto ? "auto" : hook == TcHook::Tcx ? "tcx" : "clsact";
}
std::optional<TcHook> tc_hook_of(std::string_view name) {
    for (const TcHook hook : {TcHook::Auto, TcHook::Tcx, TcHook::Clsact})
        if (tc_hook_name(hook) == name) return hook;
    return std::nullopt;
}

std::optional<IngressHook> ingress_hook_of(std::string_view name) {
    for (const IngressHook hook : {IngressHook::Auto, IngressHook::Tc, IngressHook::Xdp})
        if (ingress_hook_name(hook) == name) return hook;
    return std::nullopt;
}

using QueueChoice = std::optional<QueueKind>;
std::string_view queue_choice_name(const QueueChoice& kind) {
    return kind ? queue_kind_name(*kind) : "auto";
}
std::optional<QueueChoice> queue_choice_of(std::string_view name) {
    // "fq": a kind of an earlier version; the next command or tick replaces that queue.
    if (const auto kind = queue_kind_of(name); kind || name == "auto" || name == "fq") return kind;
    return std::nullopt;
}

} // namespace

} // namespace kudo

namespace nlohmann {

template <> struct adl_serializer<kudo_mode> : AsText<kudo_mode, kudo::mode_name, kudo::mode_of> {};
template <> struct adl_serializer<kudo::TcHook> : AsText<kudo::TcHook, kudo::tc_hook_name, kudo::tc_hook_of> {};
template <>
struct adl_serializer<kudo::IngressHook> : AsText<kudo::IngressHook, kudo::ingress_hook_name, kudo::ingress_hook_of> {};
template <>
struct adl_serializer<kudo::QueueChoice> : AsText<kudo::QueueChoice, kudo::queue_choice_name, kudo::queue_choice_of> {};
template <> struct adl_serializer<kudo::ShaperSpec> : AsText<kudo::ShaperSpec, kudo::line_text, kudo::parse_line> {};

template <>
struct adl_serializer<kudo::Prefix>
    : AsText<kudo::Prefix, [](const kudo::Prefix& prefix) { return prefix.text(); }, kudo::parse_nat64_prefix> {};

template <> struct adl_serializer<kudo_mark> { // what it does not set is not there
    static void to_json(json& out, const kudo_mark& mark) {
        out = json::object();
        if (mark.flags & KUDO_MARK_PRIORITY) out["priority"] = mark.priority;
        if (mark.flags & KUDO_MARK_DSCP) out["dscp"] = mark.dscp;
    }
    static void from_json(const json& from, kudo_mark& mark) {
        mark.priority = from.value("priority", 0U);
        mark.dscp = from.value("dscp", __u8{0});
        mark.flags = static_cast<__u8>((from.contains("priority") ? KUDO_MARK_PRIORITY : 0) |
                                       (from.contains("dscp") ? KUDO_MARK_DSCP : 0));
    }
};

template <> struct adl_serializer<kudo::Marks> { // by treatment
    static void to_json(json& out, const kudo::Marks& marks) {
        for (std::size_t at = 0; at < marks.size(); ++at)
            out[std::string(kudo::treatment_name(static_cast<kudo_treatment>(at)))] = marks[at];
    }
    static void from_json(const json& from, kudo::Marks& marks) {
        for (std::size_t at = 0; at < marks.size(); ++at)
            from.at(std::string(kudo::treatment_name(static_cast<kudo_treatment>(at)))).get_to(marks[at]);
    }
};

} // namespace nlohmann

namespace kudo {
namespace {

constexpr std::size_t state_max_bytes = 1024 * 1024;
constexpr std::string_view state_format = "kudo-agent-state/3";

std::filesystem::path state_file(const Instance& instance) {
    return instance.state_dir / "state.json";
}
// The state of a host whose disk had no room to write that it is not enabled any more: a rename needs none.
std::filesystem::path disabled_file(const Instance& instance) {
    return instance.state_dir / "state.json.disabled";
}
// What must outlive a damaged state: see rollback_protection().
std::filesystem::path protection_file(const Instance& instance) {
    return instance.state_dir / "range-floor.json";
}

// As far as it can be read: nothing else knows it.
RangeLedger load_protection(const Instance& instance) {
    const auto content = read_file(protection_file(instance), state_max_bytes);
    if (!content) return {};
    try {
        return Json::parse(*content).get<RangeLedger>();
    } catch (const std::exception&) {
        return {};
    }
}

Result<void> save_protection(const Instance& instance, const RangeLedger& ledger) {
    const RangeLedger protection = rollback_protection(ledger);
    if (protection.empty()) return {};
    const std::string content = Json(protection).dump(2) + "\n";
    if (const auto there = read_file(protection_file(instance), state_max_bytes); there && *there == content) return {};
    return replace_file(protection_file(instance), content);
}

// Each option's name in the file, and where it is: read and written by this one list.
template <typename State, typename Visit> void each_field(State& state, Visit visit) {
    visit("enabled", state.enabled);
    visit("disabling", state.disabling);
    visit("regions", state.regions);
    visit("teams", state.teams);
    visit("mode", state.mode);
    visit("interfaces", state.interfaces);
    visit("max_flows", state.max_flows);
    visit("ingress", state.ingress);
    visit("xdp_generic", state.xdp_generic);
    visit("tc_hook", state.tc_hook);
    visit("marks", state.marks);
    visit("firewall_mark", state.firewall_mark);
    visit("firewall_mark_mask", state.firewall_mark_mask);
    visit("nat64", state.nat64);
    visit("uplink", state.queues.uplink);
    visit("downlink", state.queues.downlink);
    visit("queue", state.queues.kind);
    visit("replace_qdisc", state.queues.replace_qdisc);
    visit("ranges", state.ranges);
}

Json json_of(const DesiredState& state) {
    Json json{{"format", state_format}};
    each_field(state, [&](const char* name, const auto& field) { json[name] = field; });
    return json;
}

// Throws nlohmann's exceptions or std::out_of_range on anything unexpected; the caller turns them into one Error.
DesiredState desired_state_from(const Json& json) {
    if (json.at("format") != state_format) throw std::out_of_range("format is not " + std::string(state_format));
    DesiredState state;
    each_field(state, [&](std::string_view name, auto& field) {
        // A file of before there were these.
        if ((name == "nat64" || name == "disabling" || name == "ingress") && !json.contains(name)) return;
        json.at(std::string(name)).get_to(field);
    });
    return state;
}

} // namespace

CompileOptions DesiredState::compile_options() const {
    return {.regions = regions,
            .optional_services = teams ? std::vector<std::string>{"teams"} : std::vector<std::string>{},
            .mode = mode,
            .marks = marks,
            .firewall_mark = firewall_mark,
            .firewall_mark_mask = firewall_mark_mask,
            .nat64 = nat64};
}

Result<DesiredState> load_desired_state(const Instance& instance) {
    auto path = state_file(instance);
    auto content = read_file(path, state_max_bytes);
    const bool disabled = !content && content.error().number == ENOENT;
    if (disabled) content = read_file(path = disabled_file(instance), state_max_bytes);
    if (!content && content.error().number == ENOENT) return fresh_state(instance);
    const std::string text = KUDO_TRY(std::move(content));
    try {
        DesiredState state = desired_state_from(Json::parse(text));
        if (disabled) state.enabled = false;
        return state;
    } catch (const std::exception& exception) {
        return fail(fmt::format("{}: not a state file of this version ({}); move it away and run enable again",
                                path.string(), exception.what()));
    }
}

bool is_same(const DesiredState& a, const DesiredState& b) {
    return json_of(a) == json_of(b);
}

DesiredState fresh_state(const Instance& instance) {
    DesiredState state;
    state.ranges = load_protection(instance);
    return state;
}

Result<void> save_desired_state(const Instance& instance, const DesiredState& state) {
    const std::string content = json_of(state).dump(2) + "\n";
    if (content.size() > state_max_bytes)
        return fail(fmt::format("{}: would be larger than {} bytes, which could not be read again",
                                state_file(instance).string(), state_max_bytes));
    KUDO_TRY(make_folder(instance.state_dir));
    KUDO_TRY(save_protection(instance, state.ranges));
    KUDO_TRY(replace_file(state_file(instance), content));
    unlink(disabled_file(instance).c_str());
    return {};
}

Result<void> mark_not_enabled(const Instance& instance) {
    if (rename(state_file(instance).c_str(), disabled_file(instance).c_str()) != 0 && errno != ENOENT)
        return fail_errno(state_file(instance).string() + ": cannot rename");
    return {};
}

Result<void> forget_desired_state(const Instance& instance) {
    for (const auto& file : {state_file(instance), protection_file(instance), disabled_file(instance)})
        for (const char* suffix : {"", ".new"}) {
            const std::string path = file.string() + suffix;
            if (unlink(path.c_str()) != 0 && errno != ENOENT) return fail_errno(path + ": cannot remove");
        }
    return {};
}

} // namespace kudo
