// SPDX-License-Identifier: MIT
#include "tests/support/rtp_oracle.h"

#include <algorithm>
#include <cmath>

namespace kudo::test {
namespace {

constexpr uint64_t millisecond = 1'000'000, second = 1000 * millisecond;
constexpr int64_t window = 512, restart = 3000;

// The sets and sums of one stream, packet by packet.
class Book {
public:
    explicit Book(uint32_t clock) : clock_(clock) {}

    void add(const ArrivingRtp& packet) {
        if (seen_.empty()) {
            begin(packet.sequence);
            take(packet.sequence, packet);
            return;
        }
        const auto ahead = static_cast<int16_t>(packet.sequence - static_cast<uint16_t>(highest_));
        if (std::abs(int{ahead}) > restart) {
            if (jumped_ && packet.sequence == static_cast<uint16_t>(jump_ + 1)) {
                begin_anew(packet);
                return;
            }
            jumped_ = true;
            jump_ = packet.sequence;
            truth_.unconfirmed++;
            return;
        }
        jumped_ = false;
        take(highest_ + ahead, packet);
    }

    RtpTruth finish() {
        end_segment(false);
        truth_.jitter_ms = jitter_ * 1000;
        for (const auto& [number, when] : found_missing_) {
            truth_.seconds[when / second].missing++;
            truth_.slices[when / (200 * millisecond)].missing++;
        }
        return truth_;
    }

private:
    void begin(int64_t number) {
        first_ = highest_ = number;
        seen_.clear();
        missing_.clear();
        timed_ = false;
    }
    void begin_anew(const ArrivingRtp& packet) {
        end_segment(true);
        truth_.restarts++;
        truth_.unconfirmed--;
        jumped_ = false;
        const int64_t number = packet.sequence + 65536; // so that the one before is not below zero
        begin(number - 1);
        seen_.insert(number - 1);
        receive(packet.arrival);
        take(number, packet);
    }
    // What is unseen is lost: all of it, or what has left the window.
    void end_segment(bool all) {
        for (int64_t number = first_; number <= highest_; number++) {
            if (seen_.contains(number)) continue;
            if (all || number <= highest_ - window)
                truth_.lost++;
            else
                truth_.pending++;
        }
        truth_.missing += missing_.size();
        for (const auto& entry : missing_)
            found_missing_.insert(entry);
    }
    void receive(uint64_t arrival) {
        truth_.unique++;
        truth_.seconds[arrival / second].received++;
        truth_.slices[arrival / (200 * millisecond)].received++;
    }
    void take(int64_t number, const ArrivingRtp& packet) {
        const bool newest = number > highest_ || seen_.empty();
        if (number <= highest_ - window) {
            truth_.late++;
        } else if (seen_.contains(number)) {
            truth_.duplicate++;
        } else {
            for (int64_t between = highest_ + 1; between < number; between++)
                missing_[between] = packet.arrival;
            for (int64_t between = number + 1; between < first_; between++)
                missing_[between] = packet.arrival;
            if (!newest) truth_.reordered++;
            missing_.erase(number);
            seen_.insert(number);
            highest_ = std::max(highest_, number);
            first_ = std::min(first_, number);
            receive(packet.arrival);
        }
        if (!packet.padding) time(packet, newest);
    }
    void time(const ArrivingRtp& packet, bool newest) {
        if (timed_) {
            const double between = static_cast<double>(packet.arrival - arrival_) / 1e9;
            const double media = static_cast<double>(static_cast<int32_t>(packet.timestamp - timestamp_)) / clock_;
            jitter_ += (std::abs(between - media) - jitter_) / 16;
        }
        if (newest && (!timed_ || packet.timestamp != frame_)) {
            truth_.frames[packet.arrival / second]++;
            frame_ = packet.timestamp;
        }
        timed_ = true;
        arrival_ = packet.arrival;
        timestamp_ = packet.timestamp;
    }

