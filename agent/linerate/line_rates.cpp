// SPDX-License-Identifier: MIT
#include "agent/linerate/line_rates.h"

#include <algorithm>
#include <cstdlib>
#include <utility>

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include "agent/datapath/datapath.h"
#include "agent/linerate/media_servers.h"

namespace kudo {
namespace {

using namespace std::chrono_literals;

constexpr auto fast = 25ms, slow = 100ms, idle = 1000ms;         // between two steps
constexpr auto request_every = 50ms, idle_request_every = 500ms; // while enough is sent to fill a line, and while not
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
    std::set<uint16_t> own;
    for (const auto& [interface, line] : lines_)
        if (line.pings) own.insert(line.pings->local_port());
    auto servers = [&]() -> Result<std::map<uint32_t, Address>> {
        auto data_path = KUDO_TRY(DataPath::open(*instance_));
        return read_media_servers(data_path, media_quiet, own);
    }();
    const auto took = Clock::now() - now;
    next_look_ = now + std::max<Clock::duration>(look_every, rest_of_looks * took);
    if (!servers) return; // reconciling finds what is wrong, and tells it
    for (auto& [interface, line] : lines_) {
        const auto server = servers->find(interface);
        set_server(line, server == servers->end() ? nullptr : &server->second);
        if (server != servers->end()) line.last_media = now;
    }
}

void LineRates::set_server(Line& line, const Address* server) {
    if (line.pings && (!server || line.pings->server() != *server)) line.pings.reset();
    if (!server || line.pings) return;
    if (line.server != *server) line.control.forget_path();
    line.server = *server;
    auto pings = StunPings::open(*server, line.about.interface);
    line.problem = pings ? "" : pings.error().message;
    if (pings) line.pings.emplace(std::move(*pings));
}

void LineRates::step(Line& line, Clock::time_point now) {
    const auto counts = read_shaper(line.about.interface);
    if (!counts || !*counts) { // the next look at the host tells, and makes it again
        line.problem = counts ? "its qdisc is gone" : counts.error().message;
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
        if (line.pings->send(number)) line.control.request(time, number);
        line.next_request = now + (line.control.is_busy() ? request_every : idle_request_every) - fast / 2;
    }
    apply(line, shaper.kind, line.control.decide(time));
}

void LineRates::apply(Line& line, QueueKind kind, uint64_t rate) {
    const uint64_t difference = rate > line.applied ? rate - line.applied : line.applied - rate;
    const bool at_a_bound = rate == line.about.bounds.min || rate == line.about.bounds.max;
    if (line.applied != 0 && (difference == 0 || (difference < rate / worth_changing && !at_a_bound))) return;
    const auto changed = change_rate(line.about.interface, kind, {.bits_per_second = rate, .mtu = line.about.mtu});
    if (!changed) {
        line.problem = changed.error().message;
        line.applied = 0;
        return;
    }
    line.applied = rate;
    line.problem.clear();
    spdlog::debug("{} uplink: {}: {}", line.about.name, rate_text(rate), line.control.phase_name());
}

std::string LineRates::state_of(const Line& line, Clock::time_point now) const {
    if (!line.problem.empty()) return line.problem;
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
        states[line.about.name] = state_of(line, now);
    if (states == told_) return;
    for (const auto& [name, state] : states)
        if (const auto before = told_.find(name); before == told_.end() || before->second != state)
            spdlog::info("{} uplink: its rate follows the line: {}", name, state);
    told_ = states;
    if (const auto saved = save_line_states(*instance_, states); !saved) spdlog::debug("{}", saved.error().message);
}

} // namespace kudo
