// SPDX-License-Identifier: MIT
// The way of incoming packets through a queue of ours: an IFB device (drivers/net/ifb.c), to which a filter behind all
// others on the interface's ingress sends every packet, and which gives it back to the interface.
// Invariant: the filter stands only while the device is there; without the filter packets take their usual way.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include "maps/base/result.h"

namespace kudo {

// The device's name for an interface: "kudo-ifb3".
std::string downlink_device_name(uint32_t interface);

struct Downlink {
    uint32_t device = 0; // ifindex; 0: none
    bool up = false;
    bool redirected = false; // a filter of ours stands on the interface
    uint32_t target = 0;     // where it sends packets; 0: to a device that is gone, which loses them
    [[nodiscard]] bool works() const { return device != 0 && up && redirected && target == device; }
};
Result<Downlink> read_downlink(uint32_t interface);

// The device's ifindex; made if there is none, and brought up. BadInput if the kernel has no such devices.
Result<uint32_t> ensure_downlink_device(uint32_t interface);
// `memory`: the data path's folder of filters, see clsact.h. The device is up. True if it was not so before.
Result<bool> ensure_redirect(const std::filesystem::path& memory, uint32_t interface, uint32_t device);

// Takes the filter away, lets the queue run empty, removes the device. `remembered`: we know that both are ours; else a
// filter is only taken away where it sends packets to our device, or to one that is gone.
Result<void> remove_downlink(uint32_t interface, bool remembered);

} // namespace kudo
