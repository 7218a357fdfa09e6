// SPDX-License-Identifier: MIT
// A host whose flow records go to real collectors, and what of each flow has come there.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "tests/e2e/link_fixture.h"
#include "tests/support/running_service.h"
#include "tests/support/web_server.h"

namespace kudo::test {

// Packets and bytes out, then in, by "10.77.0.2:40000 3.123.12.129:3478".
using FlowSums = std::map<std::string, std::array<uint64_t, 4>>;
std::string text_of(const FlowSums& sums);

// A program that runs in the namespace until its object ends.
std::unique_ptr<ServerProcess> run_in(const NetworkNamespace& space, std::vector<std::string> argv);

class FlowRecordTest : public LineTest {
protected:
    void SetUp() override; // enabled
    // The service, with a record a second. `arguments`: more of them.
    [[nodiscard]] std::unique_ptr<RunningService> start(std::vector<std::string> arguments,
                                                        const std::vector<std::string>& wrapper = {}) const;
    [[nodiscard]] std::unique_ptr<ServerProcess> run_there(std::vector<std::string> argv) const {
        return run_in(test_->host, std::move(argv));
    }
    // Datagrams out and in on so many flows from this port on: of one family or the other.
    void talk(uint16_t first_port, int flows, unsigned packets) const;

    [[nodiscard]] FlowSums sums_of_stats() const;
    static FlowSums sums_of_lines(const std::string& text); // JSON lines
    static FlowSums sums_of_nfdump(const std::filesystem::path& folder);
    static FlowSums sums_of_pmacct(const std::filesystem::path& file);
    static FlowSums sums_of_ipfix(const std::filesystem::path& file); // by ipfixDump

public:
    static std::string content_of(const std::filesystem::path& file);
};

// Stores what comes by TCP or TLS in files of `folder`, one a connection: "0.ipfix", "1.ipfix", ….
std::vector<std::string> storing_collector(const std::filesystem::path& folder, int port,
                                           const TestAuthority::Pair* tls = nullptr);

} // namespace kudo::test
