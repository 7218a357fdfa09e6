// SPDX-License-Identifier: MIT
// Tells when interfaces or default routes of this network namespace may have changed.
// Invariant: says that something changed, not what: the caller reads the current state. Lost events count as a change.
#pragma once

#include "agent/system/fd.h"
#include "maps/base/result.h"

namespace kudo {

class LinkEvents {
public:
    static Result<LinkEvents> open();
    [[nodiscard]] int fd() const { return socket_.get(); } // readable: call take()
    // Empties the socket. True if any of it was about a link or a route.
    bool take();

private:
    explicit LinkEvents(Fd socket) : socket_(std::move(socket)) {}
    Fd socket_;
};

} // namespace kudo
