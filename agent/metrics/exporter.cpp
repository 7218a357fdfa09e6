// SPDX-License-Identifier: MIT
#include "agent/metrics/exporter.h"

#include <sys/stat.h>

#include <chrono>

#include "agent/datapath/datapath.h"
#include "agent/inspect/totals.h"
#include "agent/system/files.h"

namespace kudo {
namespace {

std::optional<DropFacts> read_drop_facts(const Instance& instance) {
    auto data_path = DataPath::open(instance);
    if (!data_path) return std::nullopt;
    const auto report = read_drops(*data_path);
    return report ? std::optional(facts_of(*report)) : std::nullopt;
}

constexpr mode_t for_all = 0644; // node_exporter is another user

} // namespace

MetricsExporter::MetricsExporter(const Instance& instance, MetricsSettings settings, EventLoop& loop)
    : instance_(instance), settings_(std::move(settings)) {
    if (settings_.address)
        server_.emplace(
            *settings_.address, [this] { return text(); }, loop);
}

void MetricsExporter::note(const Status* status) {
    looked_ = true;
    status_ = status ? std::optional(facts_of(*status)) : std::nullopt;
}

void MetricsExporter::refresh(const Diagnosis* diagnosis) {
    media_known_ = diagnosis != nullptr;
    if (diagnosis) media_.look(diagnosis->statistics.flows);
    problems_.clear();
    auto drops = read_drop_facts(instance_);
    if (drops && drops_) keep_up(*drops, *drops_);
    drops_ = drops;
    if (server_)
        if (const auto open = server_->open(); !open) problems_.push_back("no metrics: " + open.error().message);
    if (settings_.file.empty()) return;
    // The name on the way there does not end in .prom, and is not read.
    if (const auto written = replace_file(settings_.file, text(), Flush::No, for_all); !written)
        problems_.push_back("no metrics: " + written.error().message);
}

std::string MetricsExporter::text() const {
    MetricsInput input{.ring = settings_.ring, .looked = looked_, .status = status_, .counters = {}, .drops = drops_};
    if (media_known_) input.media = media_.sum();
    if (auto counters = read_totals(instance_)) input.counters = std::move(*counters);
    return metrics_text(input);
}

} // namespace kudo
