// SPDX-License-Identifier: MIT
// The time that a program sees: it is started with environment(), and libfaketime reads the clock's file at every call.
// Invariant: nothing but the test moves the clock, so that no test depends on how fast the machine is.
#pragma once

#include <chrono>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

namespace kudo::test {

class TestClock {
public:
    // Keeps its file in this folder, which must outlive the programs.
    explicit TestClock(const std::string& folder) : file_(folder + "/clock") {}

    // The date stands still at "2030-01-01 00:00:00"; periods are as long as ever.
    void stop_at(const std::string& date) { write(date, true); }
    // As if this much more than the true time had passed since the start: for dates and periods.
    void skip(std::chrono::seconds time) {
        skipped_ += time;
        write("+" + std::to_string(skipped_.count()), false);
    }
    // For programs started from now on. The first stop_at() or skip() decides whether it is of dates alone.
    [[nodiscard]] std::vector<std::string> environment() const {
        std::vector<std::string> result{"LD_PRELOAD=/usr/$LIB/faketime/libfaketime.so.1", "FAKETIME_NO_CACHE=1",
                                        "FAKETIME_TIMESTAMP_FILE=" + file_};
        if (dates_alone_) result.emplace_back("FAKETIME_DONT_FAKE_MONOTONIC=1");
        return result;
    }

private:
    void write(const std::string& line, bool dates_alone) {
        dates_alone_ = dates_alone;
        std::ofstream(file_ + ".new") << line << "\n";
        std::filesystem::rename(file_ + ".new", file_);
    }

    std::string file_;
    std::chrono::seconds skipped_{};
    bool dates_alone_ = false;
};

} // namespace kudo::test
