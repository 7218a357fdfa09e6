// SPDX-License-Identifier: MIT
#include "agent/service/service.h"

#include <malloc.h>
#include <net/if.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <iterator>
#include <random>
#include <set>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <spdlog/spdlog.h>

#include "agent/diagnosis/snapshots.h"
#include "agent/firewall_sets/events.h"
#include "agent/lifelines/host_facts.h"
#include "agent/lifelines/map_sources.h"
#include "agent/lifelines/resolver_events.h"
#include "agent/linerate/line_rates.h"
#include "agent/marks/mark_watch.h"
#include "agent/names/resolver.h"
#include "agent/netlink/link_events.h"
#include "agent/queues/downlink.h"
#include "agent/service/alarms.h"
#include "agent/service/deliveries.h"
#include "agent/service/export_problems.h"
#include "agent/service/source_problems.h"
#include "agent/system/capabilities.h"
#include "agent/system/event_loop.h"
#include "agent/system/journal.h"
#include "agent/system/lock.h"
#include "agent/system/sd_notify.h"
#include "agent/system/start_pages.h"

namespace kudo {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::chrono::milliseconds settle_time{200}; // after a change of interfaces: they come in bursts
constexpr std::chrono::seconds max_between_ticks{1};  // for what links do
constexpr int rest_of_ticks = 5; // so many times as long as the last one took, at most that: a fifth of a CPU
constexpr std::chrono::milliseconds lock_retry{1000};  // if another process has the instance's lock
constexpr std::chrono::seconds max_unalarmed{15};      // a problem of an export: it may heal by itself
constexpr std::chrono::milliseconds second_look{1000}; // at what a command or an event may just be changing

// What one look at the host has found wrong.
struct Look {
    std::set<std::string> wrong; // whole sentences
    bool whole = true;           // it saw all there is
    ReconcileReport report;
};

sigset_t ending_signals() {
    sigset_t signals;
    sigemptyset(&signals);
    for (const int signal : {SIGTERM, SIGINT, SIGHUP})
        sigaddset(&signals, signal);
    return signals;
}

// Held while the service runs; the kernel releases it however that ends. The file goes with the service; that of one
// that was killed stays until `disable`.
class ServiceLock {
public:
    static Result<ServiceLock> take(const Instance& instance) {
        auto fd = lock_file(instance.service_lock());
        if (!fd && fd.error().number == EWOULDBLOCK)
            return fail(
                fmt::format("{}: another kudo-agent run uses this state directory", instance.service_lock().string()),
                EWOULDBLOCK);
        return ServiceLock(instance.service_lock(), KUDO_TRY(std::move(fd)));
    }
    ServiceLock(ServiceLock&&) = default;
    ServiceLock& operator=(ServiceLock&&) = delete;
    ~ServiceLock() {
        if (fd_) unlink(file_.c_str());
    }

private:
    ServiceLock(std::filesystem::path file, Fd fd) : file_(std::move(file)), fd_(std::move(fd)) {}
    std::filesystem::path file_;
    Fd fd_;
};

class RunningService {
public:
    RunningService(const Instance& instance, ServiceSettings settings)
        : instance_(instance), settings_(std::move(settings)), resolver_(settings_.map_sources),
          random_(std::random_device{}()),
          // Whatever is still wrong is found again with every re-read.
          alarms_(instance_, 2 * settings_.reread_every + settings_.reconcile_every),
          export_problems_(std::min<std::chrono::milliseconds>(max_unalarmed, settings_.reconcile_every)),
          // A whole re-read, and the time for its response, may heal it.
          source_problems_(alarms_, settings_.reread_every + settings_.reconcile_every),
          deliveries_(instance_, settings_.acceptance, alarms_, retries_) {}

