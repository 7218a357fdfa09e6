// SPDX-License-Identifier: MIT
#include "tests/component/nats_jwt.h"

#include <ctime>
#include <stdexcept>
#include <vector>

#include <fmt/format.h>
#include <sodium.h>

namespace kudo::test {

namespace {

std::string base32(const std::vector<uint8_t>& bytes) {
    constexpr auto digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    std::string text;
    for (std::size_t bit = 0; bit < 8 * bytes.size(); bit += 5) {
        unsigned digit = 0;
        for (std::size_t i = bit; i < bit + 5; ++i)
            digit = 2 * digit + (i < 8 * bytes.size() ? bytes[i / 8] >> (7 - i % 8) & 1U : 0);
        text += digits[digit];
    }
    return text;
}

std::string base64url(const void* bytes, std::size_t size) {
    constexpr int variant = sodium_base64_VARIANT_URLSAFE_NO_PADDING;
    std::string text(sodium_base64_encoded_len(size, variant), '\0');
    sodium_bin2base64(text.data(), text.size(), static_cast<const uint8_t*>(bytes), size, variant);
    text.resize(text.size() - 1);
    return text;
}

// With its CRC-16/XMODEM behind it, the low byte first.
std::string checked_base32(std::vector<uint8_t> bytes) {
    unsigned crc = 0;
    for (const uint8_t byte : bytes)
        for (int bit = 7; bit >= 0; --bit) {
            const bool carry = (crc >> 15 & 1) != (byte >> bit & 1U);
            crc = (crc << 1 ^ (carry ? 0x1021 : 0)) & 0xffff;
        }
    bytes.push_back(static_cast<uint8_t>(crc & 0xff));
    bytes.push_back(static_cast<uint8_t>(crc >> 8));
    return base32(bytes);
}

// A JWT of NATS's own kind, version 2. `nats`: members of the claim of that name; `more`: of the token, comma in front.
std::string token(const NKey& issuer, const std::string& subject, const std::string& name, const std::string& nats,
                  const std::string& more = "") {
    const std::string header = R"({"typ":"JWT","alg":"ed25519-nkey"})";
    const std::string claims =
        fmt::format(R"({{"jti":"{}","iat":{},"iss":"{}","name":"{}","sub":"{}"{},"nats":{{{},"version":2}}}})", subject,
                    std::time(nullptr), issuer.public_key(), name, subject, more, nats);
    const std::string text = base64url(header.data(), header.size()) + "." + base64url(claims.data(), claims.size());
    return text + "." + issuer.sign(text);
}

} // namespace

NKey::NKey(Whose whose) : whose_(whose) {
    if (sodium_init() < 0) throw std::runtime_error("libsodium");
    randombytes_buf(seed_.data(), seed_.size());
    std::array<uint8_t, crypto_sign_PUBLICKEYBYTES> key{};
    std::array<uint8_t, crypto_sign_SECRETKEYBYTES> secret{};
    crypto_sign_seed_keypair(key.data(), secret.data(), seed_.data());
    std::vector<uint8_t> bytes{static_cast<uint8_t>(static_cast<unsigned>(whose_) << 3)};
    bytes.insert(bytes.end(), key.begin(), key.end());
    public_key_ = checked_base32(std::move(bytes));
}

std::string NKey::seed() const {
    // Five bits say "seed", eight say whose.
    const auto whose = static_cast<unsigned>(whose_) << 3;
    std::vector<uint8_t> bytes{static_cast<uint8_t>(18U << 3 | whose >> 5), static_cast<uint8_t>(whose << 3)};
    bytes.insert(bytes.end(), seed_.begin(), seed_.end());
    return checked_base32(std::move(bytes));
}

std::string NKey::sign(const std::string& text) const {
    std::array<uint8_t, crypto_sign_PUBLICKEYBYTES> key{};
    std::array<uint8_t, crypto_sign_SECRETKEYBYTES> secret{};
    crypto_sign_seed_keypair(key.data(), secret.data(), seed_.data());
    std::array<uint8_t, crypto_sign_BYTES> signature{};
    crypto_sign_detached(signature.data(), nullptr, reinterpret_cast<const uint8_t*>(text.data()), text.size(),
                         secret.data());
    return base64url(signature.data(), signature.size());
}

NatsTrust::NatsTrust() = default;

std::string NatsTrust::configuration() const {
    return fmt::format("operator: {}\nresolver: MEMORY\nsystem_account: {}\nresolver_preload: {{ {}: {}, {}: {} }}",
                       token(operator_, operator_.public_key(), "acme", R"("type":"operator")"), system_.public_key(),
                       system_.public_key(), account_token(system_, "system", false), fleet_.public_key(),
                       account_token(fleet_, "fleet", true));
}

std::string NatsTrust::account_token(const NKey& account, const std::string& name, bool has_jetstream) const {
    const int storage = has_jetstream ? -1 : 0;
    return token(
        operator_, account.public_key(), name,
        fmt::format(R"("type":"account","limits":{{"subs":-1,"data":-1,"payload":-1,"imports":-1,"exports":-1,)"
                    R"("wildcards":true,"conn":-1,"leaf":-1,"mem_storage":{0},"disk_storage":{0},)"
                    R"("streams":{0},"consumer":{0}}},"default_permissions":{{"pub":{{}},"sub":{{}}}},)"
                    R"("revocations":{{{1}}})",
                    storage, has_jetstream ? revocations_ : ""));
}

NatsTrust::User NatsTrust::user(const std::string& name, std::optional<int> expires) const {
    User user;
    const std::string jwt = token(fleet_, user.key.public_key(), name,
                                  R"("type":"user","pub":{},"sub":{},"subs":-1,"data":-1,"payload":-1)",
                                  expires ? fmt::format(R"(,"exp":{})", std::time(nullptr) + *expires) : "");
    user.credentials = fmt::format("-----BEGIN NATS USER JWT-----\n{}\n------END NATS USER JWT------\n\n"
                                   "************************* IMPORTANT *************************\n"
                                   "NKEY Seed printed below can be used to sign and prove identity.\n"
                                   "NKEYs are sensitive and should be treated as secrets.\n\n"
                                   "-----BEGIN USER NKEY SEED-----\n{}\n------END USER NKEY SEED------\n\n"
                                   "*************************************************************\n",
                                   jwt, user.key.seed());
    return user;
}

void NatsTrust::revoke(const User& user) {
    if (!revocations_.empty()) revocations_ += ",";
    revocations_ += fmt::format(R"("{}":{})", user.key.public_key(), std::time(nullptr));
}

} // namespace kudo::test
