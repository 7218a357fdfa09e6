// SPDX-License-Identifier: MIT
// What libnats says of a failure, as an Error.
#pragma once

#include <string_view>

#include <nats/nats.h>

#include "maps/base/result.h"

namespace kudo {

// "WHERE: WHAT: libnats's own words", one printable line.
tl::unexpected<Error> nats_failure(std::string_view where, std::string_view what, natsStatus status);

} // namespace kudo