    Result<void> run() {
        KUDO_TRY(check_capabilities());
        const auto lock = KUDO_TRY(ServiceLock::take(instance_));
        KUDO_TRY(set_up());
        resolver_.start();
        tick();
        read_sources();
        if (deliveries_.decide()) tick();
        take_snapshot();
        release_start_pages();
        malloc_trim(0); // what the first look at the host took for a moment, as after each
        notify_ready();
        while (!ended_) {
            KUDO_TRY(loop_->wait(next_deadline()));
            const auto now = Clock::now();
            if (now >= next_reread_) read_sources();
            bool has_looked = deliveries_.decide();
            if (has_looked) tick();
            if (now >= next_tick_) {
                tick();
                source_problems_.check(settings_.sources);
                has_looked = true;
            }
            if (now >= next_snapshot_) {
                take_snapshot();
                has_looked = true;
            }
            if (has_looked) malloc_trim(0);
            notify_alive();
        }
        notify_stopping();
        if (lines_) lines_->forget();
        return {};
    }

private:
    Result<void> set_up() {
        loop_.emplace(KUDO_TRY(EventLoop::make()));
        queries_.emplace(settings_.queries, *loop_);
        for (const auto& make : settings_.exporters)
            exporters_.push_back(make(*loop_));
        const sigset_t signals = ending_signals();
        signals_ = Fd(signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK));
        if (!signals_) return fail_errno("cannot wait for signals");
        KUDO_TRY(loop_->watch(signals_.get(), [this] { on_signal(); }));
        clock_ = Fd(timerfd_create(CLOCK_REALTIME, TFD_CLOEXEC | TFD_NONBLOCK));
        if (!clock_) return fail_errno("cannot create a timer");
        KUDO_TRY(loop_->watch(clock_.get(), [this] { on_clock(); }));
        links_.emplace(KUDO_TRY(LinkEvents::open()));
        KUDO_TRY(loop_->watch(links_->fd(), [this] {
            if (!links_->take()) return;
            if (marks_) marks_->network_changed();
            retries_.try_all();
            tick_soon();
        }));
        watch_resolvers();
        resolve_names();
        watch_marks();
        for (const auto& source : settings_.sources)
            KUDO_TRY(loop_->watch(source->fd(), [this, &source] { source->on_ready(deliver_); }));
        return {};
    }

    Clock::time_point next_deadline() const {
        auto deadline = std::min({next_tick_, next_reread_, next_snapshot_, deliveries_.due()});
        if (const auto period = watchdog_period()) deadline = std::min(deadline, Clock::now() + *period / 2);
        return deadline;
    }

    // Where containers come and go all the time not for each of them.
    void tick_soon() {
        const auto rest = std::min<Clock::duration>(rest_of_ticks * tick_took_, max_between_ticks);
        next_tick_ = std::min(next_tick_, std::max(Clock::now() + settle_time, last_tick_ + rest));
    }

    // Of the lifeline dns, within a second. Without this they are only found in the next round.
    void watch_resolvers() {
        auto events = ResolverEvents::open(resolver_files());
        if (!events) return alarms_.warn_once(events.error().message);
        resolvers_.emplace(std::move(*events));
        const auto watched = loop_->watch(resolvers_->fd(), [this] {
            if (!resolvers_->take()) return;
            next_tick_ = std::min(next_tick_, Clock::now() + settle_time);
            if (names_) names_->name_servers_changed();
        });
        if (!watched) alarms_.warn_once(watched.error().message);
    }

    void resolve_names() {
        if (!settings_.resolve_names) return;
        auto names = NameResolver::open(instance_);
        if (!names) return alarms_.warn_once("the map's names are not looked up: " + names.error().message);
        names_.emplace(std::move(*names));
        const auto watched = loop_->watch(names_->fd(), [this] { names_->on_ready(); });
        if (!watched) alarms_.warn_once("the map's names are not looked up: " + watched.error().message);
    }

    void watch_marks() {
        auto marks = MarkWatch::open(instance_);
        if (!marks) return alarms_.warn_once("lost marks are not looked for: " + marks.error().message);
        marks_.emplace(std::move(*marks));
        const auto watched = loop_->watch(marks_->fd(), [this] {
            if (marks_->on_ready()) next_tick_ = {};
        });
        if (!watched) alarms_.warn_once("lost marks are not looked for: " + watched.error().message);
    }

    // The shapers whose rate is to follow the line, as the kernel has them now.
    void follow_lines(const Status& status) {
        std::vector<FollowingLine> lines;
        for (const InterfaceStatus& interface : status.interfaces) {
            const auto following = [&](const QueueReport& queue, uint32_t device) -> std::optional<FollowingShaper> {
                if (!status.desired.enabled || !queue.follows || !queue.ours || !queue.healthy || !queue.rate ||
                    device == 0)
                    return std::nullopt;
                return FollowingShaper{device, interface.mtu, device != interface.index, *queue.follows, *queue.rate};
            };
            const FollowingLine line{
                interface.name, interface.index, following(interface.queues.uplink, interface.index),
                following(interface.queues.downlink, if_nametoindex(downlink_device_name(interface.index).c_str()))};
            if (line.uplink || line.downlink) lines.push_back(line);
        }
        if (!lines_ && lines.empty()) return;
        if (!lines_) {
            auto rates = LineRates::open(instance_);
            if (!rates) return alarms_.warn_once("rates do not follow their lines: " + rates.error().message);
            lines_.emplace(std::move(*rates));
            const auto watched = loop_->watch(lines_->fd(), [this] {
                if (lines_->on_ready()) next_tick_ = std::min(next_tick_, Clock::now() + second_look);
            });
            if (!watched) {
                lines_.reset(); // the next look tries again
                return alarms_.warn_once("rates do not follow their lines: " + watched.error().message);
            }
        }
        lines_->follow(lines);
    }

