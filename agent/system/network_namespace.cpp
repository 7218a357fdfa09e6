// SPDX-License-Identifier: MIT
#include "agent/system/network_namespace.h"

#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <cstring>
#include <thread>

namespace kudo {
namespace {

Result<void> bring_up_loopback() {
    const Fd socket_fd(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    ifreq request{};
    std::strcpy(request.ifr_name, "lo");
    request.ifr_flags = IFF_UP | IFF_RUNNING;
    if (!socket_fd || ioctl(socket_fd.get(), SIOCSIFFLAGS, &request) != 0)
        return fail_errno("cannot bring up the loopback");
    return {};
}

Result<Fd> current_namespace() {
    // Of this thread: a process's own file would be the main thread's.
    Fd fd(open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC));
    if (!fd) return fail_errno("/proc/thread-self/ns/net");
    return fd;
}

// A thread of its own keeps its namespace to itself; the rest of the process stays where it is.
template <typename T> Result<T> in_thread(const std::function<Result<T>()>& work) {
    Result<T> result = fail("the thread did not run");
    std::thread([&] { result = work(); }).join();
    return result;
}

} // namespace

Result<NetworkNamespace> NetworkNamespace::create() {
    auto fd = in_thread<Fd>([]() -> Result<Fd> {
        if (unshare(CLONE_NEWNET) != 0) {
            const int number = errno;
            return fail(Error{number == EPERM ? ErrorKind::NotPermitted : ErrorKind::Failed,
                              std::string("cannot create a network namespace: ") + strerror(number) +
                                  (number == EPERM ? "; missing CAP_SYS_ADMIN, run as root" : ""),
                              number});
        }
        KUDO_TRY(bring_up_loopback());
        return current_namespace();
    });
    if (!fd) return fail(std::move(fd.error()));
    return NetworkNamespace(std::move(*fd));
}

Result<void> NetworkNamespace::run(const std::function<Result<void>()>& work) const {
    return in_thread<void>([&]() -> Result<void> {
        if (setns(fd_.get(), CLONE_NEWNET) != 0) return fail_errno("cannot enter a network namespace");
        return work();
    });
}

} // namespace kudo
