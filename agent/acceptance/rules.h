// SPDX-License-Identifier: MIT
// The rules by which this host judges a range map that it is offered.
// Invariant: reads and changes nothing, and needs no capability.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "agent/acceptance/acceptance.h"
#include "maps/document/guards.h"

namespace kudo {

// A range map on its way in.
struct Candidate {
    RangeMap map;
    std::string hash;     // of its canonical document
    std::string document; // content_hash() of its bytes as they were signed; of a list: empty
    std::string source;
    std::vector<std::string> signed_by;
    bool is_list = false; // the vendor's: it changes the active map's media ranges and no serial
};

// The vendor's list over the map that is in effect: it has no serial of its own, so it keeps that of the map.
Result<Candidate> candidate_of_list(const Instance& instance, const DesiredState& state, const std::string& list,
                                    const std::string& source);

struct Judgement {
    std::optional<Accepted> what;      // Activated and Staged: it may come in; nothing: refused, worth an alarm
    std::string text;                  // one sentence for people: what becomes of it and why
    std::vector<Violation> violations; // for which it is refused
};

// Whose signatures count of a document; none are needed of what an admin, or a trusted transport, answers for.
// BadInput: too few.
Result<std::vector<std::string>> signers(const AcceptanceSettings& settings, const KeySet& keys,
                                         const Delivery& delivery);

// BadInput if the map has expired: no host takes it then, whatever it has.
Result<void> check_valid(const RangeMap& map, const std::string& source, Time now);

// Everything that speaks against the map, but for its signature and for what reconciling finds.
Judgement judge(const Instance& instance, const AcceptanceSettings& settings, const DesiredState& state,
                const Candidate& candidate, std::span<const Address> own_addresses, Time now);

} // namespace kudo
