// SPDX-License-Identifier: MIT
#include "agent/marks/mark_watch.h"

#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <map>
#include <utility>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <nlohmann/json.hpp>
#include <spdlog/spdlog.h>

#include "agent/datapath/datapath.h"
#include "agent/system/uptime.h"
#include "maps/net/dscp.h"

namespace kudo {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds look_every{1000}, answers_within{5000};
constexpr int rest_of_looks = 50;                 // so many times as long as the last one took, at least
constexpr std::chrono::seconds in_use_within{10}; // browsers ask every 2.5 to 5 s (RFC 7675)
constexpr milliseconds silence{1000};
constexpr std::size_t max_told = 4096;

template <typename Key> StunServer server_of(Family family, const std::string& bytes) {
    Key key{};
    std::memcpy(&key, bytes.data(), sizeof key);
    return {Address::from_bytes(family, &key.remote), key.remote_port};
}

bool is_silent(const FlowProbe& probe, std::chrono::system_clock::time_point now) {
    const bool is_overdue = now - *probe.last_request > silence;
    if (!probe.last_response) return is_overdue || probe.requests > 1;
    return *probe.last_request > *probe.last_response &&
           (is_overdue || *probe.last_request - *probe.last_response > silence);
}

// In the confined process.
void ask_with_marks(int socket, int probe_socket, const StunServer& server, const std::vector<uint8_t>& dscps) {
    const bool v4 = server.address.family == Family::IPv4;
    nlohmann::json told = nlohmann::json::array();
    for (const MarkOutcome& outcome :
         exchange_marked({server}, dscps, MarkFinder::times, {v4 ? probe_socket : -1, v4 ? -1 : probe_socket}))
        told.push_back({outcome.dscp, outcome.sent, outcome.answered});
    const std::string text = told.dump() + "\n";
    static_cast<void>(send(socket, text.data(), text.size(), MSG_NOSIGNAL));
}

// Nothing: it is not what ask_with_marks() tells.
std::vector<MarkOutcome> outcomes_of(const std::string& text) {
    std::vector<MarkOutcome> outcomes;
    try {
        for (const auto& [dscp, sent, answered] :
             nlohmann::json::parse(text).get<std::vector<std::array<unsigned, 3>>>()) {
            if (dscp > 63 || answered > sent) return {};
            outcomes.push_back({.dscp = static_cast<uint8_t>(dscp), .sent = sent, .answered = answered});
        }
    } catch (const nlohmann::json::exception&) {
        return {};
    }
    return outcomes;
}

std::string names_of(const std::vector<LostMark>& marks) {
    std::vector<std::string> names;
    for (const LostMark& mark : marks)
        names.push_back(dscp_name(mark.dscp));
    return fmt::format("{}", fmt::join(names, ", "));
}

} // namespace

std::vector<ServerInUse> servers_in_use(const FlowProbes& probes, std::chrono::system_clock::time_point now) {
    std::map<StunServer, bool> servers; // silent on all flows
    for (const auto& [key, probe] : probes) {
        if (!probe.last_request || now - *probe.last_request > in_use_within) continue;
        const StunServer server = key.size() == sizeof(kudo_flow4_key) ? server_of<kudo_flow4_key>(Family::IPv4, key)
                                                                       : server_of<kudo_flow6_key>(Family::IPv6, key);
        const auto [entry, is_new] = servers.try_emplace(server, true);
        entry->second = entry->second && is_silent(probe, now);
    }
    std::vector<ServerInUse> in_use;
    for (const auto& [server, silent] : servers)
        in_use.push_back({server, silent});
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

void MarkWatch::follow(const DesiredState& desired) {
    const bool wanted = desired.enabled && desired.mark_fallback && desired.in_effect().mode != KUDO_OBSERVE;
    std::vector<uint8_t> dscps;
    if (wanted)
        for (const MarkInUse& mark : marks_in_use(desired.marks))
            dscps.push_back(mark.dscp);
    // What another process has made of it, as a disable does, is so.
    finder_.set_lost(desired.lost_marks);
    finder_.set_marks(dscps);
    if (std::exchange(watches_, wanted) == wanted) return;
    if (!wanted) process_.reset();
    timer_.set(wanted ? Clock::now() : Clock::time_point::max());
}

void MarkWatch::apply(DesiredState& desired) const {
    if (!watches_ || !desired.mark_fallback) return;
    desired.lost_marks = finder_.lost();
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
        const auto data_path = KUDO_TRY(DataPath::open(instance_));
        const auto probes = KUDO_TRY(read_probes(data_path.maps()));
        const auto server = finder_.due(servers_in_use(probes, std::chrono::system_clock::now()), begin);
        if (server) KUDO_TRY(ask(*server));
        return {};
    }();
    warn_once(done ? "" : done.error().message);
    const auto end = Clock::now();
    timer_.set(process_ ? deadline_ : end + std::max<Clock::duration>(look_every, rest_of_looks * (end - begin)));
}

Result<void> MarkWatch::ask(const StunServer& server) {
    const auto sockets = KUDO_TRY(open_probe_sockets(KUDO_PROBE_MARK));
    const int probe_socket = sockets[server.address.family == Family::IPv6].get();
    if (probe_socket < 0) return fail("no socket for " + server.address.text());
    std::vector<uint8_t> dscps{0};
    dscps.insert(dscps.end(), finder_.marks().begin(), finder_.marks().end());
    process_.emplace(KUDO_TRY(ConfinedProcess::start(
        Confinement::Network,
        [&](int socket) { ask_with_marks(socket, ConfinedProcess::first_more_fd, server, dscps); },
        std::array{probe_socket})));
    asked_ = server;
    received_.clear();
    deadline_ = Clock::now() + answers_within;
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
        if (received_.ends_with('\n')) return end(outcomes_of(received_));
        if (received_.size() < max_told) return false;
    }
    warn_once("the process that asks " + process_->end());
    return end({});
}

bool MarkWatch::end(const std::vector<MarkOutcome>& outcomes) {
    process_.reset();
    const auto before = finder_.lost();
    const bool changed = finder_.note(asked_, outcomes, Clock::now(), wall_time());
    for (const MarkOutcome& outcome : outcomes)
        spdlog::debug("{}: {} of {} STUN requests answered with {}", asked_.address.text(), outcome.answered,
                      outcome.sent, dscp_name(outcome.dscp));
    if (changed && finder_.lost().size() > before.size())
        spdlog::warn("packets marked {} do not arrive at {}, unmarked ones do: sent without a mark from now on",
                     names_of(finder_.lost()), asked_.address.text());
    else if (changed)
        spdlog::info("packets marked {} arrive at {} again", names_of(before), asked_.address.text());
    timer_.set(Clock::now() + MarkFinder::sure);
    return changed;
}

} // namespace kudo
