// SPDX-License-Identifier: MIT
// Puts the calling thread, and what it starts, into a private network namespace.
// Invariant: the thread is back where it was when the owner is gone.
#pragma once

#include <string>

#include "agent/system/fd.h"
#include "agent/system/network_namespace.h"

namespace kudo::test {

class PrivateNetwork {
public:
    PrivateNetwork(); // a new one
    explicit PrivateNetwork(const NetworkNamespace& space);
    ~PrivateNetwork();
    PrivateNetwork(const PrivateNetwork&) = delete;
    PrivateNetwork& operator=(const PrivateNetwork&) = delete;
    [[nodiscard]] const std::string& why_not() const { return why_not_; } // empty: we are inside

    // Nothing gets to or from this address any more, and nobody is told; or all does again.
    void swallow(const std::string& address) const;
    void swallow_nothing() const;

private:
    void enter(const NetworkNamespace& space);

    Fd before_;
    std::string why_not_;
};

} // namespace kudo::test
