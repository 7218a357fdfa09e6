// SPDX-License-Identifier: MIT
// A shaper of kudo-agent's whose rate is to follow the line: what it has carried, and another rate in its place.
// Invariant: one that is not as it was left is not touched until the next look at the host has taken it up.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>

#include "agent/queues/shaped_rate.h"
#include "agent/queues/spec.h"
#include "agent/system/instance.h"

namespace kudo {

// One that is there, as it should be.
struct FollowingShaper {
    uint32_t device = 0; // ifindex: the interface's, or its downlink's IFB's
    uint32_t mtu = 0;
    bool incoming = false;
    RateBounds bounds;
    uint64_t rate = 0; // in the kernel now, bit/s
};

class FollowedShaper {
public:
    // `name`: "eth0 uplink". The instance outlives it.
    FollowedShaper(const Instance& instance, std::string name, const FollowingShaper& about)
        : instance_(&instance), name_(std::move(name)), about_(about) {}
    [[nodiscard]] const FollowingShaper& about() const { return about_; }
    [[nodiscard]] const std::string& name() const { return name_; }

    // After a look at the host. True: somebody else has given it another rate.
    bool take_up(const FollowingShaper& about);
    // Nothing: it is not there, or cannot be looked at.
    std::optional<ShaperCounts> look();
    // `room_for`: for what line packets may wait, bit/s. `why`: for the log.
    void set(uint64_t rate, uint64_t room_for, const std::string& why);
    // Nobody follows any more: this rate stays. Waits up to 1 s for a command that changes the host.
    void leave(uint64_t rate, const std::string& why);

    // Why it is not touched; empty: it is, or what it has been is gone.
    [[nodiscard]] const std::string& problem() const { return problem_; }
    [[nodiscard]] bool stands_off() const { return stands_off_; }
    // True once for each time that it begins to: a look at the host is due.
    bool take_stood_off() { return std::exchange(stood_off_, false); }

private:
    void stand_off(std::string problem);
    // `bulk_room`: ms. `patience`: with a command that changes the host.
    void change(uint64_t rate, uint64_t room_for, uint32_t bulk_room, std::chrono::milliseconds patience,
                const std::string& why);

    const Instance* instance_;
    std::string name_;
    FollowingShaper about_;
    QueueKind kind_ = QueueKind::Htb;
    uint64_t applied_ = 0;  // bit/s; 0: whatever the kernel has
    uint64_t room_for_ = 0; // bit/s, of the leaves; 0: whatever they have
    uint64_t bytes_ = 0;    // sent, as last read
    std::string problem_{};
    bool stands_off_ = false; // somebody has changed or removed it
    bool stood_off_ = false;  // it began to, and nobody has asked since
    bool changed_ = false;    // by set(): its rate is not what was left there
};

} // namespace kudo
