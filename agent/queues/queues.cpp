// SPDX-License-Identifier: MIT
#include "agent/queues/queues.h"

#include <bpf/bpf.h>
#include <linux/pkt_sched.h>
#include <net/if.h>
#include <sys/stat.h>

#include <algorithm>
#include <cstring>
#include <functional>

#include <fmt/format.h>

#include "agent/attach/attachment.h"
#include "agent/netlink/interfaces.h"
#include "agent/queues/downlink.h"
#include "agent/queues/plan.h"
#include "agent/queues/saved_qdisc.h"

namespace kudo {

namespace fs = std::filesystem;

namespace {

Place uplink_of(const Interface& interface) {
    return {interface.index, interface.name, std::to_string(interface.index)};
}
Place downlink_of(uint32_t interface, uint32_t device) {
    return {device, downlink_device_name(interface), fmt::format("{}_ifb", interface)};
}

QueuePlan downlink_plan(const Interface& interface, const QueueSpec& wish) {
    return shaped_plan({.bits_per_second = wish.downlink.bits_per_second, .mtu = interface.mtu, .incoming = true},
                       wish.kind);
}

// An empty folder beside the memories of roots.
fs::path downlink_memory(const fs::path& folder, uint32_t interface) {
    return folder / "queues" / fmt::format("{}_downlink", interface);
}

// True if there was one of ours.
Result<bool> remove_our_downlink(const fs::path& folder, uint32_t interface) {
    const fs::path memory = downlink_memory(folder, interface);
    if (!fs::exists(memory)) return false;
    KUDO_TRY(remove_downlink(interface, true));
    KUDO_TRY(forget_queue_memory(folder, downlink_of(interface, 0).memory));
    if (rmdir(memory.c_str()) != 0) return fail_errno(memory.string());
    return true;
}

// The queue that incoming packets go through.
Result<EnsuredRoot> ensure_downlink(DataPath& data_path, const Interface& interface, const QueueSpec& wish) {
    EnsuredRoot result;
    result.report.found = "no queue";
    if (wish.downlink.kind != ShaperSpec::Kind::Rate) {
        auto removed = KUDO_TRY(remove_our_downlink(data_path.folder(), interface.index));
        result.report.changed = removed;
        result.report.why = downlink_unshaped(wish.downlink);
        return result;
    }
    const fs::path memory = downlink_memory(data_path.folder(), interface.index);
    if (mkdir(memory.c_str(), 0700) != 0 && errno != EEXIST) return fail_errno(memory.string());
    auto device = KUDO_TRY(ensure_downlink_device(interface.index));
    auto ensured = KUDO_TRY(
        ensure_root(data_path.folder(), downlink_of(interface.index, device), downlink_plan(interface, wish), true));
    ensured.report.found = "no queue";
    return ensured;
}

// RFC 8325 section 4: voice 6, video 5; 256 + that is what mac80211 takes as it is.
constexpr uint32_t wifi_priority = 256;
constexpr Priorities wifi_priorities = {wifi_priority + 6, wifi_priority + 5, wifi_priority + 5, wifi_priority + 3};

// `queue`: what the queue of ours wants to see; nothing but zeros: there is none.
Priorities egress_priorities(const Interface& interface, const Priorities& queue) {
    return queue == Priorities{} && is_wireless(interface.index) ? wifi_priorities : queue;
}

kudo_interface interface_entry(const Interface& interface, const Priorities& egress, const Priorities& ingress,
                               bool tracks_ingress) {
    kudo_interface entry{};
    entry.index = interface.index;
    entry.tracks_ingress = tracks_ingress;
    std::ranges::copy(egress, entry.egress);
    std::ranges::copy(ingress, entry.ingress);
    return entry;
}

// The element of an interface that is still one of ours stays with it.
Result<bool> write_interface(const DataPath& data_path, const Interface& interface, const kudo_interface& wanted) {
    const uint32_t element = wanted.index % KUDO_INTERFACES;
    kudo_interface present{};
    if (bpf_map_lookup_elem(data_path.maps().interfaces.get(), &element, &present) != 0)
        return fail_errno("cannot read how an interface is marked for");
    if (std::memcmp(&present, &wanted, sizeof wanted) == 0) return false;
    char other[IF_NAMESIZE];
    if (present.index != 0 && present.index != wanted.index &&
        attached_interfaces(data_path.folder()).contains(present.index) && if_indextoname(present.index, other))
        return bad_input(fmt::format("{} and {} cannot both have programs of ours: their numbers, {} and {}, are a "
                                     "multiple of {} apart",
                                     interface.name, other, wanted.index, present.index, KUDO_INTERFACES));
    if (bpf_map_update_elem(data_path.maps().interfaces.get(), &element, &wanted, BPF_ANY) != 0)
        return fail_errno("cannot write how an interface is marked for");
    return true;
}

} // namespace

Result<void> check_queues(const Instance& instance, const Interface& interface, const QueueSpec& wish) {
    if (wish.uplink.kind != ShaperSpec::Kind::Rate && wish.downlink.kind != ShaperSpec::Kind::Rate &&
        wish.kind == QueueKind::Htb)
        return bad_input("--queue htb: it needs --uplink RATE or --downlink RATE");
    auto root = KUDO_TRY(read_root(instance.layout(), uplink_of(interface)));
    if (wish.downlink.kind == ShaperSpec::Kind::Rate &&
        !fs::exists(downlink_memory(instance.layout(), interface.index))) {
        auto downlink = KUDO_TRY(read_downlink(interface.index));
        if (downlink.device != 0)
            return bad_input(fmt::format("{}: --downlink: an interface {} is there that we have not made",
                                         interface.name, downlink_device_name(interface.index)));
    }
    const std::optional<QueueKind> kind = wish.kind;
    if (kind && *kind != QueueKind::PfifoFast) {
        auto present =
            KUDO_TRY(has_qdisc_kind(interface.index, std::string(queue_kind_name(*kind))).in(interface.name));
        if (!present) return bad_input(fmt::format("--queue {}: this kernel does not have it", queue_kind_name(*kind)));
    }
    if (uplink_plan(root.found(), wish, interface.mtu).candidates.empty()) return {};
    return check_replaceable(root, uplink_of(interface), wish.replace_qdisc);
}

Result<InterfaceQueues> ensure_queues(DataPath& data_path, const Interface& interface, const QueueSpec& wish) {
    auto root = KUDO_TRY(read_root(data_path.folder(), uplink_of(interface)));
    auto uplink = KUDO_TRY(ensure_root(data_path.folder(), uplink_of(interface),
                                       uplink_plan(root.found(), wish, interface.mtu), wish.replace_qdisc));
    auto downlink = KUDO_TRY(ensure_downlink(data_path, interface, wish));
    InterfaceQueues queues{std::move(uplink.report), std::move(downlink.report)};
    const Priorities priorities = egress_priorities(interface, uplink.priorities);

    const bool shapes_downlink = wish.downlink.kind == ShaperSpec::Kind::Rate;
    const kudo_interface entry = interface_entry(interface, priorities, downlink.priorities, shapes_downlink);
    auto written = KUDO_TRY(write_interface(data_path, interface, entry));
    queues.uplink.changed |= written;
    if (!shapes_downlink) return queues;
    auto now = KUDO_TRY(read_downlink(interface.index));
    auto redirected =
        KUDO_TRY(ensure_redirect(data_path.folder() / "filters", interface.index, now.device).in(interface.name));
    queues.downlink.changed |= redirected;
    return queues;
}

Result<InterfaceQueues> read_queues(const DataPath& data_path, const Interface& interface, const QueueSpec& wish) {
    const fs::path& folder = data_path.folder();
    Priorities egress{}, ingress{};
    const auto report = [&](const Place& place,
                            const std::function<QueuePlan(const FoundQueue&)>& plan_for) -> Result<QueueReport> {
        auto root = KUDO_TRY(read_root(folder, place));
        const QueuePlan plan = plan_for(root.found());
        QueueReport result;
        result.found = root.found().text();
        const QueueTree* tree = root.made_for(plan);
        result.why = tree ? plan.why_with(*tree) : plan.why;
        result.chosen = tree ? std::string(queue_kind_name(tree->kind)) : root.standing.found().kind;
        result.healthy = plan.candidates.empty() ? !root.memory : tree != nullptr;
        if (tree) (place.index == interface.index ? egress : ingress) = tree->priorities;
        return result;
    };
    InterfaceQueues queues;
    auto uplink =
        report(uplink_of(interface), [&](const FoundQueue& found) { return uplink_plan(found, wish, interface.mtu); });
    if (!uplink) return fail(std::move(uplink.error()));
    queues.uplink = std::move(*uplink);

    auto downlink = KUDO_TRY(read_downlink(interface.index));
    queues.downlink.found = "no queue";
    const bool shapes_downlink = wish.downlink.kind == ShaperSpec::Kind::Rate;
    if (!shapes_downlink) {
        queues.downlink.why = downlink_unshaped(wish.downlink);
        queues.downlink.healthy = !fs::exists(downlink_memory(folder, interface.index));
    } else if (downlink.device == 0) {
        queues.downlink.why = "its IFB device is gone";
        queues.downlink.healthy = false;
    } else {
        auto queue = report(downlink_of(interface.index, downlink.device),
                            [&](const FoundQueue&) { return downlink_plan(interface, wish); });
        if (!queue) return fail(std::move(queue.error()));
        queues.downlink = std::move(*queue);
        queues.downlink.found = "no queue";
        queues.downlink.healthy &= downlink.works();
    }
    // Do the programs mark for these queues?
    const kudo_interface wanted =
        interface_entry(interface, egress_priorities(interface, egress), ingress, shapes_downlink);
    const uint32_t element = interface.index % KUDO_INTERFACES;
    kudo_interface present{};
    if (bpf_map_lookup_elem(data_path.maps().interfaces.get(), &element, &present) != 0)
        return fail_errno("cannot read how an interface is marked for");
    queues.uplink.healthy &= std::memcmp(&present, &wanted, sizeof wanted) == 0;
    return queues;
}

Result<bool> remove_queues(const fs::path& folder, uint32_t interface) {
    auto removed = KUDO_TRY(remove_our_downlink(folder, interface));
    auto restored =
        restore_root(folder, {interface, fmt::format("interface #{}", interface), std::to_string(interface)});
    if (!restored) return fail(std::move(restored.error()).in(fmt::format("interface #{}", interface)));
    return removed || *restored;
}

Result<void> remove_orphaned_queues(uint32_t interface) {
    KUDO_TRY(remove_downlink(interface, false));
    auto standing = KUDO_TRY(read_qdisc_tree(interface));
    const TcObject* root = standing.root();
    return root && root->handle == queue_handle ? remove_root_qdisc(interface) : Result<void>{};
}

Result<std::vector<QueueNumbers>> read_queue_numbers(const Interface& interface) {
    const auto numbers_of = [&](uint32_t index, const char* direction) -> Result<QueueNumbers> {
        auto standing = KUDO_TRY(read_qdisc_tree(index));
        const TcObject* root = standing.root();
        return QueueNumbers{interface.name, direction, root ? root->kind : "none",
                            queue_classes(standing.qdiscs, standing.classes)};
    };
    std::vector<QueueNumbers> result;
    auto uplink = KUDO_TRY(numbers_of(interface.index, "egress"));
    if (uplink.kind != "noqueue" && uplink.kind != "none") result.push_back(std::move(uplink));
    auto downlink = KUDO_TRY(read_downlink(interface.index));
    if (downlink.device == 0) return result;
    auto queue = KUDO_TRY(numbers_of(downlink.device, "ingress"));
    result.push_back(std::move(queue));
    return result;
}

} // namespace kudo
