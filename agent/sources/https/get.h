// SPDX-License-Identifier: MIT
// One document of a web server, asked for again and again, sent only if it has changed.
// Invariant: body() is always one whole document that the server sent with status 200, or empty; a transfer that fails
// leaves it as it was.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include <curl/curl.h>

#include "agent/sources/https/source.h"

namespace kudo {

class HttpsGet {
public:
    struct Wish {
        std::string url, shown; // `shown`: for people
        std::size_t limit = 0;  // bytes
        bool may_be_missing = false;
    };
    static Result<std::unique_ptr<HttpsGet>> create(Wish wish, const HttpsOptions& options);

    // The transfer to begin now. `last`: no other follows, the connection is closed behind it.
    CURL* begin(bool last);
    // What became of it: an Error leaves body() and version() alone.
    Result<void> end(CURLcode code);

    [[nodiscard]] CURL* handle() const { return curl_.get(); }
    [[nodiscard]] const std::string& body() const { return body_; }
    // Another number for another body; 0: none yet.
    [[nodiscard]] uint64_t version() const { return version_; }
    // As the server asked for with its last answer; 0: it did not.
    [[nodiscard]] std::chrono::seconds retry_after() const;

private:
    struct FreeCurl {
        void operator()(CURL* curl) const { curl_easy_cleanup(curl); }
        void operator()(curl_slist* list) const { curl_slist_free_all(list); }
    };
    // What the server said of a document, to be said back to it. Empty: nothing.
    struct Validators {
        std::string etag, last_modified;
    };

    explicit HttpsGet(Wish wish) : wish_(std::move(wish)) {}
    Result<void> set_up(const HttpsOptions& options);
    void take_header(std::string_view line);
    [[nodiscard]] bool take_body(std::string_view part);
    void keep(std::string body, Validators validators);
    [[nodiscard]] Validators trusted_validators() const;
    static std::size_t on_header(char* data, std::size_t size, std::size_t count, void* get) noexcept;
    static std::size_t on_body(char* data, std::size_t size, std::size_t count, void* get) noexcept;

    Wish wish_;
    // All that the handle points to is declared before it, and so outlives it.
    std::array<char, CURL_ERROR_SIZE> error_text_{};
    std::unique_ptr<curl_slist, FreeCurl> headers_;

    // Of the answer that is being read.
    int status_ = 0;
    std::string incoming_, date_;
    Validators offered_;
    bool too_long_ = false, encoded_ = false;

    std::string body_;
    Validators validators_;
    uint64_t version_ = 0;
    std::unique_ptr<CURL, FreeCurl> curl_;
};

} // namespace kudo
