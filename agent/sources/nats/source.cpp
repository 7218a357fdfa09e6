// SPDX-License-Identifier: MIT
#include "agent/sources/nats/source.h"

#include <algorithm>
#include <numeric>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "agent/fleet/layout.h"
#include "maps/base/hash.h"
#include "maps/base/text.h"
#include "maps/trust/bundle.h"

namespace kudo {
namespace {
// A report that is older than this may be of a machine that is gone.
constexpr std::chrono::minutes namesake_silent{15};
constexpr std::size_t max_written = 16; // one that was given up may arrive late
} // namespace

NatsSource::NatsSource(NatsOptions options)
    : ThreadedSource(fmt::format("{} fleet {}, ring {}", redacted_url(options.url), options.fleet, options.ring)),
      options_(std::move(options)),
      // Keys first: a map may need the keys that came with it.
      keys_{WatchedKey{.key = ring_keys_key(options_.ring)},
            WatchedKey{.key = ring_map_key(options_.ring), .is_needed = true}},
      thread_([this](const std::stop_token& stop) { run(stop); }) {}

NatsSource::~NatsSource() = default;

void NatsSource::read_again(const Deliver& /*deliver*/) {
    call([&] { calls_.read = true; });
}

void NatsSource::report(const HostReport& report) {
    call([&] {
        calls_.report = true;
        new_about_ = report;
        if (!apart_.empty()) new_about_.identity = apart_;
        new_report_ = to_json(new_about_);
    });
}

SourceHealth NatsSource::health() const {
    const std::lock_guard lock(mutex_);
    SourceHealth health = health_;
    if (health.problem.empty()) health.problem = report_problem_;
    if (health.problem.empty()) health.problem = clash_;
    return health;
}

void NatsSource::run(const std::stop_token& stop) {
    takes_no_signals();
    stop_ = stop;
    while (true) {
        const Calls calls = wait_for_calls();
        if (stop_.stop_requested()) return;
        if (calls.closed) drop("the connection was lost");
        if (calls.read) {
            for (WatchedKey& watched : keys_)
                watched.always = true;
            next_connect_ = next_read_ = Clock::now();
        }
        must_read_ = must_read_ || calls.message;
        bool notified = calls.message;
        for (std::size_t i = 0; i < keys_.size(); i++) {
            if (calls.documents[i].empty()) continue;
            documents_[i] = calls.documents[i];
            notified = true;
        }
        if (notified && next_notified_read_ == never)
            next_notified_read_ = Clock::now() + random_part(options_.notification_spread, 0, 1);
        if (calls.report) next_report_ = Clock::now();
        if (calls.report && next_connect_ == never) next_connect_ = Clock::now();

        // Each may lose the connection; the next one then has nothing to do until there is another.
        if (!connection_ && next_connect_ <= Clock::now()) connect();
        if (connection_ && next_check_ <= Clock::now()) check_health();
        if (connection_ && next_read_ <= Clock::now()) read_everything();
        if (connection_ && next_notified_read_ <= Clock::now()) read_notified();
        if (connection_ && report_is_wanted() && next_report_ <= Clock::now()) store_report();
    }
}

NatsSource::Calls NatsSource::wait_for_calls() {
    std::unique_lock lock(mutex_);
    called_.wait_until(lock, stop_, next_due(), [&] {
        return calls_.closed || calls_.read || calls_.report || calls_.message || !calls_.documents[0].empty() ||
               !calls_.documents[1].empty();
    });
    if (calls_.report) {
        report_ = new_report_;
        about_ = new_about_;
    }
    return std::exchange(calls_, {});
}

NatsSource::TimePoint NatsSource::next_due() const {
    if (!connection_) return next_connect_;
    return std::min({next_check_, next_read_, next_notified_read_, report_is_wanted() ? next_report_ : never});
}

void NatsSource::connect() {
    // One at a time: the destructor waits for no more than one of them.
    const auto servers = one_by_one(options_);
    std::vector<std::size_t> order(servers.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::ranges::shuffle(order, random_);
    // In the administrator's order: the same problem has the same text.
    std::vector<std::string> problems(servers.size());
    for (const std::size_t number : order) {
        const NatsOptions& server = servers[number];
        if (stop_.stop_requested()) return;
        auto connection = NatsConnection::open(server, [this](const NatsEvent& event) { on_event(event); });
        if (connection) {
            connection_.emplace(std::move(*connection));
            break;
        }
        problems[number] = connection.error().message;
    }
    if (!connection_) {
        set_problem(fmt::format("{}", fmt::join(problems, "; ")));
        next_connect_ = after_failure(connect_failures_);
        return;
    }
    const TimePoint now = Clock::now();
    next_connect_ = never;
    next_check_ = Clock::now() + random_part(options_.health_check, 0.8, 1);
    next_read_ = next_report_ = now;
}

void NatsSource::on_event(const NatsEvent& event) {
    call([&] {
        if (event.closed)
            calls_.closed = true;
        else if (event.value.empty())
            calls_.message = true;
        for (std::size_t i = 0; i < keys_.size() && !event.value.empty(); i++)
            if (event.subject == notification_subject(maps_bucket(options_.fleet), keys_[i].key))
                calls_.documents[i] = event.value;
    });
}

void NatsSource::drop(const std::string& problem) {
    maps_.reset();
    hosts_.reset();
    connection_.reset();
    {
        // What the old connection had to say is of no interest any more.
        const std::lock_guard lock(mutex_);
        calls_.closed = false;
    }
    set_problem(problem);
    next_check_ = next_read_ = next_notified_read_ = next_report_ = never;
    next_connect_ = after_failure(connect_failures_);
}

void NatsSource::check_health() {
    next_check_ = Clock::now() + random_part(options_.health_check, 0.8, 1);
    if (const auto answered = connection_->round_trip(); !answered) drop(answered.error().message);
}

void NatsSource::leave_if_lost(const Error& error) {
    maps_.reset();
    hosts_.reset();
    if (stop_.stop_requested() || connection_->is_closed() || !connection_->round_trip()) drop(error.message);
}

void NatsSource::read_everything() {
    // Subscribed again, as the bucket is looked up again: it may have been deleted and made again. A plain
    // subscription, not a consumer of the bucket: it costs the server no state, outlives the bucket and passes leaf
    // nodes.
    maps_.reset();
    hosts_.reset();
    auto read = connection_->listen(notification_subject(maps_bucket(options_.fleet), "ring." + options_.ring + ".*"));
    if (read) read = read_keys();
    if (read) {
        connect_failures_ = read_failures_ = 0;
        next_read_ = Clock::now() + random_part(options_.read_again, 0.8, 1);
        all_read();
    } else {
        next_read_ = after_failure(read_failures_);
        set_problem(read.error().message);
        leave_if_lost(read.error());
    }
    if (!connection_) return;
    if (const auto checked = check_report(); !checked) leave_if_lost(checked.error());
}

void NatsSource::read_notified() {
    next_notified_read_ = never;
    for (std::size_t i = 0; i < keys_.size(); i++) {
        const std::string value = std::exchange(documents_[i], {});
        if (value.empty()) continue;
        // What is stored has the last word: anybody who may publish can have notified of something else.
        next_read_ = std::min(next_read_, Clock::now() + random_part(std::chrono::seconds(30), 0.2, 1));
        if (!deliver_value(keys_[i], value)) must_read_ = true;
    }
    if (!std::exchange(must_read_, false)) return;
    if (const auto read = read_keys(); !read) {
        next_read_ = after_failure(read_failures_);
        set_problem(read.error().message);
        leave_if_lost(read.error());
    }
}

Result<void> NatsSource::open_bucket(std::optional<NatsBucket>& bucket, const std::string& name) {
    if (bucket) return {};
    if (stop_.stop_requested()) return fail("ending");
    bucket.emplace(KUDO_TRY(connection_->bucket(name)));
    return {};
}

Result<void> NatsSource::read_keys() {
    KUDO_TRY(open_bucket(maps_, maps_bucket(options_.fleet)));
    // One that is wrong does not keep the other from being read.
    Result<void> first;
    for (WatchedKey& watched : keys_) {
        if (stop_.stop_requested()) return fail("ending");
        auto read = read_key(*maps_, watched);
        if (!read && first) first = std::move(read);
    }
    return first;
}

Result<void> NatsSource::read_key(NatsBucket& bucket, WatchedKey& watched) {
    auto entry = KUDO_TRY(bucket.read(watched.key));
    if (!entry) {
        if (watched.is_needed) return fail(source_of(watched) + ": nothing has been published there");
        watched.always = false;
        return {};
    }
    return deliver_value(watched, entry->value);
}

std::string NatsSource::source_of(const WatchedKey& watched) const {
    return fmt::format("{} {} {}", redacted_url(options_.url), maps_bucket(options_.fleet), watched.key);
}

Result<void> NatsSource::deliver_value(WatchedKey& watched, const std::string& value) {
    const std::string source = source_of(watched);
    std::string hash = content_hash(value);
    if (!watched.always && hash == watched.delivered) return {};
    auto bundle = KUDO_TRY(split_bundle(value).in(source));
    put(Delivery{source, std::move(bundle.document), std::move(bundle.signatures)});
    watched.delivered = std::move(hash);
    watched.always = false;
    return {};
}

void NatsSource::store_report() {
    auto stored = open_bucket(hosts_, hosts_bucket(options_.fleet));
    if (!first_report_) first_report_ = about_.time;
    written_.push_back(content_hash(report_));
    if (written_.size() > max_written) written_.pop_front();
    if (stored) stored = hosts_->put(host_key(options_.host, about_.identity), report_);
    if (!stored) {
        next_report_ = after_failure(report_failures_);
        call([&] { report_problem_ = stored.error().message; });
        leave_if_lost(stored.error());
        return;
    }
    report_failures_ = 0;
    call([&] { report_problem_.clear(); });
    const bool first = stored_report_.empty();
    stored_report_ = report_;
    next_report_ = never;
    if (!first) return;
    if (const auto looked = look_at_namesakes(); !looked) leave_if_lost(looked.error());
}

Result<void> NatsSource::look_at_namesakes() {
    constexpr std::size_t max_namesakes = 16;
    if (about_.identity.empty()) return {};
    KUDO_TRY(open_bucket(hosts_, hosts_bucket(options_.fleet)));
    const auto keys = KUDO_TRY(hosts_->keys(host_key(options_.host, "*"), max_namesakes));
    std::string clash;
    for (const std::string& key : keys) {
        if (stop_.stop_requested()) return fail("ending");
        const auto entry = KUDO_TRY(hosts_->read(key));
        if (!entry) continue;
        const auto other = parse_host_report(entry->value, key);
        if (!other || other->host != options_.host || other->identity == about_.identity) continue;
        if (!about_.machine.empty() && other->machine == about_.machine && other->time <= about_.booted) {
            KUDO_TRY(hosts_->erase(key));
            continue;
        }
        if (std::chrono::system_clock::now() - entry->created < namesake_silent)
            clash = fmt::format("another machine reports as host {} too ({}, this one is {}): give each a name of its "
                                "own (--host-name), and a cloned disk a machine-id of its own",
                                options_.host, other->identity, about_.identity);
    }
    call([&] { clash_ = clash; });
    return {};
}

Result<void> NatsSource::check_report() {
    if (stored_report_.empty()) return {};
    auto opened = open_bucket(hosts_, hosts_bucket(options_.fleet));
    if (!opened && opened.error().kind != ErrorKind::NotEnabled) return opened;
    std::optional<NatsEntry> entry;
    if (opened) entry = KUDO_TRY(hosts_->read(host_key(options_.host, about_.identity)));
    if (entry && entry->value == stored_report_) return look_at_namesakes();
    if (entry && is_anothers(*entry)) report_apart();
    stored_report_.clear();
    if (next_report_ == never) next_report_ = Clock::now(); // else it waits after a failure
    return {};
}

// Under this machine's own key: written by one with the same identity. What this one wrote before, also before the
// service was started again, may come back with a server's backup.
bool NatsSource::is_anothers(const NatsEntry& entry) const {
    if (about_.identity.empty() || std::ranges::find(written_, content_hash(entry.value)) != written_.end())
        return false;
    const auto other = parse_host_report(entry.value, entry.key);
    return other && other->identity == about_.identity && first_report_ && other->time > *first_report_;
}

// From now on the two are namesakes like others.
void NatsSource::report_apart() {
    call([&] {
        apart_ = identity_apart(about_.identity);
        new_about_.identity = apart_;
        new_report_ = to_json(new_about_);
        about_ = new_about_;
        report_ = new_report_;
    });
}

NatsSource::TimePoint NatsSource::after_failure(unsigned& failures) {
    return Clock::now() + retry_wait(options_.reconnect_wait, options_.max_reconnect_wait, failures, 0.5);
}

} // namespace kudo
