// SPDX-License-Identifier: MIT
#include "agent/datapath/slot_names.h"

#include <bpf/bpf.h>
#include <sys/mman.h>

#include <algorithm>
#include <bitset>
#include <cstring>
#include <span>

#include <fmt/format.h>

#include "agent/datapath/generation.h"

namespace kudo {

namespace {

using SlotSet = std::bitset<KUDO_MAX_SERVICES>;

// No service has this name. A slot that still has it was being taken from its name when its writer was killed.
constexpr std::string_view being_emptied = "~";

Result<SlotName> read_name(const DataPath& data_path, uint32_t slot) {
    kudo_service_name value{};
    if (bpf_map_lookup_elem(data_path.maps().services.get(), &slot, &value) != 0)
        return fail_errno("cannot read a service's name");
    value.name[sizeof value.name - 1] = '\0';
    return SlotName{value.name, value.since};
}

Result<void> write_name(const DataPath& data_path, uint32_t slot, std::string_view name, uint32_t since) {
    kudo_service_name value{};
    value.since = since;
    name.copy(value.name, sizeof value.name - 1);
    if (bpf_map_update_elem(data_path.maps().services.get(), &slot, &value, BPF_ANY) != 0)
        return fail_errno("cannot write a service's name");
    return {};
}

// Those that the active generation's ranges name: no packet is counted for any other.
Result<SlotSet> counted_slots(const DataPath& data_path) {
    const auto active = KUDO_TRY(read_active(data_path));
    SlotSet slots;
    const auto add = [&](const auto& entries) {
        for (const auto& [key, match] : entries)
            for (const kudo_candidate& candidate : match.candidates)
                slots.set(candidate.service % KUDO_MAX_SERVICES);
    };
    add(active.compiled.entries4);
    add(active.compiled.entries6);
    return slots;
}

// kudo_cpus, to be written to.
class WritableCpus {
public:
    static Result<WritableCpus> map(int fd) {
        const auto count = KUDO_TRY(map_size(fd));
        void* memory = mmap(nullptr, sizeof(kudo_cpu) * count, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        if (memory == MAP_FAILED) return fail_errno("cannot map the counters");
        return WritableCpus({static_cast<kudo_cpu*>(memory), count});
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

void forget_counters(std::span<kudo_cpu> cpus, const SlotSet& slots) {
    for (kudo_cpu& cpu : cpus)
        for (std::size_t slot = 0; slot < slots.size(); slot++)
            if (slots.test(slot)) std::memset(cpu.counters.services[slot], 0, sizeof cpu.counters.services[slot]);
}

// Nothing is counted for these slots by any program.
Result<void> empty_slots(const DataPath& data_path, const SlotSet& slots) {
    auto cpus = KUDO_TRY(WritableCpus::map(data_path.maps().cpus.get()));
    for (uint32_t slot = 1; slot < slots.size(); slot++)
        if (slots.test(slot)) KUDO_TRY(write_name(data_path, slot, being_emptied, 0));
    forget_counters(*cpus, slots);
    return {};
}

} // namespace

Result<SlotNames> read_slot_names(const DataPath& data_path) {
    SlotNames names;
    for (uint32_t slot = 1; slot < KUDO_MAX_SERVICES; slot++) {
        auto name = KUDO_TRY(read_name(data_path, slot));
        if (name.name != being_emptied) names[slot] = std::move(name);
    }
    return names;
}

Result<ServiceSlots> read_service_slots(const DataPath& data_path) {
    const auto names = KUDO_TRY(read_slot_names(data_path));
    return slots_of(names);
}

ServiceSlots slots_of(const SlotNames& names) {
    ServiceSlots slots;
    for (std::size_t slot = 1; slot < names.size(); slot++)
        if (!names[slot].name.empty()) slots.emplace(names[slot].name, static_cast<uint8_t>(slot));
    return slots;
}

Result<std::vector<uint8_t>> idle_slots(const DataPath& data_path, const ServiceSlots& slots) {
    const auto counted = KUDO_TRY(counted_slots(data_path));
    std::vector<uint8_t> idle;
    for (const auto& [name, slot] : slots)
        if (!counted.test(slot)) idle.push_back(slot);
    return idle;
}

Result<void> write_service_names(const DataPath& data_path, const ServiceSlots& slots, uint32_t generation) {
    std::vector<std::pair<uint32_t, std::string>> changed;
    SlotSet taken;
    for (const auto& [name, slot] : slots) {
        const auto present = KUDO_TRY(read_name(data_path, slot));
        if (present.name == name) continue;
        changed.emplace_back(slot, name);
        if (!present.name.empty()) taken.set(slot);
    }
    if (taken.any()) {
        const auto counted = KUDO_TRY(counted_slots(data_path));
        if ((counted & taken).any()) return fail("a service that is in use would lose its counters; try again");
        KUDO_TRY(empty_slots(data_path, taken));
    }
    for (const auto& [slot, name] : changed)
        KUDO_TRY(write_name(data_path, slot, name, generation));
    return {};
}

} // namespace kudo
