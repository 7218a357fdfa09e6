// SPDX-License-Identifier: MIT
#include "cli/commands/run_start.h"

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <string>
#include <vector>

#include <sys/stat.h>

#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include "agent/confined/privileges.h"
#include "agent/datapath/pin_folder.h"
#include "agent/query/socket.h"
#include "agent/reconcile/reconcile.h"
#include "agent/state/desired_state.h"
#include "agent/system/ownership.h"
#include "cli/commands/by_service.h"
#include "cli/terminal/output.h"

namespace kudo {
namespace {

// What RuntimeDirectory= of the unit makes.
void make_query_folder(const GlobalOptions& global, const std::optional<ServiceUser>& user) {
    const auto folder = query_socket_of(global).parent_path();
    if (geteuid() != 0 || folder != std::filesystem::path(default_query_socket).parent_path()) return;
    if (mkdir(folder.c_str(), 0755) != 0) return; // it is there, or the service says what it lacks
    if (chmod(folder.c_str(), 0755) != 0 || (user && lchown(folder.c_str(), user->user, user->group) != 0))
        spdlog::debug("{}: {}", folder.string(), strerror(errno));
}

Result<void> prepare(const GlobalOptions& global, const std::optional<ServiceUser>& user) {
    const Instance& instance = global.instance;
    make_query_folder(global, user);
    if (const auto state = load_desired_state(instance); state && state->enabled)
        if (const auto prepared = prepare_pin_folder(instance); !prepared)
            spdlog::debug("{}", prepared.error().message); // reconciling tells it
    if (!user || user->user == geteuid()) return {};
    KUDO_TRY(give_instance_to(instance, user->user, user->group));
    let_group_enter(instance, user->group);
    return {};
}

// Root without CAP_DAC_OVERRIDE could not read what belongs to another user.
std::optional<ServiceUser> owner_of_state(const Instance& instance) {
    struct stat about {};
    if (geteuid() != 0 || stat(instance.state_dir.c_str(), &about) != 0 || about.st_uid == 0) return std::nullopt;
    return ServiceUser{about.st_uid, about.st_gid};
}

} // namespace

Result<void> give_up_privileges(const GlobalOptions& global, const std::string& name) {
    const Instance& instance = global.instance;
    const auto user = name.empty() ? owner_of_state(instance) : KUDO_TRY(find_service_user(name));
    KUDO_TRY(prepare(global, user));
    KUDO_TRY(keep_service_privileges(user));
    if (user && access(instance.bpffs.c_str(), X_OK) != 0)
        return fail(Error{ErrorKind::NotPermitted,
                          fmt::format("--user {}: that user may not enter {}: allow it (chmod o+x), or give a --bpffs "
                                      "that it may",
                                      name.empty() ? fmt::format("{}", user->user) : name, instance.bpffs.string()),
                          EACCES});
    return {};
}

Result<int> prepare_run(const GlobalOptions& global, const std::string& name) {
    if (name.empty()) return bad_input("--prepare: requires --user");
    const auto user = KUDO_TRY(find_service_user(name));
    if (geteuid() != 0) return fail(Error{ErrorKind::NotPermitted, "--prepare: run as root", EPERM});
    KUDO_TRY(prepare(global, user));
    return exit_done;
}

Result<int> restore(const GlobalOptions& global) {
    const auto state = KUDO_TRY(load_desired_state(global.instance));
    if (!state.enabled) {
        KUDO_TRY(print_either(global.json, {{"restored", false}}, "not enabled; nothing to restore\n"));
        return exit_done;
    }
    const auto nothing = [](DesiredState&) -> Result<void> { return {}; };
    const auto report = KUDO_TRY(change_and_reconcile(global.instance, nothing, Asked::Nothing));
    std::vector<std::string> interfaces, problems;
    for (const InterfaceReport& interface : report.interfaces)
        interfaces.push_back(interface.name);
    for (const Problem& problem : report.problems)
        problems.push_back(problem.text());
    for (const std::string& name : state.interfaces)
        if (std::ranges::find(interfaces, name) == interfaces.end() &&
            std::ranges::none_of(problems, [&](const auto& text) { return text.find(name) != text.npos; }))
            problems.push_back(name + ": not there; the service attaches it once it is");
    for (const std::string& problem : problems)
        spdlog::warn("{}", problem);
    // Before the network is up: most of these end by themselves, and the service tells those that do not.
    for (const std::string& warning : report.warnings)
        spdlog::info("{}", warning);
    KUDO_TRY(print_either(
        global.json,
        {{"restored", true}, {"generation", report.generation}, {"interfaces", interfaces}, {"problems", problems}},
        fmt::format("restored: generation {}, {} interface{}\n", report.generation, interfaces.size(),
                    interfaces.size() == 1 ? "" : "s")));
    return problems.empty() ? exit_done : exit_degraded;
}

} // namespace kudo
