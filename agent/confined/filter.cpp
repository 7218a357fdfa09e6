// SPDX-License-Identifier: MIT
#include "agent/confined/filter.h"

#include <asm/sockios.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <seccomp.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <memory>
#include <string>
#include <string_view>

#include "maps/base/text.h"

namespace kudo {
namespace {

// What a thread of the C++ library needs to run and to end.
constexpr std::string_view computing =
    "brk clock_getres clock_gettime close exit exit_group fstat futex getpid getppid getrandom gettid "
    "gettimeofday madvise mremap munmap newfstatat read restart_syscall rseq rt_sigaction rt_sigprocmask "
    "rt_sigreturn sched_yield set_robust_list sigaltstack tgkill time write writev";

// Files, read only; sockets; threads.
constexpr std::string_view networking =
    "access arch_prctl bind clock_nanosleep close_range connect dup epoll_create1 epoll_ctl epoll_pwait "
    "epoll_pwait2 epoll_wait eventfd2 faccessat faccessat2 fadvise64 fcntl fstatfs getcpu getcwd "
    "getdents64 getegid geteuid getgid getpeername getrusage getsockname getsockopt getuid "
    "inotify_add_watch inotify_init1 inotify_rm_watch lseek lstat membarrier nanosleep pipe2 poll ppoll "
    "pread64 preadv pselect6 pwrite64 readlink readlinkat readv recvfrom recvmmsg recvmsg rt_sigtimedwait "
    "sched_getaffinity sched_getparam sched_getscheduler select sendmmsg sendmsg sendto setsockopt "
    "shutdown socketpair stat statfs statx sysinfo timerfd_create timerfd_gettime timerfd_settime times "
    "ugetrlimit getrlimit uname";

// What changes the machine, or other processes.
constexpr std::string_view changing_the_machine =
    "acct add_key clock_adjtime clock_settime delete_module finit_module fsconfig fsmount fsopen "
    "init_module io_uring_setup kcmp kexec_file_load kexec_load keyctl mount mount_setattr move_mount "
    "open_by_handle_at open_tree personality pivot_root process_vm_readv process_vm_writev ptrace "
    "quotactl reboot request_key sethostname setdomainname settimeofday swapoff swapon syslog umount2 "
    "userfaultfd";

// What changes files and folders, or who may use them.
constexpr std::string_view changing_files =
    "chmod chown creat fallocate fchmod fchmodat fchmodat2 fchown fchownat fremovexattr fsetxattr ftruncate futimesat "
    "lchown "
    "link "
    "linkat lremovexattr lsetxattr mkdir mkdirat mknod mknodat openat2 removexattr rename renameat renameat2 rmdir "
    "setxattr symlink symlinkat truncate unlink unlinkat utime utimensat utimes";

// What changes other processes; fcntl(2) and ioctl(2) see below.
constexpr std::string_view changing_processes =
    "ioprio_set kill migrate_pages move_pages pidfd_getfd pidfd_send_signal process_madvise rt_sigqueueinfo "
    "rt_tgsigqueueinfo "
    "sched_setaffinity sched_setattr sched_setparam sched_setscheduler setpriority tkill";

// The argument with this number, from 0: its bits under the mask, or all of it.
scmp_arg_cmp masked(unsigned argument, uint64_t mask, uint64_t value) {
    return {argument, SCMP_CMP_MASKED_EQ, mask, value};
}
scmp_arg_cmp equal(unsigned argument, uint64_t value) {
    return {argument, SCMP_CMP_EQ, value, 0};
}
scmp_arg_cmp unequal(unsigned argument, uint64_t value) {
    return {argument, SCMP_CMP_NE, value, 0};
}

class Filter {
public:
    explicit Filter(uint32_t otherwise) : context_(seccomp_init(otherwise)) {
        if (!context_) error_ = ENOMEM;
    }
    // Those of the list that this architecture has.
    Filter& add_all(uint32_t action, std::string_view names) {
        for (const std::string_view name : split(names, ' '))
            add(action, std::string(name).c_str(), {});
        return *this;
    }
    Filter& add(uint32_t action, const char* name, std::initializer_list<scmp_arg_cmp> arguments) {
        const int number = seccomp_syscall_resolve_name(name);
        return number >= 0 ? add(action, number, arguments) : *this;
    }
    Filter& add(uint32_t action, int number, std::initializer_list<scmp_arg_cmp> arguments) {
        if (context_)
            note(seccomp_rule_add_array(context_.get(), action, number, static_cast<unsigned>(arguments.size()),
                                        arguments.begin()));
        return *this;
    }
    Result<void> load() {
        if (error_ == 0) note(seccomp_load(context_.get()));
        if (error_ == 0) return {};
        return fail_errno("cannot restrict system calls (seccomp)", error_);
    }

private:
    void note(int result) {
        if (result < 0 && error_ == 0) error_ = -result;
    }
    struct Release {
        void operator()(void* context) const { seccomp_release(context); }
    };
    std::unique_ptr<void, Release> context_;
    int error_ = 0;
};

constexpr uint64_t write_and_execute = PROT_WRITE | PROT_EXEC;

// Memory is never writable and executable at once.
void add_memory(Filter& filter) {
    for (const char* name : {"mmap", "mmap2", "mprotect"})
        for (const uint64_t allowed : {uint64_t{0}, uint64_t{PROT_WRITE}, uint64_t{PROT_EXEC}})
            filter.add(SCMP_ACT_ALLOW, name, {masked(2, write_and_execute, allowed)});
}

// Opening a file to change it fails; any other use of open() than reading ends the process.
void add_reading(Filter& filter) {
    constexpr uint64_t changes = O_ACCMODE | O_CREAT | O_TRUNC;
    filter.add(SCMP_ACT_ALLOW, "openat", {masked(2, changes, O_RDONLY)})
        .add(SCMP_ACT_ALLOW, "open", {masked(1, changes, O_RDONLY)});
    for (const uint64_t mode : {O_WRONLY, O_RDWR})
        filter.add(SCMP_ACT_ERRNO(EACCES), "openat", {masked(2, O_ACCMODE, mode)})
            .add(SCMP_ACT_ERRNO(EACCES), "open", {masked(1, O_ACCMODE, mode)});
}

} // namespace

Result<void> filter_service() {
    return Filter(SCMP_ACT_ALLOW).add_all(SCMP_ACT_ERRNO(EPERM), changing_the_machine).load();
}

Result<void> filter_network() {
    Filter filter(SCMP_ACT_KILL_PROCESS);
    filter.add_all(SCMP_ACT_ALLOW, computing).add_all(SCMP_ACT_ALLOW, networking);
    add_memory(filter);
    add_reading(filter);
    // Threads, no processes. What clone3() is to do lies in memory, where no filter can look: the C library then uses
    // clone().
    filter.add(SCMP_ACT_ALLOW, "clone", {masked(0, 0x00010000 /* CLONE_THREAD */, 0x00010000)})
        .add(SCMP_ACT_ERRNO(ENOSYS), "clone3", {});
    for (const int family : {AF_UNIX, AF_INET, AF_INET6, AF_NETLINK})
        filter.add(SCMP_ACT_ALLOW, "socket", {equal(0, static_cast<uint64_t>(family))});
    // Of its own: names of threads; limits, to be read. The rest of these is refused, not deadly: libraries try.
    filter.add(SCMP_ACT_ALLOW, "prctl", {equal(0, PR_SET_NAME)})
        .add(SCMP_ACT_ERRNO(EPERM), "prctl", {unequal(0, PR_SET_NAME)})
        .add(SCMP_ACT_ALLOW, "prlimit64", {equal(2, 0)})
        .add(SCMP_ACT_ALLOW, "ioctl", {equal(1, 0x5421 /* FIONBIO */)})
        .add(SCMP_ACT_ALLOW, "ioctl", {equal(1, 0x541b /* FIONREAD */)})
        .add(SCMP_ACT_ERRNO(ENOTTY), "ioctl", {equal(1, 0x5401 /* TCGETS */)});
    return filter.load();
}

// What of bpf(2) makes, changes, attaches or takes away: by linux/bpf.h, and by number what is newer than Debian 12's.
// Reading a clock runs a program (BPF_PROG_TEST_RUN), which stays.
constexpr uint64_t changing_bpf[] = {BPF_MAP_CREATE,       BPF_MAP_UPDATE_ELEM,
                                     BPF_MAP_DELETE_ELEM,  BPF_PROG_LOAD,
                                     BPF_OBJ_PIN,          BPF_PROG_ATTACH,
                                     BPF_PROG_DETACH,      BPF_RAW_TRACEPOINT_OPEN,
                                     BPF_BTF_LOAD,         BPF_MAP_LOOKUP_AND_DELETE_ELEM,
                                     BPF_MAP_FREEZE,       BPF_MAP_LOOKUP_AND_DELETE_BATCH,
                                     BPF_MAP_UPDATE_BATCH, BPF_MAP_DELETE_BATCH,
                                     BPF_LINK_CREATE,      BPF_LINK_UPDATE,
                                     BPF_ENABLE_STATS,     BPF_ITER_CREATE,
                                     BPF_LINK_DETACH};
constexpr uint64_t newest_bpf = BPF_PROG_BIND_MAP; // refused, with all behind it, and numbers of more than 32 bits

// What changes files and is newer than Debian 12's libseccomp: setxattrat, removexattrat, file_setattr; the numbers are
// the same on all architectures that it runs on.
constexpr int newer_changing_files[] = {463, 466, 469};

// What of ioctl(2) changes an interface, an address, a route or a neighbour, by ranges of linux/sockios.h; SIOCETHTOOL,
// which reads as well: netlink reads the same; and who gets a socket's signals.
struct Requests {
    uint64_t mask, value;
};
constexpr Requests changing_requests[] = {
    {~0U, SIOCADDRT},      {~0U, SIOCDELRT},      {~0U, SIOCSIFLINK},    {~0U, SIOCSIFFLAGS},       {~0U, SIOCSIFADDR},
    {~0U, SIOCSIFDSTADDR}, {~0U, SIOCSIFBRDADDR}, {~0U, SIOCSIFNETMASK}, {~0U, SIOCSIFMETRIC},      {~0U, SIOCSIFMTU},
    {~0U, SIOCSIFNAME},    {~0U, SIOCSIFHWADDR},  {~0U, SIOCSIFENCAP},   {~0U, SIOCSIFSLAVE},       {~0U, SIOCADDMULTI},
    {~0U, SIOCDELMULTI},   {~0U, SIOCSIFPFLAGS},  {~0U, SIOCDIFADDR},    {~0U, SIOCSIFHWBROADCAST}, {~0U, SIOCSIFBR},
    {~0U, SIOCSIFTXQLEN},  {~0U, SIOCETHTOOL},    {~0U, SIOCSMIIREG},    {~0U, SIOCDARP},           {~0U, SIOCSARP},
    {~0U, SIOCDRARP},      {~0U, SIOCSRARP},      {~0U, SIOCSIFMAP},     {~0U, SIOCADDDLCI},        {~0U, SIOCDELDLCI},
    {~0U, SIOCSIFVLAN},    {~0U, FIOSETOWN},      {~0U, SIOCSPGRP},      {0xfffffff0, 0x8990}, // bonds
    {0xfffffff0, 0x89a0},                                                                      // bridges
    {0xfffffff0, 0x89b0},                                                                      // time stamps of cards
    {0xfffffff0, 0x89f0},                                                                      // of devices: tunnels
    {0xffffff00, 0x8b00},                                                                      // of wireless
};

// Of xtables: linux/netfilter_ipv4/ip_tables.h, netfilter_bridge/ebtables.h.
constexpr uint64_t changing_rules[] = {64, 65, 96, 97, 128, 129};

void refuse_changes_of_processes(Filter& filter) {
    filter.add_all(SCMP_ACT_ERRNO(EPERM), changing_processes);
    filter.add(SCMP_ACT_ERRNO(EPERM), "prlimit64", {unequal(2, 0)})
        .add(SCMP_ACT_ERRNO(EPERM), "tgkill", {unequal(0, static_cast<uint64_t>(getpid()))}); // abort() is its own
    for (const uint64_t command : {F_SETOWN, F_SETOWN_EX, F_SETSIG})
        filter.add(SCMP_ACT_ERRNO(EPERM), "fcntl", {masked(1, 0xffffffff, command)});
}

Result<void> filter_reading() {
    Filter filter(SCMP_ACT_ALLOW);
    for (const std::string_view list : {changing_the_machine, changing_files})
        filter.add_all(SCMP_ACT_ERRNO(EPERM), list);
    for (const int number : newer_changing_files)
        filter.add(SCMP_ACT_ERRNO(EPERM), number, {});
    filter.add(SCMP_ACT_ERRNO(EPERM), "perf_event_open", {});
    refuse_changes_of_processes(filter);
    for (const auto& [mask, value] : changing_requests)
        filter.add(SCMP_ACT_ERRNO(EPERM), "ioctl", {masked(1, mask, value)});
    for (const uint64_t level : {SOL_IP, SOL_IPV6})
        for (const uint64_t option : changing_rules)
            filter.add(SCMP_ACT_ERRNO(EPERM), "setsockopt", {equal(1, level), equal(2, option)});
    for (const uint64_t command : changing_bpf)
        filter.add(SCMP_ACT_ERRNO(EPERM), "bpf", {equal(0, command)});
    filter.add(SCMP_ACT_ERRNO(EPERM), "bpf", {scmp_arg_cmp{0, SCMP_CMP_GE, newest_bpf, 0}});
    for (const uint64_t bits : {O_WRONLY, O_RDWR, O_CREAT, O_TRUNC})
        filter.add(SCMP_ACT_ERRNO(EACCES), "openat", {masked(2, bits, bits)})
            .add(SCMP_ACT_ERRNO(EACCES), "open", {masked(1, bits, bits)});
    return filter.load();
}

Result<void> filter_compute() {
    Filter filter(SCMP_ACT_KILL_PROCESS);
    filter.add_all(SCMP_ACT_ALLOW, computing);
    add_memory(filter);
    return filter.load();
}

} // namespace kudo
