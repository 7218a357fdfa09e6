// SPDX-License-Identifier: MIT
// A host under test and the far end of its line, in private network namespaces, with a private bpffs and state
// directory.
// Invariant: unreachable from the machine's own network; all of it is gone when the test process ends, however it ends,
// except one empty folder in the temporary directory after a kill.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "agent/system/instance.h"
#include "agent/system/network_namespace.h"
#include "tests/support/process.h"

namespace kudo::test {

//   host: eth0 10.77.0.2/24, fd77::2/64, default routes to the far end
//   far:  eth0 10.77.0.1/24, fd77::1/64, and any address given to add_far_address(); it answers from all of them
class TestHost {
public:
    // Skips or fails the running test (GTEST_SKIP from SetUp is the fixture's part) by returning an Error where
    // namespaces or BPF cannot be had.
    static Result<TestHost> build();
    TestHost(TestHost&& other) noexcept
        : host(std::move(other.host)), far(std::move(other.far)), instance(std::move(other.instance)),
          folder(std::exchange(other.folder, {})) {}
    ~TestHost();

    NetworkNamespace host, far;
    Instance instance;
    std::string folder; // for files of the test

    // The real program, in `host`, with this instance's folders: agent({"enable", "--region", "ca"}). `environment`:
    // "NAME=value", besides the test's own.
    Outcome agent(std::vector<std::string> arguments, std::vector<std::string> environment = {}) const;
    [[nodiscard]] std::vector<std::string> agent_argv(std::vector<std::string> arguments) const;
    // `stats --json --flows`; throws if it fails.
    [[nodiscard]] nlohmann::json stats() const;
    [[nodiscard]] nlohmann::json status() const; // whatever the exit status

    // `ranges apply` of a file that nobody has signed. What it withdraws is withdrawn at once.
    [[nodiscard]] Outcome apply(const std::string& file) const;
    [[nodiscard]] static std::vector<std::string> apply_arguments(const std::string& file);

    // Any program in a namespace; throws with its standard error if it does not exit 0. Returns its output.
    std::string in_host(std::vector<std::string> argv) const;
    std::string in_far(std::vector<std::string> argv) const;
    // "52.200.60.17/32" or an IPv6 one, on the far end's eth0.
    void add_far_address(const std::string& address) const;
    // Until the line's carrier is up in the host, at most 5 s: `ip link` shows the same from then on.
    void wait_for_carrier() const;
    // Writes a file into `folder` and returns its path.
    [[nodiscard]] std::string write_file(const std::string& name, const std::string& content) const;

private:
    TestHost(NetworkNamespace host_, NetworkNamespace far_) : host(std::move(host_)), far(std::move(far_)) {}
};

// Runs `work` in the namespace on a thread of its own and gives back what it returns; exceptions pass through.
template <typename T> T inside(const NetworkNamespace& space, const std::function<T()>& work);

// Does the kernel know tcx links (6.6)? Without them the agent's own choice is a filter of clsact.
bool kernel_has_tcx();
// The range map with another serial.
std::string with_serial(const std::string& map, uint64_t serial);

// What `status --json` calls the hook of the agent's own choice: "tcx" or "tc".
std::string tc_hook_name();

// Why BPF, bpffs or namespaces cannot be had here; empty: they can.
std::string why_no_bpf();

} // namespace kudo::test

#include "tests/support/test_host_inside.h"
