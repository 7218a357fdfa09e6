// SPDX-License-Identifier: MIT
#include "agent/inspect/runs.h"

#include <algorithm>
#include <atomic>
#include <optional>

#include <fmt/format.h>

#include "agent/datapath/bpf_object.h"
#include "agent/netlink/counters.h"
#include "agent/system/uptime.h"

namespace kudo {
namespace {

uint64_t packets_of(const InterfaceCounters& counters, int direction) {
    return direction == KUDO_INGRESS ? counters.received : counters.sent;
}

uint32_t load_word(const uint32_t& word) {
    return std::atomic_ref(const_cast<uint32_t&>(word)).load(std::memory_order_acquire);
}

// Numbers go round. A question that another process is asking now, or of which two processes have noted each a part, is
// none to wait for.
bool is_open(const kudo_run& run, uint32_t interface) {
    const uint32_t asked = load_word(run.asked);
    return load_word(run.noted) == asked && run.interface == interface &&
           static_cast<int32_t>(load_word(run.answered) - asked) < 0;
}

void ask(kudo_run& run, uint32_t interface, int direction) {
    const uint32_t number = std::atomic_ref(run.asked).fetch_add(1, std::memory_order_acq_rel) + 1;
    // Behind the question: what comes before it answers nothing. Of an interface that is gone nothing has come.
    run.packets = packets_of(read_counters(interface).value_or(InterfaceCounters{}), direction);
    run.asked_at = kernel_monotonic_time();
    run.interface = interface;
    std::atomic_ref(run.noted).store(number, std::memory_order_release);
}

std::string missed(uint64_t packets, int direction) {
    return fmt::format("{} packets {} and kudo-agent's program saw none of them", packets,
                       direction == KUDO_INGRESS ? "came in" : "went out");
}

// What a direction's program has missed since it was asked; asks again once it has answered, or where too few packets
// came to tell.
std::optional<uint64_t> check_run(kudo_run& run, uint32_t interface, int direction, const InterfaceCounters& counters) {
    const uint64_t now = packets_of(counters, direction);
    if (!is_open(run, interface) || now < run.packets) { // the latter: an interface of that number was made anew
        ask(run, interface, direction);
        return std::nullopt;
    }
    const uint64_t unseen = now - run.packets, waited = kernel_monotonic_time() - run.asked_at;
    if (unseen >= run_min_packets && waited >= run_min_ns && unseen >= run_min_rate * (waited / 1'000'000'000))
        return unseen;
    if (waited >= run_window_ns) ask(run, interface, direction);
    return std::nullopt;
}

} // namespace

Result<std::vector<RunProblem>> check_runs(const DataPath& data_path, std::span<const Interface> interfaces) {
    auto runs = KUDO_TRY(Mapped<kudo_run>::map(data_path.maps().runs.get(), "the run counters"));
    std::vector<RunProblem> problems;
    for (const Interface& interface : interfaces) {
        const auto counters = read_counters(interface.index).value_or(InterfaceCounters{});
        for (const int direction : {KUDO_INGRESS, KUDO_EGRESS}) {
            const std::size_t element =
                interface.index % KUDO_INTERFACES * KUDO_DIRECTIONS + static_cast<std::size_t>(direction);
            if (const auto unseen = check_run(runs.elements()[element], interface.index, direction, counters))
                problems.push_back({interface.index, missed(*unseen, direction)});
        }
    }
    return problems;
}

} // namespace kudo
