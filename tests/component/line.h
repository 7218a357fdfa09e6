// SPDX-License-Identifier: MIT
// A host and the far end of its line, in private network namespaces, without the program. The calling thread is in the
// host's.
//   host: eth0 10.77.0.2/24, fd77::2/64, default routes to the far end; far: eth0 10.77.0.1/24, fd77::1/64
#pragma once

#include <sys/socket.h>

#include <memory>
#include <string>
#include <vector>

#include "agent/system/fd.h"
#include "maps/net/prefix.h"
#include "tests/support/private_network.h"
#include "tests/support/process.h"

namespace kudo::test {

struct SocketOptions {
    int type = SOCK_DGRAM;
    bool reuse_port = false;
    bool only_v6 = false;
    int receive_buffer = 0;
    std::string device{};
};

class Line {
public:
    Line(); // throws
    // Which cannot be had here: namespaces. Empty: they can.
    [[nodiscard]] const std::string& why_not() const { return host_->why_not(); }

    // Programs by their words; throw with their standard error if they fail. A "{}" stands for a file with `input`.
    static std::string in_host(const std::string& line);
    [[nodiscard]] std::string in_far(const std::string& line) const;
    static void load_rules(const std::string& rules); // nft -f, in the host
    void load_far_rules(const std::string& rules) const;
    static bool accepts_rules(const std::string& rules); // the same; false: nft refuses them, and none is loaded

    // Bound to the address and port; throws. In the host, or in the far end.
    static Fd host_socket(const Address& address, uint16_t port, const SocketOptions& options = {});
    [[nodiscard]] Fd far_socket(const Address& address, uint16_t port, const SocketOptions& options = {}) const;

private:
    std::unique_ptr<PrivateNetwork> host_;
    NetworkNamespace far_;
};

Address address(const std::string& text);
// The same for sockets calls; returns its length.
unsigned to_sockaddr(const Address& address, uint16_t port, void* storage);
void send_datagram(const Fd& from, const Address& to, uint16_t port, std::size_t size);

} // namespace kudo::test
