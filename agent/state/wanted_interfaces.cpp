// SPDX-License-Identifier: MIT
#include "agent/state/wanted_interfaces.h"

#include <algorithm>

#include <fmt/format.h>

#include "maps/base/text.h"

namespace kudo {
namespace {

std::string names_of(const std::vector<Interface>& interfaces) {
    std::vector<std::string> names;
    std::ranges::transform(interfaces, std::back_inserter(names), &Interface::name);
    return joined(names);
}

} // namespace

Result<WantedInterfaces> find_wanted_interfaces(const DesiredState& desired, bool must_exist) {
    auto all = KUDO_TRY(list_interfaces());
    WantedInterfaces wanted;
    for (const std::string& name : desired.interfaces) {
        const auto found = std::ranges::find(all, name, &Interface::name);
        if (found == all.end() && must_exist)
            return bad_input(fmt::format("--interface {}: no such interface; there are: {}", name, names_of(all)));
        if (found == all.end()) {
            wanted.missing.push_back(name);
            wanted.warnings.push_back(fmt::format("{} does not exist now; nothing is attached to it", name));
        } else if (!found->supported) {
            if (must_exist)
                return bad_input(fmt::format(
                    "--interface {}: neither Ethernet nor bare IP; its packets cannot be classified", name));
            wanted.warnings.push_back(
                fmt::format("{} is neither Ethernet nor bare IP; nothing is attached to it", name));
        } else {
            wanted.present.push_back(*found);
        }
    }
    if (!desired.interfaces.empty()) return wanted;
    std::copy_if(all.begin(), all.end(), std::back_inserter(wanted.present),
                 [](const Interface& interface) { return interface.default_route && interface.supported; });
    if (wanted.present.empty()) {
        if (must_exist)
            return bad_input(fmt::format("no interface has a default route; name one: --interface IF (there are: {})",
                                         names_of(all)));
        wanted.warnings.push_back("no interface has a default route; nothing is attached");
    }
    return wanted;
}

} // namespace kudo
