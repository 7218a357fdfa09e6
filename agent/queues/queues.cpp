// SPDX-License-Identifier: MIT
#include "agent/queues/queues.h"

#include <bpf/bpf.h>
#include <linux/pkt_sched.h>
#include <net/if.h>
#include <sys/stat.h>

#include <algorithm>
#include <cstring>

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include "agent/attach/attachment.h"
#include "agent/attach/in_kernel.h"
#include "agent/datapath/pin_folder.h"
#include "agent/netlink/interfaces.h"
#include "agent/queues/downlink.h"
#include "agent/queues/plan.h"
#include "agent/queues/saved_qdisc.h"
#include "agent/queues/shaped_rate.h"

namespace kudo {
namespace fs = std::filesystem;
namespace {

// `instance`: instance_id().
QdiscSlot uplink_slot(const fs::path& folder, const Interface& interface, uint64_t instance) {
    return {folder,         interface.index,
            interface.name, std::to_string(interface.index),
            instance,       is_wireless(interface.index)};
}
QueuePlan plan_of(const QdiscSlot& uplink, const Root& root, const Interface& interface, const QueueSpec& spec) {
    return uplink_plan(root.found(), spec, interface.mtu, uplink.wifi);
}
std::string downlink_saved_as(uint32_t interface) {
    return fmt::format("{}_ifb", interface);
}
QdiscSlot downlink_slot(const DataPath& data_path, uint32_t interface, uint32_t device) {
    return {data_path.folder(), device, downlink_device_name(interface), downlink_saved_as(interface),
            data_path.instance()};
}

bool shapes_downlink(const QueueSpec& spec) {
    return spec.downlink.has_rate();
}
QueuePlan downlink_plan(const Interface& interface, const QueueSpec& spec) {
    return line_plan(spec.downlink, interface.mtu, true, spec.kind);
}
QueueReport without_downlink(const QueueSpec& spec) {
    return {.found = "no queue",
            .chosen = {},
            .why = spec.downlink.kind == ShaperSpec::Kind::Off ? "left alone, as requested"
                                                               : "not shaped without --downlink RATE"};
}

// An empty folder next to the saved roots: the downlink's device and filter are ours.
fs::path downlink_marker(const fs::path& folder, uint32_t interface) {
    return folder / "queues" / fmt::format("{}_downlink", interface);
}

// By the marker, or, where that is lost, by the device's alias.
bool is_our_downlink(const fs::path& folder, uint32_t interface, const Downlink& downlink, uint64_t instance) {
    return fs::exists(downlink_marker(folder, interface)) ||
           (downlink.device != 0 && instance != 0 && downlink.instance == instance);
}

// True if we had one.
Result<bool> remove_our_downlink(const fs::path& folder, uint32_t interface) {
    const Downlink downlink = KUDO_TRY(read_downlink(interface));
    if (!is_our_downlink(folder, interface, downlink, instance_of_layout(folder))) return false;
    KUDO_TRY(remove_downlink(interface));
    KUDO_TRY(forget_saved_qdisc(folder, downlink_saved_as(interface)));
    const fs::path marker = downlink_marker(folder, interface);
    if (rmdir(marker.c_str()) != 0 && errno != ENOENT) return fail_errno(marker.string());
    return true;
}

// The qdisc for incoming packets; nothing redirects them to it yet.
Result<QueueReport> ensure_downlink(const DataPath& data_path, const Interface& interface, const QueueSpec& spec) {
    const fs::path& folder = data_path.folder();
    QueueReport report = without_downlink(spec);
    if (!shapes_downlink(spec)) {
        report.changed = KUDO_TRY(remove_our_downlink(folder, interface.index));
        return report;
    }
    const fs::path marker = downlink_marker(folder, interface.index);
    if (mkdir(marker.c_str(), 0700) != 0 && errno != EEXIST) return fail_errno(marker.string());
    const uint32_t device = KUDO_TRY(ensure_downlink_device(interface.index, data_path.instance()));
    report =
        KUDO_TRY(ensure_root(downlink_slot(data_path, interface.index, device), downlink_plan(interface, spec), true));
    report.found = "no queue";
    return report;
}

// How the programs have to mark for these queues.
kudo_interface interface_entry(const Interface& interface, const QueueSpec& spec, const InterfaceQueues& queues) {
    kudo_interface entry{};
    entry.index = interface.index;
    entry.tracks_ingress = shapes_downlink(spec);
    std::ranges::copy(queues.wifi ? wifi_priorities : queues.uplink.priorities, entry.egress);
    std::ranges::copy(queues.downlink.priorities, entry.ingress);
    return entry;
}

Result<kudo_interface> read_interface(const DataPath& data_path, uint32_t index) {
    const uint32_t element = index % KUDO_INTERFACES;
    kudo_interface entry{};
    if (bpf_map_lookup_elem(data_path.maps().interfaces.get(), &element, &entry) != 0)
        return fail_errno("cannot read the map of interfaces");
    return entry;
}

// The element stays with an interface that still has our programs.
Result<bool> write_interface(const DataPath& data_path, const Interface& interface, const kudo_interface& wanted) {
    const uint32_t element = wanted.index % KUDO_INTERFACES;
    const kudo_interface present = KUDO_TRY(read_interface(data_path, wanted.index));
    if (std::memcmp(&present, &wanted, sizeof wanted) == 0) return false;
    char other[IF_NAMESIZE];
    if (present.index != 0 && present.index != wanted.index &&
        attached_interfaces(data_path.folder()).contains(present.index) && if_indextoname(present.index, other))
        return bad_input(
            fmt::format("{} and {} cannot both have kudo-agent's programs: their indexes, {} and {}, are a "
                        "multiple of {} apart",
                        interface.name, other, wanted.index, present.index, KUDO_INTERFACES));
    if (bpf_map_update_elem(data_path.maps().interfaces.get(), &element, &wanted, BPF_ANY) != 0)
        return fail_errno("cannot write the map of interfaces");
    return true;
}

} // namespace

Result<void> check_queues(const Instance& instance, const Interface& interface, const QueueSpec& spec) {
    const fs::path folder = instance.layout();
    if (!spec.uplink.has_rate() && !shapes_downlink(spec) && spec.kind == QueueKind::Htb)
        return bad_input("--queue htb: it needs --uplink RATE or --downlink RATE");
    for (const auto& [option, shaper] : {std::pair("--uplink", &spec.uplink), std::pair("--downlink", &spec.downlink)})
        if (shaper->kind == ShaperSpec::Kind::AutoRate && spec.kind &&
            std::ranges::find(rate_follows, *spec.kind) == std::end(rate_follows))
            return bad_input(fmt::format("--queue {}: with {} auto-rate cake or htb is expected",
                                         queue_kind_name(*spec.kind), option));
    const QdiscSlot slot = uplink_slot(folder, interface, instance_id(instance));
    const Root root = KUDO_TRY(read_root(slot));
    const Downlink downlink = KUDO_TRY(read_downlink(interface.index));
    if (shapes_downlink(spec) && downlink.device != 0 &&
        !is_our_downlink(folder, interface.index, downlink, instance_id(instance)))
        return bad_input(fmt::format("{}: --downlink: the interface {} exists and was not created by kudo-agent",
                                     interface.name, downlink_device_name(interface.index)));
    if (spec.kind && *spec.kind != QueueKind::PfifoFast) {
        const std::string kind(queue_kind_name(*spec.kind));
        if (!KUDO_TRY(has_qdisc_kind(interface.index, kind).in(interface.name)))
            return bad_input(fmt::format("--queue {}: not available in this kernel", kind));
    }
    if (plan_of(slot, root, interface, spec).candidates.empty()) return {};
    return check_replaceable(root, slot, spec.replace_qdisc);
}

Result<InterfaceQueues> ensure_queues(DataPath& data_path, const Interface& interface, const QueueSpec& spec,
                                      const QueuesLeftAlone& left_alone) {
    const fs::path& folder = data_path.folder();
    const QdiscSlot slot = uplink_slot(data_path.folder(), interface, data_path.instance());
    InterfaceQueues queues = KUDO_TRY(read_queues(data_path, interface, spec));
    const auto ensure = [](QueueReport& report, const std::optional<Error>& left, const auto& make) {
        auto made = left ? fail(Error(*left)) : make();
        if (made)
            report = std::move(*made);
        else
            report.problem = std::move(made.error());
        report.healthy &= !report.problem;
    };
    ensure(queues.uplink, left_alone.uplink, [&]() -> Result<QueueReport> {
        const Root root = KUDO_TRY(read_root(slot));
        return ensure_root(slot, plan_of(slot, root, interface, spec), spec.replace_qdisc);
    });
    ensure(queues.downlink, left_alone.downlink,
           [&]() -> Result<QueueReport> { return ensure_downlink(data_path, interface, spec); });
    queues.uplink.changed |= KUDO_TRY(write_interface(data_path, interface, interface_entry(interface, spec, queues)));
    if (!shapes_downlink(spec) || queues.downlink.problem) return queues;
    // Only now: the programs mark for the queue that packets are redirected to.
    ensure(queues.downlink, std::nullopt, [&]() -> Result<QueueReport> {
        const uint32_t device = KUDO_TRY(read_downlink(interface.index)).device;
        QueueReport report = queues.downlink;
        report.changed |= KUDO_TRY(ensure_redirect(folder, interface.index, device).in(interface.name));
        return report;
    });
    return queues;
}

Result<InterfaceQueues> read_queues(const DataPath& data_path, const Interface& interface, const QueueSpec& spec) {
    const fs::path& folder = data_path.folder();
    const QdiscSlot slot = uplink_slot(data_path.folder(), interface, data_path.instance());
    const Root root = KUDO_TRY(read_root(slot));
    const QueuePlan plan = plan_of(slot, root, interface, spec);
    InterfaceQueues queues{root.report(plan), without_downlink(spec), slot.wifi};
    if (!queues.uplink.healthy && !plan.candidates.empty())
        if (auto replaceable = check_replaceable(root, slot, spec.replace_qdisc); !replaceable)
            queues.uplink.problem = std::move(replaceable.error());
    const Downlink downlink = KUDO_TRY(read_downlink(interface.index));
    const auto down = [&](std::string why) {
        queues.downlink.healthy = false;
        queues.downlink.problem = Error{ErrorKind::Failed, fmt::format("{}: {}", interface.name, why), 0};
        queues.downlink.why = std::move(why);
    };
    if (!shapes_downlink(spec)) {
        queues.downlink.healthy = !is_our_downlink(folder, interface.index, downlink, data_path.instance());
    } else if (downlink.device == 0) {
        down(downlink.redirected ? "its IFB device is gone, so that ALL incoming packets are dropped"
                                 : "its IFB device is gone; incoming packets are not shaped");
    } else {
        const Root below = KUDO_TRY(read_root(downlink_slot(data_path, interface.index, downlink.device)));
        queues.downlink = below.report(downlink_plan(interface, spec));
        queues.downlink.found = "no queue";
        if (!downlink.up)
            down(downlink.redirected ? "its IFB device is down, so that ALL incoming packets are dropped"
                                     : "its IFB device is down");
        else if (!downlink.redirected)
            down("incoming packets are not redirected to its IFB device");
        else if (!downlink.works())
            down("incoming packets are redirected to another device than its IFB");
    }
    return queues;
}

Result<bool> programs_know_queues(const DataPath& data_path, const Interface& interface, const QueueSpec& spec,
                                  const InterfaceQueues& queues) {
    const kudo_interface wanted = interface_entry(interface, spec, queues);
    const kudo_interface present = KUDO_TRY(read_interface(data_path, interface.index));
    return std::memcmp(&present, &wanted, sizeof wanted) == 0;
}

Result<bool> remove_queues(const fs::path& folder, uint32_t interface) {
    const bool removed = KUDO_TRY(remove_our_downlink(folder, interface));
    const std::string name = fmt::format("interface #{}", interface);
    const bool restored = KUDO_TRY(
        restore_root({folder, interface, name, std::to_string(interface), instance_of_layout(folder)}).in(name));
    return removed || restored;
}

Result<bool> remove_orphaned_queues(uint32_t interface, uint64_t instance) {
    const bool downlink = KUDO_TRY(remove_orphaned_downlink(interface, instance));
    const QdiscTree present = KUDO_TRY(read_qdisc_tree(interface));
    if (!present.root() || present.root()->handle != queue_handle) return downlink;
    const OtherInstance other = KUDO_TRY(other_instance_on(interface, instance));
    if (other == OtherInstance::Yes) return downlink;
    if (other == OtherInstance::Unknown)
        return fail(
            Error{ErrorKind::NotPermitted,
                  fmt::format("its root qdisc, {}, is kudo-agent's, perhaps another instance's", present.root()->kind),
                  EPERM});
    KUDO_TRY(remove_root_qdisc(interface));
    spdlog::warn("interface #{}: {}", interface, what_was_there_is_lost);
    return true;
}

Result<std::vector<QueueNumbers>> read_queue_numbers(const Interface& interface) {
    const auto numbers_of = [&](uint32_t index, const char* direction) -> Result<QueueNumbers> {
        const QdiscTree present = KUDO_TRY(read_qdisc_tree(index));
        const TcObject* root = present.root();
        return QueueNumbers{interface.name, direction, root ? root->kind : "none", queue_classes(present.objects)};
    };
    std::vector<QueueNumbers> result;
    auto uplink = KUDO_TRY(numbers_of(interface.index, "egress"));
    if (uplink.kind != "noqueue" && uplink.kind != "none") result.push_back(std::move(uplink));
    const uint32_t device = KUDO_TRY(read_downlink(interface.index)).device;
    if (device != 0) result.push_back(KUDO_TRY(numbers_of(device, "ingress")));
    return result;
}

} // namespace kudo
