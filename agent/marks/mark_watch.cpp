// SPDX-License-Identifier: MIT
#include "agent/marks/mark_watch.h"

#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <map>
#include <utility>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <nlohmann/json.hpp>
#include <spdlog/spdlog.h>

#include "agent/datapath/datapath.h"
#include "agent/stun/socket_address.h"
#include "agent/system/uptime.h"
#include "maps/net/dscp.h"

namespace kudo {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds look_every{500}, ends_within{5000};
constexpr milliseconds gap{15};                           // between a mark and the next
constexpr milliseconds first_wait{1200}, least_wait{250}; // for the last answers
constexpr int rest_of_looks = 50;                         // so many times as long as the last one took, at least
constexpr std::chrono::seconds in_use_within{10};         // browsers ask every 2.5 to 5 s (RFC 7675)
constexpr milliseconds silence{1000};
constexpr std::size_t max_told = 4096;

template <typename Key> ServerInUse server_of(Family family, const std::string& bytes) {
    Key key{};
    std::memcpy(&key, bytes.data(), sizeof key);
    return {.server = {Address::from_bytes(family, &key.remote), key.remote_port},
            .local = Address::from_bytes(family, &key.local)};
}

bool is_silent(const FlowProbe& probe, std::chrono::system_clock::time_point now) {
    const bool is_overdue = now - *probe.last_request > silence;
    if (!probe.last_response) return is_overdue || probe.requests > 1;
    return *probe.last_request > *probe.last_response &&
           (is_overdue || *probe.last_request - *probe.last_response > silence);
}

// What a server takes to answer is known, once it has; what is lost is not waited for much longer.
MarkExchangeTimes times_for(const ServerInUse& server, std::size_t marks) {
    const auto sending = gap * static_cast<int>(marks * MarkFinder::requests);
    const auto wait = server.rtt.count() == 0 ? first_wait : std::clamp(4 * server.rtt, least_wait, first_wait);
    return {.requests = MarkFinder::requests, .gap = gap, .all = sending + wait};
}

// From the flow's own address, so that it goes the flow's way where that is chosen by it. Not of a flow that this host
// only forwards.
void bind_to(int socket, const Address& local) {
    const SocketAddress address(local, 0);
    static_cast<void>(bind(socket, address.get(), address.size));
}

// In the confined process.
void ask_with_marks(int socket, int probe_socket, const ServerInUse& server, const std::vector<uint8_t>& dscps) {
    const bool v4 = server.server.address.family == Family::IPv4;
    nlohmann::json told = nlohmann::json::array();
    for (const MarkOutcome& outcome : exchange_marked({server.server}, dscps, times_for(server, dscps.size()),
                                                      {v4 ? probe_socket : -1, v4 ? -1 : probe_socket}))
        told.push_back({outcome.dscp, outcome.sent, outcome.answered});
    const std::string text = told.dump() + "\n";
    static_cast<void>(send(socket, text.data(), text.size(), MSG_NOSIGNAL));
}

// Nothing: it is not what ask_with_marks() tells of these.
std::vector<MarkOutcome> outcomes_of(const std::string& text, const std::vector<uint8_t>& dscps) {
    std::vector<MarkOutcome> outcomes;
    try {
        for (const auto& [dscp, sent, answered] :
             nlohmann::json::parse(text).get<std::vector<std::array<unsigned, 3>>>()) {
            if (outcomes.size() == dscps.size() || dscp != dscps[outcomes.size()] || answered > sent ||
                sent > MarkFinder::requests)
                return {};
            outcomes.push_back({.dscp = static_cast<uint8_t>(dscp), .sent = sent, .answered = answered});
        }
    } catch (const nlohmann::json::exception&) {
        return {};
    }
    return outcomes.size() == dscps.size() ? outcomes : std::vector<MarkOutcome>{};
}

std::string names_of(const std::vector<LostMark>& marks) {
    std::vector<std::string> names;
    for (const LostMark& mark : marks)
        names.push_back(dscp_name(mark.dscp));
    return fmt::format("{}", fmt::join(names, ", "));
}

} // namespace

std::vector<ServerInUse> servers_in_use(const FlowProbes& probes, std::chrono::system_clock::time_point now) {
    std::map<StunServer, ServerInUse> servers;
    for (const auto& [key, probe] : probes) {
        if (!probe.last_request || now - *probe.last_request > in_use_within) continue;
        ServerInUse one = key.size() == sizeof(kudo_flow4_key) ? server_of<kudo_flow4_key>(Family::IPv4, key)
                                                               : server_of<kudo_flow6_key>(Family::IPv6, key);
        one.silent = is_silent(probe, now);
        if (probe.rtt) one.rtt = milliseconds(static_cast<int64_t>(std::ceil(probe.rtt->last)));
        const auto [entry, is_new] = servers.try_emplace(one.server, one);
        if (!is_new) entry->second.silent = entry->second.silent && one.silent; // on all flows
    }
    std::vector<ServerInUse> in_use;
    for (const auto& [server, one] : servers)
        in_use.push_back(one);
    return in_use;
}

