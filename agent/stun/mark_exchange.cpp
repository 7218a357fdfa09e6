// SPDX-License-Identifier: MIT
#include "agent/stun/mark_exchange.h"

#include <algorithm>

namespace kudo {
namespace {

MarkOutcome outcome_of(const std::vector<DatagramProbe>& probes, uint8_t dscp) {
    MarkOutcome outcome{.dscp = dscp};
    std::vector<std::chrono::microseconds> rtts;
    for (const DatagramProbe& probe : probes) {
        if (probe.dscp != dscp) continue;
        outcome.sent++;
        if (!probe.response) continue;
        outcome.answered++;
        rtts.push_back(probe.rtt);
        if (std::ranges::find(outcome.answers, probe.response_dscp) == outcome.answers.end())
            outcome.answers.push_back(probe.response_dscp);
    }
    std::ranges::sort(rtts);
    if (!rtts.empty()) outcome.median_rtt = rtts[rtts.size() / 2];
    return outcome;
}

} // namespace

std::vector<MarkOutcome> exchange_marked(const std::vector<StunServer>& servers, const std::vector<uint8_t>& dscps,
                                         const MarkExchangeTimes& times, const ProbeSockets& sockets) {
    std::vector<DatagramProbe> probes;
    std::chrono::milliseconds after{};
    for (unsigned round = 0; round < times.requests; round++)
        for (const uint8_t dscp : dscps) {
            for (const StunServer& server : servers)
                probes.push_back({.to = server.address, .port = server.port, .dscp = dscp, .after = after});
            after += times.gap;
        }
    probe_datagrams(probes, {{}, times.all}, sockets);
    std::vector<MarkOutcome> outcomes;
    for (const uint8_t dscp : dscps)
        outcomes.push_back(outcome_of(probes, dscp));
    return outcomes;
}

} // namespace kudo
