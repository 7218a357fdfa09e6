// SPDX-License-Identifier: MIT
#include "agent/linerate/line_rates.h"

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <utility>

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include "agent/datapath/datapath.h"
#include "agent/system/lock.h"

namespace kudo {
namespace {

using namespace std::chrono_literals;

constexpr auto fast = 25ms, slow = 100ms, idle = 1000ms;         // between two steps
constexpr auto request_every = 50ms, idle_request_every = 500ms; // while enough is sent to fill a line, and while not
constexpr auto own_quiet = 30s;                                  // so long answers to what was asked may come
constexpr auto media_quiet = 5s;                                 // a media flow without packets for so long has ended
constexpr auto forget_after = 2min;                              // without one the rate goes back to the most
constexpr auto look_every = 1000ms;
constexpr int rest_of_looks = 50;        // so many times as long as the last one took
constexpr uint64_t worth_changing = 200; // a two-hundredth

RateControl::Time since_start(std::chrono::steady_clock::time_point now) {
    return now.time_since_epoch();
}

} // namespace

Result<LineRates> LineRates::open(const Instance& instance) {
    static_cast<void>(save_line_states(instance, {})); // a killed service's
    return LineRates(instance, KUDO_TRY(Timer::create()));
}

void LineRates::follow(const std::vector<FollowingLine>& lines) {
    const auto now = Clock::now();
    for (auto each = lines_.begin(); each != lines_.end();) {
        const bool stays = std::ranges::any_of(lines, [&](const FollowingLine& line) {
            return line.interface == each->first && line.name == each->second.about.name &&
                   line.bounds == each->second.about.bounds;
        });
        each = stays ? std::next(each) : lines_.erase(each);
    }
    for (const FollowingLine& line : lines) {
        const auto [found, is_new] =
            lines_.try_emplace(line.interface, Line{.about = line, .control = RateControl(line.bounds, line.rate)});
        Line& known = found->second;
        if (is_new) known.last_media = now;
        // Rebuilt, or changed by hand.
        if (known.about.mtu != line.mtu || (known.applied != 0 && line.rate / 8 != known.applied / 8))
            known.applied = 0;
        known.about = line;
        known.stands_off = false;
        known.problem.clear();
    }
    tell(now);
    if (!lines_.empty()) timer_.set(now);
}

void LineRates::on_ready() {
    const auto now = Clock::now();
    if (now >= next_look_) look_for_media(now);
    Clock::time_point next = now + idle;
    for (auto& [interface, line] : lines_) {
        step(line, now);
        if (line.pings) next = std::min(next, now + (line.control.is_busy() ? fast : slow));
    }
    tell(now);
    // One that is never due: a timer that has run out stays readable.
    timer_.set(lines_.empty() ? now + std::chrono::hours(24 * 365) : next);
}

void LineRates::look_for_media(Clock::time_point now) {
    std::erase_if(own_ports_, [now](const auto& port) { return now - port.second > own_quiet; });
    std::set<uint16_t> own;
    for (const auto& [port, since] : own_ports_)
        own.insert(port);
    for (const auto& [interface, line] : lines_)
        if (line.pings) own.insert(line.pings->local_port());
    auto servers = [&]() -> Result<std::map<uint32_t, MediaServer>> {
        auto data_path = KUDO_TRY(DataPath::open(*instance_));
        return read_media_servers(data_path, media_quiet, own);
    }();
    const auto took = Clock::now() - now;
    next_look_ = now + std::max<Clock::duration>(look_every, rest_of_looks * took);
    look_problem_ = servers ? "" : servers.error().message;
    for (auto& [interface, line] : lines_) {
        if (!servers) { // whether a meeting runs is not known: it goes on as before
            line.last_media = now;
            continue;
        }
        const auto server = servers->find(interface);
        set_server(line, server == servers->end() ? nullptr : &server->second, now);
        if (server != servers->end()) line.last_media = now;
    }
}

// Its flow is in the table for a while, and no meeting's.
void LineRates::stop_asking(Line& line, Clock::time_point now) {
    if (line.pings) own_ports_[line.pings->local_port()] = now;
    line.pings.reset();
    line.not_sent.clear();
}

void LineRates::set_server(Line& line, const MediaServer* server, Clock::time_point now) {
    if (!server || (line.pings && line.pings->server() != server->address)) stop_asking(line, now);
    if (!server || line.pings) return;
    if (line.server != server->address) line.control.forget_path();
    line.server = server->address;
    auto pings = StunPings::open(server->address, server->local, line.about.interface);
    line.not_sent = pings ? "" : pings.error().message;
    if (pings) line.pings.emplace(std::move(*pings));
}

void LineRates::step(Line& line, Clock::time_point now) {
    const auto counts = read_shaper(line.about.interface);
    if (!counts || !*counts) { // the next look at the host tells, and makes it again
        line.problem = counts ? "" : counts.error().message;
        line.stands_off = true;
        line.applied = 0;
        return;
    }
    const ShaperCounts& shaper = **counts;
    if (shaper.bytes < line.bytes) line.applied = 0; // another qdisc
    line.bytes = shaper.bytes;
    if (now - line.last_media > forget_after) {
        line.control = RateControl(line.about.bounds, line.about.bounds.max);
        line.server.reset();
        return apply(line, shaper.kind, line.about.bounds.max);
    }
    if (!line.pings) // what is learned stays
        return apply(line, shaper.kind, line.control.rate());
    const auto time = since_start(now);
    line.pings->receive([&](uint32_t number, std::chrono::nanoseconds rtt) { line.control.response(number, rtt); });
    line.control.sent(time, shaper.bytes, shaper.waiting > 0);
    if (now >= line.next_request) {
        const uint32_t number = ++last_number_;
        const bool sent = line.pings->send(number);
        line.not_sent =
            sent ? "" : fmt::format("nothing can be sent to {}: {}", line.pings->server().text(), strerror(errno));
        if (sent) line.control.request(time, number);
        line.next_request = now + (line.control.is_busy() ? request_every : idle_request_every) - fast / 2;
    }
    apply(line, shaper.kind, line.control.decide(time));
}

// While no command changes the host, and only what is as it was left: else another has given it a rate, or is about to.
static Result<bool> change_if_unchanged(const Instance& instance, uint32_t interface, uint64_t known, QueueKind kind,
                                        const ShapedLine& wanted) {
    auto lock = lock_folder(instance.state_dir, std::chrono::milliseconds(0));
    if (!lock && lock.error().number == EWOULDBLOCK) return false;
    const Fd held = KUDO_TRY(std::move(lock));
    const auto there = shaped_rate(KUDO_TRY(list_tc_objects(interface)));
    if (!there || *there / 8 != known / 8) return fail("somebody else has changed its rate");
    KUDO_TRY(change_rate(interface, kind, wanted));
    return true;
}

void LineRates::apply(Line& line, QueueKind kind, uint64_t rate) {
    if (line.stands_off) return;
    const uint64_t difference = rate > line.applied ? rate - line.applied : line.applied - rate;
    const bool at_a_bound = rate == line.about.bounds.min || rate == line.about.bounds.max;
    if (line.applied != 0 && (difference == 0 || (difference < rate / worth_changing && !at_a_bound))) return;
    const uint64_t known = line.applied != 0 ? line.applied : line.about.rate;
    if (known / 8 == rate / 8) {
        line.applied = rate;
        return;
    }
    const auto changed = change_if_unchanged(*instance_, line.about.interface, known, kind,
                                             {.bits_per_second = rate, .mtu = line.about.mtu});
    if (!changed) {
        line.problem = changed.error().message;
        line.stands_off = true;
        line.applied = 0;
        return;
    }
    if (!*changed) return; // the next step again
    line.applied = rate;
    spdlog::debug("{} uplink: {}: {}", line.about.name, rate_text(rate), line.control.phase_name());
}

std::string LineRates::state_of(const Line& line, Clock::time_point now) const {
    if (!line.problem.empty()) return line.problem + ": until the next look at the host";
    if (!look_problem_.empty()) return "whether a media flow runs cannot be told: " + look_problem_;
    if (!line.not_sent.empty()) return line.not_sent + ": the rate stays as it is";
    if (now - line.last_media > forget_after)
        return fmt::format("no media flow for {} minutes: the most until there is one",
                           std::chrono::minutes(forget_after).count());
    if (!line.pings) return "no media flow: the rate stays as it is";
    const std::string server = line.pings->server().text();
    if (line.control.is_silent()) return fmt::format("{} does not answer STUN: the rate stays as it is", server);
    return fmt::format("by the round trips to {}", server);
}

void LineRates::tell(Clock::time_point now) {
    LineStates states;
    for (const auto& [interface, line] : lines_)
        if (!line.stands_off || !line.problem.empty()) // else its queue is gone, perhaps by a disable
            states[line.about.name] = state_of(line, now);
    if (states == told_) return;
    for (const auto& [name, state] : states)
        if (const auto before = told_.find(name); before == told_.end() || before->second != state)
            spdlog::info("{} uplink: its rate follows the line: {}", name, state);
    if (const auto saved = save_line_states(*instance_, states); !saved) spdlog::debug("{}", saved.error().message);
    told_ = states;
}

void LineRates::forget() {
    static_cast<void>(save_line_states(*instance_, {}));
}

} // namespace kudo
