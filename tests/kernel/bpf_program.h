// SPDX-License-Identifier: MIT
// A private copy of the data path: loaded, filled with policies and run through BPF_PROG_TEST_RUN, attached nowhere.
// Invariant: nothing is pinned; all of it ends with the object.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "agent/datapath/datapath.h"
#include "bpf/parse.h"
#include "maps/compile/compile.h"
#include "tests/kernel/oracle.h"

namespace kudo::test {

// struct __sk_buff, as far as the tests care.
struct SkbFields {
    uint32_t priority = 0;
    uint32_t mark = 0;
    uint32_t segment_size = 0; // gso_size
    uint32_t segments = 0;     // gso_segs
};

struct RunResult {
    int error = 0;         // errno of the test run itself; the rest holds only if 0
    uint32_t returned = 0; // what the program returned
    Bytes frame;           // as the program left it (tc only)
    SkbFields skb;         // tc only
};

class Datapath {
public:
    struct Options {
        kudo_link_layer link = KUDO_LINK_ETHERNET;
        bool ingress_counts = true;
        uint32_t max_flows = 131072;
        bool frags = true; // as the agent loads XDP: where the kernel has it
    };
    // What it takes to run BPF programs is missing here: why. Empty: nothing is.
    static std::string missing();
    // Fails the test (throws) if the kernel refuses the object.
    Datapath();
    explicit Datapath(Options options);
    ~Datapath();
    Datapath(const Datapath&) = delete;
    Datapath& operator=(const Datapath&) = delete;

    // The agent's own publish(), which must give this generation; and two steps of it: fill_slot(), and the store that
    // makes a generation active.
    void publish(const CompiledPolicy& policy, uint32_t generation);
    void fill(const CompiledPolicy& policy, uint32_t generation);
    void activate(uint32_t generation);
    [[nodiscard]] const DataPath::Maps& maps() const;
    [[nodiscard]] uint32_t active() const;
    // Did the kernel take the object's type information? libbpf goes on without, with a page of complaints.
    [[nodiscard]] bool has_type_information() const;

    // May be called by several threads.
    // `first_buffer`: how much of the frame lies in it (kernel >= 6.18, else the error is EINVAL); nothing: all that
    // fits.
    [[nodiscard]] RunResult run_xdp(std::span<const uint8_t> frame, std::optional<uint32_t> first_buffer = {}) const;
    [[nodiscard]] RunResult run_tc(kudo_direction direction, std::span<const uint8_t> frame, SkbFields skb = {}) const;

    [[nodiscard]] std::unique_ptr<kudo_counters> counters() const; // summed over the CPUs
    [[nodiscard]] FlowBook flows() const;
    // The flow table's row of an IPv4 flow, without what the CPUs' caches hold. Throws if there is none.
    [[nodiscard]] kudo_flow row(const std::string& key) const;
    // What is known of addresses that the host asks by STUN, answered or not: by the address as text.
    [[nodiscard]] std::map<std::string, kudo_stray> strays() const;
    // What name servers have answered to questions that were noted, and how many are not answered yet.
    [[nodiscard]] std::vector<kudo_response> answers() const;
    [[nodiscard]] std::size_t open_queries() const;
    void age_queries(uint64_t nanoseconds) const; // as if they had been asked so much earlier
    // The addresses that were learned from responses, as text; and as if all had been learned so much earlier.
    [[nodiscard]] std::map<std::string, kudo_learned> learned() const;
    void age_learned(uint64_t nanoseconds) const;
    [[nodiscard]] uint64_t jiffies() const;       // jiffies64, as kudo_clock tells it

private:
    struct State;
    std::unique_ptr<State> state_;
};

} // namespace kudo::test
