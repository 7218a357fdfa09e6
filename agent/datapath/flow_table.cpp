// SPDX-License-Identifier: MIT
#include "agent/datapath/flow_table.h"

#include <bpf/bpf.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstring>
#include <optional>
#include <thread>
#include <unordered_map>

#include "agent/datapath/bpf_object.h"
#include "bpf/flow_cache.h"

namespace kudo {
namespace {

// What differs between the two families.
struct IPv4Flows {
    using Key = kudo_flow4_key;
    static uint32_t slot(const Key& key) { return kudo_cache_slot4(&key); }
    static const Key& key(const kudo_cached_flow& cached) { return cached.key4; }
    static constexpr uint32_t first_slot = 0;
};
struct IPv6Flows {
    using Key = kudo_flow6_key;
    static uint32_t slot(const Key& key) { return kudo_cache_slot6(&key); }
    static const Key& key(const kudo_cached_flow& cached) { return cached.key6; }
    static constexpr uint32_t first_slot = 1;
};

uint32_t seq_of(const kudo_cached_flow& cached) {
    return std::atomic_ref(const_cast<uint32_t&>(cached.seq)).load(std::memory_order_acquire);
}

// The slot as it has been since its seq was this; nothing if counts were moving then, or have moved since (F4).
std::optional<kudo_cached_flow> read_slot(const kudo_cached_flow& cached, uint32_t seq) {
    kudo_cached_flow copy;
    std::memcpy(&copy, &cached, sizeof copy);
    std::atomic_thread_fence(std::memory_order_acquire);
    if ((seq & 1) != 0 || seq_of(cached) != seq) return std::nullopt;
    return copy;
}

// What a slot adds to its flow's row.
kudo_flow counted(const kudo_cached_flow& cached) {
    return {.judgement = cached.judgement,
            .first_seen = cached.last_seen,
            .last_seen = cached.last_seen,
            .directions = {{cached.packets[0], cached.bytes[0]}, {cached.packets[1], cached.bytes[1]}}};
}

void add(kudo_flow& flow, const kudo_flow& more) {
    for (int direction = 0; direction < KUDO_DIRECTIONS; direction++) {
        flow.directions[direction].packets += more.directions[direction].packets;
        flow.directions[direction].bytes += more.directions[direction].bytes;
    }
    flow.last_seen = std::max(flow.last_seen, more.last_seen);
}

template <typename Family> class Reader {
public:
    using Key = typename Family::Key;
    struct Hash {
        std::size_t operator()(const Key& key) const { return Family::slot(key); }
    };
    struct Equal {
        bool operator()(const Key& a, const Key& b) const { return std::memcmp(&a, &b, sizeof a) == 0; }
    };

    Reader(int fd, std::span<const kudo_cpu> cpus) : fd_(fd), cpus_(cpus), seqs_(cpus.size() * KUDO_CACHE_SLOTS) {}

    // Those that have a row come first; adds their number to `rows`.
    Result<std::vector<std::pair<Key, kudo_flow>>> read(std::size_t& rows) {
        // What moves after this is read again, flow by flow.
        for (std::size_t cpu = 0; cpu < cpus_.size(); cpu++)
            for (uint32_t slot = Family::first_slot; slot < KUDO_CACHE_SLOTS; slot += 2)
                seqs_[cpu * KUDO_CACHE_SLOTS + slot] = seq_of(cpus_[cpu].cache[slot]);
        std::vector<std::pair<Key, kudo_flow>> flows;
        const auto take = [&flows](const Key& key, const kudo_flow& flow) { flows.emplace_back(key, flow); };
        KUDO_TRY(for_each_entry<Key, kudo_flow>(fd_, "the flows", take));
        rows += flows.size();
        read_caches();
        for (auto& [key, flow] : flows) {
            const auto found = sums_.find(key);
            if (moved_[Family::slot(key)])
                KUDO_TRY(read_again(key, flow));
            else if (found != sums_.end())
                add(flow, found->second);
            if (found != sums_.end()) sums_.erase(found);
        }
        // Rows that the table's LRU has evicted while a cache still holds the flow.
        for (const auto& [key, sum] : sums_) {
            if (sum.directions[0].packets == 0 && sum.directions[1].packets == 0) continue;
            kudo_flow flow = sum;
            if (moved_[Family::slot(key)]) {
                flow = {.judgement = sum.judgement, .first_seen = sum.first_seen, .last_seen = 0, .directions = {}};
                KUDO_TRY(read_again(key, flow));
            }
            flows.emplace_back(key, flow);
        }
        return flows;
    }

private:
    void read_caches() {
        for (std::size_t cpu = 0; cpu < cpus_.size(); cpu++)
            for (uint32_t slot = Family::first_slot; slot < KUDO_CACHE_SLOTS; slot += 2) {
                const auto cached = read_slot(cpus_[cpu].cache[slot], seqs_[cpu * KUDO_CACHE_SLOTS + slot]);
                if (!cached) moved_[slot] = true;
                if (!cached || cached->judgement == 0) continue;
                const auto [entry, entered] = sums_.try_emplace(Family::key(*cached), counted(*cached));
                if (!entered) add(entry->second, counted(*cached));
            }
    }

    // Row and slots of a flow while no counts move between them. A move takes a program a microsecond, unless its CPU
    // is interrupted meanwhile.
    Result<void> read_again(const Key& key, kudo_flow& flow) {
        const uint32_t slot = Family::slot(key);
        std::vector<uint32_t> before(cpus_.size());
        const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(2);
        for (bool first = true; first || std::chrono::steady_clock::now() < end; first = false) {
            if (!first) std::this_thread::sleep_for(std::chrono::microseconds(20));
            for (std::size_t cpu = 0; cpu < cpus_.size(); cpu++)
                before[cpu] = seq_of(cpus_[cpu].cache[slot]);
            kudo_flow sum = flow;
            bool rests = bpf_map_lookup_elem(fd_, &key, &sum) == 0 || errno == ENOENT;
            for (std::size_t cpu = 0; cpu < cpus_.size() && rests; cpu++) {
                const auto cached = read_slot(cpus_[cpu].cache[slot], before[cpu]);
                rests = cached.has_value();
                if (rests && cached->judgement != 0 && Equal()(Family::key(*cached), key)) add(sum, counted(*cached));
            }
            if (!rests) continue;
            flow = sum;
            return {};
        }
        return fail("a flow's counts were being moved for two seconds, so it cannot be read; try again");
    }

    int fd_;
    std::span<const kudo_cpu> cpus_;
    std::vector<uint32_t> seqs_;
    std::unordered_map<Key, kudo_flow, Hash, Equal> sums_; // of what the caches hold, but for slots that moved
    std::vector<bool> moved_ = std::vector<bool>(KUDO_CACHE_SLOTS);
};

} // namespace

kudo_counters sum_counters(std::span<const kudo_cpu> cpus) {
    constexpr std::size_t words = sizeof(kudo_counters) / sizeof(uint64_t);
    kudo_counters sum{};
    auto* to = reinterpret_cast<uint64_t*>(&sum); // it has nothing but 64-bit words
    for (const kudo_cpu& cpu : cpus) {
        const auto* from = reinterpret_cast<const uint64_t*>(&cpu.counters);
        for (std::size_t i = 0; i < words; i++)
            to[i] += from[i];
    }
    return sum;
}

Result<FlowTable> read_flow_table(int flows4_fd, int flows6_fd, std::span<const kudo_cpu> cpus) {
    FlowTable table;
    table.flows4 = KUDO_TRY(Reader<IPv4Flows>(flows4_fd, cpus).read(table.rows));
    table.flows6 = KUDO_TRY(Reader<IPv6Flows>(flows6_fd, cpus).read(table.rows));
    return table;
}

} // namespace kudo
