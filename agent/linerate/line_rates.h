// SPDX-License-Identifier: MIT
// The service's part that lets shapers' rates follow their lines: asks the meeting's own server for round trips, and
// changes the rates in the kernel.
// Invariant: it sends nothing while no media flow runs, and to no other address than such a flow's server. A queue that
// is not as it has left it is not touched. It waits for the kernel alone (rtnetlink, the flow table). Without it the
// rates stay.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "agent/linerate/line_states.h"
#include "agent/linerate/media_servers.h"
#include "agent/linerate/rate_control.h"
#include "agent/linerate/stun_pings.h"
#include "agent/queues/shaped_rate.h"
#include "agent/system/event_loop.h"
#include "agent/system/instance.h"

namespace kudo {

// An interface whose uplink's rate is to follow, and has a queue of kudo-agent's as it should be.
struct FollowingLine {
    std::string name;
    uint32_t interface = 0;
    uint32_t mtu = 0;
    RateBounds bounds;
    uint64_t rate = 0; // in the kernel now
};

class LineRates {
public:
    // The instance outlives it.
    static Result<LineRates> open(const Instance& instance);
    [[nodiscard]] int fd() const { return timer_.fd(); }
    // The timer is due.
    void on_ready();

    // After every look at the host: those, and no others.
    void follow(const std::vector<FollowingLine>& lines);
    // The service ends: nothing is told any more.
    void forget();

private:
    using Clock = std::chrono::steady_clock;
    struct Line {
        FollowingLine about;
        RateControl control;
        std::optional<StunPings> pings{};
        std::optional<Address> server{}; // as last known; its baseline may still hold
        uint64_t applied = 0;            // bit/s; 0: whatever the kernel has
        uint64_t bytes = 0;              // sent, as last read
        Clock::time_point last_media{}, next_request{};
        std::string problem{}, not_sent{}; // of the queue, of requests
        bool stands_off = false;           // somebody has changed or removed the queue: until the next look at the host
    };

    LineRates(const Instance& instance, Timer timer) : instance_(&instance), timer_(std::move(timer)) {}
    void look_for_media(Clock::time_point now);
    void set_server(Line& line, const MediaServer* server, Clock::time_point now);
    void stop_asking(Line& line, Clock::time_point now);
    void step(Line& line, Clock::time_point now);
    void apply(Line& line, QueueKind kind, uint64_t rate);
    [[nodiscard]] std::string state_of(const Line& line, Clock::time_point now) const;
    void tell(Clock::time_point now);

    const Instance* instance_;
    Timer timer_;
    std::map<uint32_t, Line> lines_; // by ifindex
    uint32_t last_number_ = 0;
    Clock::time_point next_look_{};
    std::string look_problem_;                        // why the flows could not be read
    std::map<uint16_t, Clock::time_point> own_ports_; // of requests that are not sent any more
    LineStates told_;
};

} // namespace kudo
