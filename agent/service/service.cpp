// SPDX-License-Identifier: MIT
#include "agent/service/service.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>

#include <algorithm>
#include <csignal>
#include <deque>
#include <map>
#include <random>
#include <set>

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include "agent/netlink/link_events.h"
#include "agent/system/capabilities.h"
#include "agent/system/event_loop.h"
#include "agent/system/files.h"
#include "agent/system/sd_notify.h"

namespace kudo {

namespace {

using Clock = std::chrono::steady_clock;

constexpr std::chrono::milliseconds settle_time{200};          // after a change of interfaces: they come in swarms
constexpr std::chrono::milliseconds service_lock_timeout{500}; // for the lock: the watchdog must not bark
constexpr std::chrono::milliseconds first_retry{1000}, max_retry{30'000};
constexpr std::chrono::seconds between_alarms{60}; // of one source: each is a write to the disk
constexpr std::size_t max_sources = 1024;
constexpr std::size_t max_deliveries = 64; // that wait; a source brings what found no room again

sigset_t ending_signals() {
    sigset_t signals;
    sigemptyset(&signals);
    for (const int signal : {SIGTERM, SIGINT, SIGHUP})
        sigaddset(&signals, signal);
    return signals;
}

// Held while the service runs; the kernel frees it however that ends.
Result<Fd> take_service_lock(const Instance& instance) {
    KUDO_TRY(make_folder(instance.state_dir));
    const auto path = instance.state_dir / "service.lock";
    Fd fd(open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
    if (!fd) return fail_errno(path.string() + ": cannot open");
    if (flock(fd.get(), LOCK_EX | LOCK_NB) != 0)
        return fail(fmt::format("{}: another kudo-agent run has this state directory", path.string()), errno);
    return fd;
}

class RunningService {
public:
    RunningService(const Instance& instance, ServiceSettings settings)
        : instance_(instance), settings_(std::move(settings)), random_(std::random_device{}()) {
        settings_.acceptance.timeout = service_lock_timeout;
    }

    Result<void> run() {
        KUDO_TRY(check_capabilities());
        auto lock = KUDO_TRY(take_service_lock(instance_));
        KUDO_TRY(set_up());
        tick();
        read_sources();
        take_deliveries();
        notify_ready();
        while (!ended_) {
            KUDO_TRY(loop_->wait(next_deadline()));
            const auto now = Clock::now();
            if (now >= next_reread_) read_sources();
            take_deliveries();
            if (now >= next_tick_) {
                tick();
                look_at_sources();
            }
            notify_alive();
        }
        notify_stopping();
        return {};
    }

private:
    Result<void> set_up() {
        auto loop = KUDO_TRY(EventLoop::make());
        loop_.emplace(std::move(loop));
        const sigset_t signals = ending_signals();
        signals_ = Fd(signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK));
        if (!signals_) return fail_errno("cannot wait for signals");
        KUDO_TRY(loop_->watch(signals_.get(), [this] { on_signal(); }));
        clock_ = Fd(timerfd_create(CLOCK_REALTIME, TFD_CLOEXEC | TFD_NONBLOCK));
        if (!clock_) return fail_errno("cannot make a timer");
        KUDO_TRY(loop_->watch(clock_.get(), [this] { on_clock(); }));
        auto links = KUDO_TRY(LinkEvents::open());
        links_.emplace(std::move(links));
        KUDO_TRY(loop_->watch(links_->fd(), [this] {
            if (links_->take()) next_tick_ = std::min(next_tick_, Clock::now() + settle_time);
        }));
        for (const auto& source : settings_.sources)
            KUDO_TRY(loop_->watch(source->fd(), [this, &source] { source->on_ready(deliver()); }));
        return {};
    }

    Clock::time_point next_deadline() const {
        auto deadline = std::min(next_tick_, next_reread_);
        if (!deliveries_.empty()) deadline = std::min(deadline, next_delivery_);
        if (const auto period = watchdog_period()) deadline = std::min(deadline, Clock::now() + *period / 2);
        return deadline;
    }

    void on_signal() {
        signalfd_siginfo signal{};
        while (read(signals_.get(), &signal, sizeof signal) == sizeof signal) {
            if (signal.ssi_signo == SIGHUP)
                next_reread_ = {};
            else
                ended_ = true;
        }
    }

    // A staged map's date has come, or the clock was set (ECANCELED).
    void on_clock() {
        uint64_t expirations = 0;
        [[maybe_unused]] const ssize_t got = read(clock_.get(), &expirations, sizeof expirations);
        next_tick_ = Clock::now();
    }

    // Wakes us at the first effective date that lies ahead, and whenever the clock is set.
    void set_clock(const RangeLedger& ledger) {
        Time first = Time::max();
        const Time now = wall_time();
        for (const AcceptedMap& map : ledger.staged)
            if (map.effective > now) first = std::min(first, map.effective);
        itimerspec when{};
        // A date that is never reached still tells when the clock is set.
        const auto never = std::chrono::duration_cast<std::chrono::seconds>(std::chrono::days(200 * 365));
        when.it_value.tv_sec = std::max<time_t>(1, std::min(first.time_since_epoch(), never).count());
        if (timerfd_settime(clock_.get(), TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET, &when, nullptr) != 0)
            spdlog::warn("cannot set a timer: {}", strerror(errno));
    }

    Deliver deliver() {
        return [this](Delivery delivery) {
            // The newest word of each source counts, and what waits must not fill the memory.
            std::erase_if(deliveries_, [&](const Delivery& waiting) { return waiting.source == delivery.source; });
            if (deliveries_.size() < max_deliveries) deliveries_.push_back(std::move(delivery));
        };
    }

    void read_sources() {
        for (const auto& source : settings_.sources)
            source->read_again(deliver());
        std::uniform_real_distribution<double> part(0.5, 1.0);
        next_reread_ =
            Clock::now() + std::chrono::duration_cast<Clock::duration>(settings_.reread_every * part(random_));
    }

    // What cannot be decided now is tried again, after the others; what is refused is gone until its source brings it
    // again.
    void take_deliveries() {
        if (deliveries_.empty() || Clock::now() < next_delivery_) return;
        bool changed = false;
        std::deque<Delivery> undecided;
        for (; !deliveries_.empty(); deliveries_.pop_front()) {
            const Delivery& delivery = deliveries_.front();
            const auto acceptance = accept(instance_, settings_.acceptance, delivery);
            if (acceptance) {
                changed |= note(*acceptance);
            } else if (acceptance.error().kind == ErrorKind::BadInput) {
                warn_once("refused: " + acceptance.error().message);
                changed |= note_alarm(delivery.source, acceptance.error().message);
            } else {
                warn_once(fmt::format("{}: {}; tried again", delivery.source, acceptance.error().message));
                undecided.push_back(delivery);
            }
        }
        deliveries_ = std::move(undecided);
        if (deliveries_.empty()) {
            retry_ = first_retry;
        } else {
            next_delivery_ = Clock::now() + retry_;
            retry_ = std::min(2 * retry_, max_retry);
        }
        if (changed) tick();
    }

    // True if it changed anything.
    bool note(const Acceptance& acceptance) {
        switch (acceptance.what) {
        case Accepted::Known:
        case Accepted::Superseded:
            spdlog::debug("{}", acceptance.text);
            return false;
        case Accepted::Held:
            warn_once(acceptance.text);
            return false;
        case Accepted::Activated:
        case Accepted::Staged:
        case Accepted::KeySet:
            spdlog::info("{}", acceptance.text);
            return true;
        }
        return false;
    }

    // True if it is new; whoever calls has logged it.
    bool note_alarm(const std::string& source, const std::string& text) {
        stands_until_[source] = Clock::now() + alarm_stands();
        auto& next = next_alarm_[source];
        if (Clock::now() < next) return false;
        const Time now = wall_time();
        auto state = load_desired_state(instance_);
        if (!state || !raise_alarm(state->ranges.alarms, source, text, now)) return false;
        const auto change = [&](DesiredState& desired) -> Result<void> {
            raise_alarm(desired.ranges.alarms, source, text, now);
            return {};
        };
        const auto noted = change_and_reconcile(instance_, change, Interfaces::MayBeMissing, service_lock_timeout);
        if (!noted) return warn_once(noted.error().message), false;
        next = Clock::now() + between_alarms;
        if (next_alarm_.size() > max_sources) next_alarm_.clear();
        return true;
    }

    // Whatever is still wrong is found again with every re-reading.
    [[nodiscard]] std::chrono::milliseconds alarm_stands() const {
        return 2 * settings_.reread_every + settings_.reconcile_every;
    }

    // Takes back the alarms whose cause is gone. What time itself has brought is not found again: it stands for a day.
    void end_alarms(RangeLedger& ledger, const std::vector<Alarm>& before) {
        const auto now = Clock::now();
        for (const Alarm& alarm : ledger.alarms) {
            const auto known = std::ranges::find(before, alarm.source, &Alarm::source);
            if (known == before.end() || known->times != alarm.times)
                stands_until_[alarm.source] = now + std::chrono::days(1);
        }
        if (now - began_ < alarm_stands()) return; // of before we began: perhaps it is found again
        std::erase_if(ledger.alarms, [&](const Alarm& alarm) {
            const auto until = stands_until_.find(alarm.source);
            return until == stands_until_.end() || until->second < now;
        });
        std::erase_if(stands_until_, [&](const auto& one) { return one.second < now; });
    }

    // A source's problem is logged at once. `status` is another process and sees only alarms: one that a whole
    // re-reading, and the time to answer it, have not healed is one.
    void look_at_sources() {
        for (const auto& source : settings_.sources) {
            const std::string name = source->name(), problem = source->health().problem;
            if (problem.empty()) {
                problems_.erase(source.get());
                continue;
            }
            const auto now = Clock::now();
            const std::string text = problem.starts_with(name) ? problem : fmt::format("{}: {}", name, problem);
            auto& [since, said] = problems_.try_emplace(source.get(), now, "").first->second;
            if (said != text) spdlog::warn("{}", said = text);
            if (now - since >= settings_.reread_every + settings_.reconcile_every) note_alarm(name, text);
        }
    }

    // What time brings, and whatever else differs from what is desired.
    void tick() {
        next_tick_ = Clock::now() + settings_.reconcile_every;
        const TimePoint moment = current_time_point();
        const auto pass_time = [&](Staged staged) {
            const auto change = [&](DesiredState& state) -> Result<void> {
                const std::vector<Alarm> before = state.ranges.alarms;
                advance(state.ranges, settings_.acceptance.grace, moment, staged);
                forget_old_alarms(state.ranges.alarms, moment.now);
                end_alarms(state.ranges, before);
                return {};
            };
            return change_and_reconcile(instance_, change, Interfaces::MayBeMissing, service_lock_timeout);
        };
        auto report = pass_time(Staged::Activate);
        if (!report && report.error().kind == ErrorKind::BadInput) {
            // A staged map that does not fit what was enabled since: everything else goes on.
            const std::string text = "what is staged cannot take effect: " + report.error().message;
            warn_once(text);
            note_alarm("staged", text);
            report = pass_time(Staged::Leave);
        }
        if (!report) {
            warn_once(report.error().message);
            if (report.error().number == EWOULDBLOCK) next_tick_ = Clock::now() + first_retry;
        } else {
            said_.clear();
            if (report->changed) spdlog::info("reconciled: generation {}", report->generation);
        }
        tell();
    }

    void tell() {
        const auto status = read_status(instance_);
        if (!status) return warn_once(status.error().message);
        set_clock(status->desired.ranges);
        const char* health = !status->desired.enabled ? "not enabled" : status->drift.empty() ? "healthy" : "degraded";
        notify_status(fmt::format("range map {}, {}", status->serial, health));
        if (settings_.report) settings_.report(*status);
    }

    void warn_once(const std::string& text) {
        if (said_.size() > max_sources) said_.clear();
        if (said_.insert(text).second) spdlog::warn("{}", text);
    }

    const Instance instance_;
    ServiceSettings settings_;
    std::mt19937_64 random_;
    std::optional<EventLoop> loop_;
    std::optional<LinkEvents> links_;
    Fd signals_, clock_;
    bool ended_ = false;
    std::deque<Delivery> deliveries_;
    Clock::time_point next_tick_{}, next_reread_{}, next_delivery_{};
    std::chrono::milliseconds retry_ = first_retry;
    std::map<const Source*, std::pair<Clock::time_point, std::string>> problems_; // since when, and what was logged
    std::map<std::string, Clock::time_point> next_alarm_, stands_until_;          // by an alarm's source
    const Clock::time_point began_ = Clock::now();
    std::set<std::string> said_; // since all was well
};

} // namespace

Result<void> hold_signals() {
    const sigset_t signals = ending_signals();
    if (const int error = pthread_sigmask(SIG_BLOCK, &signals, nullptr); error != 0)
        return fail_errno("cannot hold signals", error);
    return {};
}

Result<void> run_service(const Instance& instance, ServiceSettings settings) {
    return RunningService(instance, std::move(settings)).run();
}

} // namespace kudo
