// SPDX-License-Identifier: MIT
// Compiles a range map and the admin's options into what the kernel's programs read: one generation's policy.
// Included by the agent, `explain` and the parity tests.
// Invariant: compile() is a pure function; equal inputs give equal policies, byte for byte.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "bpf/abi.h"
#include "maps/range_map.h"

namespace kudo {

// Which slot of kudo_policy.services a service's name has. Slots stay with their names across generations so that
// counters keep their meaning: see service_slots.h.
using ServiceSlots = std::map<std::string, uint8_t, std::less<>>;
// Slots that may go to other names where none is free, first to last. Nothing: all those whose name no service has.
using ReusableSlots = std::optional<std::vector<uint8_t>>;

using Marks = std::array<kudo_mark, KUDO_TREATMENTS>; // by kudo_treatment

struct CompileOptions {
    std::vector<std::string> regions;           // at least one; each known to the map
    std::vector<std::string> optional_services; // names of optional services to include: {"teams"}
    kudo_mode mode = KUDO_PRIORITISE;
    Marks marks{};
    uint32_t firewall_mark = 0, firewall_mark_mask = 0;
};

// "audio", "video", "fallback", "control".
std::string_view treatment_name(kudo_treatment treatment);

// RFC 8837 section 5: EF for audio, AF41 for interactive video and what is not known to be audio, AF21 for control; and
// priority 6, for control 4.
Marks default_marks();

struct CompiledPolicy {
    std::unique_ptr<kudo_policy> policy;                        // generation 0: the swap gives it one
    std::vector<std::pair<kudo_lpm4_key, kudo_match>> entries4; // sorted by address, then length; distinct keys
    std::vector<std::pair<kudo_lpm6_key, kudo_match>> entries6;
    ServiceSlots slots; // the given ones plus those given to new names, less those taken from old ones
};

// Does the admin's choice of regions and optional services include this service?
bool is_chosen(const Service& service, const CompileOptions& options);

// Errors (BadInput): a region that no service of the map names (lists those it has); an optional service the map lacks;
// more than KUDO_MAX_CANDIDATES services over one address, more than KUDO_MAX_PREFIXES prefixes (both name the path);
// more than KUDO_MAX_SERVICES - 1 names including the `slots` that are taken already and not `reusable` (slot 0 is
// never given).
Result<CompiledPolicy> compile(const RangeMap& map, const CompileOptions& options, const ServiceSlots& slots = {},
                               const ReusableSlots& reusable = std::nullopt);

// BLAKE2b-256 over the policy (generation and content_hash taken as zero) and both entry lists. compile() has stored
// it.
std::array<uint8_t, 32> policy_hash(const kudo_policy& policy,
                                    const std::vector<std::pair<kudo_lpm4_key, kudo_match>>& entries4,
                                    const std::vector<std::pair<kudo_lpm6_key, kudo_match>>& entries6);

// The match that the trie would give: the longest of the entries that holds the address; null if none.
// A plain linear or binary search: the oracle that the kernel's trie is checked against, and what `explain` uses.
const kudo_match* longest_match(const CompiledPolicy& policy, const Address& address);

} // namespace kudo
