// SPDX-License-Identifier: MIT
// Proxies: KUDO works through one that is transparent or configured in the browser, not through one that wants a user
// and password.
#pragma once

#include "agent/doctor/check.h"
#include "agent/doctor/examination.h"

namespace kudo {

// Sends a CONNECT for the region's first name through each proxy that is set, at most four, and TLS through it.
CheckReport check_proxy(Examination& examination);

} // namespace kudo
