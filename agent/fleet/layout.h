// SPDX-License-Identifier: MIT
// The names of a fleet's buckets, keys and subjects on its message server: a contract between hosts and operators.
// Invariant: never changes; a new layout gets new names.
#pragma once

#include <string>

namespace kudo {

inline constexpr int maps_history = 10;

// Bundles (maps/trust/bundle.h) by ring.
inline std::string maps_bucket(const std::string& fleet) {
    return "kudo-" + fleet + "-maps";
}
inline std::string ring_map_key(const std::string& ring) {
    return "ring." + ring + ".map";
}
inline std::string ring_keys_key(const std::string& ring) {
    return "ring." + ring + ".keys";
}

// Reports (agent/fleet/host_report.h) by host.
inline std::string hosts_bucket(const std::string& fleet) {
    return "kudo-" + fleet + "-hosts";
}
// `identity`: of a machine (agent/fleet/machine.h), so that two of one name are two; hosts of older versions have none.
inline std::string host_key(const std::string& host, const std::string& identity = "") {
    return "host." + host + (identity.empty() ? "" : "." + identity);
}

// The subject under which a bucket's key is written.
inline std::string subject_of(const std::string& bucket, const std::string& key) {
    return "$KV." + bucket + "." + key;
}

// The subject on which the server notifies once it has stored a bucket's key. Not the one above: a message there comes
// before the store has it, and does not pass leaf nodes. That of a map or key set carries the value.
inline std::string notification_subject(const std::string& bucket, const std::string& key) {
    return bucket + "-doorbell." + key;
}

} // namespace kudo
