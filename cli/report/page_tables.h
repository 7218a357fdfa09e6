// SPDX-License-Identifier: MIT
// The tables of a report's page: what was asked and seen, flows, drops, doctor's checks, the map, versions.
// Invariant: pure; whatever a report holds is escaped. A section without content says that there is none.
#pragma once

#include <string>

#include "cli/terminal/json.h"

namespace kudo {

std::string asked_html(const OrderedJson& document);
std::string findings_html(const OrderedJson& document); // those behind the first; empty: there are none
std::string flows_html(const OrderedJson& document);
std::string drops_html(const OrderedJson& document);
std::string doctor_html(const OrderedJson& document);
std::string map_html(const OrderedJson& document);   // serial, signature; what it asks a firewall to allow
std::string agent_html(const OrderedJson& document); // state, versions
std::string not_known_html(const OrderedJson& document);

// "<ul><li>…</li></ul>"; empty for none.
std::string list_html(const OrderedJson& sentences);

} // namespace kudo
