// SPDX-License-Identifier: MIT
// Who we are to the message server: a file with one of three kinds of credentials.
// Invariant: the file is read anew for every connection, so that a replaced one counts without a restart; no secret
// gets into a message.
#pragma once

#include <string>
#include <string_view>

#include "maps/base/result.h"

namespace kudo {

enum class NatsCredentialsKind {
    User,     // one line "USER:PASSWORD"
    NKey,     // one line "SU...", a seed as `nk -gen user` prints it
    UserToken // the chained file of nsc: a user's JWT and its seed
};

struct NatsCredentials {
    NatsCredentialsKind kind = NatsCredentialsKind::User;
    std::string user, password; // User
    std::string public_key;     // NKey: "U..."
};

Result<NatsCredentials> read_nats_credentials(const std::string& path);

// The public key ("U...") of a user's seed ("SU...", 58 characters of base32 with a CRC-16).
Result<std::string> public_key_of_seed(std::string_view seed);

} // namespace kudo
