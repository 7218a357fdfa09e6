// SPDX-License-Identifier: MIT
// The service's part that lets shapers' rates follow their lines: asks the meeting's own server for round trips, looks
// at when its audio arrives, and changes the rates in the kernel.
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

#include "agent/datapath/datapath.h"
#include "agent/datapath/rtp_streams.h"
#include "agent/linerate/followed_shaper.h"
#include "agent/linerate/incoming_delay.h"
#include "agent/linerate/line_states.h"
#include "agent/linerate/media_servers.h"
#include "agent/linerate/rate_control.h"
#include "agent/linerate/stun_pings.h"
#include "agent/system/event_loop.h"
#include "agent/system/instance.h"

namespace kudo {

// An interface of which a shaper's rate is to follow.
struct FollowingLine {
    std::string name;
    uint32_t interface = 0;
    std::optional<FollowingShaper> uplink{}, downlink{};
};

class LineRates {
public:
    // The instance outlives it.
    static Result<LineRates> open(const Instance& instance);
    [[nodiscard]] int fd() const { return timer_.fd(); }
    // The timer is due. True: a shaper is not as it was left, and a look at the host is due; not twice in ten seconds.
    bool on_ready();

    // After every look at the host: those, and no others.
    void follow(const std::vector<FollowingLine>& lines);
    // The service ends: rates go back to what the lines are known to carry, and nothing is told any more.
    void forget();

private:
    using Clock = std::chrono::steady_clock;
    struct Side {
        FollowedShaper shaper;
        RateControl control;
    };
    struct Line {
        std::string name;
        std::optional<Side> uplink{}, downlink{};
        std::optional<StunPings> pings{};
        std::optional<Address> server{}; // as last known; what is known of the way to it may still hold
        std::optional<IncomingAudio> audio{};
        IncomingDelay incoming{};
        Clock::time_point last_media{}, last_audio{}, next_request{};
        std::string not_sent{}; // why requests are not
        [[nodiscard]] bool is_busy() const;
        [[nodiscard]] bool is_silent() const;   // in each way that is followed
        [[nodiscard]] bool is_followed() const; // one of its shapers, at least
        void rest();
    };

    LineRates(const Instance& instance, Timer timer) : instance_(&instance), timer_(std::move(timer)) {}
    void take_up(std::optional<Side>& side, const std::string& name, const std::optional<FollowingShaper>& shaper,
                 RateControl::Way way);
    void look_for_media(Clock::time_point now);
    Result<void> look_at_flows(Clock::time_point now);
    void set_server(Line& line, uint32_t interface, const MediaServer* server, Clock::time_point now);
    void stop_asking(Line& line, Clock::time_point now);
    void step(Line& line, Clock::time_point now);
    void measure(Line& line, Clock::time_point now, bool has_arrived);
    [[nodiscard]] LineState state_of(const Line& line, const Side& side, Clock::time_point now) const;
    void tell(Clock::time_point now);

    const Instance* instance_;
    Timer timer_;
    std::map<uint32_t, Line> lines_; // by ifindex
    uint32_t last_number_ = 0;
    Clock::time_point next_look_{}, next_wish_{};
    std::string look_problem_;                        // why the flows could not be read
    Clock::time_point looked_at_{};                   // when they were last
    std::optional<DataPath> data_path_{};             // while there is audio to look at
    std::map<uint16_t, Clock::time_point> own_ports_; // of requests that are not sent any more
    LineStates told_;
    bool is_saved_ = true; // what was told
};

} // namespace kudo
