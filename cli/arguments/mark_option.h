// SPDX-License-Identifier: MIT
// Marks as people write them: --mark media=dscp:AF41,priority:6 and --firewall-mark 0x10/0xf0, and DSCP names.
// Invariant: a name that dscp_name() gives is read back as the same number.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "bpf/abi.h"
#include "maps/base/result.h"
#include "maps/compile/compile.h"

namespace kudo {

// "AF41" for 34; the number where it has no name.
std::string dscp_name(uint8_t dscp);
// A name (RFC 2474 CS0..CS7, RFC 2597 AF11..AF43, RFC 3246 EF, RFC 5865 VA, RFC 8622 LE; upper or lower case; DF and BE
// are CS0) or 0..63.
Result<uint8_t> parse_dscp(std::string_view text);

// Each "CLASS=SPEC" changes the mark of one class; what it does not name stays at the default. CLASS: media, which is
// audio and video; audio; video; fallback; control. SPEC: "none", or "dscp:NAME|0..63|none" and "priority:0..15|none"
// with a comma between them. Errors begin with the spec.
Result<Marks> parse_marks(const std::vector<std::string>& specs);
std::string mark_text(const kudo_mark& mark); // "DSCP AF41, priority 6"; "unmarked"

// "VALUE[/MASK]", hexadecimal with 0x or decimal, or "none". Without a mask, the bits of VALUE are the mask.
Result<FirewallMark> parse_firewall_mark(std::string_view text);
std::string firewall_mark_text(FirewallMark mark); // "0x10/0xf0"

} // namespace kudo
