// SPDX-License-Identifier: MIT
#include "tests/support/private_network.h"

#include <fcntl.h>
#include <sched.h>

#include <stdexcept>

#include "tests/support/process.h"

namespace kudo::test {

namespace {

void nft(const std::string& rules) {
    const Outcome outcome = run_program({"nft", rules});
    if (outcome.status != 0) throw std::runtime_error("nft " + rules + ": " + outcome.err);
}

} // namespace

PrivateNetwork::PrivateNetwork() : before_(open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC)) {
    const auto space = NetworkNamespace::create();
    if (space)
        enter(*space);
    else
        why_not_ = space.error().message;
}

PrivateNetwork::PrivateNetwork(const NetworkNamespace& space)
    : before_(open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC)) {
    enter(space);
}

void PrivateNetwork::enter(const NetworkNamespace& space) {
    if (setns(space.fd(), CLONE_NEWNET) != 0) why_not_ = "setns";
}

PrivateNetwork::~PrivateNetwork() {
    if (why_not_.empty()) setns(before_.get(), CLONE_NEWNET);
}

void PrivateNetwork::swallow(const std::string& address) const {
    nft("add table inet hole; add chain inet hole in { type filter hook input priority 0; }; "
        "add rule inet hole in ip daddr " +
        address + " drop; add rule inet hole in ip saddr " + address + " drop");
}

void PrivateNetwork::swallow_nothing() const {
    nft("delete table inet hole");
}

} // namespace kudo::test
