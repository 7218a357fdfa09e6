// SPDX-License-Identifier: MIT
// Which interfaces a desired state means, now.
#pragma once

#include <string>
#include <vector>

#include "agent/netlink/interfaces.h"
#include "agent/state/desired_state.h"

namespace kudo {

struct WantedInterfaces {
    std::vector<Interface> present;
    std::vector<std::string> missing;  // names that do not exist now
    std::vector<std::string> warnings; // about those that are left out
};

// `must_exist`: a name that does not exist, or no default route where none is named, is BadInput that lists what there
// is; otherwise it is a warning.
Result<WantedInterfaces> find_wanted_interfaces(const DesiredState& desired, bool must_exist);

} // namespace kudo
