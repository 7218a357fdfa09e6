// SPDX-License-Identifier: MIT
// Marks as people write them: --mark media=dscp:AF41,priority:6 and --firewall-mark 0x10/0xf0.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "bpf/abi.h"
#include "maps/base/result.h"
#include "maps/compile/compile.h"

namespace kudo {

// Each "CLASS=SPEC" changes the mark of one class; what it does not name stays at the default. CLASS: media, which is
// audio and video; audio; video; fallback; control. SPEC: "none", or "dscp:NAME|0..63|none" and "priority:0..15|none"
// with a comma between them. Errors begin with the spec.
Result<Marks> parse_marks(const std::vector<std::string>& specs);
std::string mark_text(const kudo_mark& mark); // "DSCP AF41, priority 6"; "unmarked"

// "VALUE[/MASK]", hexadecimal with 0x or decimal, or "none". Without a mask, the bits of VALUE are the mask.
Result<FirewallMark> parse_firewall_mark(std::string_view text);
std::string firewall_mark_text(FirewallMark mark); // "0x10/0xf0"

} // namespace kudo
