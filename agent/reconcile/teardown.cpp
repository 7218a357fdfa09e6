// SPDX-License-Identifier: MIT
#include "agent/reconcile/teardown.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include <algorithm>
#include <iterator>

#include <fmt/format.h>

#include "agent/attach/attachment.h"
#include "agent/attach/clsact.h"
#include "agent/attach/in_kernel.h"
#include "agent/attach/links.h"
#include "agent/datapath/pin_folder.h"
#include "agent/drops/tracing.h"
#include "agent/netlink/interfaces.h"
#include "agent/queues/downlink.h"
#include "agent/queues/queues.h"
#include "agent/queues/saved_qdisc.h"

namespace kudo {

std::set<uint32_t> held_interfaces(const std::filesystem::path& folder) {
    std::set<uint32_t> interfaces = attached_interfaces(folder);
    for (const uint32_t interface : saved_qdisc_interfaces(folder))
        interfaces.insert(interface);
    return interfaces;
}

Result<bool> release_interfaces(const std::filesystem::path& folder, uint32_t interface) {
    // Packets go through a queue only while our programs mark them for it. One's trouble does not keep the other.
    auto restored = remove_queues(folder, interface);
    const bool detached = KUDO_TRY(detach(folder, interface));
    if (!restored) return restored;
    return *restored || detached;
}

Result<std::vector<OwnLink>> unpinned_links(const Instance& instance) {
    auto links = KUDO_TRY(find_own_links(instance_id(instance)));
    std::set<uint32_t> pinned;
    for (const PinnedLayout& layout : pinned_layouts(instance)) {
        for (const LinkInfo& link : pinned_links(layout.folder))
            pinned.insert(link.id);
        pinned.insert(tracing_link(layout.folder));
    }
    const auto is_off = [](const OwnLink& link) {
        return link.interface == 0 && !counts_unpinned(link.program).value_or(true);
    };
    std::erase_if(links, [&](const OwnLink& link) { return pinned.contains(link.id) || is_off(link); });
    return links;
}

Removed remove_unpinned_links(const Instance& instance) {
    Removed removed;
    const auto links = unpinned_links(instance);
    if (!links && links.error().kind != ErrorKind::NotPermitted) removed.left.push_back(links.error().message);
    if (!links) return removed;
    for (const OwnLink& link : *links) {
        removed.any = true;
        if (link.interface == 0) {
            if (auto off = switch_off_unpinned(link.program); !off)
                removed.left.push_back(
                    fmt::format("link #{} of {}: {}", link.id, program_text(link.program), off.error().message));
            continue;
        }
        auto lets_go = link.xdp ? check_driver_lets_go(link.fd.get(), link.interface) : Result<void>{};
        if (!lets_go)
            removed.left.push_back(std::move(lets_go.error().message));
        else if (bpf_link_detach(link.fd.get()) != 0 && errno != ENOLINK)
            removed.left.push_back(fmt::format("interface #{}: link #{} of {}: {}", link.interface, link.id,
                                               program_text(link.program), strerror(errno)));
    }
    return removed;
}

std::vector<std::string> unknown_programs(const Instance& instance, std::span<const Interface> interfaces) {
    std::vector<std::string> unknown;
    if (const auto links = find_own_links(instance_id(instance));
        links || links.error().kind != ErrorKind::NotPermitted)
        return unknown;
    std::set<uint32_t> known;
    for (const PinnedLayout& layout : pinned_layouts(instance))
        for (const LinkInfo& link : pinned_links(layout.folder))
            known.insert(link.program_id);
    for (const Interface& interface : interfaces)
        for (const auto& [hook, id] : programs_on(interface.index))
            if (!known.contains(id))
                unknown.push_back(fmt::format("{}: {} on {}", interface.name, program_text(id), hook));
    return unknown;
}

Removed teardown(const Instance& instance) {
    Removed removed;
    if (auto recovered = recover_layout(instance); !recovered) removed.left.push_back(recovered.error().message);
    for (const auto& [folder, version] : pinned_layouts(instance)) {
        removed.any = true;
        bool whole = true;
        for (const uint32_t interface : held_interfaces(folder)) {
            auto released = release_interfaces(folder, interface);
            if (released) continue;
            whole = false;
            removed.left.push_back(released.error().message);
        }
        if (auto traced = remove_tracing(folder); !traced) {
            whole = false;
            removed.left.push_back(traced.error().message);
        }
        if (!whole || folder == instance.layout()) continue; // what could not be put back is remembered
        if (auto gone = remove_layout(folder); !gone) removed.left.push_back(gone.error().message);
    }
    if (!removed.left.empty()) return removed;
    if (auto gone = remove_pin_folder(instance); !gone) removed.left.push_back(gone.error().message);
    return removed;
}

Removed remove_orphans(const Instance& instance) {
    Removed removed = remove_unpinned_links(instance);
    const uint64_t number = instance_id(instance);
    const auto interfaces = list_interfaces();
    if (!interfaces) {
        removed.left.push_back(interfaces.error().message);
        return removed;
    }
    const auto note = [&](const std::string& name, const Result<bool>& done) {
        if (done)
            removed.any |= *done;
        else
            removed.left.push_back(fmt::format("{}: {}", name, done.error().message));
    };
    std::set<uint32_t> held;
    for (const PinnedLayout& layout : pinned_layouts(instance))
        held.merge(held_interfaces(layout.folder));
    for (const Interface& interface : *interfaces) {
        if (!held.contains(interface.index) && !downlink_interface(interface.name)) {
            auto queues = remove_orphaned_queues(interface.index, number);
            if (!queues && queues.error().kind == ErrorKind::NotPermitted)
                removed.unknown.push_back(fmt::format("{}: {}", interface.name, queues.error().message));
            else
                note(interface.name, queues);
        }
        for (const bool ingress : {true, false})
            note(interface.name, clsact_remove_orphans({interface.index, ingress}, filter_handle(number)));
        note(interface.name, clsact_remove_orphaned_qdisc(interface.index));
    }
    std::ranges::move(unknown_programs(instance, *interfaces), std::back_inserter(removed.unknown));
    // Of interfaces that are gone.
    const auto devices = downlinks_of(number);
    if (!devices) removed.left.push_back(devices.error().message);
    for (const uint32_t interface : devices.value_or(std::vector<uint32_t>{}))
        if (!held.contains(interface))
            note(downlink_device_name(interface), remove_orphaned_downlink(interface, number));
    return removed;
}

} // namespace kudo
