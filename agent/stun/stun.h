// SPDX-License-Identifier: MIT
// STUN and TURN messages of a client that asks whether a server is there (RFC 8489, RFC 8656).
// Invariant: a response is believed only with the request's transaction; nothing is read beyond the message's own
// length. Ports and codes are in host order.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "maps/net/prefix.h"

namespace kudo {

using StunTransaction = std::array<uint8_t, 12>;
StunTransaction new_stun_transaction();

// RFC 8489 section 6.1, without attributes, or with PADDING (RFC 5780 section 7.6) up to `size` bytes, which servers
// ignore.
std::vector<uint8_t> binding_request(const StunTransaction& transaction, std::size_t size = 0);
// RFC 8656 section 7.1: REQUESTED-TRANSPORT UDP and no credentials, so that a server refuses it with 401 and keeps
// nothing.
std::vector<uint8_t> allocate_request(const StunTransaction& transaction);

struct StunResponse {
    uint16_t type = 0;                       // RFC 8489 section 5: 0x0101 Binding success, 0x0113 Allocate error
    std::optional<Address> mapped_address{}; // XOR-MAPPED-ADDRESS, else MAPPED-ADDRESS
    uint16_t mapped_port = 0;
    unsigned error = 0;              // ERROR-CODE, 300 to 699; 0: none
    std::string software{}, realm{}; // printable ASCII; at most 80 characters
    [[nodiscard]] bool is_binding_success() const { return type == 0x0101; }
    // 401 and its like: a TURN server is there and asks for credentials.
    [[nodiscard]] bool is_allocate_error() const { return type == 0x0113; }
};
// Nothing: it is not the response to that request.
std::optional<StunResponse> read_stun_response(std::span<const uint8_t> message, const StunTransaction& transaction);

// Is it a response, success or error, to that request? By its header alone: nothing behind it is read.
bool is_stun_response(std::span<const uint8_t> message, const StunTransaction& transaction);

// How long the message that begins so is, by its header; 0: fewer than 20 bytes yet. Nothing: it is no STUN.
std::optional<std::size_t> stun_length(std::span<const uint8_t> stream);

} // namespace kudo
