// SPDX-License-Identifier: MIT
#include "agent/sources/nats/worker.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <signal.h>

#include "agent/fleet/layout.h"
#include "agent/system/uptime.h"
#include "maps/base/hash.h"
#include "maps/base/text.h"
#include "maps/trust/bundle.h"

namespace kudo {
namespace {

// Signals are for the service's loop; threads of libnats that begin here inherit this.
void block_all_signals() {
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, nullptr);
}

template <typename TimePoint> bool is_due(const std::optional<TimePoint>& moment, TimePoint now) {
    return moment && *moment <= now;
}

} // namespace

NatsWorker::NatsWorker(NatsOptions options, DeliveryInbox& inbox)
    : options_(std::move(options)), inbox_(inbox), random_(std::random_device{}()),
      // Keys first: a map may need the keys that came with it.
      places_{Place{.key = ring_keys_key(options_.ring)}, Place{.key = ring_map_key(options_.ring), .is_needed = true}},
      thread_([this] { run(); }) {}

NatsWorker::~NatsWorker() {
    ending_ = true;
    {
        const std::lock_guard lock(mutex_);
        calls_.end = true;
    }
    called_.notify_one();
    thread_.join();
}

void NatsWorker::read_again() {
    {
        const std::lock_guard lock(mutex_);
        calls_.read = true;
    }
    called_.notify_one();
}

void NatsWorker::report(std::string report) {
    {
        const std::lock_guard lock(mutex_);
        calls_.report = true;
        new_report_ = std::move(report);
    }
    called_.notify_one();
}

SourceHealth NatsWorker::health() const {
    const std::lock_guard lock(mutex_);
    SourceHealth health = health_;
    if (health.problem.empty()) health.problem = report_problem_;
    return health;
}

void NatsWorker::run() {
    block_all_signals();
    while (true) {
        const Calls calls = wait_for_calls();
        if (calls.end) return;
        if (calls.closed) drop("the connection is lost");
        if (calls.read) {
            for (Place& place : places_)
                place.always = true;
            next_connect_ = next_read_ = Clock::now();
        }
        if (calls.message && !next_doorbell_) next_doorbell_ = after(options_.doorbell_spread, 0, 1);
        if (calls.report) next_report_ = Clock::now();
        if (calls.report && !next_connect_) next_connect_ = Clock::now();

        // Each may lose the connection; the next one then has nothing to do until there is another.
        if (!connection_ && is_due(next_connect_, Clock::now())) connect();
        if (connection_ && is_due(next_check_, Clock::now())) check_health();
        if (connection_ && is_due(next_read_, Clock::now())) read_everything();
        if (connection_ && is_due(next_doorbell_, Clock::now())) answer_doorbell();
        if (connection_ && report_is_wanted() && is_due(next_report_, Clock::now())) store_report();
    }
}

NatsWorker::Calls NatsWorker::wait_for_calls() {
    std::unique_lock lock(mutex_);
    const auto called = [&] { return calls_.end || calls_.closed || calls_.read || calls_.report || calls_.message; };
    const TimePoint next = next_moment();
    if (next == TimePoint::max())
        called_.wait(lock, called);
    else
        called_.wait_until(lock, next, called);
    if (calls_.report) report_ = new_report_;
    return std::exchange(calls_, {});
}

NatsWorker::TimePoint NatsWorker::next_moment() const {
    TimePoint next = TimePoint::max();
    const auto consider = [&](const std::optional<TimePoint>& moment) {
        if (moment) next = std::min(next, *moment);
    };
    if (!connection_) {
        consider(next_connect_);
        return next;
    }
    consider(next_check_);
    consider(next_read_);
    consider(next_doorbell_);
    if (report_is_wanted()) consider(next_report_);
    return next;
}

