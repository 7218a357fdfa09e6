// SPDX-License-Identifier: MIT
#include "agent/flowrecords/exporter.h"

#include <algorithm>
#include <set>

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include "agent/diagnosis/diagnosis.h"
#include "agent/flowrecords/batch.h"
#include "agent/flowrecords/json_file.h"
#include "agent/state/desired_state.h"
#include "agent/system/files.h"
#include "agent/system/uptime.h"
#include "maps/base/hash.h"
#include "maps/base/text.h"

namespace kudo {
namespace {

constexpr std::chrono::milliseconds min_look{500}, max_look{15'000};
constexpr std::chrono::milliseconds max_round{20};                           // of a file
constexpr std::chrono::milliseconds min_timeout{3'000}, max_timeout{10'000}; // of a collector

LedgerTime time_now() {
    using std::chrono::duration_cast, std::chrono::milliseconds;
    return {duration_cast<milliseconds>(std::chrono::steady_clock::now().time_since_epoch()).count(),
            duration_cast<milliseconds>(std::chrono::system_clock::now().time_since_epoch()).count()};
}

} // namespace

struct FlowRecordExporter::Destination {
    FlowDestination where;
    std::filesystem::path ledger_file;
    FlowLedger ledger;
    std::unique_ptr<FlowSink> sink;
    ConfinedSink* confined = nullptr; // the sink, if it is one
    bool unsaved = false;             // the file does not know what was handed over, or what is pending only here
    bool is_handing_over = false;
    bool goes_on = false; // in the loop's next round: it has had its time in this one
    std::string save_problem{};
    uint64_t told_forgotten = 0;
};

FlowRecordExporter::FlowRecordExporter(const Instance& instance, FlowRecordSettings settings, EventLoop& loop)
    : instance_(instance), settings_(std::move(settings)), loop_(loop) {
    for (const FlowDestination& where : settings_.destinations) {
        auto made = std::make_unique<Destination>(
            Destination{.where = where,
                        .ledger_file = instance_.flow_ledgers() / content_hash(where.text).substr(0, 32),
                        .ledger = FlowLedger(settings_.timeouts),
                        .sink = nullptr});
        Destination& destination = *destinations_.emplace_back(std::move(made));
        const auto handed_over = [this, &destination](std::size_t count) {
            destination.ledger.handed_over(count, time_now());
            destination.unsaved = destination.unsaved || count > 0;
            hand_over(destination);
        };
        if (where.kind == FlowDestination::Kind::File) {
            destination.sink = std::make_unique<JsonFile>(where.path, handed_over);
        } else {
            auto sink = std::make_unique<ConfinedSink>(
                WorkerSettings{.destination = where,
                               .tls = settings_.tls,
                               .enterprise = settings_.enterprise,
                               .domain = settings_.domain,
                               .templates_every = settings_.timeouts.active / 2,
                               .timeout = std::clamp(settings_.timeouts.active, min_timeout, max_timeout)},
                loop_, handed_over);
            destination.confined = sink.get();
            destination.sink = std::move(sink);
            destination.confined->start_if_due();
        }
        load(destination);
    }
    remove_unused_ledgers();
    auto timer = Timer::create();
    if (!timer) {
        problems_.push_back("no flow records: " + timer.error().message);
        return;
    }
    timer_ = std::make_unique<Timer>(std::move(*timer));
    if (const auto watched = loop_.watch(timer_->fd(), [this] { on_timer(); }); !watched)
        problems_.push_back("no flow records: " + watched.error().message);
    timer_->set(Timer::Clock::now());
}

// The next start may find the flows gone, after a reboot or a `disable`.
FlowRecordExporter::~FlowRecordExporter() {
    take_flows();
    for (const auto& destination : destinations_) {
        destination->unsaved = true;
        save(*destination);
    }
    if (timer_) loop_.forget(timer_->fd());
}

void FlowRecordExporter::on_timer() {
    const auto now = Timer::Clock::now();
    if (now >= next_look_) {
        next_look_ = now + std::clamp<std::chrono::milliseconds>(settings_.timeouts.active / 4, min_look, max_look);
        look();
    } else {
        for (const auto& destination : destinations_)
            if (destination->goes_on) hand_over(*destination);
    }
    const bool goes_on = std::ranges::any_of(destinations_, [](const auto& one) { return one->goes_on; });
    timer_->set(goes_on ? Timer::Clock::now() : next_look_);
}

void FlowRecordExporter::look() {
    take_flows();
    for (const auto& destination : destinations_) {
        if (destination->confined) destination->confined->start_if_due();
        hand_over(*destination);
        save(*destination);
    }
}

void FlowRecordExporter::take_flows() {
    problems_.clear();
    const auto diagnosis = diagnose(instance_, {.owners = false});
    if (!diagnosis && diagnosis.error().kind != ErrorKind::NotEnabled)
        problems_.push_back("no flow records: " + diagnosis.error().message);
    const std::vector<SeenFlow> flows = diagnosis ? seen_flows(*diagnosis) : std::vector<SeenFlow>();
    const LedgerTime now = time_now();
    for (const auto& destination : destinations_) {
        bool only_here = false;
        if (diagnosis)
            only_here = destination->ledger.look(flows, now);
        else if (diagnosis.error().kind == ErrorKind::NotEnabled)
            only_here = destination->ledger.end_all(now);
        destination->unsaved = destination->unsaved || only_here;
    }
}

// Batch by batch, as far as it can be done without waiting, and no longer than one round of the loop has for it.
void FlowRecordExporter::hand_over(Destination& destination) {
    if (std::exchange(destination.is_handing_over, true)) return; // a file answers at once
    const auto began = Timer::Clock::now();
    bool is_well = true;
    destination.goes_on = false;
    while (is_well && !destination.goes_on && destination.sink->is_ready() && !destination.ledger.is_in_flight() &&
           destination.ledger.has_due()) {
        const auto batch = destination.ledger.take(max_batch, time_now());
        if (batch.empty()) break;
        destination.sink->send(batch);
        is_well = destination.sink->problem().empty(); // else at the next look
        destination.goes_on =
            is_well && !destination.confined && destination.ledger.has_due() && Timer::Clock::now() - began > max_round;
    }
    destination.is_handing_over = false;
    if (!destination.ledger.is_in_flight() && !destination.ledger.has_due()) save(destination);
}

void FlowRecordExporter::save(Destination& destination) {
    if (destination.ledger.empty()) {
        std::error_code error;
        std::filesystem::remove(destination.ledger_file, error);
        std::filesystem::remove(instance_.flow_ledgers(), error); // unless another destination has its own there
        destination.unsaved = false;
        destination.save_problem.clear();
    }
    if (!destination.unsaved) return;
    const auto saved = [&]() -> Result<void> {
        KUDO_TRY(make_folder(instance_.flow_ledgers()));
        return replace_file(destination.ledger_file, destination.ledger.write(read_uptime().boot), Flush::No);
    }();
    destination.unsaved = !saved;
    destination.save_problem =
        saved ? "" : fmt::format("flow records may come twice after a restart: {}", saved.error().message);
}

void FlowRecordExporter::load(Destination& destination) {
    const auto read = [&]() -> Result<void> {
        const DesiredState state = KUDO_TRY(load_desired_state(instance_));
        const std::size_t max_flows = std::max(state.max_flows, default_max_flows);
        const std::size_t rows = max_flows + max_flows / 4; // IPv4's and IPv6's
        const auto text = read_file(destination.ledger_file, FlowLedger::max_text(rows));
        if (!text && text.error().number == ENOENT) return {};
        if (!text) return fail(text.error());
        return destination.ledger.read(*text, read_uptime().boot, time_now()).in(destination.ledger_file.string());
    }();
    if (!read)
        spdlog::warn("{}: its flow records begin with all that the flows have counted so far: {}",
                     destination.where.text, read.error().message);
}

// Of destinations that are none any more.
void FlowRecordExporter::remove_unused_ledgers() const {
    std::set<std::filesystem::path> used;
    for (const auto& destination : destinations_)
        used.insert(destination->ledger_file);
    std::error_code error;
    if (!std::filesystem::is_directory(std::filesystem::symlink_status(instance_.flow_ledgers(), error))) return;
    const std::filesystem::directory_iterator end;
    for (std::filesystem::directory_iterator entry(instance_.flow_ledgers(), error); !error && entry != end;
         entry.increment(error))
        if (std::error_code ignored; !used.contains(entry->path())) std::filesystem::remove(entry->path(), ignored);
}

void FlowRecordExporter::refresh(const Diagnosis* /*diagnosis*/) {
    for (const auto& destination : destinations_) {
        const uint64_t forgotten = destination->ledger.forgotten_packets();
        if (std::exchange(destination->told_forgotten, forgotten) != forgotten)
            spdlog::warn("{}: {} packets of flows that have ended are in no record: too many waited",
                         destination->where.text, forgotten);
    }
}

std::vector<std::string> FlowRecordExporter::problems() const {
    std::vector<std::string> problems = problems_;
    for (const auto& destination : destinations_) {
        // A file's is of the last batch: of none, when nothing waits any more.
        const bool stands = destination->confined || destination->ledger.has_due();
        if (const std::string problem = destination->sink->problem(); stands && !problem.empty())
            problems.push_back("flow records are not handed over: " + problem);
        if (!destination->save_problem.empty()) problems.push_back(destination->save_problem);
    }
    return problems;
}

} // namespace kudo
