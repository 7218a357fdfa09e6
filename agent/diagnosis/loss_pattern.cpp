// SPDX-License-Identifier: MIT
#include "agent/diagnosis/loss_pattern.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <span>

namespace kudo {
namespace {

using namespace std::chrono_literals;

// Of the last whole seconds of all streams together.
struct Second {
    uint32_t received = 0, missing = 0;
};
std::vector<Second> last_seconds(const std::vector<const RtpStream*>& streams) {
    std::map<int64_t, Second> seconds;
    for (const RtpStream* stream : streams)
        for (const RtpSecond& second : stream->quality->seconds) {
            Second& sum = seconds[std::chrono::round<std::chrono::seconds>(second.begin.time_since_epoch()).count()];
            sum.received += second.received + second.repeated;
            sum.missing += second.missing;
        }
    std::vector<Second> list;
    for (const auto& [when, second] : seconds)
        list.push_back(second);
    if (!list.empty()) list.pop_back(); // has not ended
    return list;
}

} // namespace

std::optional<uint32_t> round_rate_near(double rate) {
    for (const double step : {1000.0, 500.0, 250.0, 100.0}) {
        const double nearest = std::round(rate / step) * step;
        if (nearest > 0 && std::abs(rate - nearest) <= 0.06 * nearest) return static_cast<uint32_t>(nearest);
    }
    return std::nullopt;
}

std::vector<JointOutage> joint_outages(const std::vector<const RtpStream*>& streams) {
    constexpr auto apart = 400ms; // streams' last packets before it
    std::vector<JointOutage> joint;
    if (streams.empty()) return joint;
    const RtpStream& first =
        *std::ranges::max_element(streams, {}, [](const RtpStream* stream) { return stream->quality->outages.size(); })
             .
             operator*();
    for (const RtpOutage& outage : first.quality->outages) {
        JointOutage found{outage.begin, outage.duration, outage.rate_before};
        const bool all = std::ranges::all_of(streams, [&](const RtpStream* stream) {
            const RtpQuality& quality = *stream->quality;
            if (stream == &first) return true;
            // It may not have been there then.
            if (quality.first_packet > outage.begin || quality.last_packet < outage.begin + outage.duration)
                return true;
            const auto same = std::ranges::find_if(quality.outages, [&](const RtpOutage& other) {
                return other.begin < outage.begin + outage.duration + apart &&
                       outage.begin < other.begin + other.duration + apart;
            });
            if (same == quality.outages.end()) return false;
            found.rate += same->rate_before;
            return true;
        });
        if (all) joint.push_back(found);
    }
    return joint;
}

std::optional<RateLimit> rate_limit_of(const std::vector<const RtpStream*>& streams) {
    const std::vector<Second> seconds = last_seconds(streams);
    constexpr std::size_t long_enough = 8;
    constexpr double least_share = 0.03, steady = 0.12;
    std::size_t begin = seconds.size();
    while (begin > 0 && seconds[begin - 1].missing > 0 &&
           seconds[begin - 1].missing >= least_share * (seconds[begin - 1].missing + seconds[begin - 1].received))
        --begin;
    // It may have begun in the middle of the first.
    begin = std::min(begin + 1, seconds.size());
    const std::span<const Second> limited(seconds.begin() + static_cast<std::ptrdiff_t>(begin), seconds.end());
    if (limited.size() < long_enough) return std::nullopt;
    RateLimit limit{.seconds = limited.size()};
    double received = 0, missing = 0;
    for (const Second& second : limited) {
        received += second.received;
        missing += second.missing;
    }
    limit.rate = received / static_cast<double>(limited.size());
    limit.missing = missing / (received + missing);
    const auto uneven = std::ranges::count_if(
        limited, [&](const Second& second) { return std::abs(second.received - limit.rate) > steady * limit.rate; });
    const bool even = uneven <= static_cast<std::ptrdiff_t>(limited.size() / 10);
    return even ? std::optional(limit) : std::nullopt;
}

} // namespace kudo
