// SPDX-License-Identifier: MIT
// The names of the kernel's drop reasons, and the shape of its tracepoint, from the running kernel's own type
// information (BTF). The numbers move from kernel to kernel; the names do not.
// Invariant: a number that the BTF does not name is shown as the number.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "maps/base/result.h"

namespace kudo {

class DropReasons {
public:
    // Of the running kernel: enum skb_drop_reason (kernel >= 5.17) and those of its subsystems (>= 6.4: mac80211,
    // openvswitch, also as modules, qdiscs), whose numbers begin at 0x10000. Read once per process: some 10 ms.
    // An Error: the kernel has no BTF (CONFIG_DEBUG_INFO_BTF).
    static Result<const DropReasons*> of_running_kernel();
    // `vmlinux`: BTF as in /sys/kernel/btf/vmlinux.
    static Result<DropReasons> parse(std::span<const uint8_t> vmlinux);

    // "NETFILTER_DROP"; subsystems' with their own prefix, "RX_DROP_U_MIC_FAIL"; "reason 300" if it has no name; "" for
    // 0 where the kernel has no reasons.
    [[nodiscard]] std::string name(uint32_t reason) const;
    [[nodiscard]] const std::map<uint32_t, std::string>& names() const { return names_; } // without limits and masks
    // Of the tracepoint skb:kfree_skb: 2 (packet, place), 3 (and reason, >= 5.17), 4 (and receiving socket, >= 6.11);
    // 0: it is not in the BTF.
    [[nodiscard]] unsigned tracepoint_arguments() const { return arguments_; }

private:
    std::map<uint32_t, std::string> names_;
    unsigned arguments_ = 0;
};

} // namespace kudo
