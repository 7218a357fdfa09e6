// SPDX-License-Identifier: MIT
#include "agent/doctor/tls_probe.h"

#ifdef KUDO_HTTPS
#include <curl/curl.h>
#include <poll.h>

#include <array>
#include <filesystem>
#include <memory>
#include <string_view>
#include <thread>

#include <fmt/format.h>

#include "agent/system/files.h"
#include "maps/base/text.h"
#endif

namespace kudo {

#ifndef KUDO_HTTPS

TlsLibrary::TlsLibrary() = default;
TlsLibrary::~TlsLibrary() = default;
void probe_tls(std::vector<TlsProbe>& probes) {
    for (TlsProbe& probe : probes)
        probe.problem = "this program was built without libcurl";
}
bool has_tls_probe() {
    return false;
}
std::optional<bool> is_issued_by_added_authority(const TlsProbe&) {
    return std::nullopt;
}

#else

namespace {

using Clock = std::chrono::steady_clock;

struct Cleanup {
    void operator()(CURL* curl) const { curl_easy_cleanup(curl); }
    void operator()(curl_slist* list) const { curl_slist_free_all(list); }
};
using Curl = std::unique_ptr<CURL, Cleanup>;
using List = std::unique_ptr<curl_slist, Cleanup>;

std::string bracketed(const Address& address) {
    return address.family == Family::IPv6 ? fmt::format("[{}]", address.text()) : address.text();
}

// The first certificate's, which is the server's: "Issuer:CN = ...".
void read_certificate(CURL* curl, TlsProbe& probe) {
    curl_certinfo* chain = nullptr;
    if (curl_easy_getinfo(curl, CURLINFO_CERTINFO, &chain) != CURLE_OK || !chain || chain->num_of_certs < 1) return;
    for (const curl_slist* line = chain->certinfo[0]; line; line = line->next) {
        const std::string_view text = line->data;
        if (text.starts_with("Issuer:")) probe.issuer = escaped(text.substr(7), 200);
        if (text.starts_with("Subject:")) probe.subject = escaped(text.substr(8), 200);
    }
}

bool wait_for(CURL* curl, short events, Clock::time_point deadline) {
    curl_socket_t fd = CURL_SOCKET_BAD;
    if (curl_easy_getinfo(curl, CURLINFO_ACTIVESOCKET, &fd) != CURLE_OK || fd == CURL_SOCKET_BAD) return false;
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now()).count();
    pollfd waits{fd, events, 0};
    return left > 0 && poll(&waits, 1, static_cast<int>(left)) > 0;
}

void ask_for_allocation(CURL* curl, TlsProbe& probe, Clock::time_point deadline) {
    const StunTransaction transaction = new_stun_transaction();
    const auto request = allocate_request(transaction);
    std::size_t done = 0;
    if (curl_easy_send(curl, request.data(), request.size(), &done) != CURLE_OK || done != request.size()) return;
    std::vector<uint8_t> received;
    while (received.size() < 2048) {
        std::array<uint8_t, 2048> bytes{};
        std::size_t got = 0;
        const CURLcode code = curl_easy_recv(curl, bytes.data(), bytes.size(), &got);
        if (code == CURLE_AGAIN) {
            if (!wait_for(curl, POLLIN, deadline)) return;
            continue;
        }
        if (code != CURLE_OK || got == 0) return;
        received.insert(received.end(), bytes.begin(), bytes.begin() + static_cast<long>(got));
        const auto length = stun_length(received);
        if (!length) return;
        if (*length == 0 || received.size() < *length) continue;
        probe.response = read_stun_response(std::span(received).first(*length), transaction);
        return;
    }
}

bool concerns_certificate(CURLcode code) {
    return code == CURLE_PEER_FAILED_VERIFICATION || code == CURLE_SSL_ISSUER_ERROR;
}

// libcurl does not look at its own timeout while bytes keep coming, as from a proxy that answers without end.
int end_in_time(void* deadline, curl_off_t, curl_off_t, curl_off_t, curl_off_t) {
    return Clock::now() < *static_cast<const Clock::time_point*>(deadline) ? 0 : 1;
}

// `authorities`: PEM, in place of this host's; empty: this host's.
void run(TlsProbe& probe, const std::string& authorities) {
    const Curl curl(curl_easy_init());
    if (!curl) {
        probe.problem = "libcurl: curl_easy_init failed";
        return;
    }
    std::array<char, CURL_ERROR_SIZE> words{};
    const auto deadline = Clock::now() + probe.timeout;
    const auto set = [&](CURLoption option, auto value) { curl_easy_setopt(curl.get(), option, value); };
    const bool is_address = Address::parse(probe.host).has_value();
    set(CURLOPT_URL,
        fmt::format("https://{}:{}/", is_address ? bracketed(*Address::parse(probe.host)) : probe.host, probe.port)
            .c_str());
    List resolved;
    if (probe.to && !is_address) {
        resolved.reset(
            curl_slist_append(nullptr, fmt::format("{}:{}:{}", probe.host, probe.port, bracketed(*probe.to)).c_str()));
        set(CURLOPT_RESOLVE, resolved.get());
    }
    set(CURLOPT_PROXY, probe.proxy.c_str()); // "": none, whatever the environment says,
    set(CURLOPT_NOPROXY, "");                // also of whom it exempts
    if (!probe.proxy.empty()) set(CURLOPT_HTTPPROXYTUNNEL, 1L);
    set(CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
    set(CURLOPT_CONNECT_ONLY, 1L);
    set(CURLOPT_CERTINFO, 1L);
    set(CURLOPT_NOSIGNAL, 1L);
    set(CURLOPT_ERRORBUFFER, words.data());
    set(CURLOPT_TIMEOUT_MS, static_cast<long>(probe.timeout.count()));
    set(CURLOPT_CONNECTTIMEOUT_MS, static_cast<long>(probe.timeout.count()));
    set(CURLOPT_NOPROGRESS, 0L);
    set(CURLOPT_XFERINFOFUNCTION, end_in_time);
    set(CURLOPT_XFERINFODATA, static_cast<const void*>(&deadline));
    set(CURLOPT_SSL_VERIFYPEER, probe.verify == Verify::Nothing ? 0L : 1L);
    set(CURLOPT_SSL_VERIFYHOST, probe.verify == Verify::Name ? 2L : 0L);
    set(CURLOPT_CA_CACHE_TIMEOUT, 0L);
    if (!authorities.empty()) {
        curl_blob blob{const_cast<char*>(authorities.data()), authorities.size(), CURL_BLOB_COPY};
        set(CURLOPT_CAINFO_BLOB, &blob);
        set(CURLOPT_CAPATH, static_cast<const char*>(nullptr));
    }
    const CURLcode code = curl_easy_perform(curl.get());
    curl_easy_getinfo(curl.get(), CURLINFO_HTTP_CONNECTCODE, &probe.proxy_status);
    read_certificate(curl.get(), probe);
    curl_off_t tcp = 0, tls = 0;
    curl_easy_getinfo(curl.get(), CURLINFO_CONNECT_TIME_T, &tcp);
    curl_easy_getinfo(curl.get(), CURLINFO_APPCONNECT_TIME_T, &tls);
    probe.tcp = std::chrono::microseconds(tcp);
    probe.tls = std::chrono::microseconds(tls);
    probe.connected = code == CURLE_OK;
    if (code != CURLE_OK) {
        probe.problem = escaped(words[0] != '\0' ? words.data() : curl_easy_strerror(code), 200);
        probe.is_certificate = concerns_certificate(code);
        probe.is_local = code == CURLE_SSL_CACERT_BADFILE;
        return;
    }
    if (probe.allocate) ask_for_allocation(curl.get(), probe, deadline);
}

// All that the distribution has; what an administrator adds is in /usr/local/share (update-ca-certificates(8)).
std::string authorities_of_distribution() {
    std::string all;
    std::error_code error;
    for (const auto& entry : std::filesystem::recursive_directory_iterator("/usr/share/ca-certificates", error)) {
        if (entry.path().extension() != ".crt") continue;
        if (const auto text = read_file(entry.path(), 1 << 20)) all += *text + "\n";
    }
    return all;
}

} // namespace

TlsLibrary::TlsLibrary() {
    curl_global_init(CURL_GLOBAL_DEFAULT);
}
TlsLibrary::~TlsLibrary() {
    curl_global_cleanup();
}

void probe_tls(std::vector<TlsProbe>& probes) {
    std::vector<std::jthread> threads;
    for (TlsProbe& probe : probes)
        threads.emplace_back([&probe] {
            run(probe, "");
            // A certificate that was refused is not told: who has made it is asked for once more.
            if (!probe.is_certificate || !probe.issuer.empty()) return;
            TlsProbe again = probe;
            again.verify = Verify::Nothing;
            again.allocate = false;
            run(again, "");
            probe.issuer = again.issuer;
            probe.subject = again.subject;
        });
}

bool has_tls_probe() {
    return true;
}

std::optional<bool> is_issued_by_added_authority(const TlsProbe& probe) {
    if (!probe.connected || probe.verify == Verify::Nothing) return std::nullopt;
    const std::string authorities = authorities_of_distribution();
    if (authorities.empty()) return std::nullopt;
    TlsProbe again = probe;
    again.allocate = again.is_certificate = false;
    again.problem.clear();
    run(again, authorities);
    if (again.connected) return false;
    return again.is_certificate ? std::optional(true) : std::nullopt;
}

#endif

} // namespace kudo
