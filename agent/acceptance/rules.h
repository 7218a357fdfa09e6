// SPDX-License-Identifier: MIT
// The rules by which this host judges a range map that it is offered.
// Invariant: reads and changes nothing, and needs no capability.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "agent/acceptance/acceptance.h"
#include "agent/state/range_store.h"
#include "maps/document/guards.h"

namespace kudo {

// A range map on its way in.
struct Candidate {
    Candidate(RangeMap map_, std::string source_, bool is_list_ = false);

    RangeMap map;
    std::string source;
    bool is_list;          // the vendor's: it changes the active map's media ranges and no serial
    std::string canonical; // the map's canonical document
    std::string hash;      // content_hash() of that
    std::string document;  // content_hash() of its bytes as they were signed; of a list: empty
    std::vector<std::string> signed_by;
};

struct Judgement {
    std::optional<Accepted> what;      // Activated and Staged: it may come in; nothing: refused, worth an alarm
    std::string text;                  // one sentence for people: what becomes of it and why
    std::vector<Violation> violations; // for which it is refused
    std::string alarm = {};            // see Acceptance
};

// Whose signatures count of a document; none are needed of what an admin, or a trusted transport (`vouched_for`),
// answers for. BadInput: too few.
Result<std::vector<std::string>> signers(const AcceptanceSettings& settings, const KeySet& keys,
                                         const Delivery& delivery, bool vouched_for = false);

// BadInput if the map has expired: no host takes it then, whatever it has.
Result<void> check_valid(const RangeMap& map, const std::string& source, Time now);

// BadInput if the map does not compile for what the host has enabled. A map that takes effect at once is compiled by
// the reconcile that follows; of one that is only staged, or asked about, this is the one compilation.
Result<void> check_compiles(const Candidate& candidate, const DesiredState& state);

// Everything that speaks against the map, but for its signature, for check_compiles() and for what reconciling finds.
// Leaves the stored maps that it had to read in `parsed`.
Judgement judge(const Instance& instance, const AcceptanceSettings& settings, const DesiredState& state,
                const Candidate& candidate, std::span<const Address> own_addresses, Time now, ParsedMaps& parsed);

} // namespace kudo
