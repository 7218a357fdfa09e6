// SPDX-License-Identifier: MIT
// Asks the service, from a process without privileges.
#pragma once

#include <filesystem>
#include <functional>
#include <string_view>

#include "agent/query/exchange.h"
#include "agent/system/fd.h"
#include "maps/base/result.h"

namespace kudo {

// What is asked, and where.
struct ServiceQuery {
    std::filesystem::path socket;
    Query query;
};

// The connection. Errors have errno: nobody is there (ENOENT, ECONNREFUSED), not allowed (EACCES), too busy (EAGAIN).
Result<Fd> reach_service(const std::filesystem::path& socket);

// The connection by which the answer comes, once it has begun; another one where the service was busy at first. Errors
// are the service's own, or have errno: still busy (EAGAIN), no answer (ETIMEDOUT).
Result<Fd> begin_asking(Fd service, const ServiceQuery& asked);

struct AnswerOutput {
    std::function<Result<void>(std::string_view)> output, log;
    bool goes_on = false; // as seldom as was asked for, and without an end
};
// Gives out the answer piece by piece, and then the exit status or the error that the command ended with.
Result<int> read_answer(const Fd& service, const AnswerOutput& to);

} // namespace kudo
