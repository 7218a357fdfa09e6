// SPDX-License-Identifier: MIT
// What the service and the process that hands records over tell each other over a stream socket.
// Invariant: reading never trusts the other side: what it takes is whole and of bounded size, or an Error. Both are the
// same program, so a record goes as it is.
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "agent/flowrecords/data_record.h"
#include "maps/base/result.h"

namespace kudo {

inline constexpr std::size_t max_batch = 200; // records: they fit into a socket's buffer

// To the process: how many, and the records.
std::string write_batch(std::span<const DataRecord> records);
// The first batch in `buffer`, which is taken out; nothing: it is not whole yet.
Result<std::optional<std::vector<DataRecord>>> take_batch(std::string& buffer);

// From it: how many records of the batch were handed over, or what is wrong; an empty problem: nothing any more.
struct WorkerNews {
    std::optional<std::size_t> handed_over{};
    std::string problem{};
};
std::string write_news(const WorkerNews& news);
Result<std::optional<WorkerNews>> take_news(std::string& buffer);

} // namespace kudo
