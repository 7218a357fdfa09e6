// SPDX-License-Identifier: MIT
#include "agent/system/mount_namespace.h"

#include <sys/stat.h>
#include <unistd.h>

#include <string>

#include <fmt/format.h>

namespace kudo {
namespace {
constexpr ino_t initial_pid_namespace = 0xeffffffc; // PROC_PID_INIT_INO, linux/proc_ns.h
} // namespace

bool in_host_mount_namespace() {
    struct stat processes {};
    if (stat("/proc/thread-self/ns/pid", &processes) == 0 && processes.st_ino != initial_pid_namespace) return false;
    struct stat ours {
    }, theirs{};
    const std::string parent = fmt::format("/proc/{}/ns/mnt", getppid());
    if (stat("/proc/thread-self/ns/mnt", &ours) != 0) return true; // cannot know
    if (stat("/proc/1/ns/mnt", &theirs) != 0 && stat(parent.c_str(), &theirs) != 0) return true;
    return ours.st_ino == theirs.st_ino;
}

} // namespace kudo
