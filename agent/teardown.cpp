// SPDX-License-Identifier: MIT
#include "agent/teardown.h"

#include "agent/attachment.h"
#include "agent/datapath.h"

namespace kudo {

Result<void> teardown(const Instance& instance) {
    for (const uint32_t interface : attached_interfaces(instance.layout()))
        if (auto detached = detach(instance.layout(), interface); !detached) return fail(std::move(detached.error()));
    return remove_pin_folder(instance);
}

} // namespace kudo
