// SPDX-License-Identifier: MIT
// Which interfaces a desired state means, now, and by which of this host's interfaces KUDO is reached.
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "agent/netlink/interfaces.h"
#include "agent/netlink/routes.h"
#include "agent/state/desired_state.h"

namespace kudo {

struct WantedInterfaces {
    std::vector<Interface> present;
    bool routes_tell = false;              // `present` are those that lead to KUDO, now
    std::vector<std::string> missing;      // names that do not exist now
    std::vector<std::string> warnings;     // about those that are left out, or have another name now
    std::vector<ServiceRoute> routes;      // to each chosen service that has ranges
    std::vector<std::string> unwatched;    // whole sentences: what is sent through interfaces that are not in `present`
    std::vector<std::string> beside;       // those that are up, and whose packets pass none of `present`
    std::map<uint32_t, std::string> notes; // of some of `present`, by ifindex: see layers.h
    std::map<std::string, uint32_t> named; // which interface (ifindex) each name of the desired state means
};

// Named interfaces; a name that nothing has now means the interface that had it when the data path in
// `data_path_folder` was last reconciled, if that still exists. Where none is named, those by which the kernel sends,
// or could send, to a range of the chosen services of `honoured`; never a loopback interface. If there is none of
// these, those of `last` that exist. `must_exist`: a name that does not exist, or no interface where none is named, is
// BadInput that lists what there is; otherwise it is a warning. Asks for at most about 400 addresses, spread evenly
// over each service's ranges, in each range for its four quarters, and 8 more of each interface: a route to less than a
// quarter of a range, or in a map with many ranges to one of them, may go unseen.
Result<WantedInterfaces> find_wanted_interfaces(const DesiredState& desired, const RangeMap& honoured,
                                                const std::filesystem::path& data_path_folder, bool must_exist,
                                                const std::vector<std::string>& last = {});

// To which addresses a route matters: the ranges of the chosen services, also behind NAT64.
std::vector<Prefix> routed_ranges(const CompileOptions& options, const RangeMap& honoured);

// Remembers beside the data path's pins, for as long as they exist, which interface each name means.
Result<void> remember_names(const WantedInterfaces& wanted, const std::filesystem::path& data_path_folder);

} // namespace kudo
