// SPDX-License-Identifier: MIT
#include "agent/state/desired_state.h"
#include "agent/state/range_ledger_json.h"

#include <unistd.h>

#include <algorithm>
#include <tuple>
#include <utility>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "agent/lifelines/host_facts.h"
#include "agent/system/files.h"
#include "agent/system/own_files.h"
#include "maps/allow/allow_rule.h"
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

std::string_view firewall_sync_name(FirewallSync sync) {
    return sync == FirewallSync::Off ? "off" : sync == FirewallSync::On ? "on" : "removing";
}
std::optional<FirewallSync> firewall_sync_of(std::string_view name) {
    for (const FirewallSync sync : {FirewallSync::Off, FirewallSync::On, FirewallSync::Removing})
        if (firewall_sync_name(sync) == name) return sync;
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
template <>
struct adl_serializer<kudo::FirewallSync>
    : AsText<kudo::FirewallSync, kudo::firewall_sync_name, kudo::firewall_sync_of> {};
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

template <> struct adl_serializer<kudo::LifelineSetting> { // as it is written
    static void to_json(json& out, const kudo::LifelineSetting& setting) { out = kudo::lifeline_text(setting); }
    static void from_json(const json& from, kudo::LifelineSetting& setting) {
        auto read = kudo::parse_lifelines({from.get<std::string>()});
        if (!read) throw std::out_of_range(read.error().message);
        setting = std::move(read->front());
    }
};

template <>
struct adl_serializer<kudo::Address>
    : AsText<kudo::Address, [](const kudo::Address& address) { return address.text(); }, kudo::Address::parse> {};

} // namespace nlohmann

namespace kudo {

static void to_json(nlohmann::json& out, const MapSource& source) {
    out = {{"name", source.name}, {"port", source.port}, {"addresses", source.addresses}};
    if (!source.left_out.empty()) out["left_out"] = source.left_out;
}
static void from_json(const nlohmann::json& from, MapSource& source) {
    from.at("name").get_to(source.name);
    from.at("port").get_to(source.port);
    from.at("addresses").get_to(source.addresses);
    if (from.contains("left_out")) from.at("left_out").get_to(source.left_out);
}

static void to_json(nlohmann::json& out, const Session& session) {
    out = {{"ssh", session.ssh},
           {"leader", session.leader},
           {"leader_started", session.leader_started},
           {"login", session.login}};
}
static void from_json(const nlohmann::json& from, Session& session) {
    from.at("ssh").get_to(session.ssh);
    from.at("leader").get_to(session.leader);
    from.at("leader_started").get_to(session.leader_started);
    from.at("login").get_to(session.login);
}

static void to_json(nlohmann::json& out, const Enforcement& enforcement) {
    out = {{"confirmed", enforcement.confirmed}, {"deadline", enforcement.deadline},
           {"published", enforcement.published}, {"last_login", enforcement.last_login},
           {"within", enforcement.within},       {"boot", enforcement.boot},
           {"asked_by", enforcement.asked_by},   {"ssh", enforcement.ssh}};
}
static void from_json(const nlohmann::json& from, Enforcement& enforcement) {
    from.at("confirmed").get_to(enforcement.confirmed);
    from.at("deadline").get_to(enforcement.deadline);
    from.at("published").get_to(enforcement.published);
    if (from.contains("last_login")) from.at("last_login").get_to(enforcement.last_login); // else of before it was kept
    from.at("within").get_to(enforcement.within);
    from.at("boot").get_to(enforcement.boot);
    from.at("asked_by").get_to(enforcement.asked_by);
    from.at("ssh").get_to(enforcement.ssh);
}

static void to_json(nlohmann::json& out, const LostMark& mark) {
    out = {{"dscp", mark.dscp}, {"since", mark.since}, {"server", mark.server}};
}
static void from_json(const nlohmann::json& from, LostMark& mark) {
    from.at("dscp").get_to(mark.dscp);
    from.at("since").get_to(mark.since);
    from.at("server").get_to(mark.server);
}

static void to_json(nlohmann::json& out, const Rehearsal& rehearsal) {
    out = {{"begin", rehearsal.begin}, {"end", rehearsal.end}};
}
static void from_json(const nlohmann::json& from, Rehearsal& rehearsal) {
    from.at("begin").get_to(rehearsal.begin);
    from.at("end").get_to(rehearsal.end);
}

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
    const auto content = read_own_file(protection_file(instance), state_max_bytes);
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
    if (const auto there = read_own_file(protection_file(instance), state_max_bytes); there && *there == content)
        return {};
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
    visit("mark_fallback", state.mark_fallback);
    visit("lost_marks", state.lost_marks);
    visit("firewall_mark", state.firewall_mark);
    visit("firewall_mark_mask", state.firewall_mark_mask);
    visit("nat64", state.nat64);
    visit("exact_domains", state.exact_domains);
    visit("uplink", state.queues.uplink);
    visit("downlink", state.queues.downlink);
    visit("queue", state.queues.kind);
    visit("replace_qdisc", state.queues.replace_qdisc);
    visit("allow", state.allow);
    visit("lifelines", state.lifelines);
    visit("enforcement", state.enforcement);
    visit("rehearsal", state.rehearsal);
    visit("map_sources", state.map_sources);
    visit("resolvers", state.resolvers);
    visit("firewall_sync", state.firewall);
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
        constexpr std::string_view later[] = {
            "nat64",       "disabling", "ingress",       "allow",         "lifelines",     "enforcement", "rehearsal",
            "map_sources", "resolvers", "firewall_sync", "exact_domains", "mark_fallback", "lost_marks"};
        // A file of before there were these.
        if (std::ranges::find(later, name) != std::end(later) && !json.contains(name)) return;
        json.at(std::string(name)).get_to(field);
    });
    return state;
}

} // namespace

