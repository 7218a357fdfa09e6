// SPDX-License-Identifier: MIT
#include "agent/datapath/generation.h"

#include <bpf/bpf.h>

#include <atomic>
#include <cstring>

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include "agent/datapath/slot_names.h"

namespace kudo {
namespace {

using Policies = std::array<kudo_policy, 2>;

uint32_t load(const uint32_t& word) {
    return std::atomic_ref(const_cast<uint32_t&>(word)).load(std::memory_order_acquire);
}
void store(uint32_t& word, uint32_t value) {
    std::atomic_ref(word).store(value, std::memory_order_release);
}

// Not by batches, which kernels before 5.13 do not have for tries and later ones give up while entries go. In a trie
// that is emptied and filled meanwhile the walk may begin again, so it is bounded; the caller throws away what it read
// then.
template <typename Key, typename Match> Result<std::vector<std::pair<Key, Match>>> read_trie(int fd) {
    std::vector<std::pair<Key, Match>> entries;
    Key key{};
    for (const Key* previous = nullptr; entries.size() <= KUDO_MAX_PREFIXES; previous = &key) {
        if (bpf_map_get_next_key(fd, previous, &key) != 0) {
            if (errno != ENOENT) return fail_errno("cannot read a trie");
            break;
        }
        Match match{};
        if (bpf_map_lookup_elem(fd, &key, &match) == 0) entries.emplace_back(key, match);
    }
    return entries;
}

// Kernels before 5.13 know no batches of tries: EINVAL or ENOTSUPP, before anything is done.
bool knows_no_batches(int error) {
    constexpr int not_supported = 524; // ENOTSUPP, which only the kernel's headers know
    return error == EINVAL || error == EOPNOTSUPP || error == not_supported;
}

template <typename Key> Result<void> empty_trie(int fd) {
    Key key{};
    while (bpf_map_get_next_key(fd, nullptr, &key) == 0)
        if (bpf_map_delete_elem(fd, &key) != 0) return fail_errno("cannot empty a trie");
    return {};
}

template <typename Key, typename Match>
Result<void> fill_trie(int fd, const std::vector<std::pair<Key, Match>>& entries) {
    if (entries.empty()) return {};
    std::vector<Key> keys;
    std::vector<Match> matches;
    keys.reserve(entries.size());
    matches.reserve(entries.size());
    for (const auto& [key, match] : entries) {
        keys.push_back(key);
        matches.push_back(match);
    }
    LIBBPF_OPTS(bpf_map_batch_opts, options);
    auto count = static_cast<uint32_t>(entries.size());
    if (bpf_map_update_batch(fd, keys.data(), matches.data(), &count, &options) == 0) return {};
    if (!knows_no_batches(errno)) return fail_errno(fmt::format("cannot insert {} prefixes", entries.size()));
    for (const auto& [key, match] : entries)
        if (bpf_map_update_elem(fd, &key, &match, BPF_ANY) != 0)
            return fail_errno(
                fmt::format("cannot insert prefix {} of {}", &key - &entries[0].first + 1, entries.size()));
    return {};
}

// The compiler's order, in which policy_hash() takes the entries.
template <typename Key, typename Match> void sort_entries(std::vector<std::pair<Key, Match>>& entries) {
    std::sort(entries.begin(), entries.end(), [](const auto& a, const auto& b) {
        const int order = std::memcmp(&a.first.address, &b.first.address, sizeof a.first.address);
        return order != 0 ? order < 0 : a.first.prefix_length < b.first.prefix_length;
    });
}

Result<Mapped<Policies>> map_policies(const DataPath::Maps& maps) {
    return Mapped<Policies>::map(maps.policies.get(), "the policies");
}

Result<void> empty_slot(const DataPath::Maps& maps, uint32_t slot) {
    auto policies = KUDO_TRY(map_policies(maps));
    KUDO_TRY(empty_trie<kudo_lpm4_key>(maps.lpm4[slot].get()));
    KUDO_TRY(empty_trie<kudo_lpm6_key>(maps.lpm6[slot].get()));
    KUDO_TRY(empty_trie<kudo_lpm4_key>(maps.allow4[slot].get()));
    KUDO_TRY(empty_trie<kudo_lpm6_key>(maps.allow6[slot].get()));
    store((*policies)[slot].generation, 0);
    return {};
}

} // namespace

Result<uint32_t> active_generation(const DataPath::Maps& maps) {
    auto active = KUDO_TRY(Mapped<uint32_t>::map(maps.active.get(), "the active generation"));
    return load(*active);
}

Result<void> wait_for_readers(const DataPath::Maps& maps) {
    // See kudo_grace in bpf/maps.bpf.h: the update itself returns only after an RCU grace period.
    LIBBPF_OPTS(bpf_map_create_opts, options);
    const Fd inner(bpf_map_create(BPF_MAP_TYPE_ARRAY, "kudo_grace_v", sizeof(uint32_t), sizeof(uint32_t), 1, &options));
    if (!inner) return fail_errno("cannot create a map");
    const uint32_t key = 0;
    const int fd = inner.get();
    if (bpf_map_update_elem(maps.grace.get(), &key, &fd, BPF_ANY) != 0)
        return fail_errno("cannot wait for the programs");
    return {};
}

Result<void> fill_slot(const DataPath::Maps& maps, const CompiledPolicy& compiled, uint32_t generation) {
    auto policies = KUDO_TRY(map_policies(maps));
    const uint32_t slot = generation & 1;
    kudo_policy& target = (*policies)[slot];
    if (load(target.generation) != 0) { // G4
        KUDO_TRY(wait_for_readers(maps));
        KUDO_TRY(empty_slot(maps, slot));
    }
    store(target.generation, generation);
    KUDO_TRY(fill_trie(maps.lpm4[slot].get(), compiled.entries4));
    KUDO_TRY(fill_trie(maps.lpm6[slot].get(), compiled.entries6));
    KUDO_TRY(fill_trie(maps.allow4[slot].get(), compiled.allow4));
    KUDO_TRY(fill_trie(maps.allow6[slot].get(), compiled.allow6));
    constexpr std::size_t behind_generation = sizeof target.generation;
    std::memcpy(reinterpret_cast<char*>(&target) + behind_generation,
                reinterpret_cast<const char*>(compiled.policy.get()) + behind_generation,
                sizeof target - behind_generation);
    return {};
}

Result<uint32_t> publish(const DataPath::Maps& maps, const CompiledPolicy& compiled) {
    auto active = KUDO_TRY(Mapped<uint32_t>::map(maps.active.get(), "the active generation"));
    const uint32_t old = load(*active);
    const uint32_t next = old == UINT32_MAX ? 2 : old + 1; // never 0, and the slots always alternate
    KUDO_TRY(fill_slot(maps, compiled, next));
    KUDO_TRY(write_service_names(maps, compiled.slots, next));

    store(*active, next); // G1
    // From here on it is published, whatever fails: what is left of the old one is as after a kill (G4).
    auto emptied = wait_for_readers(maps);
    if (emptied && old != 0) emptied = empty_slot(maps, old & 1);
    if (!emptied) spdlog::debug("generation {} is left as it is: {}", old, emptied.error().message);
    return next;
}

std::array<uint8_t, 32> ActivePolicy::hash() const {
    return policy_hash(compiled);
}

Result<kudo_policy> read_active_policy(const DataPath::Maps& maps) {
    auto policies = KUDO_TRY(map_policies(maps));
    for (int attempt = 0; attempt < 100; attempt++) {
        auto before = KUDO_TRY(active_generation(maps));
        const kudo_policy policy = (*policies)[before & 1];
        auto after = KUDO_TRY(active_generation(maps));
        if (before == after && policy.generation == before) return policy;
    }
    return fail("the policy changes too quickly to be read; try again");
}

Result<ActivePolicy> read_active(const DataPath::Maps& maps) {
    // A swap may empty the slot under a reader without the lock; what was read then is thrown away.
    for (int attempt = 0; attempt < 100; attempt++) {
        auto policy = KUDO_TRY(read_active_policy(maps));
        ActivePolicy result;
        result.generation = policy.generation;
        result.compiled.policy = std::make_unique<kudo_policy>(policy);
        if (result.generation == 0) return result;
        const uint32_t slot = result.generation & 1;
        auto entries4 = KUDO_TRY((read_trie<kudo_lpm4_key, kudo_match>(maps.lpm4[slot].get())));
        auto entries6 = KUDO_TRY((read_trie<kudo_lpm6_key, kudo_match>(maps.lpm6[slot].get())));
        auto allow4 = KUDO_TRY((read_trie<kudo_lpm4_key, kudo_allow_match>(maps.allow4[slot].get())));
        auto allow6 = KUDO_TRY((read_trie<kudo_lpm6_key, kudo_allow_match>(maps.allow6[slot].get())));
        auto after = KUDO_TRY(active_generation(maps));
        if (after != result.generation) continue;
        result.compiled.entries4 = std::move(entries4);
        result.compiled.entries6 = std::move(entries6);
        result.compiled.allow4 = std::move(allow4);
        result.compiled.allow6 = std::move(allow6);
        sort_entries(result.compiled.entries4);
        sort_entries(result.compiled.entries6);
        sort_entries(result.compiled.allow4);
        sort_entries(result.compiled.allow6);
        return result;
    }
    return fail("the policy changes too quickly to be read; try again");
}

} // namespace kudo
