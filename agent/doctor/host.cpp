// SPDX-License-Identifier: MIT
#include "agent/doctor/host.h"

#include <linux/magic.h>
#include <sys/utsname.h>
#include <sys/vfs.h>

#include <algorithm>
#include <cstdio>
#include <fstream>

#include <fmt/format.h>

#include "agent/attach/kernel_features.h"
#include "agent/firewall/conntrack.h"
#include "agent/netlink/path_settings.h"
#include "agent/system/capabilities.h"
#include "agent/system/mount_namespace.h"

namespace kudo {
namespace {

constexpr int oldest_major = 5, oldest_minor = 10; // docs/kernels.md
constexpr uint64_t usual_buffer = 212'992;         // bytes: SK_RMEM_MAX, include/net/sock.h
// A flow must outlive the pauses of whoever is muted: consent is asked for every 5 s (RFC 7675 section 5.1), and
// keepalives may be 15 s apart (RFC 8445 section 11), of which one may be lost.
constexpr unsigned least_udp_timeout = 30; // s; the kernel comes with 30, and 120 for flows that had answers

std::optional<unsigned> conntrack_setting(const char* name) {
    std::ifstream file(std::string("/proc/sys/net/netfilter/") + name);
    unsigned value = 0;
    if (!(file >> value)) return std::nullopt;
    return value;
}

} // namespace

CheckReport check_privileges(const Subject& subject) {
    const auto checked = check_capabilities();
    if (checked) return passed("this process may load and attach programs");
    if (!subject.is_root)
        return {CheckResult::Skip,
                "not root: what only root may see is skipped below",
                {checked.error().message},
                {},
                "Run it again through sudo."};
    return {CheckResult::Fail,
            "root here lacks capabilities that enable needs",
            {checked.error().message},
            {},
            "Whoever starts this container gives it CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON, and the host's network "
            "(docker run --cap-add ... --network host), or runs kudo-agent on the host itself."};
}

CheckReport check_kernel(const Subject&) {
    utsname system{};
    uname(&system);
    int major = 0, minor = 0;
    if (std::sscanf(system.release, "%d.%d", &major, &minor) == 2 &&
        (major < oldest_major || (major == oldest_major && minor < oldest_minor)))
        return {CheckResult::Fail,
                fmt::format("Linux {} is older than {}.{}", system.release, oldest_major, oldest_minor),
                {},
                {},
                "Install a newer kernel."};
    std::vector<std::string> evidence;
    bool unknown = false;
    for (const KernelFeature& feature : kernel_features()) {
        if (feature.name != "tc" && feature.name != "tcx" && feature.name != "xdp") continue;
        if (feature.there == false && feature.name == "tc")
            return {CheckResult::Fail,
                    fmt::format("Linux {} has no BPF programs at tc", system.release),
                    {},
                    {},
                    "Install a kernel with CONFIG_BPF_SYSCALL and CONFIG_NET_CLS_BPF, as distributions have it."};
        unknown |= !feature.there;
        evidence.push_back(fmt::format("{}: {}", feature.name,
                                       !feature.there   ? "not known"
                                       : *feature.there ? "yes"
                                                        : "no"));
    }
    if (unknown) return skipped("only a process with CAP_BPF may ask the kernel which programs it takes");
    return passed(fmt::format("Linux {} takes the programs", system.release), evidence);
}

CheckReport check_btf(const Subject&) {
    for (const KernelFeature& feature : kernel_features())
        if (feature.name == "btf" && feature.there == false)
            return {CheckResult::Warn,
                    "the kernel shows no types (/sys/kernel/btf/vmlinux): what this host drops is not counted",
                    {},
                    {},
                    "Install a kernel with CONFIG_DEBUG_INFO_BTF, or do not hide /sys/kernel from this container."};
    return passed("the kernel shows its types (BTF)");
}

CheckReport check_bpffs(const Subject& subject) {
    const auto& folder = subject.instance.bpffs;
    struct statfs about {};
    if (statfs(folder.c_str(), &about) == 0 && about.f_type == BPF_FS_MAGIC)
        return passed(fmt::format("a bpffs is mounted at {}", folder.string()));
    if (statfs(folder.parent_path().c_str(), &about) == 0 && about.f_type == BPF_FS_MAGIC)
        return passed(fmt::format("a bpffs is mounted at {}; enable makes the folder", folder.parent_path().string()));
    if (folder == default_bpffs && in_host_mount_namespace())
        return passed(fmt::format("no bpffs is mounted at {} yet; enable mounts it", folder.string()));
    const auto features = kernel_features();
    const auto known = std::ranges::find(features, "bpffs", &KernelFeature::name);
    if (known != features.end() && known->there == false)
        return {CheckResult::Fail,
                "the kernel has no bpffs",
                {},
                {},
                "Install a kernel with CONFIG_BPF_SYSCALL, as distributions have it."};
    return {CheckResult::Fail,
            fmt::format("no bpffs is mounted at {}", folder.string()),
            {},
            fmt::format("mount -t bpf bpf {}", folder.string()),
            {}};
}

CheckReport check_jit(const Subject& subject) {
    for (const KernelFeature& feature : kernel_features()) {
        if (feature.name != "jit") continue;
        if (!feature.there)
            return skipped(subject.is_root
                               ? "whether programs are compiled (bpf_jit_enable) is shown in the machine's first "
                                 "network namespace only"
                               : "only root may see whether programs are compiled (bpf_jit_enable)");
        if (!*feature.there)
            return {CheckResult::Warn,
                    "BPF programs are interpreted: each packet costs several times as much",
                    {"net.core.bpf_jit_enable is 0"},
                    "sysctl -w net.core.bpf_jit_enable=1",
                    {}};
    }
    return passed("BPF programs are compiled (JIT)");
}

CheckReport check_socket_buffers(const Subject&) {
    const SocketSettings settings = read_socket_settings();
    if (!settings.rmem_default || !settings.rmem_max)
        return skipped("the limits of sockets' buffers are shown in the machine's first network namespace only");
    const std::string seen =
        fmt::format("net.core.rmem_default is {}, rmem_max {}", *settings.rmem_default, *settings.rmem_max);
    if (*settings.rmem_default >= usual_buffer && *settings.rmem_max >= usual_buffer)
        return passed("receive buffers are as large as kernels come with", {seen});
    return {CheckResult::Warn,
            "receive buffers are smaller than kernels come with: bursts of video overflow them",
            {seen},
            fmt::format("sysctl -w net.core.rmem_max={} net.core.rmem_default={}",
                        std::max(*settings.rmem_max, usual_buffer), std::max(*settings.rmem_default, usual_buffer)),
            {}};
}

CheckReport check_conntrack(const Subject&) {
    const auto table = read_conntrack();
    if (!table && table.error().kind == ErrorKind::NotPermitted)
        return skipped("only root may see the connection table");
    if (!table) return skipped("the connection table could not be read: " + table.error().message);
    if (!*table) return passed("this host tracks no connections");
    const ConntrackTable& now = **table;
    if (now.max == 0) return passed(fmt::format("{} connections are tracked, without a limit", now.count));
    const std::string text = fmt::format("{} of {} entries are in use", now.count, now.max);
    const std::string fix = fmt::format("sysctl -w net.netfilter.nf_conntrack_max={}", now.max * 2);
    if (now.is_full())
        return {CheckResult::Fail, "the connection table is full: new flows are dropped", {text}, fix, {}};
    if (now.count >= now.max - now.max / 5)
        return {CheckResult::Warn, "the connection table is nearly full", {text}, fix, {}};
    return passed("the connection table has room: " + text);
}

CheckReport check_conntrack_timeouts(const Subject&) {
    const auto first = conntrack_setting("nf_conntrack_udp_timeout"),
               stream = conntrack_setting("nf_conntrack_udp_timeout_stream");
    if (!first || !stream) return passed("this host tracks no connections");
    const std::string text =
        fmt::format("nf_conntrack_udp_timeout is {} s, nf_conntrack_udp_timeout_stream {} s", *first, *stream);
    if (*first >= least_udp_timeout && *stream >= least_udp_timeout)
        return passed("tracked UDP flows outlive pauses", {text});
    return {CheckResult::Fail,
            fmt::format("this host forgets silent UDP flows after {} s: who is muted loses the other direction",
                        std::min(*first, *stream)),
            {text},
            fmt::format("sysctl -w net.netfilter.nf_conntrack_udp_timeout={} "
                        "net.netfilter.nf_conntrack_udp_timeout_stream={}",
                        std::max(*first, least_udp_timeout), std::max(*stream, least_udp_timeout * 4)),
            {}};
}

} // namespace kudo
