// SPDX-License-Identifier: MIT
// What `doctor` examines: this host as `enable` with these options would find it.
// Invariant: changes nothing; made before the first check, and not changed by any.
#pragma once

#include <chrono>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "agent/doctor/proxy_settings.h"
#include "agent/names/lookup.h"
#include "agent/netlink/interfaces.h"
#include "agent/netlink/path_settings.h"
#include "agent/state/desired_state.h"
#include "agent/state/wanted_interfaces.h"
#include "agent/stun/datagram_probe.h"
#include "agent/system/instance.h"
#include "bpf/abi.h"
#include "maps/document/range_map.h"

namespace kudo {

// An address in it that a host may have.
Address host_in(const Prefix& prefix);

// The way to one range, asked for one address in it.
struct RangeRoute {
    std::string service; // without what combine() adds to names
    kudo_class class_ = KUDO_CLASS_NONE;
    Prefix range;    // as this host sends to it: of a host without IPv4 that has a NAT64 its IPv6
    Address address; // in it, that was asked for
    std::vector<PortRule> ports;
    bool behind_nat64 = false; // the range and the address are those of a NAT64
    RouteState route;
    std::optional<Address> source{}; // of this host, as the kernel takes it; nothing: none of the family
};

// Of RouteState::neighbour_state, after it was asked again: it does not answer.
bool is_silent_neighbour(const std::string& state);

struct Subject {
    Instance instance;
    DesiredState desired;           // with its regions; as if enabled
    RangeMap map;                   // that is honoured
    std::vector<Address> servers{}; // --server: instead of addresses in the map's ranges
    bool load = false;              // --load
    // As it is enabled now, whatever the options: does it give marks? Nothing: nothing is enabled.
    std::optional<bool> enabled_marks{};
    bool interfaces_given = false; // --interface: names that nothing has are wrong input

    // Read by examine():
    std::chrono::steady_clock::time_point began{};
    bool is_root = false;
    bool marks_now = false; // kudo-agent's programs mark outgoing packets now
    // Sockets whose marks they leave (KUDO_PROBE_MARK), so that marks can be compared all the same. Null: nothing
    // marks, this process may not have them, or other programs than this build's are attached.
    std::shared_ptr<const OwnProbeSockets> unmarked{};
    bool may_look = false;               // at what only the capabilities of enable may see
    std::vector<Interface> interfaces{}; // all of this network namespace
    std::vector<InterfaceAddress> addresses{};
    WantedInterfaces wanted{};
    ProxySettings proxies{};
    std::vector<NameServer>
        name_servers{};               // of resolv.conf: their zones are numbers that no confined process may ask for
    std::vector<RangeRoute> routes{}; // of each chosen range, in the map's order

    // Do kudo-agent's programs change the marks of what is asked?
    [[nodiscard]] bool marks_cannot_be_kept() const { return marks_now && !unmarked; }
    [[nodiscard]] CompileOptions options() const { return desired.compile_options(); }
    [[nodiscard]] const Interface* find(const std::string& name) const; // null: there is none
    // Can anything be sent there? Else why not, as a reason to skip.
    [[nodiscard]] std::string why_unreachable() const;
    // The exact names of the chosen services' domains: of those that are always there, or of optional ones (Teams).
    [[nodiscard]] std::vector<std::string> names(bool optional = false) const;
};

// Fills in what is read; a next hop that the kernel counts as silent is sent one datagram first, since that may be long
// ago. Of each range it asks for the address behind the first, which in older networks is no host's.
// Errors: the kernel does not tell; BadInput as find_wanted_interfaces(), for a name that is
// given and does not exist.
Result<void> examine(Subject& subject);

} // namespace kudo
