// SPDX-License-Identifier: MIT
#include "agent/sources/nats/credentials.h"

#include "agent/system/files.h"

namespace kudo {

Result<NatsCredentials> read_nats_credentials(const std::string& path) {
    constexpr std::size_t max_bytes = 64 * 1024;
    constexpr const char* blank = " \t\r\n";
    const std::string text = KUDO_TRY(read_file(path, max_bytes));
    if (text.find("-----BEGIN NATS USER JWT-----") != std::string::npos) return NatsCredentials{};
    std::string line = text.substr(std::min(text.find_first_not_of(blank), text.size()));
    line.erase(line.find_last_not_of(blank) + 1);
    const std::size_t colon = line.find(':');
    if (line.find('\n') == std::string::npos && colon != std::string::npos && colon > 0)
        return NatsCredentials{line.substr(0, colon), line.substr(colon + 1)};
    if (line.starts_with("SU"))
        return bad_input(path +
                         ": a bare NKey seed cannot be used; write a line USER:PASSWORD, or use nsc's file, which "
                         "holds the seed together with its JWT");
    return bad_input(path + ": not credentials; expected a line USER:PASSWORD, or nsc's file with a JWT and its seed");
}

} // namespace kudo
