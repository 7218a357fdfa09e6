// SPDX-License-Identifier: MIT
// Private network namespaces, for `demo` and for the tests.
// Invariant: a namespace made here has no name and no link to the machine's own interfaces; it ends with its last
// holder.
#pragma once

#include <functional>

#include "agent/system/fd.h"
#include "maps/base/result.h"

namespace kudo {

class NetworkNamespace {
public:
    // A new, empty one with its loopback up. The caller's namespace does not change.
    static Result<NetworkNamespace> create();
    // Runs `work` in a thread of its own inside the namespace and waits for it. Sockets opened there stay there.
    Result<void> run(const std::function<Result<void>()>& work) const;
    [[nodiscard]] int fd() const { return fd_.get(); }

private:
    explicit NetworkNamespace(Fd fd) : fd_(std::move(fd)) {}
    Fd fd_;
};

} // namespace kudo
