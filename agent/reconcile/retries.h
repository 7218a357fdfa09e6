// SPDX-License-Identifier: MIT
// Objects that are not as desired, and when each is tried again: later after each failure.
// Invariant: an object that is left alone keeps its problem; one that works is forgotten.
#pragma once

#include <algorithm>
#include <chrono>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "maps/base/result.h"

namespace kudo {

struct Problem {
    std::string object; // "policy", "eth0 egress", "eth0 uplink" and so on; may be empty
    Error error;
    [[nodiscard]] std::string text() const {
        // Most messages begin with the interface.
        return error.message.starts_with(object.substr(0, object.find(' '))) ? error.message
                                                                             : object + ": " + error.message;
    }
};

class Retries {
public:
    using Clock = std::chrono::steady_clock;

    // The problem of an object whose time has not come; nothing: try it.
    [[nodiscard]] std::optional<Error> not_yet(const std::string& object, Clock::time_point now = Clock::now()) const {
        const auto found = failed_.find(object);
        if (found == failed_.end() || found->second.next <= now) return std::nullopt;
        return found->second.error;
    }
    void failed(const std::string& object, const Error& error, Clock::time_point now = Clock::now()) {
        auto [entry, fresh] = failed_.try_emplace(object);
        Failure& failure = entry->second;
        failure.delay = fresh ? first_delay : std::min(2 * failure.delay, max_delay);
        failure.next = now + failure.delay;
        failure.error = error;
    }
    void worked(const std::string& object) { failed_.erase(object); }
    // Something has changed outside: all are worth a try, but for moves to the front, which take a program away for a
    // moment.
    void try_all() {
        for (auto& [object, failure] : failed_)
            if (!object.ends_with(front)) failure.next = {};
    }
    static constexpr std::string_view front = " front"; // how the names of such objects end

    static constexpr std::chrono::seconds first_delay{20}, max_delay{900};

private:
    struct Failure {
        Clock::time_point next{};
        std::chrono::seconds delay{};
        Error error{};
    };
    std::map<std::string, Failure> failed_;
};

} // namespace kudo
