// SPDX-License-Identifier: MIT
// What was read last, and how it differs from what was read before.
// Invariant: pure; of a reading that failed nothing is shown as if it were now.
#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <string>

#include "agent/diagnosis/diagnosis.h"
#include "cli/top/rates.h"
#include "maps/base/result.h"

namespace kudo {

class Reading {
public:
    // `begun`: when its counters were read.
    void take(Result<Diagnosis> result, std::chrono::steady_clock::time_point begun);

    // Null: nothing was read yet, or kudo-agent is not enabled.
    [[nodiscard]] const Diagnosis* diagnosis() const { return diagnosis_.get(); }
    // Why the last reading failed; diagnosis() is an older one then. Empty: it did not.
    [[nodiscard]] const std::string& problem() const { return problem_; }
    [[nodiscard]] bool not_enabled() const { return not_enabled_; }
    // Of all packets with KUDO, since the reading before.
    [[nodiscard]] std::optional<FlowRate> total() const { return total_; }
    [[nodiscard]] const Rates& rates() const { return rates_; }
    [[nodiscard]] const FlowDiagnosis* detail(std::size_t flow) const;

private:
    std::unique_ptr<const Diagnosis> diagnosis_;
    std::chrono::steady_clock::time_point begun_;
    std::string problem_;
    bool not_enabled_ = false;
    Rates rates_;
    std::optional<FlowRate> total_;
};

} // namespace kudo
