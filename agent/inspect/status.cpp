// SPDX-License-Identifier: MIT
#include "agent/inspect/status.h"
#include "agent/datapath/pin_folder.h"

#include <algorithm>
#include <set>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "agent/attach/attachment.h"
#include "agent/datapath/generation.h"
#include "agent/datapath/slot_names.h"
#include "agent/drops/tracing.h"
#include "agent/firewall_sets/sets.h"
#include "agent/inspect/lifelines_there.h"
#include "agent/inspect/runs.h"
#include "agent/linerate/line_states.h"
#include "agent/reconcile/teardown.h"
#include "agent/state/last_interfaces.h"
#include "agent/state/range_store.h"
#include "agent/state/wanted_interfaces.h"
#include "agent/system/capabilities.h"
#include "agent/system/lock.h"
#include "maps/base/abi_names.h"
#include "maps/base/text.h"
#include "maps/document/built_in.h"

namespace kudo {
namespace {

// `maps`: null if the one in effect cannot be read.
Result<void> read_policy(const DataPath& data_path, HonouredMaps* maps, const LifelineFacts& facts, Status& status) {
    auto active = KUDO_TRY(read_active(data_path.maps()));
    const kudo_policy& policy = *active.compiled.policy;
    const auto hash = active.hash();
    status.generation = active.generation;
    status.mode = static_cast<kudo_mode>(policy.mode);
    status.admission = admission_now(policy, status.read_at);
    if (status.mode == KUDO_ENFORCE && status.admission != KUDO_ADMISSION_ENFORCE) status.mode = KUDO_PRIORITISE;
    status.serial = policy.serial;
    status.prefixes4 = static_cast<uint32_t>(active.compiled.entries4.size());
    status.nat64 = static_cast<uint32_t>(count_nat64(active.compiled, status.desired.compile_options()));
    status.prefixes6 = static_cast<uint32_t>(active.compiled.entries6.size()) - status.nat64;
    status.content_hash = hex(hash);
    read_lifelines_there(active.compiled, status.lifelines);
    // Where packets are put to them, now.
    if (status.effect.admission != KUDO_ADMISSION_NONE)
        for (const Lifeline& lifeline : status.lifelines) {
            if (std::string text = lifeline_difference(lifeline); !text.empty())
                status.drift.push_back({fmt::format("lifeline {}: {}", lifeline.name, text), "policy", true});
            if (lifeline.reduced || lifeline.unknown)
                status.drift.push_back({fmt::format("lifeline {}: {}", lifeline.name, lifeline.note),
                                        fmt::format("lifeline {}", lifeline.name)});
        }

    if (!maps) return {};
    if (!maps->lost.empty()) {
        // As far as can be told: nothing else is known of what it should be.
        status.policy_matches = status.serial == status.desired.ranges.active.serial;
        if (!status.policy_matches) status.drift.push_back({maps->lost, "policy", true});
        return {};
    }
    auto slots = KUDO_TRY(read_service_slots(data_path.maps()));
    // The kernel has ended it by itself; that a reconcile has not followed yet makes no difference to any packet.
    if (status.effect.lapse == Lapse::Unconfirmed && policy.deadline == status.desired.enforcement.deadline) {
        status.policy_matches = true;
        return {};
    }
    // Nor does one that counts on after its rehearsal's end.
    DesiredState desired = status.desired;
    if (desired.rehearsal && policy.admission == KUDO_ADMISSION_REHEARSE) desired.rehearsal->end = Time::max();
    const auto options = KUDO_TRY(desired.compile_options(facts));
    const auto compiled = compile_honoured(*maps, options, slots);
    if (!compiled) { // with lifelines as the host needs them now, for instance, it is too much
        status.drift.push_back({"the desired policy cannot be made: " + compiled.error().message, "policy"});
        return {};
    }
    status.policy_matches = std::equal(hash.begin(), hash.end(), compiled->policy->content_hash);
    if (!status.policy_matches) {
        const bool same = status.serial == maps->active.map.serial && status.mode == status.effect.mode;
        status.drift.push_back(
            {same ? fmt::format(
                        "the kernel's policy is not the desired one: it has the same serial, {}, and mode, {}, but "
                        "other regions, services, marks, NAT64 prefixes, allow rules or lifelines, or staged or "
                        "retiring maps",
                        status.serial, mode_name(status.mode))
                  : fmt::format("the kernel's policy (serial {}, mode {}) is not the desired one (serial {}, mode {})",
                                status.serial, mode_name(status.mode), maps->active.map.serial,
                                mode_name(status.effect.mode)),
             "policy", true});
    }
    return {};
}

// What is wrong with the programs on an interface, by its cause where that can be seen.
std::vector<Difference> hook_problems(const Attached& attached, const Interface& interface,
                                      const DesiredState& desired) {
    const std::string in = interface.name + " ingress", out = interface.name + " egress";
    std::vector<Difference> problems;
    if (!attached.egress) {
        const std::string obstacle = egress_obstacle(interface, desired.attach_options());
        problems.push_back(
            {obstacle.empty() ? "no program on egress" : "no program on egress: " + obstacle, out, obstacle.empty()});
    }
    if (!attached.ingress)
        problems.push_back({"no program on ingress", in, true});
    else if (!desired.uses_xdp() && (attached.ingress == Hook::XdpNative || attached.ingress == Hook::XdpGeneric))
        problems.push_back({"XDP judges incoming packets, where tc is desired", in, true});
    else if (desired.marks_ingress() && !attached.marks_ingress)
        problems.push_back({"no program marks incoming packets", in, true});
    if (!problems.empty()) return problems;
    if (!attached.current)
        problems.push_back(
            {attached.stale.empty() ? "counts packets twice" : "another build's programs: " + attached.stale, in,
             true});
    else if (!attached.in_front.empty())
        problems.push_back({fmt::format("other programs run before kudo-agent's, which sees only what they pass on: {}",
                                        fmt::join(attached.in_front, ", ")),
                            "", true});
    return problems;
}

// Of an uplink a problem is somebody else's qdisc; of a downlink it is a part of ours that is missing.
void add_queue_problem(const std::string& interface, const char* direction, const QueueReport& queue,
                       bool enable_corrects, std::vector<Difference>& problems) {
    if (queue.healthy) return;
    problems.push_back(
        {queue.problem ? queue.problem->message : fmt::format("the {} qdisc is not the requested one", direction),
         fmt::format("{} {}", interface, direction), enable_corrects});
}

Result<void> read_interface(const Instance& instance, DataPath& data_path, const Interface& interface,
                            const DesiredState& desired, InterfaceStatus& line) {
    const Attached attached = KUDO_TRY(read_attached(data_path, interface));
    if (attached.ingress) line.ingress = hook_name(*attached.ingress);
    if (attached.egress) line.egress = hook_name(*attached.egress);
    const bool by_tc = attached.ingress == Hook::Tcx || attached.ingress == Hook::Tc;
    for (const auto& [hook, id] : programs_on(interface.index))
        if (by_tc && hook == "XDP")
            line.note = fmt::format("{} runs on XDP, before kudo-agent's ingress, which sees only what it passes on",
                                    program_text(id));
    line.queues = KUDO_TRY(read_queues(data_path, interface, desired.queues));
    for (auto& [way, queue] : {std::pair("uplink", &line.queues.uplink), std::pair("downlink", &line.queues.downlink)})
        if (queue->follows && queue->rate) {
            LineState state = line_state(instance, fmt::format("{} {}", interface.name, way));
            add_clause(queue->why, state.text);
            queue->following = std::move(state.name);
        }
    line.problems = hook_problems(attached, interface, desired);
    const QueueReport &up = line.queues.uplink, &down = line.queues.downlink;
    add_queue_problem(interface.name, "uplink", up, !up.problem, line.problems);
    add_queue_problem(interface.name, "downlink", down, true, line.problems);
    if (line.problems.empty() && !KUDO_TRY(programs_know_queues(data_path, interface, desired.queues, line.queues)))
        line.problems.push_back(
            {"the programs mark for another qdisc than the one that is there", interface.name + " queues", true});
    return {};
}

// `links_may_be_read`: whose programs are where was asked of the kernel already.
Result<void> read_interfaces(const Instance& instance, DataPath& data_path, const RangeMap& honoured,
                             bool links_may_be_read, Status& status) {
    auto wanted = KUDO_TRY(
        find_wanted_interfaces(status.desired, honoured, data_path.folder(), false, last_interfaces(instance)));
    status.routes = std::move(wanted.routes);
    if (status.admission == KUDO_ADMISSION_ENFORCE) status.not_enforced = std::move(wanted.beside);
    if (!links_may_be_read) status.unknown = unknown_programs(instance, wanted.present);
    for (const Interface& interface : wanted.present) {
        InterfaceStatus line;
        line.name = interface.name;
        line.index = interface.index;
        line.mtu = interface.mtu;
        if (auto read = read_interface(instance, data_path, interface, status.desired, line); !read)
            line.problems.push_back({read.error().message});
        if (const auto note = wanted.notes.find(interface.index); note != wanted.notes.end())
            add_clause(line.note, note->second);
        status.interfaces.push_back(std::move(line));
    }
    // Where all seems to be as it should: do the programs really see the packets?
    for (RunProblem& problem : KUDO_TRY(check_runs(data_path, wanted.present)))
        for (InterfaceStatus& line : status.interfaces)
            if (line.index == problem.interface && line.problems.empty())
                line.problems.push_back({std::move(problem.text)});
    for (const std::string& name : wanted.missing)
        status.interfaces.push_back(
            {.name = name, .ingress = {}, .egress = {}, .problems = {{"no such interface now", name}}, .note = {}});
    for (InterfaceStatus& line : status.interfaces) {
        line.healthy = line.problems.empty();
        for (Difference problem : line.problems) {
            if (!problem.text.starts_with(line.name + ": "))
                problem.text = fmt::format("{}: {}", line.name, problem.text);
            status.drift.push_back(std::move(problem));
        }
    }
    for (std::string& sentence : wanted.unwatched)
        status.drift.push_back({std::move(sentence)});
    if (wanted.present.empty() && wanted.missing.empty())
        for (std::string& warning : wanted.warnings)
            status.drift.push_back({std::move(warning)});
    for (const uint32_t index : held_interfaces(data_path.folder()))
        if (std::none_of(wanted.present.begin(), wanted.present.end(), [&](const auto& i) { return i.index == index; }))
            status.drift.push_back(
                {fmt::format("interface #{} still has, or had, a program or a qdisc of kudo-agent", index),
                 fmt::format("interface #{}", index), true});
    return {};
}

void read_firewall(const DataPath& data_path, Status& status) {
    if (status.desired.firewall != FirewallSync::On) return;
    const auto there = read_firewall_sets();
    if (!there) {
        status.drift.push_back({there.error().message, firewall_object});
        return;
    }
    std::set<std::string> rules;
    for (const auto& of_set : there->rules)
        rules.insert(of_set.begin(), of_set.end());
    status.firewall_rules.assign(rules.begin(), rules.end());
    const auto active = read_active(data_path.maps());
    std::string text =
        active ? firewall_difference(*there, firewall_sets_of(active->compiled)) : active.error().message;
    if (!text.empty()) status.drift.push_back({std::move(text), firewall_object, true});
}

// `maps`: as above.
Result<void> read_stale(DataPath& data_path, const HonouredMaps* maps, Status& status) {
    status.stale = KUDO_TRY(read_drift(data_path));
    if (maps)
        judge_by_map(status.stale, maps->combined(), status.desired.compile_options());
    else
        judge_without_map(status.stale);
    return {};
}

Result<Status> read_once(const Instance& instance) {
    Status status;
    status.desired = KUDO_TRY(load_desired_state(instance));
    status.read_at = HostMoment::now();
    status.effect = status.desired.in_effect(status.read_at);
    LifelineFacts facts;
    if (status.desired.has_lifelines()) {
        facts = status.desired.lifeline_facts();
        status.lifelines = make_lifelines(facts, status.desired.lifelines);
    }
    if (status.desired.enabled && status.effect.lapse != Lapse::None)
        status.drift.push_back({lapse_text(status.effect.lapse, status.desired.enforcement), "", true});
    auto maps = load_honoured_maps(instance, status.desired);
    if (!maps && maps.error().kind == ErrorKind::NotPermitted) return fail(std::move(maps.error()));
    if (maps) {
        const RangeMap& active = maps->active.map;
        status.routed = routed_ranges(status.desired.compile_options(), maps->combined());
        status.map_source = maps->active.source;
        status.effective = active.effective;
        status.alarms = maps->problems;
        if (maps->retiring.size() == status.desired.ranges.retiring.size()) status.what_retires = maps->what_retires();
        if (!maps->lost.empty()) status.alarms.push_back(maps->lost);
        if (active.expires && *active.expires <= wall_time())
            status.alarms.push_back(
                fmt::format("range map {} expired at {}; it stays in effect until a newer one is accepted",
                            active.serial, rfc3339(*active.expires)));
        if (const AcceptedMap* next = next_staged(status.desired.ranges))
            if (const auto document = load_document(instance, next->hash))
                status.staged_change = diff(active, *document);
    } else {
        status.map_source = status.desired.ranges.active.source;
        status.drift.push_back({maps.error().message});
    }
    for (const Alarm& alarm : status.desired.ranges.alarms)
        status.alarms.push_back(fmt::format("{} ({}{})", alarm.text, rfc3339(alarm.last),
                                            alarm.times > 1 ? fmt::format(", {} times", alarm.times) : ""));
    const auto unpinned = unpinned_links(instance);
    if (unpinned)
        for (const OwnLink& link : *unpinned)
            status.drift.push_back(
                {fmt::format("{}: {} of kudo-agent runs without a pin, as where a bpffs was "
                             "mounted over another; kudo-agent enable or disable removes it",
                             link.interface == 0 ? drops_object : fmt::format("interface #{}", link.interface),
                             program_text(link.program)),
                 "", true});
    if (!status.desired.enabled) {
        const auto sets = status.desired.firewall != FirewallSync::Off ? read_firewall_sets() : FirewallSetsThere{};
        status.leftovers = has_pins(instance) || (unpinned && !unpinned->empty()) || (sets && sets->any());
        if (maps) status.serial = maps->active.map.serial;
        if (status.leftovers) status.drift.push_back({"not enabled, but parts of the data path are left; run disable"});
        return status;
    }
    auto data_path = DataPath::open(instance);
    if (!data_path && data_path.error().number == ENOENT) {
        const bool none = data_path.error().kind == ErrorKind::NotEnabled;
        if (none && has_pins(instance))
            status.drift.push_back({"the data path of another version of kudo-agent is loaded; run enable again, which "
                                    "takes an older one over",
                                    "", true});
        else
            status.drift.push_back(
                {none ? "enabled, but no data path is loaded (a reboot?); run enable again" : data_path.error().message,
                 "", true});
        auto wanted = KUDO_TRY(find_wanted_interfaces(status.desired, maps ? maps->combined() : built_in_range_map(),
                                                      instance.layout(), false, last_interfaces(instance)));
        for (const Interface& interface : wanted.present)
            status.interfaces.push_back({.name = interface.name,
                                         .index = interface.index,
                                         .ingress = {},
                                         .egress = {},
                                         .problems = {{none ? "no pins of programs" : "cannot be told"}},
                                         .note = {}});
        return status;
    }
    if (!data_path) return fail(std::move(data_path.error()));
    KUDO_TRY(read_policy(*data_path, maps ? &*maps : nullptr, facts, status));
    const bool links_may_be_read = unpinned || unpinned.error().kind != ErrorKind::NotPermitted;
    KUDO_TRY(read_interfaces(instance, *data_path, maps ? maps->combined() : built_in_range_map(), links_may_be_read,
                             status));
    read_firewall(*data_path, status);
    if (const Tracing tracing = read_tracing(*data_path); !tracing.attached)
        status.drift.push_back({tracing.why_not, drops_object, tracing.enable_corrects});
    KUDO_TRY(read_stale(*data_path, maps ? &*maps : nullptr, status));
    return status;
}

constexpr std::chrono::seconds change_timeout{1};

} // namespace

Result<Status> read_status(const Instance& instance) {
    KUDO_TRY(check_capabilities());
    KUDO_TRY(check_layout_is_ours(instance));
    auto status = read_once(instance);
    if (!status || !status->desired.enabled || is_healthy(*status)) return status;
    // Perhaps a command is going from one state to another: what it ends in is what counts.
    const auto lock = lock_folder(instance.state_dir, change_timeout);
    return lock ? read_once(instance) : std::move(status);
}

std::vector<std::string> texts_of(const std::vector<Difference>& differences) {
    std::vector<std::string> texts;
    for (const Difference& difference : differences)
        texts.push_back(difference.text);
    return texts;
}

std::vector<Difference> untold_drift(const Status& status, const ReconcileReport& report) {
    const auto is_told = [&](const Difference& difference) {
        const auto by_problem = [&](const Problem& problem) {
            return difference.text.ends_with(problem.error.message) ||
                   (!difference.object.empty() && difference.object == problem.object);
        };
        const auto by_warning = [&](const std::string& warning) {
            return warning == difference.text ||
                   (!difference.object.empty() && warning.starts_with(difference.object + " "));
        };
        return std::ranges::any_of(report.problems, by_problem) || std::ranges::any_of(report.warnings, by_warning);
    };
    std::vector<Difference> untold = status.drift;
    std::erase_if(untold, is_told);
    return untold;
}

bool is_healthy(const Status& status) {
    return status.desired.enabled && status.generation != 0 && status.policy_matches && status.drift.empty() &&
           std::ranges::all_of(status.interfaces, &InterfaceStatus::healthy);
}

} // namespace kudo
