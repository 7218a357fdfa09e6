// SPDX-License-Identifier: MIT
// The servers that range maps come from, and their addresses, as the service finds them out for the lifeline
// map-sources. Invariant: nobody waits for a name server: names are resolved on a thread of their own.
#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include "agent/lifelines/lifelines.h"

namespace kudo {

// "https://HOST[:PORT]/...", "nats://[USER@]HOST[:PORT]", "tls://..." (NATS): its host and port, without addresses, or
// with the one that it names itself. Nothing: no host, or a scheme that has no port of its own and names none.
std::optional<MapSource> source_of_url(std::string_view url);

// The source with the addresses that its name has now, in the order in which they are tried, and where there is room
// those of before as well: names change faster than connections do. At most max_source_addresses; which of `now` are
// beyond that is in left_out. Without `now`, the name could not be resolved, all is as before.
MapSource with_addresses(MapSource source, const std::vector<Address>& now, const MapSource* before);

class SourceResolver {
public:
    explicit SourceResolver(std::vector<MapSource> sources);
    ~SourceResolver(); // does not wait: a thread that has not ended by then changes nothing any more
    SourceResolver(const SourceResolver&) = delete;
    SourceResolver& operator=(const SourceResolver&) = delete;

    // Begins to resolve all names unless that is going on.
    void start();
    // What is known now: `before`, and what has been resolved since.
    [[nodiscard]] std::vector<MapSource> merged(const std::optional<std::vector<MapSource>>& before) const;

private:
    struct Work;
    std::vector<MapSource> sources_;
    std::shared_ptr<Work> work_;
};

} // namespace kudo
