// SPDX-License-Identifier: MIT
// Tells when somebody may have changed table inet kudo_agent in this network namespace.
// Invariant: says that something changed, not what, also of what we did ourselves. Lost events count as a change.
#pragma once

#include "agent/system/fd.h"
#include "maps/base/result.h"

namespace kudo {

class FirewallEvents {
public:
    // Group NFNLGRP_NFTABLES of nfnetlink; takes CAP_NET_ADMIN.
    static Result<FirewallEvents> open();
    [[nodiscard]] int fd() const { return socket_.get(); } // readable: call take()
    // Empties the socket. True if any of it was about the table, its sets or their elements.
    bool take();

private:
    explicit FirewallEvents(Fd socket) : socket_(std::move(socket)) {}
    Fd socket_;
};

} // namespace kudo