void NatsWorker::connect() {
    // One at a time: who wants us to end waits for no more than one of them.
    const auto servers = one_by_one(options_);
    std::vector<std::size_t> order(servers.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::ranges::shuffle(order, random_);
    // In the admin's order: the same trouble has the same words.
    std::vector<std::string> problems(servers.size());
    for (const std::size_t number : order) {
        const NatsOptions& server = servers[number];
        if (ending_) return;
        auto connection = NatsConnection::open(server, [this](const NatsEvent& event) {
            {
                const std::lock_guard lock(mutex_);
                (event.closed ? calls_.closed : calls_.message) = true;
            }
            called_.notify_one();
        });
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
    next_connect_.reset();
    next_check_ = after(options_.health_check, 0.8, 1);
    next_read_ = next_report_ = now;
}

void NatsWorker::drop(const std::string& problem) {
    maps_.reset();
    hosts_.reset();
    connection_.reset();
    {
        // What the old connection had to say is of no interest any more.
        const std::lock_guard lock(mutex_);
        calls_.closed = false;
    }
    set_problem(problem);
    next_check_ = next_read_ = next_doorbell_ = next_report_ = std::nullopt;
    next_connect_ = after_failure(connect_failures_);
}

void NatsWorker::check_health() {
    next_check_ = after(options_.health_check, 0.8, 1);
    if (const auto answered = connection_->round_trip(); !answered) drop(answered.error().message);
}

void NatsWorker::leave_if_lost(const Error& error) {
    maps_.reset();
    hosts_.reset();
    if (ending_ || connection_->is_closed() || !connection_->round_trip()) drop(error.message);
}

void NatsWorker::read_everything() {
    // Anew, like the bucket: one that was deleted and made again must not be waited for at the old one's door. A plain
    // subscription, not a consumer of the bucket: it costs the server no state, outlives the bucket and passes leaf
    // nodes.
    maps_.reset();
    hosts_.reset();
    auto read = connection_->listen(doorbell_of(maps_bucket(options_.fleet), "ring." + options_.ring + ".*"));
    if (read) read = read_places();
    if (read) {
        connect_failures_ = read_failures_ = 0;
        next_read_ = after(options_.read_again, 0.8, 1);
        const std::lock_guard lock(mutex_);
        health_ = {wall_time(), ""};
    } else {
        next_read_ = after_failure(read_failures_);
        set_problem(read.error().message);
        leave_if_lost(read.error());
    }
    if (!connection_) return;
    if (const auto checked = check_report(); !checked) leave_if_lost(checked.error());
}

void NatsWorker::answer_doorbell() {
    next_doorbell_.reset();
    if (const auto read = read_places(); !read) {
        next_read_ = after_failure(read_failures_);
        set_problem(read.error().message);
        leave_if_lost(read.error());
    }
}

Result<void> NatsWorker::open_bucket(std::optional<NatsBucket>& bucket, const std::string& name) {
    if (bucket) return {};
    if (ending_) return fail("ending");
    auto found = KUDO_TRY(connection_->bucket(name));
    bucket.emplace(std::move(found));
    return {};
}

Result<void> NatsWorker::read_places() {
    KUDO_TRY(open_bucket(maps_, maps_bucket(options_.fleet)));
    // One that is wrong does not keep the other from being read.
    Result<void> first;
    for (Place& place : places_) {
        if (ending_) return fail("ending");
        auto read = read_place(*maps_, place);
        if (!read && first) first = std::move(read);
    }
    return first;
}

Result<void> NatsWorker::read_place(NatsBucket& bucket, Place& place) {
    const std::string source =
        fmt::format("{} {} {}", redacted_url(options_.url), maps_bucket(options_.fleet), place.key);
    auto entry = KUDO_TRY(bucket.read(place.key));
    if (!entry) {
        if (place.is_needed) return fail(source + ": nothing has been published there");
        place.always = false;
        return {};
    }
    const std::string& value = entry->value;
    std::string hash = content_hash(value);
    if (!place.always && hash == place.delivered) return {};
    auto bundle = KUDO_TRY(split_bundle(value).in(source));
    inbox_.put(Delivery{source, std::move(bundle.document), std::move(bundle.signatures)});
    place.delivered = std::move(hash);
    place.always = false;
    return {};
}

void NatsWorker::store_report() {
    const auto stored = [&]() -> Result<void> {
        KUDO_TRY(open_bucket(hosts_, hosts_bucket(options_.fleet)));
        return hosts_->put(host_key(options_.host), report_);
    }();
    if (!stored) {
        next_report_ = after_failure(report_failures_);
        set_report_problem(stored.error().message);
        leave_if_lost(stored.error());
        return;
    }
    report_failures_ = 0;
    set_report_problem("");
    stored_report_ = report_;
    next_report_.reset();
}

Result<void> NatsWorker::check_report() {
    if (stored_report_.empty()) return {};
    const auto lost = [&]() -> Result<bool> {
        const auto opened = open_bucket(hosts_, hosts_bucket(options_.fleet));
        if (!opened && opened.error().kind == ErrorKind::NotEnabled) return true;
        if (!opened) return fail(opened.error());
        const auto entry = KUDO_TRY(hosts_->read(host_key(options_.host)));
        return !entry || entry->value != stored_report_;
    }();
    if (!lost) return fail(lost.error());
    if (*lost) {
        stored_report_.clear();
        if (!next_report_) next_report_ = Clock::now();
    }
    return {};
}

void NatsWorker::set_problem(std::string problem) {
    const std::lock_guard lock(mutex_);
    health_.problem = std::move(problem);
}

void NatsWorker::set_report_problem(std::string problem) {
    const std::lock_guard lock(mutex_);
    report_problem_ = std::move(problem);
}

NatsWorker::TimePoint NatsWorker::after(std::chrono::milliseconds wait, double least, double most) {
    const double part = std::uniform_real_distribution(least, most)(random_);
    return Clock::now() + std::chrono::milliseconds(std::llround(static_cast<double>(wait.count()) * part));
}

NatsWorker::TimePoint NatsWorker::after_failure(unsigned& failures) {
    const auto doubled = options_.reconnect_wait * (1U << std::min(failures, 16U));
    ++failures;
    return after(std::min<std::chrono::milliseconds>(doubled, options_.max_reconnect_wait), 0.5, 1);
}

} // namespace kudo
