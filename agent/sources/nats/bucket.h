// SPDX-License-Identifier: MIT
// A key-value bucket of JetStream.
// Invariant: a deleted key is the same as none; nothing that the server says is trusted.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "maps/base/result.h"

namespace kudo {

struct NatsEntry {
    std::string key, value;
    uint64_t revision = 0;
    std::chrono::system_clock::time_point created; // by the server's clock
};

class NatsBucket {
public:
    std::string note; // a sentence that the operator should read; may be empty

    // Nothing: there is no such key.
    Result<std::optional<NatsEntry>> read(const std::string& key);
    Result<void> put(const std::string& key, const std::string& value);
    // Only if the key still has this revision; 0: only if there is no such key.
    Result<void> put_after(const std::string& key, const std::string& value, uint64_t revision);
    // Every key that matches, as "host.>" does, with its last value.
    Result<void> for_each(const std::string& keys, const std::function<void(NatsEntry)>& visit);

    // The keys that match, at most this many; without their values, which asks for fewer rights than for_each().
    Result<std::vector<std::string>> keys(const std::string& pattern, std::size_t max);
    Result<void> erase(const std::string& key);

private:
    friend class NatsConnection;
    struct Handles;
    explicit NatsBucket(std::shared_ptr<Handles> handles) : handles_(std::move(handles)) {}
    std::shared_ptr<Handles> handles_;
};

} // namespace kudo
