// SPDX-License-Identifier: MIT
// Where a fleet's things stand on its message server: the names of buckets and keys, a contract between hosts and
// operators.
// Invariant: never changes; a new layout gets new names.
#pragma once

#include <string>

namespace kudo {

inline constexpr int maps_history = 10;

// Bundles (maps/bundle.h) by ring.
inline std::string maps_bucket(const std::string& fleet) {
    return "kudo-" + fleet + "-maps";
}
inline std::string ring_map_key(const std::string& ring) {
    return "ring." + ring + ".map";
}
inline std::string ring_keys_key(const std::string& ring) {
    return "ring." + ring + ".keys";
}

// Reports (agent/host_report.h) by host.
inline std::string hosts_bucket(const std::string& fleet) {
    return "kudo-" + fleet + "-hosts";
}
inline std::string host_key(const std::string& host) {
    return "host." + host;
}

// The subject under which a bucket's key is written.
inline std::string subject_of(const std::string& bucket, const std::string& key) {
    return "$KV." + bucket + "." + key;
}

// The subject on which the server rings once it has stored a bucket's key. Not the one above: that one rings before the
// store has it, carries the whole value, and does not pass leaf nodes.
inline std::string doorbell_of(const std::string& bucket, const std::string& key) {
    return bucket + "-doorbell." + key;
}

} // namespace kudo
