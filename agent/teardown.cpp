// SPDX-License-Identifier: MIT
#include "agent/teardown.h"

#include "agent/attachment.h"
#include "agent/clsact.h"
#include "agent/datapath.h"
#include "agent/interfaces.h"

namespace kudo {

Result<void> teardown(const Instance& instance) {
    for (const uint32_t interface : attached_interfaces(instance.layout()))
        if (auto detached = detach(instance.layout(), interface); !detached) return fail(std::move(detached.error()));
    return remove_pin_folder(instance);
}

Result<void> remove_orphaned_filters() {
    auto interfaces = list_interfaces();
    if (!interfaces) return fail(std::move(interfaces.error()));
    for (const Interface& interface : *interfaces)
        for (const bool ingress : {true, false})
            KUDO_TRY(clsact_remove_orphan({interface.index, ingress}));
    return {};
}

} // namespace kudo
