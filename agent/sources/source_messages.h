// SPDX-License-Identifier: MIT
// What a confined source and the service tell each other over a stream socket.
// Invariant: reading never trusts the other side: a message is of bounded size and whole, or an Error.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "agent/sources/source.h"
#include "maps/base/result.h"

namespace kudo {

// To the service: Made (the name), Failed (ErrorKind as a digit, message), Delivery, Health. From it: ReadAgain, Text.
enum class SourceMessageKind : char {
    Made = 'm',
    Failed = 'f',
    Delivery = 'd',
    Health = 'h',
    ReadAgain = 'r',
    Text = 't'
};

inline constexpr std::size_t source_message_max_bytes = 4 * range_map_max_bytes; // of one, with all its fields

struct SourceMessage {
    SourceMessageKind kind{};
    std::vector<std::string> fields;
};
// Kind, the number of fields, and of each its length in four bytes, in the host's order, and its bytes.
std::string write_message(SourceMessageKind kind, const std::vector<std::string_view>& fields);
// The first message in `buffer`, which is taken out; nothing: it is not whole yet. An Error: it is none, or too long.
Result<std::optional<SourceMessage>> take_message(std::string& buffer);

std::string write_delivery(const Delivery& delivery);
// `trusts_transport`: see ConfinedSource.
Result<Delivery> read_delivery(const SourceMessage& message, bool trusts_transport);
std::string write_health(const SourceHealth& health);
Result<SourceHealth> read_health(const SourceMessage& message);

} // namespace kudo
