// SPDX-License-Identifier: MIT
// Result<T>: a value or an Error.
// Invariant: an Error says what, where and, if the system said it, errno; it is printed once, in cli/main.cpp.
#pragma once

#include <cerrno>
#include <string>
#include <string_view>
#include <utility>

#include <tl/expected.hpp>

namespace kudo {

// The exit status that an error leads to (DESIGN: command line).
enum class ErrorKind {
    Failed = 1,       // something that should have worked did not
    BadInput = 2,     // what the person or the file said is wrong; nothing was changed
    NotEnabled = 3,   // there is no data path to act on
    Degraded = 4,     // it runs, but not as desired
    NotPermitted = 5, // capabilities are missing
};

struct Error {
    ErrorKind kind = ErrorKind::Failed;
    std::string message; // one line: what, where, what to do
    int number = 0;      // errno, or 0

    // "where: message", for context added on the way up.
    [[nodiscard]] Error in(std::string_view where) && {
        message = std::string(where) + ": " + message;
        return std::move(*this);
    }
};

template <typename T> class [[nodiscard]] Result : public tl::expected<T, Error> {
public:
    using tl::expected<T, Error>::expected;

    // An error with context, "where: message"; a value as it is.
    [[nodiscard]] Result in(std::string_view where) && {
        if (!*this) this->error() = std::move(this->error()).in(where);
        return std::move(*this);
    }
};

inline tl::unexpected<Error> fail(std::string message, int number = 0) {
    return tl::make_unexpected(Error{ErrorKind::Failed, std::move(message), number});
}
inline tl::unexpected<Error> bad_input(std::string message) {
    return tl::make_unexpected(Error{ErrorKind::BadInput, std::move(message), 0});
}
inline tl::unexpected<Error> fail(Error error) {
    return tl::make_unexpected(std::move(error));
}

// "what: strerror(errno)", keeping errno.
tl::unexpected<Error> fail_errno(std::string_view what, int number = errno);

// For KUDO_TRY only.
template <typename T> T value_of(Result<T>& result) {
    return std::move(*result);
}
inline void value_of(Result<void>&) {}

} // namespace kudo

// The value of a Result; an error leaves the enclosing function with it. The name is made for each use, so that one may
// be inside another. Not between the braces of an initialiser: leaving there, compilers (clang 14, gcc 12) do not
// destroy the members before it; tests/structure refuses that.
#define KUDO_TRY(...) KUDO_TRY_AS(__COUNTER__, __VA_ARGS__)
#define KUDO_TRY_AS(number, ...) KUDO_TRY_NAMED(number, __VA_ARGS__)
#define KUDO_TRY_NAMED(number, ...)                                                                                    \
    __extension__({                                                                                                    \
        auto kudo_result_##number = (__VA_ARGS__);                                                                     \
        if (!kudo_result_##number) return tl::make_unexpected(std::move(kudo_result_##number.error()));                \
        ::kudo::value_of(kudo_result_##number);                                                                        \
    })
