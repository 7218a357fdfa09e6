// SPDX-License-Identifier: MIT
#include "cli/views/stats_view.h"

namespace kudo {
namespace {

kudo_counter added(const kudo_counter& before, const kudo_counter& now) {
    if (now.packets < before.packets || now.bytes < before.bytes) return now;
    return {now.packets - before.packets, now.bytes - before.bytes};
}

Directions added(const Directions& before, const Directions& now) {
    return {added(before[KUDO_INGRESS], now[KUDO_INGRESS]), added(before[KUDO_EGRESS], now[KUDO_EGRESS])};
}

} // namespace

Growth growth(const Statistics& before, const Statistics& now, double seconds) {
    Growth result;
    result.seconds = seconds > 0 ? seconds : 1;
    result.totals = added(before.totals, now.totals);
    for (const auto& [name, service] : now.services) {
        const auto old = before.services.find(name);
        Statistics::ServiceCounters& sum = result.services[name];
        sum = service;
        if (old == before.services.end()) continue;
        for (std::size_t i = 0; i < sum.classes.size(); ++i)
            sum.classes[i] = added(old->second.classes[i], service.classes[i]);
    }
    return result;
}

} // namespace kudo
