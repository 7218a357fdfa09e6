// SPDX-License-Identifier: MIT
// The file with the credentials for the message server.
// Invariant: it is read again for every connection, so that a replaced one takes effect without a restart; no secret
// gets into a message.
#pragma once

#include <string>

#include "maps/base/result.h"

namespace kudo {

struct NatsCredentials {
    // Of one line "USER:PASSWORD". Both empty: it is the chained file of nsc, a user's JWT and its seed.
    std::string user, password;
    [[nodiscard]] bool is_jwt() const { return user.empty(); }
};

// BadInput: the file is neither of them.
Result<NatsCredentials> read_nats_credentials(const std::string& path);

} // namespace kudo
