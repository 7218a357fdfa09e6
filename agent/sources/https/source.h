// SPDX-License-Identifier: MIT
// A range map on a web server.
// Invariant: only https, certificate and host name verified; no body is kept beyond its limit; one read at a time.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <memory>
#include <random>
#include <string>

#include "agent/sources/source.h"
#include "agent/system/event_loop.h"

namespace kudo {

class CurlLoop;
class HttpsGet;

struct HttpsOptions {
    std::string url;
    std::string ca_file;      // these authorities alone are trusted; empty: the system's
    bool vendor_list = false; // the vendor's bare list: no signature is asked for, TLS is what is trusted
    std::chrono::milliseconds first_retry = std::chrono::seconds(5), max_retry = std::chrono::minutes(5);
    std::chrono::seconds timeout{30}; // for the whole of one document
};

// Reads the document and then its signature (".minisig" behind the URL's path), each only if it has changed. Delivers
// when either differs from what was delivered last, and after read_again() in any case. A signature that is not there
// (404, 410) is an empty one.
//
// A map whose signature has not changed with it, or the other way round, was probably read while it was being replaced:
// both are read once more after first_retry. After a failure, reads again by itself after a random time whose limit
// doubles from first_retry to max_retry; Retry-After is obeyed, even by read_again(), up to max_retry.
//
// The proxy is libcurl's: https_proxy and no_proxy of the environment.
class HttpsSource : public Source {
public:
    // BadInput if the URL is none of https, names no document, or holds a user name, which every status would show.
    static Result<std::unique_ptr<Source>> open(HttpsOptions options);
    ~HttpsSource() override;
    HttpsSource(const HttpsSource&) = delete;
    HttpsSource& operator=(const HttpsSource&) = delete;

    // The URL without its query, which may be a secret.
    [[nodiscard]] std::string name() const override { return name_; }
    [[nodiscard]] int fd() const override { return epoll_.fd(); }
    void on_ready(const Deliver& deliver) override;
    // While a read is under way, the next one begins when that has ended.
    void read_again(const Deliver& deliver) override;
    [[nodiscard]] SourceHealth health() const override { return {last_read_, problem_}; }

private:
    using Clock = Timer::Clock;

    HttpsSource(HttpsOptions options, std::string name, Epoll epoll, Timer retry_timer);
    [[nodiscard]] bool is_reading() const { return reading_ != nullptr; }
    void begin();
    void get(HttpsGet& document);
    void ended(int curl_code, const Deliver& deliver);
    void succeeded(const Deliver& deliver);
    void failed(const HttpsGet& get);
    std::chrono::milliseconds jitter(std::chrono::milliseconds longest);

    HttpsOptions options_;
    std::string name_;
    Epoll epoll_;
    Timer retry_timer_;
    std::unique_ptr<CurlLoop> loop_;                  // outlives what it transfers
    std::unique_ptr<HttpsGet> document_, signatures_; // no signatures: a vendor's list
    HttpsGet* reading_ = nullptr;
    bool always_ = false;                 // deliver even if nothing has changed
    bool again_ = false;                  // read_again() has come while reading
    bool settling_ = false;               // this read is the second look at what has changed by half
    std::array<uint64_t, 2> delivered_{}; // versions of document and signatures
    unsigned failures_ = 0;               // in a row
    Clock::time_point not_before_{};      // Retry-After
    std::mt19937_64 random_;
    std::optional<Time> last_read_;
    std::string problem_;
};

} // namespace kudo
