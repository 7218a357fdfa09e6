// SPDX-License-Identifier: MIT
#include "agent/query/ask.h"

#include <sys/socket.h>
#include <sys/time.h>

#include "agent/query/socket.h"

namespace kudo {
namespace {

constexpr std::chrono::seconds reach_within{5};

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
    while (true) {
        const auto piece = KUDO_TRY(receive_piece(service.get()));
        if (piece.kind == AnswerKind::Output)
            KUDO_TRY(to.output(piece.content));
        else if (piece.kind == AnswerKind::Log)
            KUDO_TRY(to.log(piece.content));
        else
            return read_outcome(piece);
    }
}

} // namespace kudo