MarkWatch::MarkWatch(const Instance& instance, Epoll epoll, Timer timer)
    : instance_(instance), epoll_(std::move(epoll)), timer_(std::move(timer)) {}

Result<MarkWatch> MarkWatch::open(const Instance& instance) {
    auto epoll = KUDO_TRY(Epoll::create());
    auto timer = KUDO_TRY(Timer::create());
    KUDO_TRY(epoll.watch(timer.fd(), EPOLLIN));
    timer.set(Clock::time_point::max());
    return MarkWatch(instance, std::move(epoll), std::move(timer));
}

void MarkWatch::warn_once(const std::string& problem) {
    if (!problem.empty() && problem != problem_) spdlog::warn("marks are not compared: {}", problem);
    problem_ = problem;
}

void MarkWatch::stop() {
    watches_ = pending_ = false;
    process_.reset();
    timer_.set(Clock::time_point::max());
}

void MarkWatch::follow(const DesiredState& desired) {
    if (!desired.enabled || !desired.mark_fallback || desired.in_effect().mode == KUDO_OBSERVE) return stop();
    std::vector<uint8_t> dscps;
    for (const MarkInUse& mark : marks_in_use(desired.marks))
        dscps.push_back(mark.dscp);
    finder_.set_marks(dscps);
    if (pending_ && finder_.lost() == desired.lost_marks) {
        pending_ = false;
        spdlog::info("marks that the network loses: {}",
                     desired.lost_marks.empty() ? "none any more" : names_of(desired.lost_marks));
    }
    if (!pending_) finder_.set_lost(desired.lost_marks);
    if (!std::exchange(watches_, true)) timer_.set(Clock::now());
}

// What an exchange under way finds is of both networks.
void MarkWatch::network_changed() {
    finder_.network_changed();
    if (!process_) return;
    process_.reset();
    timer_.set(Clock::now());
}

void MarkWatch::apply(DesiredState& desired) const {
    if (pending_ && desired.enabled && desired.mark_fallback)
        desired.lost_marks = still_in_use(finder_.lost(), desired.marks);
}

bool MarkWatch::on_ready() {
    if (!watches_) return false;
    if (process_) return read_outcomes();
    look();
    return false;
}

void MarkWatch::look() {
    const auto begin = Clock::now();
    const auto done = [&]() -> Result<void> {
        // Commands may have been given since the last round.
        const auto desired = KUDO_TRY(load_desired_state(instance_));
        follow(desired);
        if (!watches_) return {};
        const auto data_path = KUDO_TRY(DataPath::open(instance_));
        const auto probes = KUDO_TRY(read_probes(data_path.maps()));
        const auto server = finder_.due(servers_in_use(probes, std::chrono::system_clock::now()), begin);
        if (server) KUDO_TRY(ask(*server));
        return {};
    }();
    if (!done) warn_once(done.error().message);
    const auto end = Clock::now();
    if (watches_)
        timer_.set(process_ ? deadline_ : end + std::max<Clock::duration>(look_every, rest_of_looks * (end - begin)));
}

Result<void> MarkWatch::ask(const ServerInUse& server) {
    const Address& address = server.server.address;
    const auto sockets = KUDO_TRY(open_probe_sockets(KUDO_PROBE_MARK));
    const int probe_socket = sockets[address.family == Family::IPv6].get();
    if (probe_socket < 0) return fail("no socket for " + address.text());
    bind_to(probe_socket, server.local);
    dscps_ = {0};
    dscps_.insert(dscps_.end(), finder_.marks().begin(), finder_.marks().end());
    process_.emplace(KUDO_TRY(ConfinedProcess::start(
        Confinement::Network,
        [&](int socket) { ask_with_marks(socket, ConfinedProcess::first_more_fd, server, dscps_); },
        std::array{probe_socket})));
    asked_ = server;
    received_.clear();
    deadline_ = Clock::now() + ends_within;
    return epoll_.watch(process_->socket(), EPOLLIN);
}

bool MarkWatch::read_outcomes() {
    std::array<char, max_told> bytes{};
    const ssize_t got = recv(process_->socket(), bytes.data(), bytes.size(), MSG_DONTWAIT);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) {
        if (Clock::now() < deadline_) return false;
        warn_once("the process that asks takes too long");
        return end({});
    }
    if (got > 0) {
        received_.append(bytes.data(), static_cast<std::size_t>(got));
        if (received_.ends_with('\n')) return end(outcomes_of(received_, dscps_));
        if (received_.size() < max_told) return false;
    }
    warn_once("the process that asks " + process_->end());
    return end({});
}

bool MarkWatch::end(const std::vector<MarkOutcome>& outcomes) {
    process_.reset();
    if (!outcomes.empty()) warn_once("");
    for (const MarkOutcome& outcome : outcomes)
        spdlog::debug("{}: {} of {} STUN requests answered with {}", asked_.server.address.text(), outcome.answered,
                      outcome.sent, dscp_name(outcome.dscp));
    const bool changed = finder_.note(asked_, outcomes, Clock::now(), wall_time());
    pending_ |= changed;
    timer_.set(Clock::now() + MarkFinder::sure);
    return changed;
}

} // namespace kudo
