// SPDX-License-Identifier: MIT
#include "agent/confined/privileges.h"

#include <cap-ng.h>
#include <pwd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <fmt/format.h>

#include "agent/confined/filter.h"
#include "maps/base/text.h"

namespace kudo {
namespace {

constexpr int kept[] = {CAP_BPF, CAP_NET_ADMIN, CAP_PERFMON};

// Before Linux 5.11 maps count as locked memory, and later CAP_SYS_RESOURCE is not there to raise the limit.
void raise_memory_limit() {
    const rlimit unlimited{RLIM_INFINITY, RLIM_INFINITY};
    setrlimit(RLIMIT_MEMLOCK, &unlimited);
}

// The bounding set can be made smaller only with CAP_SETPCAP; libcap-ng logs where that fails.
bool may_set_bounding() {
    capng_get_caps_process();
    return capng_have_capability(CAPNG_EFFECTIVE, CAP_SETPCAP) != 0;
}

Result<void> apply_capabilities(bool bounding) {
    if (capng_apply(bounding ? CAPNG_SELECT_BOTH : CAPNG_SELECT_CAPS) != 0)
        return fail_errno("cannot drop capabilities");
    return {};
}

// Applied later.
void choose_capabilities() {
    capng_get_caps_process();
    bool has[std::size(kept)] = {};
    for (std::size_t at = 0; at < std::size(kept); at++)
        has[at] = capng_have_capability(CAPNG_PERMITTED, static_cast<unsigned>(kept[at])) != 0;
    capng_clear(CAPNG_SELECT_BOTH);
    for (std::size_t at = 0; at < std::size(kept); at++)
        if (has[at])
            capng_update(CAPNG_ADD, static_cast<capng_type_t>(CAPNG_EFFECTIVE | CAPNG_PERMITTED | CAPNG_BOUNDING_SET),
                         static_cast<unsigned>(kept[at]));
}

Result<void> become(const ServiceUser& user) {
    // Where the bounding set stays no capability can be gained by exec either: PR_SET_NO_NEW_PRIVS.
    const int failed = capng_change_id(static_cast<int>(user.user), static_cast<int>(user.group),
                                       static_cast<capng_flags_t>(CAPNG_DROP_SUPP_GRP | CAPNG_CLEAR_BOUNDING));
    if (failed == 0) return {};
    return fail(Error{ErrorKind::NotPermitted,
                      fmt::format("--user: cannot become user {} (libcap-ng: {}); run as root", user.user, failed),
                      EPERM});
}

} // namespace

Result<std::optional<ServiceUser>> find_service_user(const std::string& name) {
    if (name.empty()) return std::nullopt;
    const passwd* entry = getpwnam(name.c_str());
    if (!entry) return bad_input(fmt::format("--user {}: no such user", quoted_text(name)));
    return ServiceUser{entry->pw_uid, entry->pw_gid};
}

Result<void> keep_service_privileges(const std::optional<ServiceUser>& user) {
    raise_memory_limit();
    const bool bounding = may_set_bounding();
    choose_capabilities();
    if (user && (user->user != geteuid() || user->group != getegid()))
        KUDO_TRY(become(*user));
    else
        KUDO_TRY(apply_capabilities(bounding));
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return fail_errno("cannot set no_new_privs");
    return filter_service();
}

Result<void> confine(Confinement confinement) {
    if (confinement != Confinement::Reading) {
        const bool bounding = may_set_bounding();
        capng_clear(CAPNG_SELECT_BOTH);
        KUDO_TRY(apply_capabilities(bounding));
    }
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return fail_errno("cannot set no_new_privs");
    if (confinement == Confinement::Reading) return filter_reading();
    return confinement == Confinement::Network ? filter_network() : filter_compute();
}

} // namespace kudo
