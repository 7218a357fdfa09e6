// SPDX-License-Identifier: MIT
// Takes out of a report who and where it is from: `report --redact`.
// Invariant: pure. The same thing has the same name everywhere in one report ("host-1", "net-2"), also within
// sentences; KUDO's ranges, and the addresses that are KUDO's by a name, stay. What a key names, and a closed list of
// words of our own ("ingress"), stays as it is; everything else is looked through.
#pragma once

#include <set>
#include <string>
#include <vector>

#include "cli/terminal/json.h"
#include "maps/net/prefix.h"

namespace kudo {

// What is known of whose report it is, beyond what the report itself tells (processes, units, containers).
struct Identities {
    std::set<Address> own;          // of this host
    std::vector<std::string> hosts; // names of this host
    std::vector<std::string> users;
    std::vector<Prefix> kudo;              // stay
    std::vector<std::string> kudo_domains; // "*.kudoway.ca", "live.kudoway.ca": stay
};

// With "redacted": true.
OrderedJson redacted(const OrderedJson& document, Identities identities);

} // namespace kudo
