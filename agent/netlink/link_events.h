// SPDX-License-Identifier: MIT
// Tells when interfaces, or routes to some ranges of addresses, may have changed in this network namespace.
// Invariant: says that something changed, not what: the caller reads the current state. Lost events count as a change.
#pragma once

#include <vector>

#include "agent/system/fd.h"
#include "maps/base/result.h"
#include "maps/net/prefix.h"

struct nlmsghdr;

namespace kudo {

// Prefixes, to be asked whether another one has addresses in common with them.
class PrefixSet {
public:
    PrefixSet() = default;
    explicit PrefixSet(std::vector<Prefix> prefixes);
    [[nodiscard]] bool overlaps(const Prefix& prefix) const;

private:
    std::vector<Prefix> disjoint_; // sorted
};

class LinkEvents {
public:
    static Result<LinkEvents> open();
    [[nodiscard]] int fd() const { return socket_.get(); } // readable: call take()
    // Of routes only those that have addresses in common with these count. Before the first call every route does.
    void set_ranges(std::vector<Prefix> ranges) { ranges_ = PrefixSet(std::move(ranges)); }
    // Empties the socket. True if any of it was about a link, a rule, a next hop or a route that counts.
    bool take();

private:
    explicit LinkEvents(Fd socket) : socket_(std::move(socket)) {}
    [[nodiscard]] bool counts(const nlmsghdr& message) const;
    [[nodiscard]] bool route_counts(const nlmsghdr& message) const;

    Fd socket_;
    PrefixSet ranges_{{Prefix{}, Prefix{.address = {.family = Family::IPv6}}}}; // everything
};

} // namespace kudo
