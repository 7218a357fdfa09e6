// SPDX-License-Identifier: MIT
// Compiles a range map and the admin's options into what the kernel's programs read: one generation's policy.
// Invariant: compile() is a pure function; equal inputs give equal policies, byte for byte.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "bpf/abi.h"
#include "maps/allow/allow_rule.h"
#include "maps/compile/policy.h"
#include "maps/document/range_map.h"

namespace kudo {

// Slots that may go to other names where none is free, first to last. Nothing: all those whose name no service has.
using ReusableSlots = std::optional<std::vector<uint8_t>>;

using Marks = std::array<kudo_mark, KUDO_TREATMENTS>; // by kudo_treatment

// The skb->mark that incoming packets of prioritised flows get, for a host firewall to match.
struct FirewallMark {
    uint32_t value = 0, mask = 0; // mask 0: none
};

struct CompileOptions {
    std::vector<std::string> regions;           // at least one; each known to the map
    std::vector<std::string> optional_services; // names of optional services to include: {"teams"}
    kudo_mode mode = KUDO_PRIORITISE;
    Marks marks{};
    uint32_t firewall_mark = 0, firewall_mark_mask = 0;
    std::vector<Prefix> nat64{}; // parse_nat64_prefix()
    // Is every packet put to the rules of admission (docs/enforce.md)? Enforce goes with mode enforce. Without it that
    // mode drops by the range map alone, whatever the direction.
    kudo_admission admission = KUDO_ADMISSION_NONE;
    uint64_t deadline = 0;          // see kudo_policy
    std::vector<AllowRule> allow{}; // only where admission is not none
    bool exact_domains = false;     // of the services' domains only those that are names themselves, no wildcards

    // Behind which IPv4 ranges are found: 64:ff9b::/96, and those of `nat64`.
    [[nodiscard]] std::vector<Prefix> nat64_prefixes() const;
};

// RFC 8837 section 5: EF for audio, AF41 for interactive video and what is not known to be audio, AF21 for control; and
// priority 6, for control 4.
Marks default_marks();

// Does the admin's choice of regions and optional services include this service?
bool is_chosen(const Service& service, const CompileOptions& options);

// Errors (BadInput): a region that no service of the map names (lists those it has); an optional service the map lacks;
// more than KUDO_MAX_CANDIDATES services over one address, more than KUDO_MAX_PREFIXES prefixes (both name the path);
// a prefix of `nat64` that overlaps a range of a chosen service; more than KUDO_MAX_SERVICES - 1 names including the
// `slots` that are taken already and not `reusable` (slot 0 is never given). The services of an IPv4 range have, as if
// they were ranges of theirs, the IPv6 prefixes that stand for it behind each NAT64 prefix. An IPv6 range of the map
// decides where it is longer.
Result<CompiledPolicy> compile(const RangeMap& map, const CompileOptions& options, const ServiceSlots& slots = {},
                               const ReusableSlots& reusable = std::nullopt);

// How many of the entries only stand for an IPv4 entry behind a NAT64 prefix.
std::size_t count_nat64(const CompiledPolicy& compiled, const CompileOptions& options);

} // namespace kudo
