// SPDX-License-Identifier: MIT
#include "agent/sources/source_messages.h"

#include <charconv>
#include <cstdint>
#include <cstring>

#include <fmt/format.h>

#include "maps/base/text.h"
#include "maps/document/json_document.h"
#include "maps/trust/minisign.h"

namespace kudo {
namespace {

constexpr std::size_t max_fields = 8, head_bytes = 2 + sizeof(uint32_t);
constexpr std::size_t name_max_bytes = 4096, problem_max_bytes = 8192;

// Of everything that is shown to people.
std::string shown(std::string_view text, std::size_t limit) {
    return escaped(text.substr(0, limit), limit);
}

std::string write_list(const VendorList& list) {
    std::string text;
    for (const Range& range : list.ranges)
        text += fmt::format("{} {}\n", range.prefix.text(), range.path);
    return text;
}

// "3.7.161.0/26 ipv4[0]", a line each.
Result<VendorList> read_list(std::string_view text) {
    VendorList list;
    for (const std::string_view line : split(text, '\n')) {
        if (line.empty()) continue;
        const std::size_t space = line.find(' ');
        if (space == std::string_view::npos) return bad_input("a line without a path");
        list.ranges.push_back({KUDO_TRY(Prefix::parse(line.substr(0, space))), shown(line.substr(space + 1), 64)});
    }
    if (list.ranges.empty()) return bad_input("no range");
    return list;
}

} // namespace

std::string write_message(SourceMessageKind kind, const std::vector<std::string_view>& fields) {
    std::string body;
    for (const std::string_view field : fields) {
        const auto size = static_cast<uint32_t>(field.size());
        body.append(reinterpret_cast<const char*>(&size), sizeof size).append(field);
    }
    std::string message{static_cast<char>(kind), static_cast<char>(fields.size())};
    const auto size = static_cast<uint32_t>(body.size());
    return message.append(reinterpret_cast<const char*>(&size), sizeof size) + body;
}

Result<std::optional<SourceMessage>> take_message(std::string& buffer) {
    if (buffer.size() < head_bytes) return std::nullopt;
    uint32_t size = 0;
    std::memcpy(&size, buffer.data() + 2, sizeof size);
    const auto count = static_cast<unsigned char>(buffer[1]);
    if (size > source_message_max_bytes || count > max_fields) return fail("a message that is too long");
    if (buffer.size() < head_bytes + size) return std::nullopt;
    SourceMessage message{static_cast<SourceMessageKind>(buffer[0]), {}};
    std::string_view left = std::string_view(buffer).substr(head_bytes, size);
    for (unsigned field = 0; field < count; field++) {
        uint32_t length = 0;
        if (left.size() < sizeof length) return fail("a message that is cut short");
        std::memcpy(&length, left.data(), sizeof length);
        left.remove_prefix(sizeof length);
        if (left.size() < length) return fail("a message that is cut short");
        message.fields.emplace_back(left.substr(0, length));
        left.remove_prefix(length);
    }
    if (!left.empty()) return fail("a message with something behind it");
    buffer.erase(0, head_bytes + size);
    return message;
}

std::string write_delivery(const Delivery& delivery) {
    std::string list, refused;
    if (delivery.trust_transport) {
        const auto parsed = [&]() -> Result<VendorList> {
            const auto root = KUDO_TRY(read_json(delivery.document).in(delivery.source));
            if (!is_vendor_list(root)) return bad_input(delivery.source + ": not the vendor's list of media ranges");
            return vendor_list_from(root).in(delivery.source);
        }();
        if (parsed)
            list = write_list(*parsed);
        else
            refused = parsed.error().message;
    }
    return write_message(SourceMessageKind::Delivery, {delivery.source, delivery.document, delivery.signatures,
                                                       delivery.trust_transport ? "list" : "", list, refused});
}

Result<Delivery> read_delivery(const SourceMessage& message, bool trusts_transport) {
    if (message.fields.size() != 6) return fail("a delivery with other fields");
    Delivery delivery;
    delivery.source = shown(message.fields[0], name_max_bytes);
    delivery.document = message.fields[1];
    delivery.signatures = message.fields[2];
    if (delivery.document.size() > range_map_max_bytes || delivery.signatures.size() > signatures_max_bytes)
        return fail("a delivery that is too long");
    if (message.fields[3].empty()) return delivery;
    if (!trusts_transport) return fail("a list without signature, which was not asked for");
    delivery.trust_transport = true;
    delivery.refused = shown(message.fields[5], problem_max_bytes);
    if (delivery.refused.empty()) delivery.list = KUDO_TRY(read_list(message.fields[4]));
    return delivery;
}

std::string write_health(const SourceHealth& health) {
    const std::string last =
        health.last_read ? std::to_string(health.last_read->time_since_epoch().count()) : std::string();
    return write_message(SourceMessageKind::Health, {last, health.problem});
}

Result<SourceHealth> read_health(const SourceMessage& message) {
    if (message.fields.size() != 2) return fail("a state of health with other fields");
    SourceHealth health{std::nullopt, shown(message.fields[1], problem_max_bytes)};
    if (const std::string& last = message.fields[0]; !last.empty()) {
        Time::rep count = 0;
        const auto read = std::from_chars(last.data(), last.data() + last.size(), count);
        if (read.ec != std::errc() || read.ptr != last.data() + last.size()) return fail("a time that is none");
        health.last_read = Time(Time::duration(count));
    }
    return health;
}

} // namespace kudo
