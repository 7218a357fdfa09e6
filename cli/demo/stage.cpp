// SPDX-License-Identifier: MIT
#include "cli/demo/stage.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include <cstdio>
#include <cstring>
#include <vector>

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace kudo {
namespace {

Error not_permitted(const char* what, int number) {
    return Error{
        number == EPERM ? ErrorKind::NotPermitted : ErrorKind::Failed,
        fmt::format("{}: {}{}", what, strerror(number), number == EPERM ? "; missing CAP_SYS_ADMIN, run as root" : ""),
        number};
}

// iproute2's `ip` on each line, in the calling thread's network namespace.
Result<void> ip(const std::vector<std::string>& lines) {
    FILE* const batch = popen("PATH=/usr/sbin:/usr/bin:/sbin:/bin exec ip -batch -", "we");
    if (!batch) return fail_errno("cannot run ip (package iproute2)");
    for (const std::string& line : lines)
        std::fputs((line + "\n").c_str(), batch);
    if (pclose(batch) != 0) return fail(fmt::format("ip (package iproute2) failed: {}", fmt::join(lines, "; ")));
    return {};
}

Result<void> forward_packets() {
    const Fd fd(open("/proc/sys/net/ipv4/ip_forward", O_WRONLY | O_CLOEXEC));
    if (!fd || write(fd.get(), "1", 1) != 1) return fail_errno("/proc/sys/net/ipv4/ip_forward");
    return {};
}

// A bpffs and a state directory over /tmp, which every machine has; the machine's own /tmp is not changed, only hidden
// from this process.
Result<Instance> mount_private_folders() {
    if (unshare(CLONE_NEWNS) != 0) return fail(not_permitted("cannot make a mount namespace", errno));
    if (mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0)
        return fail(not_permitted("cannot make the mounts private", errno));
    if (mount("tmpfs", "/tmp", "tmpfs", MS_NOSUID | MS_NODEV, "mode=0700") != 0)
        return fail(not_permitted("cannot mount a tmpfs", errno));
    if (mkdir("/tmp/bpf", 0700) != 0 || mount("bpf", "/tmp/bpf", "bpf", MS_NOSUID | MS_NODEV | MS_NOEXEC, nullptr) != 0)
        return fail(not_permitted("cannot mount a bpffs", errno));
    return Instance{.bpffs = "/tmp/bpf", .state_dir = "/tmp/state"};
}

Result<void> connect_namespaces(const DemoStage& stage) {
    const auto link = [](const char* name, const NetworkNamespace& peer) {
        return fmt::format("link add {} up type veth peer name eth0 netns /proc/{}/fd/{}", name, getpid(), peer.fd());
    };
    KUDO_TRY(stage.internet.run([&]() -> Result<void> {
        KUDO_TRY(ip({
            link("tohost", stage.host),
            link("tokudo", stage.server),
            link("tostranger", stage.stranger),
            "address add 10.77.0.1/24 dev tohost",
            "address add 52.200.60.18/28 dev tokudo",
            "address add 198.51.100.1/24 dev tostranger",
            fmt::format("route add {} via {}", demo_region_address, demo_media_address),
        }));
        return forward_packets();
    }));
    KUDO_TRY(stage.host.run([] {
        return ip({"address add 10.77.0.2/24 dev eth0", "link set eth0 up", "route add default via 10.77.0.1"});
    }));
    KUDO_TRY(stage.server.run([] {
        return ip({fmt::format("address add {}/28 dev eth0", demo_media_address),
                   fmt::format("address add {}/32 dev eth0", demo_region_address), "link set eth0 up",
                   "route add default via 52.200.60.18"});
    }));
    return stage.stranger.run([] {
        return ip({fmt::format("address add {}/24 dev eth0", demo_stranger_address), "link set eth0 up",
                   "route add default via 198.51.100.1"});
    });
}

} // namespace

Result<DemoStage> build_demo_stage() {
    auto host = KUDO_TRY(NetworkNamespace::create()), internet = KUDO_TRY(NetworkNamespace::create()),
         server = KUDO_TRY(NetworkNamespace::create()), stranger = KUDO_TRY(NetworkNamespace::create());
    auto instance = KUDO_TRY(mount_private_folders());
    DemoStage stage{std::move(host), std::move(internet), std::move(server), std::move(stranger), std::move(instance)};
    KUDO_TRY(connect_namespaces(stage));
    return stage;
}

} // namespace kudo
