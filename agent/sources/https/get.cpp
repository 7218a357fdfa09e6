// SPDX-License-Identifier: MIT
#include "agent/sources/https/get.h"

#include <strings.h>
#include <sys/socket.h>

#include <algorithm>
#include <optional>

#include <fmt/format.h>

#include "maps/base/text.h"

namespace kudo {

namespace {

constexpr long min_bytes_per_second = 256, max_redirects = 3;
constexpr std::size_t max_validator = 1024;

// Closed in every program that the agent starts.
curl_socket_t open_socket(void* /*data*/, curlsocktype /*purpose*/, curl_sockaddr* address) {
    return socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

// The field's value if the line is this field's.
std::optional<std::string> value_of(std::string_view line, std::string_view field) {
    if (line.size() <= field.size() || line[field.size()] != ':' ||
        strncasecmp(line.data(), field.data(), field.size()) != 0)
        return std::nullopt;
    line.remove_prefix(field.size() + 1);
    constexpr std::string_view blank = " \t\r\n";
    const auto begin = line.find_first_not_of(blank);
    if (begin == std::string_view::npos) return "";
    return std::string(line.substr(begin, line.find_last_not_of(blank) - begin + 1));
}

} // namespace

Result<std::unique_ptr<HttpsGet>> HttpsGet::create(Wish wish, const HttpsOptions& options) {
    std::unique_ptr<HttpsGet> get(new HttpsGet(std::move(wish)));
    KUDO_TRY(get->set_up(options));
    return get;
}

Result<void> HttpsGet::set_up(const HttpsOptions& options) {
    curl_.reset(curl_easy_init());
    if (curl_ == nullptr) return fail("libcurl: curl_easy_init failed");
    CURLcode code = CURLE_OK;
    const auto set = [&](CURLoption option, auto value) {
        if (code == CURLE_OK) code = curl_easy_setopt(curl_.get(), option, value);
    };
    set(CURLOPT_URL, wish_.url.c_str());
    set(CURLOPT_PROTOCOLS_STR, "https");
    set(CURLOPT_REDIR_PROTOCOLS_STR, "https");
    set(CURLOPT_FOLLOWLOCATION, 1L);
    set(CURLOPT_MAXREDIRS, max_redirects);
    set(CURLOPT_SSL_VERIFYPEER, 1L);
    set(CURLOPT_SSL_VERIFYHOST, 2L);
    set(CURLOPT_SSLVERSION, long{CURL_SSLVERSION_TLSv1_2});
    if (!options.ca_file.empty()) {
        set(CURLOPT_CAINFO, options.ca_file.c_str());
        // Debian's libcurl would trust all of /etc/ssl/certs beside it.
        set(CURLOPT_CAPATH, static_cast<const char*>(nullptr));
    }
    // A replaced file of authorities counts from the next connection on, not from a day later (libcurl 7.87).
    set(CURLOPT_CA_CACHE_TIMEOUT, 0L);
    // No CURLOPT_ACCEPT_ENCODING: nothing is unpacked that could be larger than what was sent.
    set(CURLOPT_HTTP_VERSION, long{CURL_HTTP_VERSION_1_1});
    set(CURLOPT_USERAGENT, "kudo-agent");
    // No CURLOPT_NOSIGNAL: without it libcurl keeps SIGPIPE away while OpenSSL writes; no alarm is used by its
    // resolver. Does not wait for a resolver that hangs when it ends in the middle of a transfer.
    set(CURLOPT_QUICK_EXIT, 1L);
    set(CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
    set(CURLOPT_OPENSOCKETFUNCTION, open_socket);
    set(CURLOPT_MAXFILESIZE_LARGE, static_cast<curl_off_t>(wish_.limit));
    const auto timeout = std::max<long>(static_cast<long>(options.timeout.count()), 1);
    set(CURLOPT_TIMEOUT, timeout);
    set(CURLOPT_CONNECTTIMEOUT, std::max<long>(timeout / 2, 1));
    set(CURLOPT_LOW_SPEED_LIMIT, min_bytes_per_second);
    set(CURLOPT_LOW_SPEED_TIME, std::max<long>(timeout / 3, 1));
    set(CURLOPT_ERRORBUFFER, error_text_.data());
    set(CURLOPT_HEADERFUNCTION, &HttpsGet::on_header);
    set(CURLOPT_HEADERDATA, this);
    set(CURLOPT_WRITEFUNCTION, &HttpsGet::on_body);
    set(CURLOPT_WRITEDATA, this);
    if (code != CURLE_OK) return fail(fmt::format("{}: libcurl: {}", wish_.shown, curl_easy_strerror(code)));
    return {};
}

CURL* HttpsGet::begin(bool last) {
    curl_slist* lines = nullptr;
    const auto say = [&](std::string_view field, const std::string& value) {
        if (value.empty()) return;
        if (curl_slist* const more = curl_slist_append(lines, fmt::format("{}: {}", field, value).c_str()))
            lines = more;
    };
    say("If-None-Match", validators_.etag);
    say("If-Modified-Since", validators_.last_modified);
    curl_easy_setopt(curl_.get(), CURLOPT_HTTPHEADER, lines);
    headers_.reset(lines);
    curl_easy_setopt(curl_.get(), CURLOPT_FORBID_REUSE, last ? 1L : 0L);
    error_text_[0] = '\0';
    take_header("HTTP/");
    return curl_.get();
}

std::size_t HttpsGet::on_header(char* data, std::size_t size, std::size_t count, void* get) noexcept {
    static_cast<HttpsGet*>(get)->take_header({data, size * count});
    return size * count;
}

std::size_t HttpsGet::on_body(char* data, std::size_t size, std::size_t count, void* get) noexcept {
    return static_cast<HttpsGet*>(get)->take_body({data, size * count}) ? size * count : 0;
}

void HttpsGet::take_header(std::string_view line) {
    // Another answer: that of a redirect's target, or the final one behind an interim one.
    if (line.starts_with("HTTP/")) {
        const auto space = line.find(' ');
        status_ = space == std::string_view::npos ? 0 : std::atoi(std::string(line.substr(space, 5)).c_str());
        incoming_.clear();
        date_.clear();
        offered_ = {};
        too_long_ = encoded_ = false;
        return;
    }
    if (auto value = value_of(line, "ETag"))
        offered_.etag = value->size() <= max_validator ? *value : "";
    else if (value = value_of(line, "Last-Modified"); value)
        offered_.last_modified = value->size() <= max_validator ? *value : "";
    else if (value = value_of(line, "Date"); value)
        date_ = value->size() <= max_validator ? *value : "";
    else if (value = value_of(line, "Content-Encoding"); value)
        encoded_ = strcasecmp(value->c_str(), "identity") != 0;
}

bool HttpsGet::take_body(std::string_view part) {
    if (status_ != 200) return false; // nobody reads a page about an error
    if (part.size() > wish_.limit - incoming_.size()) {
        too_long_ = true;
        return false;
    }
    incoming_ += part;
    return true;
}

Result<void> HttpsGet::end(CURLcode code) {
    const auto failed = [&](std::string_view why) {
        incoming_ = std::string();
        return fail(fmt::format("{}: {}", wish_.shown, why));
    };
    if (too_long_ || code == CURLE_FILESIZE_EXCEEDED) return failed(fmt::format("larger than {} bytes", wish_.limit));
    // A body that was not wanted ends as an error of writing.
    if (code != CURLE_OK && (code != CURLE_WRITE_ERROR || status_ == 200)) {
        std::string text(error_text_[0] != '\0' ? error_text_.data() : curl_easy_strerror(code));
        std::replace(text.begin(), text.end(), '"', '\'');
        return failed(escaped(text, 200));
    }
    if (wish_.may_be_missing && (status_ == 404 || status_ == 410)) {
        keep("", {});
        return {};
    }
    if (status_ == 304 && version_ != 0) return {};
    if (status_ != 200) return failed(fmt::format("the server answers with status {}", status_));
    if (encoded_) return failed("the server sends it compressed, which it was not asked to");
    keep(std::move(incoming_), trusted_validators());
    incoming_ = std::string();
    return {};
}

// A document that was changed twice in one second has one date for both (RFC 9110, 8.8.2.2), and often one ETag, as
// servers make that of date and size: until that second is over nothing is said back.
HttpsGet::Validators HttpsGet::trusted_validators() const {
    if (offered_.last_modified.empty() || date_.empty()) return offered_;
    const time_t modified = curl_getdate(offered_.last_modified.c_str(), nullptr);
    const time_t sent = curl_getdate(date_.c_str(), nullptr);
    return modified >= 0 && sent >= 0 && sent - modified < 2 ? Validators{} : offered_;
}

void HttpsGet::keep(std::string body, Validators validators) {
    if (version_ == 0 || body != body_) version_++;
    body_ = std::move(body);
    validators_ = std::move(validators);
}

std::chrono::seconds HttpsGet::retry_after() const {
    curl_off_t seconds = 0;
    curl_easy_getinfo(curl_.get(), CURLINFO_RETRY_AFTER, &seconds);
    return std::chrono::seconds(std::clamp<curl_off_t>(seconds, 0, 86400));
}

} // namespace kudo
