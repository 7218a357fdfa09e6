// SPDX-License-Identifier: MIT
#include "agent/system/capabilities.h"

#include <linux/capability.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <string>

#include <fmt/format.h>

namespace kudo {

Result<void> check_capabilities() {
    __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
    __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3]{};
    if (syscall(SYS_capget, &header, data) != 0) return fail_errno("capget");
    const auto has = [&](int capability) {
        return (data[CAP_TO_INDEX(capability)].effective & CAP_TO_MASK(capability)) != 0;
    };
    std::string missing;
    const auto require = [&](bool present, const char* name) {
        if (!present) missing += (missing.empty() ? "" : ", ") + std::string(name);
    };
    require(has(CAP_BPF) || has(CAP_SYS_ADMIN), "CAP_BPF");
    require(has(CAP_NET_ADMIN), "CAP_NET_ADMIN");
    require(has(CAP_PERFMON) || has(CAP_SYS_ADMIN), "CAP_PERFMON");
    if (missing.empty()) return {};
    return fail(Error{ErrorKind::NotPermitted, fmt::format("not permitted: missing {}; run as root", missing), EPERM});
}

} // namespace kudo
