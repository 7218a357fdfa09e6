// SPDX-License-Identifier: MIT
#include "agent/sources/nats/library_options.h"

#include <vector>

#include <fmt/format.h>

#include "agent/sources/nats/credentials.h"
#include "agent/sources/nats/failure.h"

namespace kudo {
namespace {

// The first refusal counts.
class Wishes {
public:
    explicit Wishes(natsStatus status) : status_(status) {}
    Wishes& then(natsStatus status, std::string_view what) {
        if (status_ == NATS_OK && status != NATS_OK) {
            status_ = status;
            what_ = what;
        }
        return *this;
    }
    [[nodiscard]] Result<void> result(std::string_view where) const {
        if (status_ != NATS_OK) return nats_failure(where, what_, status_);
        return {};
    }

private:
    natsStatus status_;
    std::string what_ = "cannot prepare the connection";
};

Result<void> set_servers(natsOptions* wishes, const NatsOptions& options) {
    const std::vector<std::string> urls = options.urls();
    std::vector<const char*> servers;
    for (const std::string& url : urls)
        servers.push_back(url.c_str());
    return Wishes(NATS_OK)
        .then(natsOptions_SetServers(wishes, servers.data(), static_cast<int>(servers.size())), "wrong URL")
        .result(redacted_url(options.url));
}

Result<void> set_tls(natsOptions* wishes, const NatsOptions& options) {
    Wishes result(NATS_OK);
    // libnats 3.4.1 connects to tls:// in the clear if the server offers no TLS, unless told not to.
    if (options.wants_tls()) result.then(natsOptions_SetSecure(wishes, true), "cannot use TLS");
    if (!options.ca_file.empty())
        result.then(natsOptions_LoadCATrustedCertificates(wishes, options.ca_file.c_str()),
                    options.ca_file + ": cannot load the CA's certificate");
    if (!options.certificate.empty() || !options.key.empty())
        result.then(natsOptions_LoadCertificatesChain(wishes, options.certificate.c_str(), options.key.c_str()),
                    fmt::format("{}, {}: cannot load our certificate and its key", options.certificate, options.key));
    return result.result(redacted_url(options.url));
}

Result<void> set_credentials(natsOptions* wishes, const NatsOptions& options) {
    if (options.credentials.empty()) return {};
    const auto credentials = KUDO_TRY(read_nats_credentials(options.credentials));
    Wishes result(NATS_OK);
    const char* file = options.credentials.c_str();
    switch (credentials.kind) {
    case NatsCredentialsKind::User:
        result.then(natsOptions_SetUserInfo(wishes, credentials.user.c_str(), credentials.password.c_str()),
                    "cannot use the credentials");
        break;
    case NatsCredentialsKind::NKey:
        result.then(natsOptions_SetNKeyFromSeed(wishes, credentials.public_key.c_str(), file),
                    "cannot use the NKey seed");
        break;
    case NatsCredentialsKind::UserToken:
        result.then(natsOptions_SetUserCredentialsFromFiles(wishes, file, nullptr), "cannot use the user's JWT");
        break;
    }
    return result.result(options.credentials);
}

} // namespace

Result<NatsHandle<natsOptions, natsOptions_Destroy>> nats_wishes(const NatsOptions& options) {
    NatsHandle<natsOptions, natsOptions_Destroy> wishes;
    if (natsOptions_Create(wishes.fill()) != NATS_OK) return fail("out of memory");
    const std::string name = "kudo-agent " + options.host;
    KUDO_TRY(Wishes(NATS_OK)
                 .then(natsOptions_SetName(wishes.get(), name.c_str()), "name")
                 .then(natsOptions_SetTimeout(wishes.get(), options.connect_wait.count()), "connect wait")
                 .then(natsOptions_SetWriteDeadline(wishes.get(), options.answer_wait.count()), "answer wait")
                 .then(natsOptions_SetAllowReconnect(wishes.get(), false), "no reconnecting")
                 // The server tells of others of its cluster: nobody whom the admin has not named is asked.
                 .then(natsOptions_SetIgnoreDiscoveredServers(wishes.get(), true), "named servers only")
                 // One thread for all subscriptions of the process; bells are short.
                 .then(natsOptions_UseGlobalMessageDelivery(wishes.get(), true), "message delivery")
                 .then(natsOptions_SetSendAsap(wishes.get(), true), "send at once")
                 .result(redacted_url(options.url)));
    KUDO_TRY(set_servers(wishes.get(), options));
    KUDO_TRY(set_tls(wishes.get(), options));
    KUDO_TRY(set_credentials(wishes.get(), options));
    return wishes;
}

} // namespace kudo
