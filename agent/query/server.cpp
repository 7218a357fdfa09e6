// SPDX-License-Identifier: MIT
#include "agent/query/server.h"

#include <grp.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <iterator>

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <spdlog/spdlog.h>

namespace kudo {
namespace {

// Events of a descriptor that was closed may still be told for the one that has its number now.
bool is_so(int fd, short event) {
    pollfd wait{fd, event, 0};
    return poll(&wait, 1, 0) > 0;
}

timeval timeval_of(std::chrono::seconds time) {
    return {time.count(), 0};
}

// The answer that somebody gets who is not answered; nobody is waited for.
void refuse(const Fd& connection, Error why) {
    fcntl(connection.get(), F_SETFL, O_NONBLOCK);
    if (!send_outcome(connection.get(), fail(std::move(why)))) spdlog::debug("an asker is gone");
}

// In the process of the answer.
void answer(int connection, const QuerySettings& settings) {
    const timeval ask = timeval_of(ask_within), read = timeval_of(read_within);
    setsockopt(connection, SOL_SOCKET, SO_RCVTIMEO, &ask, sizeof ask);
    setsockopt(connection, SOL_SOCKET, SO_SNDTIMEO, &read, sizeof read);
    alarm(static_cast<unsigned>(answer_within.count()));
    std::string message(max_query_bytes + 1, '\0');
    const ssize_t got = recv(connection, message.data(), message.size(), 0);
    if (got <= 0) return; // nothing was asked
    message.resize(static_cast<std::size_t>(got));
    const auto outcome = [&]() -> Result<int> { return settings.answer(KUDO_TRY(read_query(message)), connection); }();
    // Whoever has left, or does not read, has no use for it.
    if (!outcome && (outcome.error().number == EPIPE || outcome.error().number == EAGAIN)) return;
    if (const auto sent = send_outcome(connection, outcome); !sent) spdlog::debug("{}", sent.error().message);
}

} // namespace

Result<void> QueryServer::open() {
    if (settings_.socket.empty() || (listening_ && listening_->is_there())) return {};
    listening_.reset();
    listening_.emplace(KUDO_TRY(ListeningSocket::open(settings_.socket, SOCK_SEQPACKET)));
    return loop_.watch(listening_->fd(), [this] { accept_one(); });
}

void QueryServer::accept_one() {
    Fd connection(accept4(listening_->fd(), nullptr, nullptr, SOCK_CLOEXEC));
    if (!connection) {
        if (errno == EMFILE || errno == ENFILE) listening_.reset(); // until the next open(): it would stay readable
        return;
    }
    const auto peer = peer_of(connection.get());
    if (!peer) return refuse(connection, peer.error());
    if (!may_query(*peer, getegid()))
        return refuse(connection, {ErrorKind::NotPermitted,
                                   fmt::format("user {} is not in the service's group ({})", peer->user, getegid())});
    end_those_that_ended();
    const auto of_user = std::ranges::count(askers_, peer->user, &Asker::user);
    if (askers_.size() >= max_askers || static_cast<std::size_t>(of_user) >= max_askers_of_a_user)
        return refuse(connection,
                      {ErrorKind::Failed,
                       fmt::format("the service is answering {} others already; try again",
                                   askers_.size() >= max_askers ? askers_.size() : static_cast<std::size_t>(of_user)),
                       EAGAIN});
    start(*peer, std::move(connection));
}

void QueryServer::start(const Peer& peer, Fd connection) {
    auto process = ConfinedProcess::start(Confinement::Reading, std::move(connection),
                                          [this](int socket) { answer(socket, settings_); });
    if (!process) return spdlog::warn("a query cannot be answered: {}", process.error().message);
    Fd ended(static_cast<int>(syscall(SYS_pidfd_open, process->pid(), 0)));
    if (!ended) return spdlog::warn("a query cannot be answered: pidfd_open: {}", strerror(errno));
    const auto asker = askers_.insert(askers_.end(), Asker{peer.user, std::move(*process), std::move(ended)});
    const auto on_end = [this, asker] {
        if (is_so(asker->ended.get(), POLLIN)) end(asker);
    };
    const auto on_hang_up = [asker] {
        if (is_so(asker->process.socket(), POLLRDHUP)) kill(asker->process.pid(), SIGKILL);
    };
    if (!loop_.watch(asker->ended.get(), on_end) || !loop_.watch(asker->process.socket(), on_hang_up, EPOLLRDHUP))
        end(asker);
}

void QueryServer::end(std::list<Asker>::iterator asker) {
    loop_.forget(asker->process.socket());
    loop_.forget(asker->ended.get());
    const std::string how = asker->process.end();
    spdlog::debug("a query of user {}: {}", asker->user, how);
    askers_.erase(asker);
}

// Whose end the loop has not told yet.
void QueryServer::end_those_that_ended() {
    for (auto asker = askers_.begin(); asker != askers_.end();) {
        const auto next = std::next(asker);
        if (is_so(asker->ended.get(), POLLIN)) end(asker);
        asker = next;
    }
}

} // namespace kudo
