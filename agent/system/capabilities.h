// SPDX-License-Identifier: MIT
// What this process may do.
#pragma once

#include "maps/base/result.h"

namespace kudo {

// An Error of kind NotPermitted, one line that names the missing ones, unless the process has CAP_BPF, CAP_NET_ADMIN
// and CAP_PERFMON (the verifier allows the programs' packet pointer arithmetic only with it); CAP_SYS_ADMIN stands for
// the first and the last (capabilities(7)).
Result<void> check_capabilities();

} // namespace kudo
