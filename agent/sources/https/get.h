// SPDX-License-Identifier: MIT
// One document of a web server, requested repeatedly and sent only if it has changed.
// Invariant: body() is always one whole document that the server sent with status 200, or empty; a transfer that fails
// leaves it as it was.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <memory>
#include <stop_token>
#include <string>
#include <string_view>

#include <curl/curl.h>

#include "agent/sources/https/source.h"

namespace kudo {

struct FreeCurl {
    void operator()(CURL* curl) const { curl_easy_cleanup(curl); }
    void operator()(curl_slist* list) const { curl_slist_free_all(list); }
};
struct FreeMulti {
    void operator()(CURLM* multi) const { curl_multi_cleanup(multi); }
};
using CurlMulti = std::unique_ptr<CURLM, FreeMulti>;

class HttpsGet {
public:
    struct Target {
        std::string url;
        std::size_t max_bytes = 0;
        bool may_be_missing = false; // then an empty body
    };
    static Result<std::unique_ptr<HttpsGet>> create(Target target, const HttpsOptions& options);

    // Waits for the server's response, or until `stop` is requested, which is an Error as well. An Error leaves body()
    // and version() alone. `last`: no other request follows, the connection is closed. `multi` keeps it until then.
    Result<void> read(const CurlMulti& multi, bool last, const std::stop_token& stop);

    // The URL without its query, which may be a secret.
    [[nodiscard]] std::string name() const;
    [[nodiscard]] const std::string& body() const { return body_; }
    // Another number for another body; 0: none yet.
    [[nodiscard]] uint64_t version() const { return version_; }
    // As the server asked for in its last response; 0: it did not.
    [[nodiscard]] std::chrono::seconds retry_after() const;

private:
    // What the server said of a document, to be sent back to it. Empty: nothing.
    struct Validators {
        std::string etag, last_modified;
    };

    explicit HttpsGet(Target target) : target_(std::move(target)) {}
    Result<void> take_response(CURLcode code);
    void keep(std::string body, Validators validators);
    [[nodiscard]] long status() const;
    [[nodiscard]] std::string_view header(const char* name) const;
    [[nodiscard]] Validators trusted_validators() const;
    static std::size_t on_body(char* data, std::size_t size, std::size_t count, void* get) noexcept;

    Target target_;
    // All that the handle points to is declared before it, and so outlives it.
    std::array<char, CURL_ERROR_SIZE> error_text_{};
    std::unique_ptr<curl_slist, FreeCurl> headers_;
    std::string incoming_; // of the response that is being read
    bool too_long_ = false;

    std::string body_;
    Validators validators_;
    uint64_t version_ = 0;
    std::unique_ptr<CURL, FreeCurl> curl_;
};

} // namespace kudo
