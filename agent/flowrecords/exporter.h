// SPDX-License-Identifier: MIT
// The service's flow records: reads the flows at intervals, and gives each destination what it has not been given yet.
// Invariant: a destination's trouble is its own; what is kept for it is bounded by the flow table.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "agent/flowrecords/confined_sink.h"
#include "agent/flowrecords/ledger.h"
#include "agent/service/exporter.h"
#include "agent/system/event_loop.h"
#include "agent/system/instance.h"

namespace kudo {

// A private enterprise number for documentation and examples (RFC 5612): kudo-agent has none of its own from IANA.
inline constexpr uint32_t documentation_enterprise = 32473;

struct FlowRecordSettings {
    std::vector<FlowDestination> destinations{};
    TlsFiles tls{};
    LedgerTimeouts timeouts{};
    uint32_t enterprise = documentation_enterprise, domain = 1;
};

class FlowRecordExporter : public Exporter {
public:
    // `loop` outlives it.
    FlowRecordExporter(const Instance& instance, FlowRecordSettings settings, EventLoop& loop);
    ~FlowRecordExporter() override;

    void note(const Status*) override {}
    void refresh(const Diagnosis* diagnosis) override;
    [[nodiscard]] std::vector<std::string> problems() const override;

private:
    struct Destination;
    void on_timer();
    void look();
    void take_flows();
    void hand_over(Destination& destination);
    void save(Destination& destination);
    void load(Destination& destination);
    void remove_unused_ledgers() const;

    const Instance instance_;
    const FlowRecordSettings settings_;
    EventLoop& loop_;
    std::unique_ptr<Timer> timer_;
    Timer::Clock::time_point next_look_{};
    std::vector<std::unique_ptr<Destination>> destinations_;
    std::vector<std::string> problems_; // of the last look
};

} // namespace kudo
