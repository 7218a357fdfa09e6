// SPDX-License-Identifier: MIT
#include "agent/query/ask.h"

#include <sys/socket.h>
#include <sys/time.h>

#include "agent/query/server.h"
#include "agent/query/socket.h"

namespace kudo {
namespace {

constexpr std::chrono::seconds reach_within{5};

// How long nothing may come. A service that has stopped keeps the connection.
void wait_at_most(int service, std::chrono::seconds time) {
    const timeval wait{.tv_sec = time.count(), .tv_usec = 0};
    setsockopt(service, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait);
}

} // namespace

Result<Fd> reach_service(const std::filesystem::path& socket) {
    return connect_to(socket, SOCK_SEQPACKET, reach_within);
}

Result<int> ask_service(const Fd& service, const Query& query, const AnswerOutput& to) {
    const std::string message = write_query(query);
    if (message.size() > max_query_bytes) return bad_input("the command line is too long to ask the service with");
    // A refusal may have come, and the connection be closed: it is read below.
    if (send(service.get(), message.data(), message.size(), MSG_NOSIGNAL) < 0 && errno != EPIPE && errno != ECONNRESET)
        return fail_errno("cannot ask the service");
    wait_at_most(service.get(), answer_within + reach_within);
    while (true) {
        const auto received = receive_piece(service.get());
        if (!received && received.error().number == EAGAIN)
            return fail("the service does not answer: systemctl status kudo-agent", ETIMEDOUT);
        const AnswerPiece piece = KUDO_TRY(received);
        if (to.goes_on) wait_at_most(service.get(), {}); // as often as it was asked for
        if (piece.kind == AnswerKind::Output)
            KUDO_TRY(to.output(piece.content));
        else if (piece.kind == AnswerKind::Log)
            KUDO_TRY(to.log(piece.content));
        else
            return read_outcome(piece);
    }
}

} // namespace kudo
