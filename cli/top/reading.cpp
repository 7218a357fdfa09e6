// SPDX-License-Identifier: MIT
#include "cli/top/reading.h"

#include "cli/views/stats_view.h"

namespace kudo {

void Reading::take(Result<Diagnosis> result, std::chrono::steady_clock::time_point begun) {
    total_.reset();
    not_enabled_ = !result && result.error().kind == ErrorKind::NotEnabled;
    if (!result) {
        problem_ = result.error().message;
        if (!not_enabled_) return;
        diagnosis_.reset();
        rates_.forget();
        return;
    }
    problem_.clear();
    auto now = std::make_unique<const Diagnosis>(std::move(*result));
    const std::chrono::duration<double> elapsed = begun - begun_;
    if (diagnosis_ && elapsed.count() > 0) {
        const Growth grown = growth(diagnosis_->statistics, now->statistics, elapsed.count());
        FlowRate total;
        for (const auto& [name, service] : grown.services) {
            const Directions both = service.total();
            total.in += 8 * static_cast<double>(both[KUDO_INGRESS].bytes) / elapsed.count();
            total.out += 8 * static_cast<double>(both[KUDO_EGRESS].bytes) / elapsed.count();
        }
        total_ = total;
    }
    rates_.add(now->statistics, elapsed);
    diagnosis_ = std::move(now);
    begun_ = begun;
}

const FlowDiagnosis* Reading::detail(std::size_t flow) const {
    const auto found = diagnosis_->flows.find(flow);
    return found != diagnosis_->flows.end() ? &found->second : nullptr;
}

} // namespace kudo
