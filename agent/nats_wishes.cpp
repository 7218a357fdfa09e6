// SPDX-License-Identifier: MIT
// From our options to libnats's. Used by the connection to the message server.
// Invariant: a setting that libnats refuses is an Error, never a connection without it: no TLS wish is lost.
#include <vector>

#include <fmt/format.h>

#include "agent/nats_credentials.h"
#include "agent/nats_handles.h"
#include "maps/text.h"

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

std::vector<std::string> split(const std::string& url) {
    std::vector<std::string> urls{""};
    for (const char c : url) {
        if (c == ',')
            urls.emplace_back();
        else
            urls.back() += c;
    }
    return urls;
}

bool wants_tls(const NatsOptions& options) {
    return !options.ca_file.empty() || !options.certificate.empty() || !options.key.empty() ||
           options.url.find("tls://") != std::string::npos;
}

Result<void> set_servers(natsOptions* wishes, const NatsOptions& options) {
    const std::vector<std::string> urls = split(options.url);
    std::vector<const char*> servers;
    for (const std::string& url : urls)
        servers.push_back(url.c_str());
    return Wishes(NATS_OK)
        .then(natsOptions_SetServers(wishes, servers.data(), static_cast<int>(servers.size())), "wrong URL")
        .result(url_for_people(options.url));
}

Result<void> set_tls(natsOptions* wishes, const NatsOptions& options) {
    Wishes result(NATS_OK);
    // libnats 3.4.1 connects to tls:// in the clear if the server offers no TLS, unless told not to.
    if (wants_tls(options)) result.then(natsOptions_SetSecure(wishes, true), "cannot use TLS");
    if (!options.ca_file.empty())
        result.then(natsOptions_LoadCATrustedCertificates(wishes, options.ca_file.c_str()),
                    options.ca_file + ": cannot load the CA's certificate");
    if (!options.certificate.empty() || !options.key.empty())
        result.then(natsOptions_LoadCertificatesChain(wishes, options.certificate.c_str(), options.key.c_str()),
                    fmt::format("{}, {}: cannot load our certificate and its key", options.certificate, options.key));
    return result.result(url_for_people(options.url));
}

Result<void> set_credentials(natsOptions* wishes, const NatsOptions& options) {
    if (options.credentials.empty()) return {};
    const auto credentials = read_nats_credentials(options.credentials);
    if (!credentials) return fail(credentials.error());
    Wishes result(NATS_OK);
    const char* file = options.credentials.c_str();
    switch (credentials->kind) {
    case NatsCredentialsKind::User:
        result.then(natsOptions_SetUserInfo(wishes, credentials->user.c_str(), credentials->password.c_str()),
                    "cannot use the credentials");
        break;
    case NatsCredentialsKind::NKey:
        result.then(natsOptions_SetNKeyFromSeed(wishes, credentials->public_key.c_str(), file),
                    "cannot use the NKey seed");
        break;
    case NatsCredentialsKind::UserToken:
        result.then(natsOptions_SetUserCredentialsFromFiles(wishes, file, nullptr), "cannot use the user's JWT");
        break;
    }
    return result.result(options.credentials);
}

} // namespace

tl::unexpected<Error> nats_failure(std::string_view where, std::string_view what, natsStatus status) {
    // The last error of this thread is of an earlier call if this one has set none.
    natsStatus last = NATS_OK;
    const char* details = nats_GetLastError(&last);
    std::string_view words = last == status && details && *details ? details : natsStatus_GetText(status);
    // "(conn.c:2088): No server available for connection"
    if (const auto place = words.find("): "); words.starts_with('(') && place != std::string_view::npos)
        words.remove_prefix(place + 3);
    std::string text;
    for (const char c : words.substr(0, 300))
        text += c >= ' ' && c <= '~' ? c : ' ';
    return fail(fmt::format("{}: {}: {}", where, what, text));
}

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
                 .result(url_for_people(options.url)));
    KUDO_TRY(set_servers(wishes.get(), options));
    KUDO_TRY(set_tls(wishes.get(), options));
    KUDO_TRY(set_credentials(wishes.get(), options));
    return wishes;
}

std::vector<NatsOptions> one_by_one(const NatsOptions& options) {
    constexpr std::string_view plain = "nats://";
    std::vector<NatsOptions> each;
    for (std::string& url : split(options.url)) {
        if (wants_tls(options) && url.starts_with(plain)) url.replace(0, plain.size(), "tls://");
        each.push_back(options);
        each.back().url = std::move(url);
    }
    return each;
}

std::string url_for_people(std::string_view url) {
    std::string result;
    while (true) {
        const std::string_view one = url.substr(0, url.find(','));
        const std::size_t scheme = one.find("://");
        const std::size_t begin = scheme == std::string_view::npos ? 0 : scheme + 3;
        const std::size_t at = one.rfind('@');
        result += one.substr(0, begin);
        result += one.substr(at == std::string_view::npos || at < begin ? begin : at + 1);
        if (one.size() == url.size()) return escaped(result, 300);
        result += ',';
        url.remove_prefix(one.size() + 1);
    }
}

} // namespace kudo
