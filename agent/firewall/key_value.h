// SPDX-License-Identifier: MIT
// What the single fields of a packet are, at a hook.
#pragma once

#include "agent/firewall/value.h"

namespace kudo::firewall {

Value key_value(const Expression& expression, const Place& place);

} // namespace kudo::firewall
