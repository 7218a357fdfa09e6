// SPDX-License-Identifier: MIT
// What fills the line: TCP flows or a flood of datagrams between the host and a stranger.
// Invariant: nothing of it is KUDO's; what is counted is what arrived.
#pragma once

#include <atomic>
#include <cstdint>
#include <string>
#include <thread>
#include <vector>

#include "tests/bench/contention_line.h"

namespace kudo::bench {

class BulkLoad {
public:
    enum class Kind { None, Tcp, Flood };
    static constexpr unsigned tcp_flows = 8;

    // Runs from here on. `congestion_control`: of TCP; the kernel's own default is not the same everywhere.
    BulkLoad(const ContentionLine& line, Direction direction, Kind kind, const std::string& congestion_control,
             double flood_mbit);

    // Bytes of payload that the receivers have taken.
    [[nodiscard]] uint64_t received() const { return received_; }

private:
    void open_tcp(const ContentionLine& line, Direction direction, const std::string& congestion_control);
    void open_flood(const ContentionLine& line, Direction direction);
    void receive(const std::stop_token& stop);
    void send_tcp(const std::stop_token& stop);
    void send_flood(const std::stop_token& stop);

    double flood_mbit_;
    std::vector<Fd> senders_, receivers_;
    std::atomic<uint64_t> received_ = 0;
    std::jthread receiving_, sending_; // last: they end first
};

} // namespace kudo::bench
