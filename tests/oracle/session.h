// SPDX-License-Identifier: MIT
// Puts a session's frames to the kernel's programs and tells what they counted and returned.
// Invariant: a session begins with empty tables, and all of it runs on one CPU, whose counters are read.
#pragma once

#include <array>
#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "agent/datapath/bpf_object.h"
#include "tests/kernel/bpf_program.h"
#include "tests/oracle/stream.h"

namespace kudo::test {

// A data path of one link layer. Loading it takes long; sessions use it one after the other.
class Bench {
public:
    explicit Bench(kudo_link_layer link); // throws if the kernel refuses the programs

    // Publishes the policy and forgets what was seen. Throws if the policy is refused.
    void begin(const nlohmann::json& policy);
    // "" or how the kernel's answer differs. Nothing: the test run does not take this frame.
    std::optional<std::string> difference(const ExpectedPacket& packet);
    void age(uint32_t seconds);

private:
    static constexpr std::size_t directions = KUDO_DIRECTIONS;
    using Packets = std::array<uint64_t, KUDO_MAX_REASONS * directions>; // by reason and direction
    struct Counted {
        Packets reasons{}, would_drop{};
    };
    [[nodiscard]] Counted counted() const;
    // The one reason that was counted since; "none", or all of them.
    [[nodiscard]] std::string name_of_change(const Packets& before, const Packets& after, uint32_t direction) const;

    Datapath datapath_;
    Mapped<kudo_cpu> cpus_;
    std::size_t cpu_;
    ServiceSlots slots_;               // names keep theirs from session to session
    std::vector<std::string> reasons_; // the session's names
    Counted before_;
};

} // namespace kudo::test
