// SPDX-License-Identifier: MIT
// What `run --check` finds out about the files that the configuration names: whether they are there, and whether the
// installed unit lets the service reach them.
// Invariant: nothing is changed, and only names, types and modes are looked at.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "agent/confined/privileges.h"
#include "maps/base/result.h"

namespace kudo {

struct NamedPath {
    // Written: a folder in which the service writes; it may make it itself. Appended: a file that it appends to, or
    // makes, in a folder that is there.
    enum Kind { File, Folder, Written, Appended };
    std::string option;
    std::filesystem::path path;
    Kind kind = File;
};

// BadInput: it is not there, or not what it should be. Else what keeps the installed unit from using it, which other
// ways of starting the service may not: one line each.
Result<std::vector<std::string>> check_path(const NamedPath& named, const ServiceUser& user);

// Of systemd/kudo-agent.service.in; where there is no such user yet, one who may only what everybody may.
inline constexpr const char* unit_user_name = "kudo-agent";
ServiceUser unit_user();

} // namespace kudo