    // What lasts is an alarm, and so in the status: one for all names.
    void note_names(Look& look) {
        if (!names_) return;
        names_->follow_policy();
        std::vector<std::string> lasting;
        for (const auto& [name, why, lasts] : names_->problems()) {
            look.wrong.insert(fmt::format("{} of the range map cannot be resolved: {}", name, why));
            if (lasts) lasting.push_back(fmt::format("{} ({})", name, why));
        }
        constexpr std::size_t shown = 4;
        const std::size_t more = lasting.size() - std::min(lasting.size(), shown);
        lasting.resize(std::min(lasting.size(), shown));
        if (lasting.empty())
            alarms_.over("names");
        else
            alarms_.raise("names",
                          fmt::format("names of the range map cannot be resolved: {}{}", fmt::join(lasting, ", "),
                                      more == 0 ? "" : fmt::format(", and {} more", more)));
    }

    // Once there are sets to be kept: whoever flushes the ruleset, as a reload of nftables.service does, is not to cut
    // KUDO off until the next round. Without this it is only found later.
    void watch_firewall(FirewallSync sync) {
        if (sync != FirewallSync::On || firewall_) return;
        auto events = FirewallEvents::open();
        if (!events) return alarms_.warn_once(events.error().message);
        firewall_.emplace(std::move(*events));
        const auto watched = loop_->watch(firewall_->fd(), [this] {
            if (firewall_->take()) tick_soon();
        });
        if (!watched) alarms_.warn_once(watched.error().message);
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
        const ssize_t got = read(clock_.get(), &expirations, sizeof expirations);
        if (got < 0 && errno == ECANCELED && names_) names_->clock_changed();
        next_tick_ = Clock::now();
    }

    // Wakes the loop at the next effective date, at a rehearsal's end, and whenever the clock is set.
    void set_clock(const Status& status) {
        Time first = Time::max();
        const Time now = wall_time();
        if (const auto& rehearsal = status.desired.rehearsal; rehearsal && rehearsal->end > now) first = rehearsal->end;
        for (const AcceptedMap& map : status.desired.ranges.staged)
            if (map.effective > now) first = std::min(first, map.effective);
        itimerspec when{};
        // A timer that never expires still reports that the clock was set.
        const auto never = std::chrono::duration_cast<std::chrono::seconds>(std::chrono::days(200 * 365));
        when.it_value.tv_sec = std::max<time_t>(1, std::min(first.time_since_epoch(), never).count());
        if (timerfd_settime(clock_.get(), TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET, &when, nullptr) != 0)
            spdlog::warn("cannot set a timer: {}", strerror(errno));
    }

    void read_sources() {
        resolver_.start();
        for (const auto& source : settings_.sources)
            source->read_again(deliver_);
        std::uniform_real_distribution<double> part(0.5, 1.0);
        next_reread_ =
            Clock::now() + std::chrono::duration_cast<Clock::duration>(settings_.reread_every * part(random_));
    }

    // What the passing of time changes, and whatever else differs from the desired state.
    void tick() {
        last_tick_ = Clock::now();
        next_tick_ = last_tick_ + settings_.reconcile_every;
        const TimePoint moment = current_time_point();
        Look look;
        if (is_staged_map_due(moment.now)) activate_staged(moment, look);
        check_keys(look);
        auto report = pass_time(moment, Staged::Leave, Asked::Nothing);
        if (!report) {
            look.whole = false;
            if (report.error().number == EWOULDBLOCK) {
                alarms_.warn_once(report.error().message);
                next_tick_ = Clock::now() + lock_retry;
            } else {
                look.wrong.insert(report.error().message);
            }
        } else {
            note(*report, look);
            note_interfaces(report->interfaces);
            look.report = std::move(*report);
        }
        note_names(look);
        note_export_problems();
        if (const auto open = queries_->open(); !open)
            look.wrong.insert("users without privileges cannot ask the service: " + open.error().message);
        report_status(look);
        alarms_.found(look.wrong, look.whole);
        tick_took_ = Clock::now() - last_tick_;
    }

