// SPDX-License-Identifier: MIT
// Decides whether a document that arrived becomes this host's range map (or key set), and when: signature, parsing
// (once), rules.h, then reconcile; a key set needs no data path. Invariant: nothing unsigned, nothing old, nothing for
// somebody else, nothing that would take or lose addresses by mistake gets in; what was accepted is on the disk before
// a packet is judged by it; whatever is refused leaves the last good map judging.
#pragma once

#include <chrono>
#include <filesystem>
#include <string>
#include <vector>

#include "agent/reconcile/reconcile.h"
#include "agent/sources/source.h"
#include "agent/state/trusted_keys.h"
#include "agent/system/instance.h"

namespace kudo {

struct AcceptanceSettings {
    std::filesystem::path keys_folder = default_keys_folder;
    unsigned key_threshold = 1;
    std::string fleet, ring;                           // to which this host belongs; empty: none
    bool early_additions = true;                       // honour what a staged map adds before its date
    std::chrono::seconds grace = std::chrono::days(7); // of running time, for what a map withdraws
    bool allow_unsigned = false;                       // a local admin's own decision
    bool end_rollback = false;                         // the same, of a rollback
    bool reset_serial = false;          // the same: this map's serial is the highest, even if a higher one was accepted
    std::vector<std::string> overrides; // the same: names of guards that do not count (guards.h)
    bool trust_folder = false; // the same: forget the key set that replaced the folder of keys, trust the folder again
    std::chrono::milliseconds timeout = lock_timeout;
    Retries* retries = nullptr; // see change_and_reconcile(); of a delivery to the service
};

enum class Accepted {
    Activated,  // judges packets from now on; or is stored for the next enable
    Staged,     // will, at its effective date
    Known,      // was accepted before
    Superseded, // was, or could have been, accepted before a later one
    Held,       // this host was rolled back, and the map does not say that it supersedes that
    KeySet,     // a key set that replaces the present one
};

struct Acceptance {
    Accepted what{};
    std::string text;       // one sentence for people: what became of it and why
    std::string alarm = {}; // what people must be told although nothing changed; may be empty
    uint64_t serial = 0;
    ReconcileReport report; // of a range map; of a delivery to the service: if Activated or Staged
};

// BadInput: refused, and worth an alarm. Other kinds: it could not be done now.
Result<Acceptance> accept(const Instance& instance, const AcceptanceSettings& settings, const Delivery& delivery);

} // namespace kudo
