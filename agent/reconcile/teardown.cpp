// SPDX-License-Identifier: MIT
#include "agent/reconcile/teardown.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include <fmt/format.h>

#include "agent/attach/attachment.h"
#include "agent/attach/clsact.h"
#include "agent/attach/in_kernel.h"
#include "agent/datapath/pin_folder.h"
#include "agent/netlink/interfaces.h"
#include "agent/queues/queues.h"
#include "agent/queues/saved_qdisc.h"

namespace kudo {
namespace {

// Links by their programs' number. False: that may not be looked at.
bool remove_own_links(uint64_t instance, Removed& removed) {
    auto links = find_own_links(instance);
    if (!links && links.error().kind == ErrorKind::NotPermitted) return false;
    if (!links) {
        removed.left.push_back(links.error().message);
        return true;
    }
    for (const OwnLink& link : *links) {
        removed.any = true;
        if (bpf_link_detach(link.fd.get()) != 0 && errno != ENOLINK)
            removed.left.push_back(fmt::format("interface #{}: link #{} of {}: {}", link.interface, link.id,
                                               program_text(link.program), strerror(errno)));
    }
    return true;
}

// Programs on the interface's hooks.
std::vector<std::string> programs_on(const Interface& interface) {
    std::vector<std::string> programs;
    for (const bool ingress : {true, false})
        for (const uint32_t id : tcx_programs(interface.index, ingress))
            programs.push_back(
                fmt::format("{}: {} on tcx {}", interface.name, program_text(id), ingress ? "ingress" : "egress"));
    uint32_t xdp = 0;
    if (bpf_xdp_query_id(static_cast<int>(interface.index), 0, &xdp) == 0 && xdp != 0)
        programs.push_back(fmt::format("{}: {} on XDP", interface.name, program_text(xdp)));
    return programs;
}

} // namespace

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
        if (!whole || folder == instance.layout()) continue; // what could not be put back is remembered
        if (auto gone = remove_layout(folder); !gone) removed.left.push_back(gone.error().message);
    }
    if (!removed.left.empty()) return removed;
    if (auto gone = remove_pin_folder(instance); !gone) removed.left.push_back(gone.error().message);
    return removed;
}

Removed remove_orphans(const Instance& instance, bool queues) {
    Removed removed;
    const uint64_t number = instance_id(instance);
    const bool knows_links = remove_own_links(number, removed);
    const auto interfaces = list_interfaces();
    if (!interfaces) {
        removed.left.push_back(interfaces.error().message);
        return removed;
    }
    const auto note = [&](const Interface& interface, const Result<bool>& done) {
        if (done)
            removed.any |= *done;
        else
            removed.left.push_back(fmt::format("{}: {}", interface.name, done.error().message));
    };
    for (const Interface& interface : *interfaces) {
        if (queues) note(interface, remove_orphaned_queues(interface.index, number));
        for (const bool ingress : {true, false})
            note(interface, clsact_remove_orphans({interface.index, ingress}, filter_handle(number)));
        note(interface, clsact_remove_orphaned_qdisc(interface.index));
        if (knows_links) continue;
        for (std::string& program : programs_on(interface))
            removed.unknown.push_back(std::move(program));
    }
    return removed;
}

} // namespace kudo
