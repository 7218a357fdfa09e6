// SPDX-License-Identifier: MIT
// What nsc makes for a message server in operator mode: an operator, an account with JetStream, users with tokens.
// Invariant: minted here from the format's description (https://docs.nats.io/running-a-nats-
// service/nats_admin/security/jwt), not by the code under test.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>

namespace kudo::test {

// An Ed25519 key pair and its names.
class NKey {
public:
    enum class Whose : uint8_t { Operator = 14, Account = 0, User = 20 };
    explicit NKey(Whose whose);
    [[nodiscard]] const std::string& public_key() const { return public_key_; } // "O...", "A...", "U..."
    [[nodiscard]] std::string seed() const;                                     // "SO...", "SA...", "SU..."
    [[nodiscard]] std::string sign(const std::string& text) const;              // base64url

private:
    Whose whose_;
    std::array<uint8_t, 32> seed_{};
    std::string public_key_;
};

// An operator and the accounts "fleet", with JetStream, and "system".
class NatsTrust {
public:
    NatsTrust();
    // For the server: operator, accounts. What was revoked before is.
    [[nodiscard]] std::string configuration() const;

    struct User {
        NKey key{NKey::Whose::User};
        std::string credentials; // the content of nsc's file: token and seed
    };
    // A user of the account "fleet". `expires`: seconds from now.
    [[nodiscard]] User user(const std::string& name, std::optional<int> expires = std::nullopt) const;
    // Its tokens made so far count no more.
    void revoke(const User& user);

private:
    [[nodiscard]] std::string account_token(const NKey& account, const std::string& name, bool has_jetstream) const;

    NKey operator_{NKey::Whose::Operator}, fleet_{NKey::Whose::Account}, system_{NKey::Whose::Account};
    std::string revocations_; // of fleet_: "\"U...\": SECONDS", with commas between them
};

} // namespace kudo::test
