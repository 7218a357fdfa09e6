// SPDX-License-Identifier: MIT
#include "agent/sources/nats/credentials.h"

#include <array>
#include <cstdint>
#include <vector>

#include <fmt/format.h>
#include <sodium.h>

#include "agent/system/files.h"

namespace kudo {
namespace {

constexpr std::size_t credentials_max_bytes = 64 * 1024;
constexpr std::string_view base32_digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
constexpr uint8_t user_prefix = 20 << 3, seed_prefix = 18 << 3;
constexpr std::size_t seed_bytes = 32;

std::vector<uint8_t> from_base32(std::string_view text) {
    std::vector<uint8_t> bytes;
    uint32_t held = 0;
    unsigned bits = 0;
    for (const char c : text) {
        const std::size_t digit = base32_digits.find(c);
        if (digit == std::string_view::npos) return {};
        held = held << 5 | static_cast<uint32_t>(digit);
        bits += 5;
        if (bits >= 8) bytes.push_back(static_cast<uint8_t>(held >> (bits -= 8)));
    }
    return bytes;
}

std::string to_base32(const std::vector<uint8_t>& bytes) {
    std::string text;
    uint32_t held = 0;
    unsigned bits = 0;
    for (const uint8_t byte : bytes) {
        held = held << 8 | byte;
        for (bits += 8; bits >= 5;)
            text += base32_digits[held >> (bits -= 5) & 31];
    }
    if (bits > 0) text += base32_digits[held << (5 - bits) & 31];
    return text;
}

// CRC-16/XMODEM, its low byte first.
void append_check(std::vector<uint8_t>& bytes) {
    uint16_t crc = 0;
    for (const uint8_t byte : bytes) {
        crc = static_cast<uint16_t>(crc ^ byte << 8);
        for (int bit = 0; bit < 8; ++bit)
            crc = static_cast<uint16_t>(crc & 0x8000 ? crc << 1 ^ 0x1021 : crc << 1);
    }
    bytes.push_back(static_cast<uint8_t>(crc & 0xff));
    bytes.push_back(static_cast<uint8_t>(crc >> 8));
}

std::string_view trimmed(std::string_view text) {
    const std::size_t begin = text.find_first_not_of(" \t\r\n");
    if (begin == std::string_view::npos) return {};
    return text.substr(begin, text.find_last_not_of(" \t\r\n") + 1 - begin);
}

Result<NatsCredentials> read_credentials(std::string_view text) {
    NatsCredentials credentials;
    if (text.find("-----BEGIN NATS USER JWT-----") != std::string_view::npos) {
        credentials.kind = NatsCredentialsKind::UserToken;
        return credentials;
    }
    const std::string_view line = trimmed(text);
    const std::size_t colon = line.find(':');
    if (line.find('\n') == std::string_view::npos && colon != std::string_view::npos && colon > 0) {
        credentials.user = line.substr(0, colon);
        credentials.password = line.substr(colon + 1);
        return credentials;
    }
    if (line.starts_with("SU")) {
        auto key = KUDO_TRY(public_key_of_seed(line));
        credentials.kind = NatsCredentialsKind::NKey;
        credentials.public_key = std::move(key);
        return credentials;
    }
    return bad_input("not credentials; expected a line USER:PASSWORD, an NKey seed (SU...), or nsc's file with a JWT");
}

} // namespace

Result<std::string> public_key_of_seed(std::string_view seed) {
    const auto refuse = [] { return bad_input("not an NKey seed of a user; expected SU and 56 characters of base32"); };
    std::vector<uint8_t> bytes = from_base32(seed);
    if (seed.size() != 58 || bytes.size() != 2 + seed_bytes + 2) return refuse();
    // Five bits say "seed", eight say of whom.
    const auto whose = static_cast<uint8_t>(bytes[0] << 5 | bytes[1] >> 3);
    std::vector<uint8_t> checked(bytes.begin(), bytes.end() - 2);
    append_check(checked);
    if ((bytes[0] & 0xf8) != seed_prefix || whose != user_prefix || checked != bytes) return refuse();

    std::array<uint8_t, crypto_sign_PUBLICKEYBYTES> key{};
    std::array<uint8_t, crypto_sign_SECRETKEYBYTES> secret{};
    crypto_sign_seed_keypair(key.data(), secret.data(), bytes.data() + 2);
    sodium_memzero(secret.data(), secret.size());
    std::vector<uint8_t> result{user_prefix};
    result.insert(result.end(), key.begin(), key.end());
    append_check(result);
    return to_base32(result);
}

Result<NatsCredentials> read_nats_credentials(const std::string& path) {
    const auto text = KUDO_TRY(read_file(path, credentials_max_bytes));
    auto credentials = KUDO_TRY(read_credentials(text).in(path));
    return credentials;
}

} // namespace kudo
