// SPDX-License-Identifier: MIT
// Reads one service of a range map.
// Invariant: a Service that parse_service() returned obeys every rule that needs no look at other services.
#pragma once

#include "maps/document/json_document.h"
#include "maps/document/range_map.h"

namespace kudo {

// `path` is the service's own: "services[2]". Errors begin with the path of what is wrong.
Result<Service> parse_service(const Json& value, std::string_view path);

} // namespace kudo
