// SPDX-License-Identifier: MIT
#include "agent/datapath/flow_table.h"

#include <bpf/bpf.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstring>
#include <optional>
#include <thread>

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

// A slot as it was at one moment; nothing if a program was moving its counts for longer than we look.
std::optional<kudo_cached_flow> read_slot(const kudo_cached_flow& cached) {
    for (int attempt = 0; attempt < 1000; attempt++) {
        const uint32_t before = seq_of(cached);
        if (before & 1) continue;
        kudo_cached_flow copy;
        std::memcpy(&copy, &cached, sizeof copy);
        std::atomic_thread_fence(std::memory_order_acquire);
        if (seq_of(cached) == before) {
            copy.seq = before;
            return copy;
        }
    }
    return std::nullopt;
}

void add(kudo_flow& flow, const kudo_cached_flow& cached) {
    for (int direction = 0; direction < KUDO_DIRECTIONS; direction++) {
        flow.directions[direction].packets += cached.packets[direction];
        flow.directions[direction].bytes += cached.bytes[direction];
    }
    flow.last_seen = std::max(flow.last_seen, cached.last_seen);
}

template <typename Family> class Reader {
public:
    using Key = typename Family::Key;

    Reader(int fd, std::span<const kudo_cpu> cpus) : fd_(fd), cpus_(cpus), seqs_(cpus.size() * KUDO_CACHE_SLOTS) {}

    Result<std::vector<std::pair<Key, kudo_flow>>> read() {
        // What moves after this is read again, flow by flow.
        for (std::size_t cpu = 0; cpu < cpus_.size(); cpu++)
            for (uint32_t slot = Family::first_slot; slot < KUDO_CACHE_SLOTS; slot += 2)
                seqs_[cpu * KUDO_CACHE_SLOTS + slot] = seq_of(cpus_[cpu].cache[slot]);
        std::vector<std::pair<Key, kudo_flow>> flows;
        const auto take = [&flows](const Key& key, const kudo_flow& flow) { flows.emplace_back(key, flow); };
        KUDO_TRY(for_each_entry<Key, kudo_flow>(fd_, "the flows", take));
        read_caches();
        for (auto& [key, flow] : flows)
            KUDO_TRY(complete(key, flow));
        // Rows that the table's LRU had to give up while a cache still holds the flow.
        for (auto& [cached, found] : cached_) {
            if (found || (cached.packets[0] == 0 && cached.packets[1] == 0)) continue;
            kudo_flow flow{};
            const Key key = Family::key(cached);
            flow.judgement = cached.judgement;
            flow.first_seen = cached.last_seen;
            mark_found(key);
            KUDO_TRY(complete(key, flow));
            flows.emplace_back(key, flow);
        }
        return flows;
    }

private:
    void read_caches() {
        by_slot_.assign(KUDO_CACHE_SLOTS, {});
        for (std::size_t cpu = 0; cpu < cpus_.size(); cpu++)
            for (uint32_t slot = Family::first_slot; slot < KUDO_CACHE_SLOTS; slot += 2) {
                const auto cached = read_slot(cpus_[cpu].cache[slot]);
                if (!cached || cached->seq != seqs_[cpu * KUDO_CACHE_SLOTS + slot]) {
                    moved_[slot] = true;
                    continue;
                }
                if (cached->judgement == 0) continue;
                by_slot_[slot].push_back(cached_.size());
                cached_.emplace_back(*cached, false);
            }
    }

    void mark_found(const Key& key) {
        for (const std::size_t index : by_slot_[Family::slot(key)])
            if (std::memcmp(&Family::key(cached_[index].first), &key, sizeof key) == 0) cached_[index].second = true;
    }

    // Adds the caches' part to a flow's row.
    Result<void> complete(const Key& key, kudo_flow& flow) {
        const uint32_t slot = Family::slot(key);
        if (moved_[slot]) return read_again(key, slot, flow);
        for (const std::size_t index : by_slot_[slot]) {
            auto& [cached, found] = cached_[index];
            if (std::memcmp(&Family::key(cached), &key, sizeof key) != 0) continue;
            found = true;
            add(flow, cached);
        }
        return {};
    }

    // Row and slots of a flow while no counts move between them. A program needs a microsecond for that, unless its CPU
    // is taken away from it meanwhile.
    Result<void> read_again(const Key& key, uint32_t slot, kudo_flow& flow) {
        std::vector<uint32_t> before(cpus_.size());
        const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(2);
        for (bool first = true; first || std::chrono::steady_clock::now() < end; first = false) {
            if (!first) std::this_thread::sleep_for(std::chrono::microseconds(20));
            bool rests = true;
            for (std::size_t cpu = 0; cpu < cpus_.size(); cpu++) {
                before[cpu] = seq_of(cpus_[cpu].cache[slot]);
                rests &= (before[cpu] & 1) == 0;
            }
            kudo_flow sum = flow;
            if (!rests || (bpf_map_lookup_elem(fd_, &key, &sum) != 0 && errno != ENOENT)) continue;
            for (std::size_t cpu = 0; cpu < cpus_.size() && rests; cpu++) {
                const auto cached = read_slot(cpus_[cpu].cache[slot]);
                rests = cached && cached->seq == before[cpu];
                if (rests && cached->judgement != 0 && std::memcmp(&Family::key(*cached), &key, sizeof key) == 0)
                    add(sum, *cached);
            }
            if (!rests) continue;
            flow = sum;
            mark_found(key);
            return {};
        }
        return fail("a flow's counts were being moved for two seconds, so it cannot be read; try again");
    }

    int fd_;
    std::span<const kudo_cpu> cpus_;
    std::vector<uint32_t> seqs_;
    std::vector<std::pair<kudo_cached_flow, bool>> cached_; // and whether its row was found
    std::vector<std::vector<std::size_t>> by_slot_;         // indices into cached_
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
    auto flows4 = KUDO_TRY(Reader<IPv4Flows>(flows4_fd, cpus).read());
    auto flows6 = KUDO_TRY(Reader<IPv6Flows>(flows6_fd, cpus).read());
    return FlowTable{std::move(flows4), std::move(flows6)};
}

} // namespace kudo
