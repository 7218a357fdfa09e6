// SPDX-License-Identifier: MIT
#include "agent/linerate/line_rates.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include "agent/datapath/clock.h"

namespace kudo {
namespace {

using namespace std::chrono_literals;

constexpr auto fast = 25ms, slow = 100ms, idle = 1000ms;         // between two steps
constexpr auto request_every = 50ms, idle_request_every = 500ms; // while enough is sent to fill a line, and while not
constexpr auto own_quiet = 30s;                                  // so long answers to what was asked may come
constexpr auto media_quiet = 5s;                                 // a media flow without packets for so long has ended
constexpr auto audio_quiet = 2s;                                 // the same of a stream
constexpr auto forget_after = 2min;                              // without one the rate goes back to the most
constexpr auto look_every = 1000ms;
constexpr int rest_of_looks = 50; // so many times as long as the last one took
constexpr int rest_of_steps = 9;
constexpr auto wish_every = 10s; // for a look at the host: what somebody else changes all the time is left to them
constexpr IncomingDelay::Time longest_lag = 300ms;

RateControl::Time since_start(std::chrono::steady_clock::time_point now) {
    return now.time_since_epoch();
}

} // namespace

bool LineRates::Line::is_busy() const {
    return (uplink && uplink->control.is_busy()) || (downlink && downlink->control.is_busy());
}

bool LineRates::Line::is_followed() const {
    return (uplink && !uplink->shaper.stands_off()) || (downlink && !downlink->shaper.stands_off());
}

bool LineRates::Line::is_silent() const {
    return (!uplink || uplink->control.is_silent()) &&
           (!downlink || downlink->control.is_silent() || !incoming.least_round_trip());
}

void LineRates::Line::rest() {
    for (auto* const side : {&uplink, &downlink})
        if (*side) (*side)->control.rest();
}

Result<LineRates> LineRates::open(const Instance& instance) {
    static_cast<void>(save_line_states(instance, {})); // a killed service's
    return LineRates(instance, KUDO_TRY(Timer::create()));
}

void LineRates::take_up(std::optional<Side>& side, const std::string& name,
                        const std::optional<FollowingShaper>& shaper, RateControl::Way way) {
    if (!shaper || (side && (side->shaper.name() != name || side->shaper.about().bounds != shaper->bounds)))
        side.reset();
    if (!shaper) return;
    if (!side)
        side.emplace(Side{FollowedShaper(*instance_, name, *shaper), RateControl(shaper->bounds, shaper->rate, way)});
    if (side->shaper.take_up(*shaper)) side->control = RateControl(shaper->bounds, shaper->rate, way);
}

void LineRates::follow(const std::vector<FollowingLine>& lines) {
    const auto now = Clock::now();
    for (auto known = lines_.begin(); known != lines_.end();) {
        if (std::ranges::find(lines, known->first, &FollowingLine::interface) != lines.end()) {
            ++known;
            continue;
        }
        stop_asking(known->second, now);
        known = lines_.erase(known);
    }
    for (const FollowingLine& line : lines) {
        const auto [found, is_new] = lines_.try_emplace(line.interface);
        Line& known = found->second;
        if (is_new) known.last_media = now;
        known.name = line.name;
        take_up(known.uplink, line.name + " uplink", line.uplink, RateControl::Way::Out);
        take_up(known.downlink, line.name + " downlink", line.downlink, RateControl::Way::In);
    }
    tell(now);
    if (lines_.empty())
        data_path_.reset();
    else
        timer_.set(now);
}

bool LineRates::on_ready() {
    const auto now = Clock::now();
    if (now >= next_look_) look_for_media(now);
    Clock::time_point next = now + idle;
    bool stood_off = false;
    const auto began = Clock::now();
    for (auto& [interface, line] : lines_) {
        step(line, now);
        for (auto* const side : {&line.uplink, &line.downlink})
            if (*side) stood_off |= (*side)->shaper.take_stood_off();
        if (line.pings) next = std::min(next, now + (line.is_busy() ? fast : slow));
    }
    tell(now);
    next = std::max(next, Clock::now() + rest_of_steps * (Clock::now() - began));
    // One that is never due: a timer that has run out stays readable.
    timer_.set(lines_.empty() ? now + std::chrono::hours(24 * 365) : next);
    if (!stood_off || now < next_wish_) return false;
    next_wish_ = now + wish_every;
    return true;
}

void LineRates::look_for_media(Clock::time_point now) {
    const auto looked = look_at_flows(now);
    const auto took = Clock::now() - now;
    next_look_ = now + std::max<Clock::duration>(look_every, rest_of_looks * took);
    look_problem_ = looked ? "" : looked.error().message;
    is_saved_ = is_saved_ || save_line_states(*instance_, told_).has_value();
    if (looked) {
        looked_at_ = now;
        return;
    }
    for (auto& [interface, line] : lines_) { // whether a meeting runs is not known: the rates stay
        line.last_media = now;
        if (now - looked_at_ > media_quiet) stop_asking(line, now);
    }
}

Result<void> LineRates::look_at_flows(Clock::time_point now) {
    std::erase_if(own_ports_, [now](const auto& port) { return now - port.second > own_quiet; });
    std::set<uint16_t> own;
    for (const auto& [port, since] : own_ports_)
        own.insert(port);
    for (const auto& [interface, line] : lines_)
        if (line.pings) own.insert(line.pings->local_port());
    data_path_.reset();
    auto data_path = KUDO_TRY(DataPath::open(*instance_));
    bool has_audio = false;
    const auto clock = KUDO_TRY(TickClock::read(data_path));
    std::map<uint32_t, MediaServer> present;
    for (const auto& [interface, line] : lines_)
        if (line.pings) present[interface] = {line.pings->server(), line.pings->from()};
    const auto servers = KUDO_TRY(read_media_servers(data_path, clock, media_quiet, own, present));
    for (auto& [interface, line] : lines_) {
        const auto server = line.is_followed() ? servers.find(interface) : servers.end();
        set_server(line, interface, server == servers.end() ? nullptr : &server->second, now);
        if (server == servers.end()) continue;
        line.last_media = now;
        has_audio |= line.downlink && line.audio;
        if (!line.downlink || now - line.last_audio < audio_quiet) continue;
        const auto audio =
            KUDO_TRY(find_incoming_audio(data_path.maps(), interface, server->second.address, clock.now()));
        if (audio != line.audio) line.incoming.forget_stream();
        line.audio = audio;
        has_audio |= line.audio.has_value();
    }
    if (has_audio) data_path_.emplace(std::move(data_path));
    return {};
}

// Its flow is in the table for a while, and no meeting's.
void LineRates::stop_asking(Line& line, Clock::time_point now) {
    if (!line.pings) return;
    own_ports_[line.pings->local_port()] = now;
    line.pings.reset();
    line.rest();
}

void LineRates::set_server(Line& line, uint32_t interface, const MediaServer* server, Clock::time_point now) {
    const bool is_same = server && line.pings && line.pings->server() == server->address &&
                         line.pings->from() == server->local && line.not_sent.empty();
    if (is_same) return;
    stop_asking(line, now);
    if (!server) {
        line.not_sent.clear();
        return;
    }
    if (line.server != server->address) {
        line.incoming = {};
        line.audio.reset();
        line.last_audio = {};
        for (auto* const side : {&line.uplink, &line.downlink})
            if (*side) (*side)->control.forget_path();
    }
    line.server = server->address;
    auto pings = StunPings::open(server->address, server->local, interface);
    if (pings)
        line.pings.emplace(std::move(*pings)); // what could not be sent before is told until something was
    else
        line.not_sent = pings.error().message;
}

// What has come since the last step, of the stream and of what was asked.
void LineRates::measure(Line& line, Clock::time_point now, bool has_arrived) {
    const auto time = since_start(now);
    bool is_new = false;
    if (line.audio && data_path_) {
        const auto newest = read_arrival(data_path_->maps().qualities.get(), *line.audio);
        if (newest && line.incoming.media(time, newest->arrival, newest->timestamp, newest->scale)) {
            line.last_audio = now;
            is_new = true;
        }
    }
    line.pings->receive([&](uint32_t number, std::chrono::nanoseconds rtt) {
        line.incoming.round_trip(time, rtt);
        is_new = true;
        if (!line.uplink) return;
        // Only where enough comes in for the way back to have a queue.
        const bool may_wait = line.downlink && line.downlink->control.is_busy();
        line.uplink->control.response(number, rtt, may_wait ? line.incoming.extra(time).value_or(0ns) : 0ns);
    });
    const auto way = line.incoming.way(time);
    if (line.downlink && has_arrived && is_new && way)
        line.downlink->control.arrival(time, *way,
                                       std::min(longest_lag, line.incoming.least_round_trip().value_or(0ns) * 3 / 2));
}

void LineRates::step(Line& line, Clock::time_point now) {
    const auto time = since_start(now);
    bool has_arrived = false;
    for (auto* const side : {&line.uplink, &line.downlink}) {
        if (!*side) continue;
        FollowedShaper& shaper = (*side)->shaper;
        const auto counts = shaper.look();
        if (!counts) continue;
        if (now - line.last_media > forget_after) {
            const auto& about = shaper.about();
            (*side)->control = RateControl(about.bounds, about.bounds.max,
                                           about.incoming ? RateControl::Way::In : RateControl::Way::Out);
            line.server.reset();
        } else if (line.pings) { // else what is learned stays
            (*side)->control.sent(time, shaper.about().incoming ? counts->arrived : counts->bytes, counts->waiting > 0);
            has_arrived |= shaper.about().incoming;
        }
    }
    if (!line.is_followed()) stop_asking(line, now); // its queues are gone, perhaps by a disable
    if (line.pings) {
        measure(line, now, has_arrived);
        if (now >= line.next_request) {
            const uint32_t number = ++last_number_;
            const bool sent = line.pings->send(number);
            line.not_sent =
                sent ? "" : fmt::format("nothing can be sent to {}: {}", line.pings->server().text(), strerror(errno));
            if (sent && line.uplink) line.uplink->control.request(time, number);
            const bool often = line.is_busy() && !line.is_silent();
            line.next_request = now + (often ? request_every : idle_request_every) - fast / 2;
        }
    }
    for (auto* const side : {&line.uplink, &line.downlink})
        if (*side) {
            RateControl& control = (*side)->control;
            const uint64_t rate = line.pings ? control.decide(time) : control.rate();
            (*side)->shaper.set(rate, control.room_for(), control.phase_name());
        }
}

LineState LineRates::state_of(const Line& line, const Side& side, Clock::time_point now) const {
    if (!side.shaper.problem().empty())
        return {"left_alone", side.shaper.problem() + ": until the next look at the host, in a second or two"};
    if (!look_problem_.empty()) return {"not_known", "whether a media flow runs cannot be told: " + look_problem_};
    if (!line.not_sent.empty()) return {"not_sent", line.not_sent + ": the rate stays as it is"};
    if (now - line.last_media > forget_after)
        return {"at_most", fmt::format("no media flow for {} minutes: the most until there is one",
                                       std::chrono::minutes(forget_after).count())};
    if (!line.pings) return {"no_media", "no media flow: the rate stays as it is"};
    const std::string server = line.pings->server().text();
    const bool incoming = side.shaper.about().incoming;
    if (incoming && now - line.last_audio > audio_quiet)
        return {"no_audio", fmt::format("no audio comes from {}: the rate stays as it is", server)};
    if (incoming && !line.incoming.least_round_trip())
        return {"silent", fmt::format("{} has not answered STUN yet: the rate stays as it is", server)};
    if (side.control.is_silent())
        return {"silent", fmt::format("{} does not answer STUN: the rate stays as it is", server)};
    return {"following", incoming ? fmt::format("by the audio from {} and the round trips to it", server)
                                  : fmt::format("by the round trips to {}", server)};
}

void LineRates::tell(Clock::time_point now) {
    LineStates states;
    for (const auto& [interface, line] : lines_)
        for (const auto* const side : {&line.uplink, &line.downlink})
            // Else its queue is gone, perhaps by a disable.
            if (*side && (!(*side)->shaper.stands_off() || !(*side)->shaper.problem().empty()))
                states[(*side)->shaper.name()] = state_of(line, **side, now);
    if (states == told_) return;
    for (const auto& [name, state] : states)
        if (const auto before = told_.find(name); before == told_.end() || before->second != state)
            spdlog::info("{}: its rate follows the line: {}", name, state.text);
    const auto saved = save_line_states(*instance_, states);
    if (!saved && is_saved_)
        spdlog::warn("what rates follow cannot be noted, and status does not tell it: {}", saved.error().message);
    is_saved_ = saved.has_value();
    told_ = std::move(states);
}

void LineRates::forget() {
    for (auto& [interface, line] : lines_) {
        line.rest();
        for (auto* const side : {&line.uplink, &line.downlink})
            if (*side) (*side)->shaper.leave((*side)->control.rate(), "the service ends");
    }
    static_cast<void>(save_line_states(*instance_, {}));
}

} // namespace kudo
