// SPDX-License-Identifier: MIT
#include "agent/inspect/runs.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <optional>

#include <fmt/format.h>

#include "agent/datapath/bpf_object.h"
#include "agent/netlink/counters.h"

namespace kudo {
namespace {

uint64_t monotonic_ns() {
    return static_cast<uint64_t>(std::chrono::nanoseconds(std::chrono::steady_clock::now().time_since_epoch()).count());
}

uint32_t load_word(const uint32_t& word) {
    return std::atomic_ref(const_cast<uint32_t&>(word)).load(std::memory_order_acquire);
}

// Numbers go round.
bool is_answered(const kudo_run& run) {
    return static_cast<int32_t>(load_word(run.answered) - load_word(run.asked)) >= 0;
}

uint64_t packets_of(const InterfaceCounters& counters, int direction) {
    return direction == KUDO_INGRESS ? counters.received : counters.sent;
}

std::string missed(uint64_t packets, int direction) {
    return fmt::format("{} packets {} and kudo-agent's program saw none of them", packets,
                       direction == KUDO_INGRESS ? "came in" : "went out");
}

// What a direction's program has missed since it was asked; asks again once it has answered. A question without an
// answer goes on until there were packets enough, and shows its problem until the program answers.
std::optional<uint64_t> check_run(kudo_run& run, uint32_t interface, int direction, const InterfaceCounters& counters) {
    const uint64_t now = packets_of(counters, direction);
    const bool known = run.interface == interface && now >= run.packets; // else another interface was asked here
    if (known && !is_answered(run)) {
        const bool proves = now - run.packets >= run_min_packets && monotonic_ns() - run.asked_at >= run_min_ns;
        return proves ? std::optional(now - run.packets) : std::nullopt;
    }
    std::atomic_ref(run.asked).fetch_add(1, std::memory_order_acq_rel);
    // Behind the question: what comes before it answers nothing. Of an interface that is gone nothing has come.
    run.packets = packets_of(read_counters(interface).value_or(InterfaceCounters{}), direction);
    run.asked_at = monotonic_ns();
    run.interface = interface;
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
