// SPDX-License-Identifier: MIT
// What `doctor` examines: this host as `enable` with these options would find it.
// Invariant: reading only; made before the first check, and not changed by any.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "agent/doctor/proxy_settings.h"
#include "agent/netlink/interfaces.h"
#include "agent/netlink/path_settings.h"
#include "agent/state/desired_state.h"
#include "agent/state/wanted_interfaces.h"
#include "agent/system/instance.h"
#include "bpf/abi.h"
#include "maps/document/range_map.h"

namespace kudo {

// The way to one range, asked for one address in it.
struct RangeRoute {
    std::string service; // without what combine() adds to names
    kudo_class class_ = KUDO_CLASS_NONE;
    Prefix range;
    Address address; // that was asked for
    std::vector<PortRule> ports;
    RouteState route;
    std::optional<Address> source{}; // the address of this host on that interface; nothing: none of the family
};

struct Subject {
    Instance instance;
    DesiredState desired;           // with its regions; as if enabled
    RangeMap map;                   // that is honoured
    std::vector<Address> servers{}; // --server: instead of addresses in the map's ranges
    bool load = false;              // --load
    bool marks_now = false;         // kudo-agent's programs mark outgoing packets now
    bool interfaces_given = false;  // --interface: names that nothing has are wrong input

    // Read by examine():
    bool is_root = false;
    bool may_look = false;               // at what only the capabilities of enable may see
    std::vector<Interface> interfaces{}; // all of this network namespace
    std::vector<InterfaceAddress> addresses{};
    WantedInterfaces wanted{};
    ProxySettings proxies{};
    std::vector<RangeRoute> routes{}; // of each chosen range, in the map's order

    [[nodiscard]] CompileOptions options() const { return desired.compile_options(); }
    [[nodiscard]] const Interface* find(const std::string& name) const; // null: there is none
    // Can anything be sent there? Else why not, as a reason to skip.
    [[nodiscard]] std::string why_unreachable() const;
    // The exact names of the chosen services' domains: of those that are always there, or of optional ones (Teams).
    [[nodiscard]] std::vector<std::string> names(bool optional = false) const;
};

// Fills in what is read; of each range it asks for the address behind the first, which in older networks is no host's.
// Errors: the kernel does not tell; BadInput as find_wanted_interfaces(), for a name that is
// given and does not exist.
Result<void> examine(Subject& subject);

} // namespace kudo
