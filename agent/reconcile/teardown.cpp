// SPDX-License-Identifier: MIT
#include "agent/reconcile/teardown.h"
#include "agent/datapath/pin_folder.h"

#include "agent/attach/attachment.h"
#include "agent/attach/clsact.h"
#include "agent/datapath/datapath.h"
#include "agent/netlink/interfaces.h"
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
    // Packets go through a queue only while our programs mark them for it.
    auto restored = KUDO_TRY(remove_queues(folder, interface));
    auto detached = KUDO_TRY(detach(folder, interface));
    return restored || detached;
}

Result<void> teardown(const Instance& instance) {
    Result<void> first;
    for (const uint32_t interface : held_interfaces(instance.layout()))
        if (auto gone = release_interfaces(instance.layout(), interface); !gone && first)
            first = fail(std::move(gone.error()));
    // What could not be put back is still remembered, for the next try.
    return first ? remove_pin_folder(instance) : first;
}

Result<void> remove_orphans() {
    auto interfaces = KUDO_TRY(list_interfaces());
    for (const Interface& interface : interfaces) {
        KUDO_TRY(remove_orphaned_queues(interface.index));
        for (const bool ingress : {true, false})
            KUDO_TRY(clsact_remove_orphan({interface.index, ingress}));
    }
    return {};
}

} // namespace kudo
