// SPDX-License-Identifier: MIT
// Measuring and reporting: medians over rounds, always beside what they are compared with.
// Invariant: a figure and its comparison come from the same rounds, taken in turns.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

namespace kudo::bench {

struct Options {
    bool quick = false; // a few rounds: for continuous integration
    bool check = false; // fail where a figure is far from what it was
    std::string json;   // file
    std::string only;   // one part
    // Of the contention benchmark; the queues and the rates of autorate as well:
    std::string queues = "cake,htb,prio,pfifo_fast"; // the agent's kinds to measure
    double line = 20;                                // Mbit/s, each way; less for an emulated machine
    std::string uplink, downlink;                    // the agent's rates; empty: 99 % and 95 % of the line
    std::string congestion_controls = "cubic,bbr";   // of TCP; one way at a time: the first alone
    std::string round_trips = "1,20,80";             // ms, with both ways full
    std::string ways;                                // "one", "both": that part alone
    double seconds = 6;                              // measured, of each case
    [[nodiscard]] int rounds() const { return quick ? 3 : 9; }
    [[nodiscard]] uint32_t repeats() const { return quick ? 200'000 : 1'000'000; }
};

// At each comma.
std::vector<std::string> split(const std::string& list);

struct Spread {
    double median = 0, low = 0, high = 0; // quartiles
};
Spread spread_of(std::vector<double> values);

// Lines of the report: printed as they come, kept for the JSON.
class Report {
public:
    explicit Report(const Options& options) : options_(options) {}
    void section(const std::string& title);
    // `limit`: what --check allows at most; 0: nothing to check. `goal`: what we want, for the reader.
    void line(const std::string& name, const std::string& unit, const Spread& value, double goal = 0, double limit = 0);
    // The same where more is better.
    void at_least(const std::string& name, const std::string& unit, const Spread& value, double goal, double limit);
    // A result that has printed itself, for the JSON.
    void keep(const nlohmann::ordered_json& result);
    // With --check: says why the run fails if this does not hold.
    void require(bool holds, const std::string& why);
    // Writes the JSON, says once more which checks failed. False: one did.
    bool finish();
    [[nodiscard]] const Options& options() const { return options_; }

private:
    void add(const std::string& name, const std::string& unit, const Spread& value, double goal, double limit,
             bool more_is_better);
    Options options_;
    std::string section_;
    nlohmann::ordered_json results_ = nlohmann::ordered_json::array();
    std::vector<std::string> failures_; // of checks
};

// Nanoseconds that `work` takes.
double time_of(const std::function<void()>& work);

// ns per packet over `repeats` runs of a program on this frame.
double test_run(int program, const std::vector<uint8_t>& frame, uint32_t repeats);

// The same of the fastest of many short runs: one that nothing else on the machine interrupted.
double undisturbed_run(int program, const std::vector<uint8_t>& frame, uint32_t repeats);

// `program` minus `empty`, undisturbed, in ns per packet.
Spread compare(int program, int empty, const std::vector<uint8_t>& frame, const Options& options);

} // namespace kudo::bench
