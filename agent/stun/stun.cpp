// SPDX-License-Identifier: MIT
#include "agent/stun/stun.h"

#include <sys/random.h>

#include <algorithm>
#include <random>

#include "bpf/stun.h"
#include "maps/base/text.h"

namespace kudo {
namespace {

// RFC 8489 section 18.3, RFC 8656 section 18, RFC 5780 section 7.
constexpr uint16_t mapped_address = 0x0001, error_code = 0x0009, realm = 0x0014, requested_transport = 0x0019,
                   xor_mapped_address = 0x0020, padding = 0x0026, software = 0x8022;
constexpr uint16_t binding = 0x0001, allocate = 0x0003;
constexpr uint8_t udp = 17;
constexpr std::size_t max_text = 80;

void put16(std::vector<uint8_t>& bytes, std::size_t value) {
    bytes.push_back(static_cast<uint8_t>(value >> 8));
    bytes.push_back(static_cast<uint8_t>(value));
}

std::vector<uint8_t> request(uint16_t type, std::size_t attributes, const StunTransaction& transaction) {
    std::vector<uint8_t> bytes;
    put16(bytes, type);
    put16(bytes, attributes);
    put16(bytes, KUDO_STUN_COOKIE >> 16);
    put16(bytes, KUDO_STUN_COOKIE & 0xffff);
    bytes.insert(bytes.end(), transaction.begin(), transaction.end());
    return bytes;
}

// RFC 8489 section 14.1 and 14.2: zero, family, port, address.
void read_address(std::span<const uint8_t> value, std::span<const uint8_t> mask, StunResponse& response) {
    if (value.size() < 4) return;
    const bool v4 = value[1] == 1;
    const std::size_t size = v4 ? 4 : 16;
    if ((!v4 && value[1] != 2) || value.size() < 4 + size) return;
    std::array<uint8_t, 16> bytes{};
    for (std::size_t i = 0; i < size; i++)
        bytes[i] = static_cast<uint8_t>(value[4 + i] ^ (mask.empty() ? 0 : mask[i]));
    response.mapped_port =
        static_cast<uint16_t>(kudo_load16(value.data() + 2) ^ (mask.empty() ? 0 : kudo_load16(mask.data())));
    response.mapped_address = Address::from_bytes(v4 ? Family::IPv4 : Family::IPv6, bytes.data());
}

std::string text_of_value(std::span<const uint8_t> value) {
    return escaped({reinterpret_cast<const char*>(value.data()), value.size()}, max_text);
}

} // namespace

StunTransaction new_stun_transaction() {
    StunTransaction transaction{};
    if (getrandom(transaction.data(), transaction.size(), 0) == static_cast<ssize_t>(transaction.size()))
        return transaction;
    std::random_device device;
    std::ranges::generate(transaction, [&] { return static_cast<uint8_t>(device()); });
    return transaction;
}

std::vector<uint8_t> binding_request(const StunTransaction& transaction, std::size_t size) {
    constexpr std::size_t attribute_header = 4;
    const std::size_t room =
        size > KUDO_STUN_HEADER + attribute_header ? (size - KUDO_STUN_HEADER - attribute_header) / 4 * 4 : 0;
    auto bytes = request(binding, room == 0 ? 0 : attribute_header + room, transaction);
    if (room == 0) return bytes;
    put16(bytes, padding);
    put16(bytes, room);
    bytes.resize(bytes.size() + room);
    return bytes;
}

std::vector<uint8_t> allocate_request(const StunTransaction& transaction) {
    auto bytes = request(allocate, 8, transaction);
    put16(bytes, requested_transport);
    put16(bytes, 4);
    bytes.insert(bytes.end(), {udp, 0, 0, 0});
    return bytes;
}

bool is_stun_response(std::span<const uint8_t> message, const StunTransaction& transaction) {
    return kudo_stun_kind_of(message.data(), static_cast<uint32_t>(message.size())) == KUDO_STUN_RESPONSE &&
           std::equal(transaction.begin(), transaction.end(), message.begin() + KUDO_STUN_TRANSACTION);
}

std::optional<StunResponse> read_stun_response(std::span<const uint8_t> message, const StunTransaction& transaction) {
    if (!is_stun_response(message, transaction)) return std::nullopt;
    StunResponse response{.type = kudo_load16(message.data())};
    const std::size_t end = KUDO_STUN_HEADER + std::size_t{kudo_load16(message.data() + 2)};
    std::optional<StunResponse> plain;
    for (std::size_t at = KUDO_STUN_HEADER; at + 4 <= end;) {
        const uint16_t type = kudo_load16(message.data() + at);
        const std::size_t length = kudo_load16(message.data() + at + 2);
        if (length > end - at - 4) break;
        const auto value = message.subspan(at + 4, length);
        if (type == xor_mapped_address)
            read_address(value, message.subspan(4, 16), response); // the cookie, and the transaction behind it
        else if (type == mapped_address)
            read_address(value, {}, plain.emplace());
        else if (type == error_code && value.size() >= 4)
            response.error = (value[2] & 7U) * 100 + value[3];
        else if (type == software)
            response.software = text_of_value(value);
        else if (type == realm)
            response.realm = text_of_value(value);
        at += 4 + (length + 3) / 4 * 4;
    }
    if (!response.mapped_address && plain) {
        response.mapped_address = plain->mapped_address;
        response.mapped_port = plain->mapped_port;
    }
    return response;
}

std::optional<std::size_t> stun_length(std::span<const uint8_t> stream) {
    if (stream.size() < KUDO_STUN_HEADER) return 0;
    if (kudo_load32(stream.data() + 4) != KUDO_STUN_COOKIE) return std::nullopt;
    return KUDO_STUN_HEADER + std::size_t{kudo_load16(stream.data() + 2)};
}

} // namespace kudo
