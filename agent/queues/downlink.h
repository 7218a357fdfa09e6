// SPDX-License-Identifier: MIT
// Shaping of incoming packets: an IFB device (drivers/net/ifb.c), to which a filter behind all others on the
// interface's ingress redirects every packet, and which returns it to the interface. Invariant: the filter exists only
// while the device does; without the filter packets take their usual path. Whose they are is in the kernel: the
// device's alias and the filter's cookie.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "maps/base/result.h"

namespace kudo {

// The device's name for an interface: "kudo-ifb3".
std::string downlink_device_name(uint32_t interface);

// The other way: the interface of such a device; nothing for another name.
std::optional<uint32_t> downlink_interface(std::string_view device);

struct Downlink {
    uint32_t device = 0; // ifindex; 0: none
    bool up = false;
    bool redirected = false; // our filter is on the interface
    uint32_t target = 0;     // of the redirect; 0: a device that is gone, so that all packets are dropped
    uint64_t instance = 0;   // whose the device is, instance_id(); 0: not known to be kudo-agent's
    [[nodiscard]] bool works() const { return device != 0 && up && redirected && target == device; }
};
Result<Downlink> read_downlink(uint32_t interface);

// The device's ifindex; created if need be, and brought up. `instance`: instance_id(). BadInput if the kernel has no
// such devices.
Result<uint32_t> ensure_downlink_device(uint32_t interface, uint64_t instance);
// `folder`: the data path's. The device must be up. True if it was not redirected there before.
Result<bool> ensure_redirect(const std::filesystem::path& folder, uint32_t interface, uint32_t device);

// Removes the filter, drains the queue, removes the device. Call where both are certainly ours.
Result<void> remove_downlink(uint32_t interface);
// The same where nothing but the kernel tells whose they are; another's are left. True if there was anything.
Result<bool> remove_orphaned_downlink(uint32_t interface, uint64_t instance);
// The interfaces, which may be gone, that have such a device of the instance.
Result<std::vector<uint32_t>> downlinks_of(uint64_t instance);

} // namespace kudo
