// SPDX-License-Identifier: MIT
// Where range maps come from: a folder, a web server, a message server.
// Invariant: a source brings bytes and trusts nothing; whether they are accepted is decided by signature and serial
// alone. No source ever blocks the service, and each recovers by itself.
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "maps/document/range_map.h"
#include "maps/document/vendor_list.h"

namespace kudo {

// A document as it arrived, unverified. At most range_map_max_bytes, signatures at most signatures_max_bytes: whatever
// is longer is refused by the source while it reads.
struct Delivery {
    std::string source;     // for people: "/srv/maps/new.json", "https://...", "nats://... fleet-maps ring.canary.map"
    std::string document;   // raw bytes: a range map, a vendor's list, or a key set
    std::string signatures; // concatenated minisign signature files; may be empty
    bool trust_transport = false; // a vendor's list from a server whose TLS the administrator trusts
    // With trust_transport, where the source has parsed it already: the list, or why it is none.
    std::optional<VendorList> list{};
    std::string refused{};
};
using Deliver = std::function<void(Delivery)>;

struct SourceHealth {
    std::optional<Time> last_read; // when all of it was last read without a problem; by the system's clock
    std::string problem;           // why not since then, for people; empty: none
};

class Source {
public:
    virtual ~Source() = default;
    [[nodiscard]] virtual std::string name() const = 0;
    // Readable when there is something to do; stays the same for the source's whole life. It may be an epoll.
    [[nodiscard]] virtual int fd() const = 0;
    // Does what there is to do, without waiting, and delivers what has arrived. The source must outlive the call: what
    // it delivers to must not destroy it.
    virtual void on_ready(const Deliver& deliver) = 0;
    // Begins to read everything again, and delivers all of it, changed or not: now or later, from on_ready(). The
    // service calls it at the start, on SIGHUP, and at least every 5 minutes.
    virtual void read_again(const Deliver& deliver) = 0;
    [[nodiscard]] virtual SourceHealth health() const = 0;
};

} // namespace kudo
