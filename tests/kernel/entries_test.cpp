// SPDX-License-Identifier: MIT
// Walks over a hash map while its entries come and go: each key once, and every entry that stays.
// Invariant: a key's value follows from the key, so a value of another key is seen.
#include <bpf/bpf.h>

#include <atomic>
#include <memory>
#include <set>
#include <thread>

#include "agent/datapath/bpf_object.h"
#include "tests/kernel/kernel_test.h"

namespace kudo::test {
namespace {

constexpr uint32_t capacity = 4096;
constexpr uint32_t churned = 1'000'000; // keys from here on come and go

struct Value {
    uint64_t of_key;
};

class Entries : public KernelTest {
protected:
    void make(bpf_map_type type) {
        map_ = Fd(bpf_map_create(type, "kudo_test", sizeof(uint32_t), sizeof(Value), capacity, nullptr));
    }
    int enter(uint32_t key) const {
        const Value value{key * uint64_t{2654435769}};
        return bpf_map_update_elem(map_.get(), &key, &value, BPF_ANY);
    }
    std::set<uint32_t> walk() const {
        std::set<uint32_t> keys;
        const auto visit = [&](uint32_t key, const Value& value) {
            EXPECT_TRUE(keys.insert(key).second) << key << " was visited twice";
            EXPECT_EQ(value.of_key, key * uint64_t{2654435769}) << "another key's value";
        };
        const auto done = for_each_entry<uint32_t, Value>(map_.get(), "the test's map", visit);
        EXPECT_TRUE(done) << done.error().message;
        return keys;
    }
    // Walks while another thread makes entries come and go.
    template <typename Churn, typename Check> void walk_meanwhile(Churn churn, Check check) const {
        std::atomic<uint32_t> rounds = 0;
        std::atomic<bool> stop = false;
        const std::jthread writer([&] {
            for (; !stop; ++rounds)
                churn(churned + rounds);
        });
        const std::shared_ptr<void> at_the_end(nullptr, [&stop](void*) { stop = true; }); // also after a failure
        for (int i = 0; (i < 200 || rounds < 2 * capacity) && !HasFailure(); ++i)
            check(walk());
    }
    Fd map_;
};

TEST_F(Entries, AnEmptyMapHasNone) {
    make(BPF_MAP_TYPE_HASH);
    EXPECT_TRUE(walk().empty());
}

TEST_F(Entries, AllOfAFullMapAreVisited) {
    make(BPF_MAP_TYPE_HASH);
    for (uint32_t key = 0; key < capacity; ++key)
        ASSERT_EQ(enter(key), 0);
    EXPECT_EQ(walk().size(), capacity);
}

TEST_F(Entries, EachIsVisitedOnceWhileOthersAreEvicted) {
    make(BPF_MAP_TYPE_LRU_HASH);
    for (uint32_t key = 0; key < capacity; ++key)
        ASSERT_EQ(enter(key), 0);
    walk_meanwhile([&](uint32_t key) { enter(key); },
                   [](const std::set<uint32_t>& keys) { EXPECT_GT(keys.size(), capacity / 2); });
}

TEST_F(Entries, WhatStaysIsVisitedWhileOthersComeAndGo) {
    constexpr uint32_t staying = capacity / 2;
    make(BPF_MAP_TYPE_HASH);
    for (uint32_t key = 0; key < staying; ++key)
        ASSERT_EQ(enter(key), 0);
    const auto churn = [&](uint32_t key) {
        enter(key);
        const uint32_t old = key - 1000;
        bpf_map_delete_elem(map_.get(), &old);
    };
    walk_meanwhile(churn, [&](const std::set<uint32_t>& keys) {
        EXPECT_EQ(std::distance(keys.begin(), keys.lower_bound(staying)), staying);
    });
}

} // namespace
} // namespace kudo::test
