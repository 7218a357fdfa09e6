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

class SourceResolver {
public:
    explicit SourceResolver(std::vector<MapSource> sources);
    ~SourceResolver(); // does not wait: a thread that has not ended by then changes nothing any more
    SourceResolver(const SourceResolver&) = delete;
    SourceResolver& operator=(const SourceResolver&) = delete;

    // Begins to resolve all names unless that is going on.
    void start();
    // What is known now: `before`, and what has been resolved since. At most 16 addresses of each, the newest of them.
    [[nodiscard]] std::vector<MapSource> merged(const std::optional<std::vector<MapSource>>& before) const;

private:
    struct Work;
    std::vector<MapSource> sources_;
    std::shared_ptr<Work> work_;
};

} // namespace kudo