CompileOptions DesiredState::compile_options() const {
    return {.regions = regions,
            .optional_services = teams ? std::vector<std::string>{"teams"} : std::vector<std::string>{},
            .mode = in_effect().mode,
            .marks = marks_in_effect(),
            .firewall_mark = firewall_mark,
            .firewall_mark_mask = firewall_mark_mask,
            .nat64 = nat64,
            .exact_domains = exact_domains};
}

Result<CompileOptions> DesiredState::compile_options(const LifelineFacts& facts) const {
    CompileOptions options = compile_options();
    const ModeInEffect effect = in_effect();
    options.mode = effect.mode;
    options.admission = effect.admission;
    options.deadline = effect.deadline;
    if (effect.admission == KUDO_ADMISSION_NONE) return options;
    for (const std::string& rule : allow)
        options.allow.push_back(KUDO_TRY(parse_allow_rule(rule).in("allow")));
    for (Lifeline& lifeline : make_lifelines(facts, lifelines))
        std::ranges::move(lifeline.rules, std::back_inserter(options.allow));
    return options;
}

LifelineFacts DesiredState::lifeline_facts() const {
    LifelineFacts facts = read_lifeline_facts();
    if (!facts.resolvers_unread.empty() && !resolvers.empty()) facts.resolvers = resolvers;
    facts.queries_allowed = std::ranges::any_of(allow, [](const std::string& text) {
        const auto rule = parse_allow_rule(text);
        return rule && admits_queries(rule->rule);
    });
    facts.ssh = enforcement.ssh;
    facts.sources_known = map_sources.has_value();
    if (map_sources) facts.sources = *map_sources;
    return facts;
}

Result<DesiredState> load_desired_state(const Instance& instance) {
    auto path = state_file(instance);
    auto content = read_own_file(path, state_max_bytes);
    const bool disabled = !content && content.error().number == ENOENT;
    if (disabled) content = read_own_file(path = disabled_file(instance), state_max_bytes);
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

std::vector<OptionChange> option_changes(const DesiredState& from, const DesiredState& to) {
    constexpr std::string_view no_options[] = {"format",    "enabled",       "disabling", "enforcement", "map_sources",
                                               "resolvers", "firewall_sync", "ranges",    "lost_marks"};
    const Json before = json_of(from), after = json_of(to);
    std::vector<OptionChange> changes;
    for (const auto& [name, value] : after.items())
        if (std::ranges::find(no_options, name) == std::end(no_options) && before.at(name) != value)
            changes.push_back({name, before.at(name).dump(), value.dump()});
    return changes;
}

bool is_same(const DesiredState& a, const DesiredState& b) {
    return json_of(a) == json_of(b);
}

bool enforce_the_same(const DesiredState& a, const DesiredState& b) {
    const auto rules = [](const DesiredState& state) {
        return std::tie(state.enabled, state.mode, state.regions, state.teams, state.nat64, state.exact_domains,
                        state.interfaces, state.allow, state.lifelines);
    };
    return rules(a) == rules(b);
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
