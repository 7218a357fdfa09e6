// SPDX-License-Identifier: MIT
// A document to be published to a ring: verified, parsed, and stored there.
// Invariant: nothing is sent that the operator's keys have not signed, that is for another audience, that is older than
// what the ring has, or that the guards of every host would refuse.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "agent/sources/nats/connection.h"
#include "maps/document/range_map.h"
#include "maps/trust/bundle.h"
#include "maps/trust/key_set.h"

namespace kudo {

struct FleetDocument {
    std::string name; // what errors call it
    Bundle bundle;
    bool is_key_set = false;
    uint64_t serial = 0;
    Time effective{};                 // of a map
    std::optional<RangeMap> map;      // nothing: it is a key set
    std::vector<std::string> signers; // key ids

    [[nodiscard]] std::string text() const; // "range map 2022040100", "key set 7"
};

// Verified before it is parsed. A key set must be signed by its own keys as well.
Result<FleetDocument> read_fleet_document(const KeySet& keys, Bundle bundle, std::string_view name);

// BadInput unless it may go to this ring now. `overrides`: names of guards that do not count.
Result<void> check_destination(const FleetDocument& document, const std::string& fleet, const std::string& ring,
                               Time now, const std::vector<std::string>& overrides = {});

struct Sent {
    bool changed = false;
    uint64_t before = 0; // the serial that the ring had; 0: none that the operator's keys have signed
    std::string note;    // a sentence that the operator should read; may be empty
};

// Compare-and-set: of two writers at once one fails. BadInput if hosts that have what the ring has
// would refuse it.
Result<Sent> send_to_ring(NatsBucket& maps, const std::string& ring, const FleetDocument& document, const KeySet& keys,
                          const std::vector<std::string>& overrides = {});

} // namespace kudo
