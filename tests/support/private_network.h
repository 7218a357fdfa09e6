// SPDX-License-Identifier: MIT
// Puts the calling thread, and what it starts, into a network namespace of its own. Included by tests whose servers and
// clients are to be cut off from each other. Invariant: the thread is back where it was when the owner is gone.
#pragma once

#include <string>

#include "agent/fd.h"
#include "agent/network_namespace.h"

namespace kudo::test {

class PrivateNetwork {
public:
    PrivateNetwork();
    ~PrivateNetwork();
    PrivateNetwork(const PrivateNetwork&) = delete;
    PrivateNetwork& operator=(const PrivateNetwork&) = delete;
    [[nodiscard]] const std::string& why_not() const { return why_not_; } // empty: we are inside

    // Nothing gets to or from this address any more, and nobody is told; or all does again.
    void swallow(const std::string& address) const;
    void swallow_nothing() const;

private:
    Fd before_;
    std::string why_not_;
};

} // namespace kudo::test
