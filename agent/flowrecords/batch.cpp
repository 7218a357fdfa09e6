// SPDX-License-Identifier: MIT
#include "agent/flowrecords/batch.h"

#include <cstring>

#include "maps/base/text.h"

namespace kudo {
namespace {

constexpr std::size_t max_problem = 1000;
constexpr char handed_over_kind = 'h', problem_kind = 'p';

// A number, and how the text goes on behind it.
std::string with_number(uint32_t number) {
    return {reinterpret_cast<const char*>(&number), sizeof number};
}

std::optional<uint32_t> number_at(const std::string& buffer, std::size_t place) {
    uint32_t number = 0;
    if (buffer.size() < place + sizeof number) return std::nullopt;
    std::memcpy(&number, buffer.data() + place, sizeof number);
    return number;
}

} // namespace

std::string write_batch(std::span<const DataRecord> records) {
    std::string text = with_number(static_cast<uint32_t>(records.size()));
    return text.append(reinterpret_cast<const char*>(records.data()), records.size_bytes());
}

Result<std::optional<std::vector<DataRecord>>> take_batch(std::string& buffer) {
    const auto count = number_at(buffer, 0);
    if (count && *count > max_batch) return fail("a batch that is too long");
    if (!count || buffer.size() < sizeof *count + *count * sizeof(DataRecord)) return std::nullopt;
    std::vector<DataRecord> records(*count);
    std::memcpy(records.data(), buffer.data() + sizeof *count, *count * sizeof(DataRecord));
    buffer.erase(0, sizeof *count + *count * sizeof(DataRecord));
    return records;
}

std::string write_news(const WorkerNews& news) {
    if (news.handed_over) return handed_over_kind + with_number(static_cast<uint32_t>(*news.handed_over));
    const std::string problem = news.problem.substr(0, max_problem);
    return problem_kind + with_number(static_cast<uint32_t>(problem.size())) + problem;
}

Result<std::optional<WorkerNews>> take_news(std::string& buffer) {
    const auto number = number_at(buffer, 1);
    if (!number) return std::nullopt;
    const std::size_t head = 1 + sizeof *number;
    if (buffer[0] == handed_over_kind && *number <= max_batch) {
        buffer.erase(0, head);
        return WorkerNews{.handed_over = *number};
    }
    if (buffer[0] != problem_kind || *number > max_problem) return fail("what was not expected");
    if (buffer.size() < head + *number) return std::nullopt;
    WorkerNews news{.problem = escaped(buffer.substr(head, *number), max_problem)};
    buffer.erase(0, head + *number);
    return news;
}

} // namespace kudo
