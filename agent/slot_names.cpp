// SPDX-License-Identifier: MIT
#include "agent/slot_names.h"

#include <bpf/bpf.h>
#include <sys/mman.h>

#include <algorithm>
#include <atomic>
#include <bitset>
#include <cstring>
#include <span>

#include <fmt/format.h>

#include "agent/flow_rows.h"
#include "agent/generation.h"
#include "agent/range_store.h"
#include "maps/combine.h"

namespace kudo {

namespace {

using SlotSet = std::bitset<KUDO_MAX_SERVICES>;

// No service has this name. A slot that still has it was being taken from its name when its writer was killed.
constexpr std::string_view being_emptied = "~";

Result<std::string> read_name(const DataPath& data_path, uint32_t slot) {
    kudo_service_name value{};
    if (bpf_map_lookup_elem(data_path.maps().services.get(), &slot, &value) != 0)
        return fail_errno("cannot read a service's name");
    value.name[sizeof value.name - 1] = '\0';
    return value.name;
}

Result<void> write_name(const DataPath& data_path, uint32_t slot, std::string_view name) {
    kudo_service_name value{};
    name.copy(value.name, sizeof value.name - 1);
    if (bpf_map_update_elem(data_path.maps().services.get(), &slot, &value, BPF_ANY) != 0)
        return fail_errno("cannot write a service's name");
    return {};
}

// Those that the active generation's ranges name: no packet is counted for any other.
Result<SlotSet> counted_slots(const DataPath& data_path) {
    const auto active = read_active(data_path);
    if (!active) return fail(active.error());
    SlotSet slots;
    const auto add = [&](const auto& entries) {
        for (const auto& [key, match] : entries)
            for (const kudo_candidate& candidate : match.candidates)
                slots.set(candidate.service % KUDO_MAX_SERVICES);
    };
    add(active->compiled.entries4);
    add(active->compiled.entries6);
    return slots;
}

// kudo_cpus, to be written to.
class WritableCpus {
public:
    static Result<WritableCpus> map(int fd) {
        const auto count = map_size(fd);
        if (!count) return fail(count.error());
        void* memory = mmap(nullptr, sizeof(kudo_cpu) * *count, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        if (memory == MAP_FAILED) return fail_errno("cannot map the counters");
        return WritableCpus({static_cast<kudo_cpu*>(memory), *count});
    }
    WritableCpus(WritableCpus&& other) noexcept : cpus_(std::exchange(other.cpus_, {})) {}
    WritableCpus& operator=(WritableCpus&& other) noexcept {
        std::swap(cpus_, other.cpus_);
        return *this;
    }
    WritableCpus(const WritableCpus&) = delete;
    WritableCpus& operator=(const WritableCpus&) = delete;
    ~WritableCpus() {
        if (!cpus_.empty()) munmap(cpus_.data(), cpus_.size_bytes());
    }
    [[nodiscard]] std::span<kudo_cpu> operator*() const { return cpus_; }

private:
    explicit WritableCpus(std::span<kudo_cpu> cpus) : cpus_(cpus) {}
    std::span<kudo_cpu> cpus_;
};

// The judgement as nobody's, if it names one of the slots.
std::optional<uint64_t> without_service(uint64_t word, const SlotSet& slots) {
    kudo_judgement judgement;
    std::memcpy(&judgement, &word, sizeof judgement);
    if (!slots.test(judgement.service % KUDO_MAX_SERVICES)) return std::nullopt;
    judgement.service = 0;
    std::memcpy(&word, &judgement, sizeof word);
    return word;
}

void forget_counters(std::span<kudo_cpu> cpus, const SlotSet& slots) {
    for (kudo_cpu& cpu : cpus)
        for (std::size_t slot = 0; slot < slots.size(); slot++)
            if (slots.test(slot)) std::memset(cpu.counters.services[slot], 0, sizeof cpu.counters.services[slot]);
}

// Programs may judge a flow again at the same moment: theirs is the newer word.
void disown_cached_flows(std::span<kudo_cpu> cpus, const SlotSet& slots) {
    for (kudo_cpu& cpu : cpus)
        for (kudo_cached_flow& cached : cpu.cache) {
            const std::atomic_ref<__u64> word(cached.judgement);
            __u64 present = word.load(std::memory_order_relaxed);
            if (const auto nobodys = without_service(present, slots)) word.compare_exchange_strong(present, *nobodys);
        }
}

template <typename Key> Result<void> disown_flows(int fd, const SlotSet& slots) {
    const auto rows = read_flow_rows<Key>(fd);
    if (!rows) return fail(rows.error());
    for (const auto& [key, row] : *rows) {
        kudo_flow flow;
        if (!without_service(row.judgement, slots) || bpf_map_lookup_elem(fd, &key, &flow) != 0) continue;
        const auto nobodys = without_service(flow.judgement, slots);
        if (!nobodys) continue; // a packet came, and it was judged again
        flow.judgement = *nobodys;
        if (bpf_map_update_elem(fd, &key, &flow, BPF_EXIST) != 0 && errno != ENOENT)
            return fail_errno("cannot change a flow");
    }
    return {};
}

// Nothing is counted for these slots by any program.
Result<void> empty_slots(const DataPath& data_path, const SlotSet& slots) {
    const DataPath::Maps& maps = data_path.maps();
    auto cpus = WritableCpus::map(maps.cpus.get());
    if (!cpus) return fail(std::move(cpus.error()));
    for (uint32_t slot = 1; slot < slots.size(); slot++)
        if (slots.test(slot)) KUDO_TRY(write_name(data_path, slot, being_emptied));
    forget_counters(**cpus, slots);
    disown_cached_flows(**cpus, slots);
    // A program that is on its way may yet carry a cached flow's old judgement into the table.
    KUDO_TRY(wait_for_readers(data_path));
    KUDO_TRY(disown_flows<kudo_flow4_key>(maps.flows4.get(), slots));
    return disown_flows<kudo_flow6_key>(maps.flows6.get(), slots);
}

// When each service was last asked for by a map: the number of its entry in the history.
std::map<std::string, std::size_t, std::less<>> last_asked_for(const Instance& instance, const RangeLedger& ledger) {
    std::map<std::string, std::size_t, std::less<>> last;
    for (std::size_t number = 0; number < ledger.history.size(); number++) {
        const HistoryEntry& entry = ledger.history[number];
        if (entry.event != RangeEvent::Activated && entry.event != RangeEvent::RolledBack) continue;
        const auto map = load_document(instance, entry.map.hash);
        if (!map) continue;
        for (const Service& service : map->services)
            last[service.name] = number + 1;
    }
    return last;
}

} // namespace

Result<ServiceSlots> read_service_slots(const DataPath& data_path) {
    ServiceSlots slots;
    for (uint32_t slot = 1; slot < KUDO_MAX_SERVICES; slot++) {
        auto name = read_name(data_path, slot);
        if (!name) return fail(std::move(name.error()));
        if (!name->empty() && *name != being_emptied) slots.emplace(std::move(*name), static_cast<uint8_t>(slot));
    }
    return slots;
}

Result<std::vector<uint8_t>> idle_slots(const Instance& instance, const DesiredState& desired,
                                        const DataPath& data_path, const ServiceSlots& slots) {
    const auto counted = counted_slots(data_path);
    if (!counted) return fail(counted.error());
    const auto last = last_asked_for(instance, desired.ranges);
    std::vector<std::pair<std::size_t, uint8_t>> order;
    for (const auto& [name, slot] : slots) {
        const auto asked = last.find(parts_of(name).service);
        if (!counted->test(slot)) order.emplace_back(asked == last.end() ? 0 : asked->second, slot);
    }
    std::ranges::sort(order);
    std::vector<uint8_t> result;
    for (const auto& [when, slot] : order)
        result.push_back(slot);
    return result;
}

Result<void> write_service_names(const DataPath& data_path, const ServiceSlots& slots) {
    std::vector<std::pair<uint32_t, std::string>> changed;
    SlotSet taken;
    for (const auto& [name, slot] : slots) {
        const auto present = read_name(data_path, slot);
        if (!present) return fail(present.error());
        if (*present == name) continue;
        changed.emplace_back(slot, name);
        if (!present->empty()) taken.set(slot);
    }
    if (taken.any()) {
        const auto counted = counted_slots(data_path);
        if (!counted) return fail(counted.error());
        if ((*counted & taken).any()) return fail("a service that is in use would lose its counters; try again");
        KUDO_TRY(empty_slots(data_path, taken));
    }
    for (const auto& [slot, name] : changed)
        KUDO_TRY(write_name(data_path, slot, name));
    return {};
}

} // namespace kudo
