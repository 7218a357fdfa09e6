// SPDX-License-Identifier: MIT
#include "agent/query/exchange.h"

#include <sys/socket.h>
#include <sys/uio.h>

#include <algorithm>
#include <array>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace kudo {
namespace {

using Json = nlohmann::json;

constexpr std::size_t max_piece = 32768; // well below net.core.wmem_default

bool is_word(const Json& word) {
    if (!word.is_string()) return false;
    const auto& text = word.get_ref<const std::string&>();
    return !text.empty() && text.size() <= max_query_word &&
           std::ranges::all_of(text, [](char letter) { return letter >= ' ' && letter <= '~'; });
}

template <typename T> bool read_field(const Json& query, const char* name, T& value) {
    const auto field = query.find(name);
    if (field == query.end()) return false;
    if constexpr (std::is_same_v<T, bool>) {
        if (!field->is_boolean()) return false;
    } else if (!field->is_number_unsigned()) {
        return false;
    }
    value = field->get<T>();
    return true;
}

} // namespace

std::string write_query(const Query& query) {
    return Json{{"instance", query.instance}, {"words", query.words},   {"json", query.json},
                {"colour", query.colour},     {"screen", query.screen}, {"width", query.width}}
        .dump(-1, ' ', true, Json::error_handler_t::replace);
}

Result<Query> read_query(std::string_view message) {
    if (message.size() > max_query_bytes)
        return bad_input(fmt::format("the query is larger than {} bytes", max_query_bytes));
    const Json json = Json::parse(message, nullptr, false);
    if (!json.is_object()) return bad_input("the query is not a JSON object");
    Query query;
    if (!read_field(json, "instance", query.instance) || !read_field(json, "json", query.json) ||
        !read_field(json, "colour", query.colour) || !read_field(json, "screen", query.screen) ||
        !read_field(json, "width", query.width))
        return bad_input("the query lacks a field, or one is of another type");
    const auto words = json.find("words");
    if (words == json.end() || !words->is_array() || words->empty() || words->size() > max_query_words ||
        !std::ranges::all_of(*words, is_word))
        return bad_input(fmt::format("words of the query: expected 1 to {} of 1 to {} printable characters each",
                                     max_query_words, max_query_word));
    query.words = words->get<std::vector<std::string>>();
    query.width = std::clamp<std::size_t>(query.width, 40, 1000);
    return query;
}

Result<void> send_piece(int socket, AnswerKind kind, std::string_view content) {
    do {
        const std::string_view part = content.substr(0, max_piece);
        content.remove_prefix(part.size());
        std::array<iovec, 2> parts{iovec{&kind, sizeof kind}, iovec{const_cast<char*>(part.data()), part.size()}};
        msghdr message{};
        message.msg_iov = parts.data();
        message.msg_iovlen = parts.size();
        ssize_t sent = -1;
        do {
            sent = sendmsg(socket, &message, MSG_NOSIGNAL);
        } while (sent < 0 && errno == EINTR);
        if (sent < 0) return fail_errno("cannot send the answer");
    } while (!content.empty());
    return {};
}

Result<AnswerPiece> receive_piece(int socket) {
    std::string buffer(max_piece + 1, '\0');
    ssize_t got = recv(socket, buffer.data(), buffer.size(), MSG_TRUNC);
    // Closed before the question was read, which comes first; behind it is what was said.
    if (got < 0 && errno == ECONNRESET) got = recv(socket, buffer.data(), buffer.size(), MSG_TRUNC);
    if (got < 0) return fail_errno("cannot receive the answer");
    if (got == 0) return fail("the answer was cut off: see the service's log", EPIPE);
    const char kind = buffer.front();
    if (static_cast<std::size_t>(got) > buffer.size() ||
        std::string_view("woldfb").find(kind) == std::string_view::npos)
        return fail("the answer is not one of kudo-agent's", EPROTO);
    return AnswerPiece{static_cast<AnswerKind>(kind), buffer.substr(1, static_cast<std::size_t>(got) - 1)};
}

Result<void> send_outcome(int socket, const Result<int>& outcome) {
    if (outcome) return send_piece(socket, AnswerKind::Done, std::string(1, static_cast<char>(*outcome)));
    const Error& error = outcome.error();
    const auto piece = error.number == EAGAIN ? AnswerKind::Busy : AnswerKind::Failed;
    return send_piece(socket, piece, (static_cast<char>(error.kind) + error.message).substr(0, max_piece));
}

Result<int> read_outcome(const AnswerPiece& piece) {
    if (piece.content.empty()) return fail("the answer is not one of kudo-agent's", EPROTO);
    const auto first = static_cast<unsigned char>(piece.content.front());
    if (piece.kind == AnswerKind::Done) return first;
    const bool known =
        first >= static_cast<int>(ErrorKind::Failed) && first <= static_cast<int>(ErrorKind::NotPermitted);
    return fail(Error{known ? static_cast<ErrorKind>(first) : ErrorKind::Failed, piece.content.substr(1),
                      piece.kind == AnswerKind::Busy ? EAGAIN : 0});
}

} // namespace kudo