    Result<ReconcileReport> pass_time(const TimePoint& moment, Staged staged, Asked asked) {
        const auto change = [&](DesiredState& state) -> Result<void> {
            const std::vector<Alarm> before = state.ranges.alarms;
            advance(state.ranges, settings_.acceptance.grace, moment, staged);
            forget_old_alarms(state.ranges.alarms, moment.now);
            alarms_.end(state.ranges, before);
            if (state.enabled) state.map_sources = resolver_.merged(state.map_sources);
            if (marks_) marks_->apply(state);
            return {};
        };
        return change_and_reconcile(instance_, change, asked, service_lock_timeout, nullptr, &retries_);
    }

    // The good keys count; what is wrong with the others is for somebody to look at. Of none where a key set has
    // replaced the folder.
    void check_keys(Look& look) {
        const auto state = load_desired_state(instance_);
        if (state && state->ranges.keys) return;
        const AcceptanceSettings& acceptance = settings_.acceptance;
        const auto problems = keys_folder_problems(acceptance.keys_folder, acceptance.key_threshold);
        if (problems.empty()) return;
        const std::string text = fmt::format("{}", fmt::join(problems, "; "));
        look.wrong.insert(text);
        alarms_.raise(acceptance.keys_folder.string(), text);
    }

    bool is_staged_map_due(Time now) const {
        const auto state = load_desired_state(instance_);
        const AcceptedMap* next = state ? next_staged(state->ranges) : nullptr;
        return next && next->effective <= now;
    }

    // One that does not fit what was enabled since, or cannot be published now, keeps nothing else from going on.
    void activate_staged(const TimePoint& moment, Look& look) {
        const auto report = pass_time(moment, Staged::Activate, Asked::Policy);
        if (report) return note(*report, look);
        if (report.error().number == EWOULDBLOCK) return;
        const std::string text = "the staged range map cannot take effect: " + report.error().message;
        look.wrong.insert(text);
        alarms_.raise("staged", text);
    }

    static void note(const ReconcileReport& report, Look& look) {
        look.wrong.insert(report.warnings.begin(), report.warnings.end());
        for (const Problem& problem : report.problems)
            look.wrong.insert(problem.text());
        if (!report.changed) return;
        const LogFields generation("KUDO_GENERATION", fmt::to_string(report.generation));
        const LogFields serial("KUDO_SERIAL", fmt::to_string(report.serial));
        spdlog::info("reconciled: generation {}", report.generation);
    }

    // Which interfaces' packets are judged, as that changes.
    void note_interfaces(const std::vector<InterfaceReport>& interfaces) {
        std::set<std::string> judged;
        for (const InterfaceReport& interface : interfaces) {
            if (interface.ingress.empty() || interface.egress.empty()) continue; // a problem, which is told
            judged.insert(interface.name);
            const LogFields field("KUDO_INTERFACE", interface.name);
            if (!judged_.contains(interface.name))
                spdlog::info("{}: packets are judged (ingress {}, egress {})", interface.name, interface.ingress,
                             interface.egress);
        }
        for (const std::string& name : judged_) {
            const LogFields field("KUDO_INTERFACE", name);
            if (!judged.contains(name)) spdlog::info("{}: packets are not judged any more", name);
        }
        judged_ = std::move(judged);
    }

    void report_status(Look& look) {
        const auto status = read_status(instance_);
        if (!status) {
            look.wrong.insert(status.error().message);
            look.whole = false;
            for (const auto& exporter : exporters_)
                exporter->note(nullptr);
            return;
        }
        note_drift(*status, look);
        set_clock(*status);
        follow_enforcement(*status);
        if (marks_) marks_->follow(status->desired);
        follow_lines(*status);
        watch_firewall(status->desired.firewall);
        if (!status->routed.empty()) links_->set_ranges(status->routed);
        const char* health = !status->desired.enabled ? "not enabled" : status->drift.empty() ? "healthy" : "degraded";
        notify_status(fmt::format("range map {}, {}", status->serial, health));
        if (settings_.report) settings_.report(*status);
        for (const auto& exporter : exporters_)
            exporter->note(&*status);
    }

