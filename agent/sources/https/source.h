// SPDX-License-Identifier: MIT
// A range map on a web server.
// Invariant: only https, certificate and host name verified; no body is kept beyond its limit; one read at a time.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>

#include "agent/sources/threaded_source.h"

namespace kudo {

class HttpsGet;

struct HttpsOptions {
    std::string url;
    std::string ca_file;      // CA bundle to verify the server; empty: the system's
    bool vendor_list = false; // the vendor's bare list: no signature is requested, TLS is trusted
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
class HttpsSource : public ThreadedSource {
public:
    // BadInput if the URL is not https, names no document, or holds a user name, which every status would show. Its
    // name is the URL without its query, which may be a secret.
    static Result<std::unique_ptr<Source>> open(HttpsOptions options);
    // Aborts the transfer that is under way.
    ~HttpsSource() override;

    // While a read is under way, the next one begins when that has ended.
    void read_again(const Deliver& deliver) override;

private:
    struct Gets;

    HttpsSource(HttpsOptions options, std::unique_ptr<Gets> gets);
    void run(const std::stop_token& stop);
    void read(const std::stop_token& stop);
    void succeeded();
    void failed(const HttpsGet& get, std::string problem);

    unsigned asked_ = 0; // guarded by mutex_; reads that are under way or follow: at most one of each

    // The thread's own from here on.
    const HttpsOptions options_;
    const std::unique_ptr<Gets> gets_;
    bool always_ = false;                 // deliver even if nothing has changed
    bool settling_ = false;               // this read is the second look at what has partially changed
    std::array<uint64_t, 2> delivered_{}; // versions of document and signatures
    unsigned failures_ = 0;               // in a row
    TimePoint next_read_ = never;         // without being asked
    TimePoint not_before_{};              // Retry-After
    std::jthread thread_;                 // last: it uses all of the above
};

} // namespace kudo
