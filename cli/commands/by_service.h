// SPDX-License-Identifier: MIT
// Commands that the service answers for users without privileges (agent/query): both ends.
// Invariant: what is answered is what the command prints in the service's own process with the service's own folders;
// nothing that an asker sends names another folder, file or configuration.
#pragma once

#include "agent/query/server.h"
#include "cli/arguments/command_line.h"

namespace kudo {

// Where the service listens, or is asked; empty: nowhere, as with another --state-dir or --bpffs and no --query-socket.
std::filesystem::path query_socket_of(const GlobalOptions& global);

QuerySettings query_settings(const GlobalOptions& global);

// For a command InPart: a connection on which the service is going to answer the query. Where it cannot be asked, an
// error of lacking capabilities says so.
Result<Fd> begin_by_service(const ServiceQuery& asked);

// A piece of the answer that is for standard error.
Result<void> print_log(std::string_view text);

// Runs the command here, or, if this process lacks the capabilities and the service is there, has that answer. Where it
// is not, an error of lacking capabilities says so.
Result<int> run_here_or_by_service(const Invocation& invocation);

} // namespace kudo
