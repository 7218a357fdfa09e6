// SPDX-License-Identifier: MIT
// A data path to measure: real maps and programs of the agent in a bpffs of a test host, the benchmark's own programs
// on the same maps.
// Invariant: nothing is attached to anything but the test host's line.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "agent/datapath/datapath.h"
#include "maps/compile/compile.h"
#include "tests/support/packet_builder.h"
#include "tests/support/test_host.h"

struct kudo_bench_bpf;

namespace kudo::bench {

class Stage {
public:
    // `max_flows`: of the flow table.
    Stage(const test::TestHost& host, const std::string& name, const RangeMap& map, kudo_mode mode,
          uint32_t max_flows = 131072);
    ~Stage();
    Stage(const Stage&) = delete;
    Stage& operator=(const Stage&) = delete;

    void publish(const RangeMap& map, kudo_mode mode);
    [[nodiscard]] DataPath& data_path() { return *data_path_; }
    [[nodiscard]] const Instance& instance() const { return instance_; }
    // The agent's programs, on an Ethernet interface.
    [[nodiscard]] int program(Program which);
    // The benchmark's, by name without "kudo_bench_".
    [[nodiscard]] int bench_program(const std::string& name) const;
    // `count` flows in shuffled order for flows and flows_empty, from number `first` on.
    void set_flows(uint32_t count, uint32_t first = 0);
    void set_target(uint32_t interface);

private:
    struct Destroy {
        void operator()(kudo_bench_bpf* skeleton) const;
    };
    Instance instance_;
    std::unique_ptr<DataPath> data_path_;
    std::unique_ptr<kudo_bench_bpf, Destroy> skeleton_;
    std::vector<Fd> programs_;
};

// Throws what a failed Result says.
template <typename T> T value_of(Result<T>&& result) {
    if (!result) throw std::runtime_error(result.error().message);
    if constexpr (!std::is_void_v<T>) return std::move(*result);
}

// The real program in the host's namespace; throws what it says if it fails.
void run_agent(const test::TestHost& host, const std::vector<std::string>& arguments);

// Sends so many frames from the far end of the host's line into the near one, as fast as a CPU can (kernel >= 5.18):
// the nanoseconds that it took. The near end takes them where XDP is attached, or with GRO on.
double send_frames(const test::TestHost& host, const Stage& stage, const test::Bytes& frame, uint32_t frames);

// "3.7.161.0/26", ...: the built-in map's, for nftables.
std::vector<std::string> built_in_ranges();

CompiledPolicy compiled(const RangeMap& map, kudo_mode mode);

} // namespace kudo::bench
