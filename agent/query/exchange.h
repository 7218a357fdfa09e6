// SPDX-License-Identifier: MIT
// What is said between an unprivileged command and the service: one question, then pieces of an answer. Each is one
// message of a unix(7) socket of type SOCK_SEQPACKET, which keeps them apart.
// Invariant: a question is checked whole before anything is done for it; whoever cannot ask or answer in this form is
// refused, never guessed at.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "maps/base/result.h"

namespace kudo {

inline constexpr std::size_t max_query_bytes = 8192, max_query_words = 32, max_query_word = 256;

// What a person typed, and how the answer is to be laid out.
struct Query {
    uint64_t instance = 0;          // instance_id() of the asker: of another instance there is no answer
    std::vector<std::string> words; // "stats", "--flows=true"; printable ASCII
    bool json = false;
    bool colour = false;
    bool screen = false;    // standard output is a terminal
    std::size_t width = 80; // characters of a line
};
std::string write_query(const Query& query);
// BadInput names what is wrong with it.
Result<Query> read_query(std::string_view message);

enum class AnswerKind : char {
    Begun = 'w',  // the first piece, unless it is Failed or Busy: the question was read, and its answer takes its time
    Output = 'o', // for standard output
    Log = 'l',    // for standard error
    Done = 'd',   // the last piece: the exit status as one byte
    Failed = 'f', // the last piece: the ErrorKind as one byte, then the error's message
    Busy = 'b',   // the first piece: as Failed; ask again
};
struct AnswerPiece {
    AnswerKind kind;
    std::string content;
};
// In as many messages as it takes; waits for the reader as long as the socket allows (SO_SNDTIMEO). An Error's number
// is EAGAIN where it has not read, EPIPE where it is gone.
Result<void> send_piece(int socket, AnswerKind kind, std::string_view content);
// Errors: the other end is gone, or does not speak this.
Result<AnswerPiece> receive_piece(int socket);

// The last piece as the outcome of a command. Of Busy the Error's number is EAGAIN.
Result<void> send_outcome(int socket, const Result<int>& outcome);
Result<int> read_outcome(const AnswerPiece& piece);

} // namespace kudo
