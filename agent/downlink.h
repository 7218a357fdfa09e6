// SPDX-License-Identifier: MIT
// The way of incoming packets through a queue of ours: an IFB device (drivers/net/ifb.c), to which a filter behind all
// others on the interface's ingress sends every packet, and which gives it back to the interface. Included by the
// queues. Invariant: the filter stands only while the device is there; without the filter packets take their usual way.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include "maps/result.h"

namespace kudo {

// The device's name for an interface: "kudo-ifb3".
std::string downlink_device_name(uint32_t interface);

struct Downlink {
    uint32_t device = 0;     // ifindex; 0: none
    bool redirected = false; // packets go through it
};
Result<Downlink> read_downlink(uint32_t interface);

// The device's ifindex; made if there is none. BadInput if the kernel has no such devices.
Result<uint32_t> ensure_downlink_device(uint32_t interface);
// `memory`: the data path's folder of filters, see clsact.h. True if it was not so before.
Result<bool> ensure_redirect(const std::filesystem::path& memory, uint32_t interface, uint32_t device);

// Takes the filter away, lets the queue run empty, removes the device. True if there was any.
Result<bool> remove_downlink(uint32_t interface);

} // namespace kudo
