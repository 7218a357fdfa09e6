// SPDX-License-Identifier: MIT
#include "agent/inspect/runs.h"

#include <algorithm>
#include <atomic>
#include <chrono>

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
bool is_answered(const kudo_run& run, int direction) {
    return static_cast<int32_t>(load_word(run.answered[direction]) - load_word(run.asked)) >= 0;
}

std::string missed(uint64_t packets, int direction) {
    return fmt::format("{} packets {} and kudo-agent's program saw none of them", packets,
                       direction == KUDO_INGRESS ? "came in" : "went out");
}

void ask(kudo_run& run, const Interface& interface, const InterfaceCounters& now) {
    run.interface = interface.index;
    run.asked_at = monotonic_ns();
    run.packets[KUDO_INGRESS] = now.received;
    run.packets[KUDO_EGRESS] = now.sent;
    std::atomic_ref(run.asked).fetch_add(1, std::memory_order_acq_rel);
}

// What an interface has missed since it was asked, and asks again where there is a verdict.
void check_run(kudo_run& run, const Interface& interface, const InterfaceCounters& now,
               std::vector<RunProblem>& problems) {
    const bool known = run.interface == interface.index && now.received >= run.packets[KUDO_INGRESS] &&
                       now.sent >= run.packets[KUDO_EGRESS]; // else another interface was asked here
    if (known && monotonic_ns() - run.asked_at < run_min_ns) return;
    for (const auto& [direction, packets] : {std::pair(int{KUDO_INGRESS}, now.received), {int{KUDO_EGRESS}, now.sent}})
        if (known && !is_answered(run, direction) && packets - run.packets[direction] >= run_min_packets)
            problems.push_back({interface.index, missed(packets - run.packets[direction], direction)});
    // An unanswered question goes on until there were packets enough; one that showed a problem shows it again.
    if (!known || (is_answered(run, KUDO_INGRESS) && is_answered(run, KUDO_EGRESS))) ask(run, interface, now);
}

} // namespace

Result<std::vector<RunProblem>> check_runs(const DataPath& data_path, std::span<const Interface> interfaces) {
    auto runs = KUDO_TRY(Mapped<kudo_run>::map(data_path.maps().runs.get(), "the run counters"));
    std::vector<RunProblem> problems;
    for (const Interface& interface : interfaces) {
        const auto now = read_counters(interface.index);
        if (!now) continue; // gone, or cannot be told
        check_run(runs.elements()[interface.index % KUDO_INTERFACES], interface, *now, problems);
    }
    return problems;
}

} // namespace kudo
