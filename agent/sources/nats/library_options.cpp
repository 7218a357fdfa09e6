// SPDX-License-Identifier: MIT
#include "agent/sources/nats/library_options.h"

#include <algorithm>
#include <vector>

#include <fmt/format.h>

#include "agent/system/files.h"

namespace kudo {
namespace {

struct Credentials {
    std::string user, password; // both empty: nsc's chained file, a user's JWT and its seed
};

Result<Credentials> read_credentials(const std::string& path) {
    constexpr std::size_t max_bytes = 64 * 1024;
    constexpr const char* blank = " \t\r\n";
    const std::string text = KUDO_TRY(read_file(path, max_bytes));
    if (text.find("-----BEGIN NATS USER JWT-----") != std::string::npos) return Credentials{};
    std::string line = text.substr(std::min(text.find_first_not_of(blank), text.size()));
    line.erase(line.find_last_not_of(blank) + 1);
    const std::size_t colon = line.find(':');
    if (line.find('\n') == std::string::npos && colon != std::string::npos && colon > 0)
        return Credentials{line.substr(0, colon), line.substr(colon + 1)};
    if (line.starts_with("SU"))
        return bad_input(path +
                         ": a bare NKey seed cannot be used; write a line USER:PASSWORD, or use nsc's file, which "
                         "contains the seed together with its JWT");
    return bad_input(path +
                     ": not a credentials file; expected a line USER:PASSWORD, or nsc's file with a JWT and its seed");
}

Result<void> set_tls(natsOptions* made, const NatsOptions& options, const std::string& where) {
    // libnats 3.4.1 connects to tls:// in the clear if the server offers no TLS, unless told not to.
    if (options.wants_tls()) KUDO_TRY(nats_result(natsOptions_SetSecure(made, true), where, "cannot use TLS"));
    if (!options.ca_file.empty())
        KUDO_TRY(nats_result(natsOptions_LoadCATrustedCertificates(made, options.ca_file.c_str()), where,
                             options.ca_file + ": cannot load the CA's certificate"));
    if (!options.certificate.empty() || !options.key.empty())
        KUDO_TRY(nats_result(
            natsOptions_LoadCertificatesChain(made, options.certificate.c_str(), options.key.c_str()), where,
            fmt::format("{}, {}: cannot load the client certificate and its key", options.certificate, options.key)));
    return {};
}

// True if they prove themselves by a signature.
Result<bool> set_credentials(natsOptions* made, const std::string& file) {
    if (file.empty()) return false;
    const auto credentials = KUDO_TRY(read_credentials(file));
    if (credentials.user.empty())
        KUDO_TRY(nats_result(natsOptions_SetUserCredentialsFromFiles(made, file.c_str(), nullptr), file,
                             "cannot use the user's JWT"));
    else
        KUDO_TRY(nats_result(natsOptions_SetUserInfo(made, credentials.user.c_str(), credentials.password.c_str()),
                             file, "cannot use the credentials"));
    return credentials.user.empty();
}

} // namespace

Result<LibraryOptions> library_options(const NatsOptions& options) {
    LibraryOptions made;
    if (natsOptions_Create(made.options.fill()) != NATS_OK) return fail("out of memory");
    const std::string where = redacted_url(options.url), name = "kudo-agent " + options.host;
    const std::vector<std::string> urls = options.urls();
    std::vector<const char*> servers;
    for (const std::string& url : urls)
        servers.push_back(url.c_str());
    natsOptions* const to = made.options.get();
    for (const auto& [status, what] :
         {std::pair{natsOptions_SetName(to, name.c_str()), "name"},
          {natsOptions_SetTimeout(to, options.connect_wait.count()), "connect timeout"},
          {natsOptions_SetWriteDeadline(to, options.answer_wait.count()), "write deadline"},
          // libnats gives up after credentials were refused twice, whatever its options say.
          {natsOptions_SetAllowReconnect(to, false), "no reconnecting"},
          // The server tells of others of its cluster: only those that the administrator has named are asked.
          {natsOptions_SetIgnoreDiscoveredServers(to, true), "named servers only"},
          // One thread for all subscriptions of the process; callbacks are short.
          {natsOptions_UseGlobalMessageDelivery(to, true), "message delivery"},
          {natsOptions_SetSendAsap(to, true), "send at once"},
          {natsOptions_SetServers(to, servers.data(), static_cast<int>(servers.size())), "invalid URL"}})
        KUDO_TRY(nats_result(status, where, what));
    KUDO_TRY(set_tls(to, options, where));
    made.signs = KUDO_TRY(set_credentials(to, options.credentials));
    return made;
}

} // namespace kudo
