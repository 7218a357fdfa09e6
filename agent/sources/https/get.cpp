// SPDX-License-Identifier: MIT
#include "agent/sources/https/get.h"

#include <strings.h>

#include <algorithm>

#include <fmt/format.h>

#include "maps/base/text.h"

namespace kudo {
namespace {

constexpr long min_bytes_per_second = 256, max_redirects = 3;
constexpr std::size_t max_validator = 1024, max_name = 2048;
constexpr int max_poll_ms = 1000;

// curl_easy_perform(), but for `stop`, which ends it at once.
CURLcode perform(CURLM* multi, CURL* transfer, const std::stop_token& stop) {
    if (curl_multi_add_handle(multi, transfer) != CURLM_OK) return CURLE_FAILED_INIT;
    const std::stop_callback wake(stop, [multi] { curl_multi_wakeup(multi); });
    int running = 1;
    while (!stop.stop_requested() && curl_multi_perform(multi, &running) == CURLM_OK && running > 0 &&
           curl_multi_poll(multi, nullptr, 0, max_poll_ms, nullptr) == CURLM_OK) {
    }
    int left = 0;
    const CURLMsg* const ended = curl_multi_info_read(multi, &left);
    const CURLcode code = ended == nullptr ? CURLE_ABORTED_BY_CALLBACK : ended->data.result;
    curl_multi_remove_handle(multi, transfer);
    return code;
}

} // namespace

Result<std::unique_ptr<HttpsGet>> HttpsGet::create(Target target, const HttpsOptions& options) {
    std::unique_ptr<HttpsGet> get(new HttpsGet(std::move(target)));
    get->curl_.reset(curl_easy_init());
    if (get->curl_ == nullptr) return fail("libcurl: curl_easy_init failed");
    CURLcode code = CURLE_OK;
    const auto set = [&](CURLoption option, auto value) {
        if (code == CURLE_OK) code = curl_easy_setopt(get->curl_.get(), option, value);
    };
    set(CURLOPT_URL, get->target_.url.c_str());
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
    // A replaced CA bundle counts from the next connection on, not from a day later (libcurl 7.87).
    set(CURLOPT_CA_CACHE_TIMEOUT, 0L);
    // No CURLOPT_ACCEPT_ENCODING: nothing is unpacked that could be larger than what was sent.
    set(CURLOPT_HTTP_VERSION, long{CURL_HTTP_VERSION_1_1});
    set(CURLOPT_USERAGENT, "kudo-agent");
    // libcurl leaves SIGPIPE alone, which is the whole process's: it is blocked in the thread.
    set(CURLOPT_NOSIGNAL, 1L);
    // Does not wait for a resolver that hangs when it ends in the middle of a transfer.
    set(CURLOPT_QUICK_EXIT, 1L);
    set(CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
    set(CURLOPT_MAXFILESIZE_LARGE, static_cast<curl_off_t>(get->target_.max_bytes));
    const auto timeout = std::max<long>(static_cast<long>(options.timeout.count()), 1);
    set(CURLOPT_TIMEOUT, timeout);
    set(CURLOPT_CONNECTTIMEOUT, std::max<long>(timeout / 2, 1));
    set(CURLOPT_LOW_SPEED_LIMIT, min_bytes_per_second);
    set(CURLOPT_LOW_SPEED_TIME, std::max<long>(timeout / 3, 1));
    set(CURLOPT_ERRORBUFFER, get->error_text_.data());
    set(CURLOPT_WRITEFUNCTION, &HttpsGet::on_body);
    set(CURLOPT_WRITEDATA, get.get());
    if (code != CURLE_OK) return fail(fmt::format("{}: libcurl: {}", get->name(), curl_easy_strerror(code)));
    return get;
}

Result<void> HttpsGet::read(const CurlMulti& multi, bool last, const std::stop_token& stop) {
    curl_slist* lines = nullptr;
    const auto send = [&](std::string_view field, const std::string& value) {
        if (value.empty()) return;
        if (curl_slist* const more = curl_slist_append(lines, fmt::format("{}: {}", field, value).c_str()))
            lines = more;
    };
    send("If-None-Match", validators_.etag);
    send("If-Modified-Since", validators_.last_modified);
    curl_easy_setopt(curl_.get(), CURLOPT_HTTPHEADER, lines);
    headers_.reset(lines);
    curl_easy_setopt(curl_.get(), CURLOPT_FORBID_REUSE, last ? 1L : 0L);
    error_text_[0] = '\0';
    too_long_ = false;
    incoming_ = std::string();
    return take_response(perform(multi.get(), curl_.get(), stop)).in(name());
}

std::string HttpsGet::name() const {
    return escaped(target_.url.substr(0, target_.url.find('?')), max_name);
}

std::size_t HttpsGet::on_body(char* data, std::size_t size, std::size_t count, void* get) noexcept {
    HttpsGet& self = *static_cast<HttpsGet*>(get);
    const std::string_view part(data, size * count);
    if (self.status() != 200) return 0; // the body of an error is not read
    self.too_long_ = part.size() > self.target_.max_bytes - self.incoming_.size();
    if (self.too_long_) return 0;
    self.incoming_ += part;
    return part.size();
}

Result<void> HttpsGet::take_response(CURLcode code) {
    std::string document = std::exchange(incoming_, {});
    const long status = this->status();
    if (too_long_ || code == CURLE_FILESIZE_EXCEEDED)
        return fail(fmt::format("larger than {} bytes", target_.max_bytes));
    // A body that was not wanted ends as an error of writing.
    if (code != CURLE_OK && (code != CURLE_WRITE_ERROR || status == 200)) {
        std::string text(error_text_[0] != '\0' ? error_text_.data() : curl_easy_strerror(code));
        std::replace(text.begin(), text.end(), '"', '\'');
        return fail(escaped(text, 200));
    }
    if (target_.may_be_missing && (status == 404 || status == 410)) {
        keep("", {});
        return {};
    }
    if (status == 304 && version_ != 0) return {};
    if (status != 200) return fail(fmt::format("the server responds with status {}", status));
    if (const auto encoding = header("Content-Encoding");
        !encoding.empty() && strcasecmp(encoding.data(), "identity") != 0)
        return fail("the response is compressed, which was not requested");
    keep(std::move(document), trusted_validators());
    return {};
}

long HttpsGet::status() const {
    long status = 0;
    curl_easy_getinfo(curl_.get(), CURLINFO_RESPONSE_CODE, &status);
    return status;
}

// Of the last response, behind redirects and interim ones; empty: none.
std::string_view HttpsGet::header(const char* name) const {
    curl_header* found = nullptr;
    return curl_easy_header(curl_.get(), name, 0, CURLH_HEADER, -1, &found) == CURLHE_OK ? found->value : "";
}

// A document that was changed twice in one second has one date for both (RFC 9110, 8.8.2.2), and often one ETag, as
// servers make that of date and size: until that second is over nothing is sent back.
HttpsGet::Validators HttpsGet::trusted_validators() const {
    const auto short_header = [&](const char* name) {
        const std::string_view value = header(name);
        return std::string(value.size() <= max_validator ? value : "");
    };
    Validators offered{short_header("ETag"), short_header("Last-Modified")};
    const std::string date = short_header("Date");
    if (offered.last_modified.empty() || date.empty()) return offered;
    const time_t modified = curl_getdate(offered.last_modified.c_str(), nullptr);
    const time_t sent = curl_getdate(date.c_str(), nullptr);
    return modified >= 0 && sent >= 0 && sent - modified < 2 ? Validators{} : offered;
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
