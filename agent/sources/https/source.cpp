// SPDX-License-Identifier: MIT
#include "agent/sources/https/source.h"

#include <algorithm>

#include <fmt/format.h>

#include "agent/sources/https/get.h"
#include "maps/base/text.h"
#include "maps/trust/minisign.h"

namespace kudo {
namespace {

constexpr std::size_t max_url = 2048;
constexpr std::string_view signature_suffix = ".minisig";

struct FreeUrl {
    void operator()(CURLU* url) const { curl_url_cleanup(url); }
};
using Url = std::unique_ptr<CURLU, FreeUrl>;

std::string part_of(const Url& url, CURLUPart part) {
    char* text = nullptr;
    if (curl_url_get(url.get(), part, &text, 0) != CURLUE_OK) return {};
    const std::unique_ptr<char, decltype(&curl_free)> owner(text, curl_free);
    return text;
}

struct Urls {
    std::string document, signatures; // with their queries
};
Result<Urls> parse_url(const std::string& text) {
    const auto wrong = [&](std::string_view why) {
        // Neither a query nor a password is shown.
        const bool secret = text.find('@') != std::string::npos;
        return bad_input(fmt::format("{}: {}", secret ? "the URL" : quoted_text(text.substr(0, text.find('?'))), why));
    };
    if (text.size() > max_url) return wrong(fmt::format("longer than {} characters", max_url));
    const Url url(curl_url());
    if (url == nullptr) return fail("libcurl: curl_url failed");
    if (const CURLUcode code = curl_url_set(url.get(), CURLUPART_URL, text.c_str(), 0); code != CURLUE_OK)
        return wrong(fmt::format("invalid URL: {}; expected https://HOST/PATH", curl_url_strerror(code)));
    if (part_of(url, CURLUPART_SCHEME) != "https") return wrong("expected a URL that begins with https://");
    if (!part_of(url, CURLUPART_USER).empty() || !part_of(url, CURLUPART_PASSWORD).empty())
        return wrong("contains a user name or a password, which everybody would see in the status; leave it out");
    const std::string path = part_of(url, CURLUPART_PATH);
    if (path.empty() || path.ends_with('/')) return wrong("names no document; expected https://HOST/PATH");
    curl_url_set(url.get(), CURLUPART_FRAGMENT, nullptr, 0);
    Urls urls;
    urls.document = part_of(url, CURLUPART_URL);
    curl_url_set(url.get(), CURLUPART_PATH, (path + std::string(signature_suffix)).c_str(), 0);
    urls.signatures = part_of(url, CURLUPART_URL);
    return urls;
}

} // namespace

struct HttpsSource::Gets {
    CurlMulti multi;
    std::unique_ptr<HttpsGet> document, signatures; // no signatures: a vendor's list
};

Result<std::unique_ptr<Source>> HttpsSource::open(HttpsOptions options) {
    auto urls = KUDO_TRY(parse_url(options.url));
    static const CURLcode code = curl_global_init(CURL_GLOBAL_DEFAULT);
    if (code != CURLE_OK) return fail(fmt::format("libcurl: {}", curl_easy_strerror(code)));
    auto gets = std::make_unique<Gets>();
    gets->multi.reset(curl_multi_init());
    if (!gets->multi) return fail("libcurl: curl_multi_init failed");
    gets->document = KUDO_TRY(HttpsGet::create({urls.document, range_map_max_bytes, false}, options));
    if (!options.vendor_list)
        gets->signatures = KUDO_TRY(HttpsGet::create({urls.signatures, signatures_max_bytes, true}, options));
    try {
        std::unique_ptr<Source> made(new HttpsSource(std::move(options), std::move(gets)));
        if (made->fd() < 0) return fail(made->name() + ": cannot create an eventfd");
        return made;
    } catch (const std::system_error& error) { // no thread: a limit on tasks
        return fail(fmt::format("cannot start a thread: {}", error.what()), error.code().value());
    }
}

HttpsSource::HttpsSource(HttpsOptions options, std::unique_ptr<Gets> gets)
    : ThreadedSource(gets->document->name()), options_(std::move(options)), gets_(std::move(gets)),
      thread_([this](const std::stop_token& stop) { run(stop); }) {}

HttpsSource::~HttpsSource() = default;

void HttpsSource::read_again(const Deliver& /*deliver*/) {
    call([&] { asked_ = std::min(asked_ + 1, 2U); });
}

void HttpsSource::run(const std::stop_token& stop) {
    takes_no_signals();
    while (true) {
        {
            std::unique_lock lock(mutex_);
            called_.wait_until(lock, stop, next_read_, [&] { return asked_ > 0; });
            called_.wait_until(lock, stop, not_before_, [] { return false; });
            if (stop.stop_requested()) return;
            always_ = always_ || asked_ > 0;
            settling_ = settling_ && asked_ == 0;
            asked_ = std::max(asked_, 1U);
        }
        next_read_ = never;
        not_before_ = {};
        read(stop);
    }
}

void HttpsSource::read(const std::stop_token& stop) {
    for (HttpsGet* const get : {gets_->document.get(), gets_->signatures.get()}) {
        if (get == nullptr) continue;
        const bool last = !gets_->signatures || get == gets_->signatures.get();
        if (const auto read = get->read(gets_->multi, last, stop); !read) return failed(*get, read.error().message);
    }
    succeeded();
}

void HttpsSource::succeeded() {
    failures_ = 0;
    all_read();
    const HttpsGet* const signatures = gets_->signatures.get();
    const std::array<uint64_t, 2> read{gets_->document->version(), signatures ? signatures->version() : 0};
    const bool first = delivered_[0] == 0;
    const bool partial = !first && signatures && (read[0] != delivered_[0]) != (read[1] != delivered_[1]);
    if (always_ || read != delivered_) {
        delivered_ = read;
        always_ = false;
        put(Delivery{name(), gets_->document->body(), signatures ? signatures->body() : "", options_.vendor_list});
    }
    // Once only: a server that signs again for every request would be asked indefinitely.
    settling_ = partial && !settling_;
    if (settling_) next_read_ = Clock::now() + random_part(options_.first_retry, 0.5, 1);
    const std::lock_guard lock(mutex_);
    asked_--;
}

void HttpsSource::failed(const HttpsGet& get, std::string problem) {
    // Anywhere up to the limit: after an outage not all hosts come back at once.
    auto wait = retry_wait(options_.first_retry, options_.max_retry, failures_, 0);
    const auto asked = get.retry_after();
    if (asked > asked.zero()) wait = std::min<Milliseconds>(asked + wait, options_.max_retry);
    next_read_ = Clock::now() + wait;
    if (asked > asked.zero()) not_before_ = next_read_;
    set_problem(std::move(problem));
    const std::lock_guard lock(mutex_);
    always_ = always_ || asked_ > 1;
    asked_ = 0;
}

} // namespace kudo
