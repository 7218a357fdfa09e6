// SPDX-License-Identifier: MIT
// Flow records as lines of a file, which another program may rotate away.
// Invariant: only a regular file is written to, and never through a symbolic link; it ends with a whole line as far as
// nobody else writes into it. A record counts as handed over once its line is written.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

#include "agent/flowrecords/sink.h"
#include "agent/system/fd.h"
#include "maps/base/result.h"

namespace kudo {

class JsonFile : public FlowSink {
public:
    JsonFile(std::filesystem::path path, HandedOver handed_over)
        : path_(std::move(path)), handed_over_(std::move(handed_over)) {}

    [[nodiscard]] bool is_ready() const override { return true; }
    void send(const std::vector<DataRecord>& batch) override;
    [[nodiscard]] std::string problem() const override { return problem_; }

private:
    Result<void> open_current();
    Result<void> end_last_line();
    Result<std::size_t> append(std::string_view text); // how many bytes

    const std::filesystem::path path_;
    HandedOver handed_over_;
    Fd file_;
    std::string problem_;
};

} // namespace kudo