    // The programs end an unconfirmed mode enforce by themselves; soon after, what else belongs to it is put back.
    void follow_enforcement(const Status& status) {
        const uint64_t deadline = status.effect.deadline, now = status.read_at.since_boot;
        if (deadline > now)
            next_tick_ = std::min(next_tick_, Clock::now() + std::chrono::nanoseconds(deadline - now) + settle_time);
    }

    // What reconciling has not told, if a second look finds it again: it may be what a command or an event is changing
    // just now, or what the next round heals.
    void note_drift(const Status& status, Look& look) {
        std::set<std::string> seen;
        for (Difference& difference : untold_drift(status, look.report)) {
            std::string key = numberless(difference.text);
            if (drift_.contains(key))
                look.wrong.insert(std::move(difference.text));
            else
                next_tick_ = std::min(next_tick_, Clock::now() + second_look);
            seen.insert(std::move(key));
        }
        drift_ = std::move(seen);
    }

    // For `stats --since` and the last minute's losses. Its trouble, a full disk for instance, is nobody else's.
    void take_snapshot() {
        next_snapshot_ = Clock::now() + snapshot_every;
        const auto state = load_desired_state(instance_);
        const bool enabled = state && state->enabled;
        const Result<Diagnosis> diagnosis =
            enabled ? diagnose(instance_, {.owners = false}) : Result<Diagnosis>(fail("not enabled"));
        for (const auto& exporter : exporters_)
            exporter->refresh(diagnosis ? &*diagnosis : nullptr);
        note_export_problems();
        if (state && !state->enabled) { // a disable has removed them, perhaps as one was being taken
            std::error_code error;
            std::filesystem::remove_all(instance_.snapshots(), error);
        }
        if (!enabled) return;
        const auto taken = [&]() -> Result<void> {
            if (!diagnosis) return fail(Error(diagnosis.error()));
            auto data_path = KUDO_TRY(DataPath::open(instance_));
            return save_snapshot(instance_, data_path, *diagnosis);
        }();
        if (taken)
            snapshot_problem_.clear();
        else if (const std::string text = "no snapshot of the counters: " + taken.error().message;
                 std::exchange(snapshot_problem_, text) != text)
            spdlog::warn("{}", text);
    }

    void note_export_problems() {
        std::set<std::string> problems;
        for (const auto& exporter : exporters_)
            for (std::string& problem : exporter->problems())
                problems.insert(std::move(problem));
        const std::vector<std::string> lasting = export_problems_.found(problems, Clock::now());
        if (lasting.empty())
            alarms_.over("export");
        else
            alarms_.raise("export", fmt::format("{}", fmt::join(lasting, "; ")));
    }

    const Instance instance_;
    ServiceSettings settings_;
    SourceResolver resolver_;
    std::mt19937_64 random_;
    std::optional<EventLoop> loop_;
    std::optional<QueryServer> queries_;
    std::vector<std::unique_ptr<Exporter>> exporters_;
    std::optional<LinkEvents> links_;
    std::optional<ResolverEvents> resolvers_;
    std::optional<NameResolver> names_; // unless turned off
    std::optional<MarkWatch> marks_;
    std::optional<FirewallEvents> firewall_; // once there are sets to be kept
    std::optional<LineRates> lines_;         // once a rate is to follow its line
    Fd signals_, clock_;
    bool ended_ = false;
    std::set<std::string> judged_; // interfaces
    std::set<std::string> drift_;  // of the last look; by numberless()
    Clock::time_point last_tick_{}, next_tick_{}, next_reread_{}, next_snapshot_{};
    Clock::duration tick_took_{};
    std::string snapshot_problem_; // that was logged and stands
    ServiceAlarms alarms_;
    ExportProblems export_problems_;
    Retries retries_;
    SourceProblems source_problems_;
    Deliveries deliveries_;
    const Deliver deliver_ = [this](Delivery delivery) { deliveries_.add(std::move(delivery)); };
};

} // namespace

Result<void> hold_signals() {
    const sigset_t signals = ending_signals();
    if (const int error = pthread_sigmask(SIG_BLOCK, &signals, nullptr); error != 0)
        return fail_errno("cannot block signals", error);
    return {};
}

Result<void> run_service(const Instance& instance, ServiceSettings settings) {
    return RunningService(instance, std::move(settings)).run();
}

} // namespace kudo
