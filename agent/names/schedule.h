// SPDX-License-Identifier: MIT
// When each of the map's exact names is to be looked up, and what is wrong with those that cannot be.
// Invariant: pure: times are given; a name is due at most once a minute while it has addresses, and less and less often
// while it has none.
#pragma once

#include <chrono>
#include <map>
#include <random>
#include <string>
#include <vector>

namespace kudo {

class NameSchedule {
public:
    using Clock = std::chrono::steady_clock;

    static constexpr std::chrono::seconds least{60}, most{86400}; // between two lookups of a name that has addresses
    static constexpr std::chrono::seconds first_retry{5}, last_retry{900};
    static constexpr std::chrono::minutes lasting{5}; // what has failed for so long is a lasting problem

    explicit NameSchedule(uint64_t seed) : random_(seed) {}

    // Those that are new are due now; those that are gone are forgotten.
    void set_names(const std::vector<std::string>& names, Clock::time_point now);
    [[nodiscard]] std::vector<std::string> due(Clock::time_point now) const;
    // When the first one is due; time_point::max(): there is none.
    [[nodiscard]] Clock::time_point next() const;
    // `ttl`: the least of its addresses'. Before that ends it is due again, so that it has addresses all the time.
    void resolved(const std::string& name, std::chrono::seconds ttl, Clock::time_point now);
    void failed(const std::string& name, const std::string& why, Clock::time_point now);
    // Name servers may have changed: those that have failed are due now.
    void retry_failed(Clock::time_point now);
    // What was known may be lost: all are due now.
    void retry_all(Clock::time_point now);

    struct Problem {
        std::string name, why;
        bool lasts = false;
    };
    [[nodiscard]] std::vector<Problem> problems(Clock::time_point now) const;

private:
    struct State {
        Clock::time_point due{}, failed_since{};
        std::chrono::seconds wait = first_retry; // after the next failure
        std::string why;                         // it has failed; empty: it has not
    };
    Clock::duration part_of(std::chrono::seconds time, double from, double to);

    std::mt19937_64 random_;
    std::map<std::string, State> names_;
};

} // namespace kudo
