// SPDX-License-Identifier: MIT
// Processes of their own for what is done with bytes of others, or for others: without any capability, but for those
// that show what the service sees (Confinement::Reading).
// Invariant: whatever becomes of such a process, and whatever it was made to do, ends with it: it holds nothing of its
// parent's but the descriptor that it was given, and ends with its parent.
#pragma once

#include <chrono>
#include <functional>
#include <span>
#include <string>

#include <sys/types.h>

#include "agent/confined/privileges.h"
#include "agent/system/fd.h"
#include "maps/base/result.h"

namespace kudo {

// A child process and a socket: its other end is the child's, or what the child talks by. Its destruction kills it.
class ConfinedProcess {
public:
    // Runs `work` there, with the child's end of the socket, and ends with it.
    // Call it where no other thread holds a lock that `work` needs.
    // `more`: descriptors that the child has besides, as first_more_fd and those behind it, in this order; -1: none
    // in that place.
    static constexpr int first_more_fd = 4;
    static Result<ConfinedProcess> start(Confinement confinement, const std::function<void(int socket)>& work,
                                         std::span<const int> more = {});
    // The same with a connection that is there: the child has it, and this end keeps the other descriptor of it.
    static Result<ConfinedProcess> start(Confinement confinement, Fd connection,
                                         const std::function<void(int socket)>& work);
    ConfinedProcess(ConfinedProcess&& other) noexcept
        : pid_(std::exchange(other.pid_, -1)), socket_(std::move(other.socket_)) {}
    ConfinedProcess& operator=(ConfinedProcess&& other) noexcept {
        std::swap(pid_, other.pid_);
        socket_ = std::move(other.socket_);
        return *this;
    }
    ~ConfinedProcess();

    [[nodiscard]] pid_t pid() const { return pid_; }
    [[nodiscard]] int socket() const { return socket_.get(); } // this end; does not block
    // Kills it, if it has not ended, and says how it ended: "ended by signal 31 (Bad system call)".
    std::string end();

private:
    ConfinedProcess(pid_t pid, Fd socket) : pid_(pid), socket_(std::move(socket)) {}
    pid_t pid_ = -1;
    Fd socket_;
};

// What `work` returns, at most `limit` bytes, from a process that can only compute. An Error if it did not end well.
Result<std::string> compute_confined(const std::function<std::string()>& work, std::size_t limit = 1 << 20,
                                     std::chrono::milliseconds timeout = std::chrono::seconds(5));

} // namespace kudo
