// SPDX-License-Identifier: MIT
#include "agent/query/ask.h"

#include <sys/socket.h>
#include <sys/time.h>

#include <chrono>
#include <thread>

#include "agent/query/server.h"
#include "agent/query/socket.h"

namespace kudo {
namespace {

constexpr std::chrono::seconds reach_within{5};
constexpr std::chrono::milliseconds busy_wait{50};
constexpr int busy_tries = 100;

// How long nothing may come. A service that has stopped keeps the connection.
void wait_at_most(int service, std::chrono::seconds time) {
    const timeval wait{.tv_sec = time.count(), .tv_usec = 0};
    setsockopt(service, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait);
}

Result<AnswerPiece> next_piece(int service) {
    auto piece = receive_piece(service);
    if (!piece && piece.error().number == EAGAIN)
        return fail("the service does not answer: systemctl status kudo-agent", ETIMEDOUT);
    return piece;
}

Result<void> try_asking(const Fd& service, const std::string& message) {
    // A refusal may have come, and the connection be closed: it is read below.
    if (send(service.get(), message.data(), message.size(), MSG_NOSIGNAL) < 0 && errno != EPIPE && errno != ECONNRESET)
        return fail_errno("cannot ask the service");
    wait_at_most(service.get(), ask_within + reach_within);
    const AnswerPiece piece = KUDO_TRY(next_piece(service.get()));
    if (piece.kind == AnswerKind::Begun) return {};
    if (auto outcome = read_outcome(piece); !outcome) return fail(std::move(outcome.error()));
    return fail("the answer is not one of kudo-agent's", EPROTO);
}

} // namespace

Result<Fd> reach_service(const std::filesystem::path& socket) {
    return connect_to(socket, SOCK_SEQPACKET, reach_within);
}

Result<Fd> begin_asking(Fd service, const ServiceQuery& asked) {
    const std::string message = write_query(asked.query);
    if (message.size() > max_query_bytes) return bad_input("the command line is too long to ask the service with");
    auto begun = try_asking(service, message);
    for (int tries = 0; !begun && begun.error().number == EAGAIN && tries < busy_tries; ++tries) {
        std::this_thread::sleep_for(busy_wait);
        service = KUDO_TRY(reach_service(asked.socket));
        begun = try_asking(service, message);
    }
    if (!begun) return fail(std::move(begun.error()));
    return service;
}

Result<int> read_answer(const Fd& service, const AnswerOutput& to) {
    wait_at_most(service.get(), to.goes_on ? std::chrono::seconds(0) : longest_answer + reach_within);
    while (true) {
        const AnswerPiece piece = KUDO_TRY(next_piece(service.get()));
        if (piece.kind == AnswerKind::Output)
            KUDO_TRY(to.output(piece.content));
        else if (piece.kind == AnswerKind::Log)
            KUDO_TRY(to.log(piece.content));
        else
            return read_outcome(piece);
    }
}

} // namespace kudo
