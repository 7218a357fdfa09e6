// SPDX-License-Identifier: MIT
#include "tests/bench/measure.h"

#include <bpf/bpf.h>

#include <algorithm>
#include <chrono>
#include <fstream>
#include <system_error>

#include <fmt/format.h>

namespace kudo::bench {

std::vector<std::string> split(const std::string& list) {
    std::vector<std::string> result;
    for (std::size_t begin = 0; begin <= list.size();) {
        const std::size_t end = std::min(list.find(',', begin), list.size());
        result.push_back(list.substr(begin, end - begin));
        begin = end + 1;
    }
    return result;
}

Spread spread_of(std::vector<double> values) {
    std::ranges::sort(values);
    const std::size_t last = values.size() - 1;
    return {values[(last + 1) / 2], values[last / 4], values[last - last / 4]};
}

void Report::section(const std::string& title) {
    section_ = title;
    fmt::print("\n{}\n", title);
    std::fflush(stdout);
}

void Report::add(const std::string& name, const std::string& unit, const Spread& value, double goal, double limit,
                 bool more_is_better) {
    std::string note;
    if (goal != 0) note = fmt::format("   goal {} {:g}", more_is_better ? ">=" : "<=", goal);
    const bool bad = limit != 0 && (more_is_better ? value.median < limit : value.median > limit);
    if (options_.check && bad) {
        failures_.push_back(
            fmt::format("{}: {}: {:.2f} {}, the check allows {:g}", section_, name, value.median, unit, limit));
        note += fmt::format("   FAILED: the check allows {:g}", limit);
    }
    fmt::print("  {:<52} {:>9.2f} {:<12} ({:.2f} to {:.2f}){}\n", name, value.median, unit, value.low, value.high,
               note);
    std::fflush(stdout);
    nlohmann::ordered_json result{{"section", section_},    {"name", name},     {"unit", unit},
                                  {"median", value.median}, {"low", value.low}, {"high", value.high}};
    if (goal != 0) result["goal"] = goal;
    results_.push_back(std::move(result));
}

void Report::line(const std::string& name, const std::string& unit, const Spread& value, double goal, double limit) {
    add(name, unit, value, goal, limit, false);
}

void Report::at_least(const std::string& name, const std::string& unit, const Spread& value, double goal,
                      double limit) {
    add(name, unit, value, goal, limit, true);
}

void Report::keep(const nlohmann::ordered_json& result) {
    nlohmann::ordered_json kept{{"section", section_}};
    kept.update(result);
    results_.push_back(std::move(kept));
}

void Report::require(bool holds, const std::string& why) {
    if (!options_.check || holds) return;
    failures_.push_back(section_ + ": " + why);
    fmt::print("  FAILED: {}\n", why);
    std::fflush(stdout);
}

bool Report::finish() {
    if (!options_.json.empty()) std::ofstream(options_.json) << results_.dump(2) << "\n";
    for (const std::string& failure : failures_)
        fmt::print("FAILED {}\n", failure);
    return failures_.empty();
}

double time_of(const std::function<void()>& work) {
    const auto start = std::chrono::steady_clock::now();
    work();
    return std::chrono::duration<double, std::nano>(std::chrono::steady_clock::now() - start).count();
}

double test_run(int program, const std::vector<uint8_t>& frame, uint32_t repeats) {
    LIBBPF_OPTS(bpf_test_run_opts, options, .data_in = frame.data(), .data_size_in = static_cast<__u32>(frame.size()),
                .repeat = static_cast<int>(repeats));
    // The kernel's own figure, whole nanoseconds: around the runs the call waits for other things (net/bpf/test_run.c).
    if (const int result = bpf_prog_test_run_opts(program, &options); result != 0)
        throw std::system_error(-result, std::generic_category(), "BPF_PROG_TEST_RUN");
    return options.duration;
}

double undisturbed_run(int program, const std::vector<uint8_t>& frame, uint32_t repeats) {
    constexpr uint32_t runs = 20;
    double fastest = test_run(program, frame, repeats / runs);
    for (uint32_t run = 1; run < runs; run++)
        fastest = std::min(fastest, test_run(program, frame, repeats / runs));
    return fastest;
}

Spread compare(int program, int empty, const std::vector<uint8_t>& frame, const Options& options) {
    std::vector<double> differences;
    test_run(program, frame, 1000); // the flow is known from here on
    for (int round = 0; round < options.rounds(); round++) {
        const double before = undisturbed_run(empty, frame, options.repeats());
        const double ours = undisturbed_run(program, frame, options.repeats());
        const double after = undisturbed_run(empty, frame, options.repeats());
        differences.push_back(ours - (before + after) / 2);
    }
    return spread_of(std::move(differences));
}

} // namespace kudo::bench
