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
    auto report = read_drops(*data_path);
    if (!report) return std::nullopt;
    return DropFacts{std::chrono::system_clock::now(), report->available, std::move(report->totals)};
}

// For everybody: node_exporter is another user. The names on the way do not end in .prom, and are not read.
Result<void> write_for_all(const std::filesystem::path& path, const std::string& text) {
    constexpr mode_t mode = 0644;
    const std::filesystem::path whole = path.string() + ".tmp";
    KUDO_TRY(replace_file(whole, text, Flush::No));
    if (chmod(whole.c_str(), mode) != 0 || rename(whole.c_str(), path.c_str()) != 0) return fail_errno(path.string());
    return {};
}

} // namespace

MetricsExporter::MetricsExporter(const Instance& instance, MetricsSettings settings, EventLoop& loop)
    : instance_(instance), settings_(std::move(settings)) {
    if (settings_.address)
        server_.emplace(
            *settings_.address, [this] { return text(); }, loop);
}

void MetricsExporter::note(const Status& status) {
    status_ = facts_of(status);
}

std::vector<std::string> MetricsExporter::refresh() {
    std::vector<std::string> problems;
    drops_ = read_drop_facts(instance_);
    if (server_)
        if (const auto open = server_->open(); !open) problems.push_back("no metrics: " + open.error().message);
    if (settings_.file.empty()) return problems;
    if (const auto written = write_for_all(settings_.file, text()); !written)
        problems.push_back("no metrics: " + written.error().message);
    return problems;
}

std::string MetricsExporter::text() const {
    MetricsInput input{.status = status_, .counters = {}, .drops = drops_};
    if (auto counters = read_totals(instance_)) input.counters = std::move(*counters);
    return metrics_text(input);
}

} // namespace kudo