    uint32_t clock_;
    RtpTruth truth_;
    std::set<int64_t> seen_;
    std::map<int64_t, uint64_t> missing_;            // of this segment, and when it was found missing
    std::multimap<int64_t, uint64_t> found_missing_; // of those before
    int64_t first_ = 0, highest_ = 0;
    bool jumped_ = false, timed_ = false;
    uint16_t jump_ = 0;
    uint64_t arrival_ = 0;
    uint32_t timestamp_ = 0, frame_ = 0;
    double jitter_ = 0; // seconds
};

} // namespace

std::ostream& operator<<(std::ostream& out, const RtpCounts& counts) {
    return out << counts.unique << " unique, " << counts.lost << " lost, " << counts.pending << " pending, "
               << counts.duplicate << " duplicate, " << counts.reordered << " reordered, " << counts.late << " late, "
               << counts.unconfirmed << " unconfirmed, " << counts.restarts << " restarts";
}

RtpTruth truth_of(const std::vector<ArrivingRtp>& packets, uint32_t clock) {
    Book book(clock);
    for (const ArrivingRtp& packet : packets)
        book.add(packet);
    return book.finish();
}

RtpTruth::Span worst_window(const std::map<uint64_t, RtpTruth::Span>& spans, uint64_t length) {
    RtpTruth::Span worst;
    if (spans.empty()) return worst;
    const auto is_worse = [](const RtpTruth::Span& one, const RtpTruth::Span& other) {
        const uint64_t all = one.received + one.missing, other_all = other.received + other.missing;
        const auto left = one.missing * other_all, right = other.missing * all;
        return one.missing != 0 && (left > right || (left == right && all > other_all));
    };
    for (uint64_t begin = spans.begin()->first; begin + length - 1 <= spans.rbegin()->first; begin++) {
        RtpTruth::Span sum;
        for (auto span = spans.lower_bound(begin); span != spans.end() && span->first < begin + length; span++) {
            sum.received += span->second.received;
            sum.missing += span->second.missing;
        }
        if (is_worse(sum, worst)) worst = sum;
    }
    return worst;
}

RtpTroubles random_troubles(std::mt19937_64& random) {
    const auto maybe = [&](double most) {
        return random() % 3 == 0 ? std::uniform_real_distribution<>(0, most)(random) : 0;
    };
    RtpTroubles troubles;
    const uint32_t clocks[] = {8000, 16000, 48000, 90000};
    troubles.packets = 200 + static_cast<uint32_t>(random() % 2500);
    troubles.clock = clocks[random() % 4];
    troubles.video = troubles.clock == 90000;
    troubles.drop = maybe(0.3);
    troubles.duplicate = maybe(0.2);
    troubles.reorder = maybe(0.2);
    troubles.late = maybe(0.02);
    troubles.probe = maybe(0.1);
    troubles.burst = maybe(0.01);
    troubles.jitter_ms = maybe(30);
    troubles.wraps = random() % 3 == 0;
    troubles.restarts = random() % 3 == 0 ? static_cast<uint32_t>(random() % 4) : 0;
    troubles.early = random() % 4 == 0 ? static_cast<uint32_t>(random() % 40) : 0;
    troubles.foreign = random() % 4 == 0 ? static_cast<uint32_t>(random() % 10) : 0;
    return troubles;
}

std::vector<ArrivingRtp> make_rtp(const RtpTroubles& troubles, uint64_t seed, uint64_t begin) {
    std::mt19937_64 random(seed);
    const auto happens = [&](double share) { return std::uniform_real_distribution<>(0, 1)(random) < share; };
    const auto far_away = [&](uint16_t from) { // also behind it
        return static_cast<uint16_t>(from + restart + 1 + random() % (65536 - 2 * restart - 2));
    };
    auto sequence = static_cast<uint16_t>(troubles.wraps ? 65536 - random() % 300 : random());
    auto timestamp = static_cast<uint32_t>(random());
    std::vector<ArrivingRtp> arriving;
    uint64_t sent = begin;
    uint16_t early = far_away(sequence);
    for (uint32_t i = 0; i < troubles.early; i++, sent += 20 * millisecond)
        arriving.push_back({sent, early++, static_cast<uint32_t>(i * troubles.clock / 50), false});
    std::set<uint32_t> restarts, foreign;
    for (uint32_t i = 0; i < troubles.restarts; i++)
        restarts.insert(1 + static_cast<uint32_t>(random() % troubles.packets));
    for (uint32_t i = 0; i < troubles.foreign; i++)
        foreign.insert(static_cast<uint32_t>(random() % troubles.packets));

    uint32_t left = 0; // of the picture
    uint64_t burst = 0;
    for (uint32_t i = 0; i < troubles.packets; i++) {
        const bool probe = i > 0 && happens(troubles.probe);
        if (!probe && left == 0) {
            const uint64_t step = troubles.video ? second / 30 : troubles.frame_ms * millisecond;
            sent += step;
            timestamp +=
                static_cast<uint32_t>(troubles.video ? troubles.clock / 30 : troubles.clock * troubles.frame_ms / 1000);
            left = troubles.video ? 1 + static_cast<uint32_t>(random() % 8) : 1;
        }
        if (!probe) left--;
        if (restarts.contains(i)) sequence = far_away(sequence);
        const ArrivingRtp packet{sent, sequence++, timestamp, probe};
        if (burst == 0 && happens(troubles.burst)) burst = 1 + random() % 700;
        if (foreign.contains(i)) arriving.push_back({sent, far_away(packet.sequence), timestamp, false});
        if (burst > 0 && burst-- > 0) continue;
        if (happens(troubles.drop)) continue;
        uint64_t delay = troubles.jitter_ms > 0
                             ? static_cast<uint64_t>(std::exponential_distribution<>(1 / troubles.jitter_ms)(random) *
                                                     static_cast<double>(millisecond))
                             : 0;
        if (happens(troubles.reorder)) delay += random() % (200 * millisecond);
        if (happens(troubles.late)) delay += random() % (15 * second);
        for (uint32_t copies = happens(troubles.duplicate) ? 2 : 1; copies > 0; copies--) {
            arriving.push_back(packet);
            arriving.back().arrival += delay;
            delay += random() % (30 * millisecond);
        }
    }
    std::ranges::stable_sort(arriving, {}, &ArrivingRtp::arrival);
    return arriving;
}

} // namespace kudo::test
