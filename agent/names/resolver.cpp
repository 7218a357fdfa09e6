// SPDX-License-Identifier: MIT
#include "agent/names/resolver.h"

#include <sys/socket.h>

#include <algorithm>
#include <random>
#include <utility>

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include "agent/datapath/bpf_object.h"
#include "agent/datapath/generation.h"
#include "agent/lifelines/host_facts.h"
#include "agent/names/learned_tables.h"
#include "agent/system/files.h"
#include "maps/base/text.h"
#include "maps/compile/domains.h"

namespace kudo {
namespace {

constexpr std::chrono::seconds asks_within{120};
constexpr std::size_t max_resolv_conf = 65536, max_line = 65536, max_reads = 64;

// In the confined process.
void ask_all(int socket, const std::vector<std::string>& names, const std::vector<NameServer>& servers) {
    NameLookup lookup(servers);
    for (const std::string& name : names)
        for (const bool ipv6 : {false, true}) {
            const std::string text = lookup_text(lookup.look_up(name, ipv6));
            if (send(socket, text.data(), text.size(), MSG_NOSIGNAL) != static_cast<ssize_t>(text.size())) return;
        }
}

} // namespace

NameResolver::NameResolver(const Instance& instance, Epoll epoll, Timer timer)
    : instance_(instance), epoll_(std::move(epoll)), timer_(std::move(timer)), schedule_(std::random_device{}()) {}

Result<NameResolver> NameResolver::open(const Instance& instance) {
    auto epoll = KUDO_TRY(Epoll::create());
    auto timer = KUDO_TRY(Timer::create());
    KUDO_TRY(epoll.watch(timer.fd(), EPOLLIN));
    return NameResolver(instance, std::move(epoll), std::move(timer));
}

void NameResolver::set_timer() {
    timer_.set(process_ ? deadline_ : schedule_.next());
}

void NameResolver::follow_policy() {
    const auto data_path = DataPath::open(instance_);
    const auto generation = data_path ? active_generation(data_path->maps()) : 0;
    const uint32_t table = data_path ? map_id(data_path->maps().learned4.get()) : 0;
    const bool same_table = std::exchange(table_, table) == table;
    if (generation && *generation != 0 && *generation == generation_ && same_table) return;
    std::vector<std::string> names;
    generation_ = 0;
    if (generation && *generation != 0) {
        const auto policy = read_active_policy(data_path->maps());
        if (!policy) return; // the next round's
        names = exact_names(*policy);
        generation_ = policy->generation;
    }
    schedule_.set_names(names, Clock::now());
    if (!same_table) retry_all();
    set_timer();
}

// What a round that is under way finds may be too late for them.
void NameResolver::retry_all() {
    schedule_.retry_all(Clock::now());
    again_ = process_.has_value();
}

void NameResolver::clock_changed() {
    retry_all();
    set_timer();
}

void NameResolver::name_servers_changed() {
    schedule_.retry_failed(Clock::now());
    set_timer();
}

Result<void> NameResolver::start(const std::vector<std::string>& names) {
    auto file = read_file(resolver_files().front(), max_resolv_conf);
    if (!file && file.error().number == ENOENT) file = ""; // resolv.conf(5): this host is asked
    const auto servers = name_servers_of(KUDO_TRY(std::move(file)));
    process_.emplace(
        KUDO_TRY(ConfinedProcess::start(Confinement::Network, [&](int socket) { ask_all(socket, names, servers); })));
    asked_ = names;
    answers_.clear();
    failed_.clear();
    refused_.clear();
    usable_.clear();
    again_ = false;
    received_.clear();
    deadline_ = Clock::now() + asks_within;
    return epoll_.watch(process_->socket(), EPOLLIN);
}

void NameResolver::on_ready() {
    if (process_) read_answers();
    if (process_ && Clock::now() >= deadline_) end("the name servers take too long");
    if (!process_) {
        const auto names = schedule_.due(Clock::now());
        if (!names.empty())
            if (const auto started = start(names); !started) {
                process_.reset();
                for (const std::string& name : names)
                    schedule_.failed(name, started.error().message, Clock::now());
            }
    }
    set_timer();
}

void NameResolver::read_answers() {
    for (std::size_t reads = 0; reads < max_reads; reads++) {
        char bytes[16384];
        const ssize_t got = recv(process_->socket(), bytes, sizeof bytes, MSG_DONTWAIT);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0 && errno == EAGAIN) return;
        if (got <= 0) return end("");
        received_.append(bytes, static_cast<std::size_t>(got));
        for (std::size_t at; (at = received_.find('\n')) != std::string::npos; received_.erase(0, at + 1))
            take(std::string_view(received_).substr(0, at));
        if (received_.size() > max_line) return end("the process that asks them has told too much");
    }
}

// Only what was asked, and each once.
void NameResolver::take(std::string_view line) {
    auto lookup = parse_lookup(line);
    if (!lookup || std::ranges::find(asked_, lookup->name) == asked_.end()) return;
    const auto is_same = [&](const Lookup& other) { return other.name == lookup->name && other.ipv6 == lookup->ipv6; };
    if (std::ranges::any_of(answers_, is_same)) return;
    enter(*lookup);
    answers_.push_back(std::move(*lookup));
}

void NameResolver::enter(const Lookup& lookup) {
    if (lookup.addresses.empty()) return;
    const auto entered = [&]() -> Result<LearnedTables::Entered> {
        auto data_path = KUDO_TRY(DataPath::open(instance_));
        auto tables = KUDO_TRY(LearnedTables::open(data_path));
        return tables.enter(lookup);
    }();
    const std::string problem = entered ? "" : entered.error().message;
    if (!problem.empty() && problem != entering_) spdlog::warn("addresses of {}: {}", lookup.name, problem);
    entering_ = problem;
    if (!entered)
        failed_[lookup.name] = "its addresses cannot be entered: " + problem;
    else if (entered->special == lookup.addresses.size())
        refused_.try_emplace(lookup.name, fmt::format("{} gives {}, which no service can have", lookup.server.text(),
                                                      lookup.addresses.front().text()));
    else
        usable_.insert(lookup.name);
    if (entered && entered->addresses != 0)
        spdlog::debug("{}: {} addresses entered, by {}", lookup.name, entered->addresses, lookup.server.text());
}

// The process has ended, or ends now. `why`: what its names that have no answer failed by; empty: how it ended.
void NameResolver::end(const std::string& why) {
    const std::string how = process_->end();
    process_.reset();
    const auto now = Clock::now();
    for (const std::string& name : asked_) {
        std::string problem;
        std::optional<uint32_t> ttl;
        std::size_t answers = 0;
        for (const Lookup& lookup : answers_) {
            if (lookup.name != name) continue;
            answers++;
            if (!lookup.problem.empty() && problem != lookup.problem) add_clause(problem, lookup.problem);
            for (const uint32_t each : lookup.ttls)
                ttl = std::min(ttl.value_or(each), each);
        }
        if (const auto failed = failed_.find(name); failed != failed_.end())
            schedule_.failed(name, failed->second, now);
        else if (const auto refused = refused_.find(name); refused != refused_.end() && !usable_.contains(name))
            schedule_.failed(name, refused->second, now);
        else if (ttl)
            schedule_.resolved(name, std::chrono::seconds(*ttl), now);
        else if (!problem.empty())
            schedule_.failed(name, problem, now);
        else if (answers == 2)
            schedule_.failed(name, "it has no address", now);
        else
            schedule_.failed(name, why.empty() ? "the process that asks the name servers " + how : why, now);
    }
    if (std::exchange(again_, false)) schedule_.retry_all(now);
}

} // namespace kudo
