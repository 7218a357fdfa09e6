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

struct AnswerOutput {
    std::function<Result<void>(std::string_view)> output, log;
    bool goes_on = false; // after the first piece, as seldom as was asked for
};

// The connection. Errors have errno: nobody is there (ENOENT, ECONNREFUSED), not allowed (EACCES), too busy (EAGAIN).
Result<Fd> reach_service(const std::filesystem::path& socket);

// Gives out the answer piece by piece, and then the exit status or the error that the command ended with.
Result<int> ask_service(const Fd& service, const Query& query, const AnswerOutput& to);

} // namespace kudo
