// SPDX-License-Identifier: MIT
// The rules as the host's firewall reads them.
// Invariant: pure; what is printed can be loaded as it is, twice as well as once, and touches nothing but chains, files
// and comments that are named after KUDO.
#pragma once

#include <string>

#include "cli/firewall/rules.h"
#include "cli/terminal/json.h"

namespace kudo {

// For nft -f (nft(8)): chains kudo_out and kudo_in of table inet filter.
std::string nft_text(const FirewallRules& rules);
// For iptables-restore --noflush and ip6tables-restore --noflush alike (iptables-restore(8)): chains KUDO-OUT and
// KUDO-IN of table filter.
std::string iptables_text(const FirewallRules& rules);
// Commands for sh (ufw(8)).
std::string ufw_text(const FirewallRules& rules);
// A policy (firewalld.policy(5)), /etc/firewalld/policies/kudo.xml.
std::string firewalld_text(const FirewallRules& rules);
OrderedJson firewall_json(const FirewallRules& rules);

} // namespace kudo
