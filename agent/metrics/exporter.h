// SPDX-License-Identifier: MIT
// The service's metrics: what it last saw of the host, and the kernel's counters as they are when they are asked for.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "agent/metrics/families.h"
#include "agent/metrics/media_loss.h"
#include "agent/metrics/server.h"
#include "agent/service/exporter.h"
#include "agent/system/event_loop.h"
#include "agent/system/instance.h"

namespace kudo {

struct MetricsSettings {
    std::optional<MetricsAddress> address; // where they are served
    std::filesystem::path file;            // for node_exporter's textfile collector; empty: none
    std::string ring{};                    // of this host, in the fleet; empty: none
};

class MetricsExporter : public Exporter {
public:
    // `loop` outlives it.
    MetricsExporter(const Instance& instance, MetricsSettings settings, EventLoop& loop);

    void note(const Status* status) override;
    // Reads what the kernel has dropped, listens where it does not, writes the file.
    void refresh(const Diagnosis* diagnosis) override;
    [[nodiscard]] std::vector<std::string> problems() const override { return problems_; }

private:
    [[nodiscard]] std::string text() const;

    const Instance instance_;
    const MetricsSettings settings_;
    std::optional<MetricsServer> server_;
    bool looked_ = false;
    std::optional<StatusFacts> status_;
    std::optional<DropFacts> drops_;
    MediaLoss media_;
    bool media_known_ = false; // at the last look
    std::vector<std::string> problems_;
};

} // namespace kudo
