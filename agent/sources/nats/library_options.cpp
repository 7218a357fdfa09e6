// SPDX-License-Identifier: MIT
#include "agent/sources/nats/library_options.h"

#include <vector>

#include <fmt/format.h>

#include "agent/sources/nats/credentials.h"
#include "agent/sources/nats/failure.h"

namespace kudo {
namespace {

using Options = NatsHandle<natsOptions, natsOptions_Destroy>;

Result<void> accepted(natsStatus status, std::string_view where, std::string_view what) {
    if (status != NATS_OK) return nats_failure(where, what, status);
    return {};
}

Result<void> set_tls(natsOptions* made, const NatsOptions& options, const std::string& where) {
    // libnats 3.4.1 connects to tls:// in the clear if the server offers no TLS, unless told not to.
    if (options.wants_tls()) KUDO_TRY(accepted(natsOptions_SetSecure(made, true), where, "cannot use TLS"));
    if (!options.ca_file.empty())
        KUDO_TRY(accepted(natsOptions_LoadCATrustedCertificates(made, options.ca_file.c_str()), where,
                          options.ca_file + ": cannot load the CA's certificate"));
    if (!options.certificate.empty() || !options.key.empty())
        KUDO_TRY(
            accepted(natsOptions_LoadCertificatesChain(made, options.certificate.c_str(), options.key.c_str()), where,
                     fmt::format("{}, {}: cannot load our certificate and its key", options.certificate, options.key)));
    return {};
}

Result<void> set_credentials(natsOptions* made, const std::string& file) {
    if (file.empty()) return {};
    const auto credentials = KUDO_TRY(read_nats_credentials(file));
    if (credentials.is_jwt())
        return accepted(natsOptions_SetUserCredentialsFromFiles(made, file.c_str(), nullptr), file,
                        "cannot use the user's JWT");
    return accepted(natsOptions_SetUserInfo(made, credentials.user.c_str(), credentials.password.c_str()), file,
                    "cannot use the credentials");
}

} // namespace

Result<Options> library_options(const NatsOptions& options) {
    Options made;
    if (natsOptions_Create(made.fill()) != NATS_OK) return fail("out of memory");
    const std::string where = redacted_url(options.url), name = "kudo-agent " + options.host;
    const std::vector<std::string> urls = options.urls();
    std::vector<const char*> servers;
    for (const std::string& url : urls)
        servers.push_back(url.c_str());
    natsOptions* const to = made.get();
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
          {natsOptions_SetServers(to, servers.data(), static_cast<int>(servers.size())), "wrong URL"}})
        KUDO_TRY(accepted(status, where, what));
    KUDO_TRY(set_tls(to, options, where));
    KUDO_TRY(set_credentials(to, options.credentials));
    return made;
}

} // namespace kudo
