// SPDX-License-Identifier: MIT
#include "agent/query/server.h"

#include <grp.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
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

constexpr char please = '?', yes = 'y', no = 'n';

// In the process of the answer: asks the service for a place. `service`: the socket to it.
Result<void> take_lasting_place(int service) {
    char answer = no;
    if (write(service, &please, 1) != 1 || read(service, &answer, 1) != 1) return fail_errno("cannot ask for a place");
    if (answer == yes) return {};
    return fail(fmt::format("the service answers {} that last already, of this user or of all: end a top, a report or "
                            "a stats --watch",
                            max_askers_of_a_user),
                EBUSY);
}

// In the process of the answer.
void answer(int service, int connection, const QuerySettings& settings) {
    const timeval ask = timeval_of(ask_within), read = timeval_of(read_within);
    setsockopt(connection, SOL_SOCKET, SO_RCVTIMEO, &ask, sizeof ask);
    setsockopt(connection, SOL_SOCKET, SO_SNDTIMEO, &read, sizeof read);
    alarm(static_cast<unsigned>(answer_within.count()));
    std::string message(max_query_bytes + 1, '\0');
    const ssize_t got = recv(connection, message.data(), message.size(), 0);
    if (got <= 0) return; // nothing was asked
    message.resize(static_cast<std::size_t>(got));
    const auto begin = [&](const AnswerTime& time) -> Result<void> {
        if (time.lasts) KUDO_TRY(take_lasting_place(service));
        alarm(static_cast<unsigned>(std::min(time.within, longest_answer).count()));
        return send_piece(connection, AnswerKind::Begun, "");
    };
    const auto outcome = [&]() -> Result<int> {
        return settings.answer(KUDO_TRY(read_query(message)), connection, begin);
    }();
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
        if (errno == EAGAIN || errno == EINTR || errno == ECONNABORTED) return;
        listening_.reset(); // until the next open(): it would stay readable
        return;
    }
    const auto peer = peer_of(connection.get());
    if (!peer) return refuse(connection, peer.error());
    if (!may_query(*peer, getegid()))
        return refuse(connection, {ErrorKind::NotPermitted,
                                   fmt::format("user {} is not in the service's group ({})", peer->user, getegid())});
    end_those_that_ended();
    if (auto place = check_place(false, peer->user); !place) return refuse(connection, place.error());
    start(*peer, std::move(connection));
}

std::size_t QueryServer::count(bool lasting, std::optional<uid_t> user) const {
    return static_cast<std::size_t>(std::ranges::count_if(
        askers_, [&](const Asker& asker) { return asker.lasts == lasting && (!user || asker.user == *user); }));
}

Result<void> QueryServer::check_place(bool lasting, uid_t user) const {
    const std::size_t all = count(lasting), of_user = count(lasting, user);
    if (all < max_askers && of_user < max_askers_of_a_user) return {};
    return fail(fmt::format("the service is answering {} others already; try again", all >= max_askers ? all : of_user),
                EAGAIN);
}

void QueryServer::start(const Peer& peer, Fd connection) {
    auto process = ConfinedProcess::start(
        Confinement::Reading, [this](int service) { answer(service, ConfinedProcess::first_more_fd, settings_); },
        std::array{connection.get()});
    if (!process) return spdlog::warn("a query cannot be answered: {}", process.error().message);
    Fd ended(static_cast<int>(syscall(SYS_pidfd_open, process->pid(), 0)));
    if (!ended) return spdlog::warn("a query cannot be answered: pidfd_open: {}", strerror(errno));
    const auto asker =
        askers_.insert(askers_.end(), Asker{peer.user, std::move(connection), std::move(*process), std::move(ended)});
    const auto on_end = [this, asker] {
        if (is_so(asker->ended.get(), POLLIN)) end(asker);
    };
    const auto on_hang_up = [this, asker] {
        if (!is_so(asker->connection.get(), POLLRDHUP)) return;
        kill(asker->process.pid(), SIGKILL);
        loop_.forget(asker->connection.get()); // it stays so until the process has ended, which may take a while
    };
    if (!loop_.watch(asker->ended.get(), on_end) ||
        !loop_.watch(asker->process.socket(), [this, asker] { give_lasting_place(asker); }) ||
        !loop_.watch(asker->connection.get(), on_hang_up, EPOLLRDHUP))
        end(asker);
}

// Whatever the process says, it is heard once.
void QueryServer::give_lasting_place(Place asker) {
    char said = 0;
    const ssize_t got = read(asker->process.socket(), &said, 1);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
    loop_.forget(asker->process.socket());
    if (got != 1 || said != please) return;
    asker->lasts = check_place(true, asker->user).has_value();
    const char answer = asker->lasts ? yes : no;
    if (write(asker->process.socket(), &answer, 1) != 1) spdlog::debug("a process that answers is gone");
}

void QueryServer::end(Place asker) {
    loop_.forget(asker->connection.get());
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
