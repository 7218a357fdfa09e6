// SPDX-License-Identifier: MIT
#include "agent/sources/https/source.h"

#include <sys/random.h>

#include <algorithm>

#include <fmt/format.h>

#include "agent/sources/https/curl_loop.h"
#include "agent/sources/https/get.h"
#include "agent/system/uptime.h"
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
    std::string document, signatures;             // with their queries
    std::string shown_document, shown_signatures; // without: they may hold secrets
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
        return wrong(fmt::format("no URL: {}; expected https://HOST/PATH", curl_url_strerror(code)));
    if (part_of(url, CURLUPART_SCHEME) != "https") return wrong("expected a URL that begins with https://");
    if (!part_of(url, CURLUPART_USER).empty() || !part_of(url, CURLUPART_PASSWORD).empty())
        return wrong("holds a user name or a password, which everybody would see in the status; leave it out");
    const std::string path = part_of(url, CURLUPART_PATH);
    if (path.empty() || path.ends_with('/')) return wrong("names no document; expected https://HOST/PATH");
    curl_url_set(url.get(), CURLUPART_FRAGMENT, nullptr, 0);
    Urls urls;
    urls.document = part_of(url, CURLUPART_URL);
    curl_url_set(url.get(), CURLUPART_PATH, (path + std::string(signature_suffix)).c_str(), 0);
    urls.signatures = part_of(url, CURLUPART_URL);
    urls.shown_document = escaped(urls.document.substr(0, urls.document.find('?')), max_url);
    urls.shown_signatures = escaped(urls.signatures.substr(0, urls.signatures.find('?')), max_url);
    return urls;
}

uint64_t seed() {
    uint64_t value = 0;
    // At boot there may be nothing to give out yet; hosts differ by their clocks then.
    if (getrandom(&value, sizeof value, GRND_NONBLOCK) != sizeof value)
        value = static_cast<uint64_t>(Timer::Clock::now().time_since_epoch().count());
    return value;
}

} // namespace

Result<std::unique_ptr<Source>> HttpsSource::open(HttpsOptions options) {
    auto urls = KUDO_TRY(parse_url(options.url));
    auto epoll = KUDO_TRY(Epoll::create().in(urls.shown_document));
    auto timer = KUDO_TRY(Timer::create().in(urls.shown_document));
    std::unique_ptr<HttpsSource> made(
        new HttpsSource(std::move(options), urls.shown_document, std::move(epoll), std::move(timer)));
    KUDO_TRY(made->epoll_.watch(made->retry_timer_.fd(), EPOLLIN));
    auto loop = KUDO_TRY(CurlLoop::create(made->epoll_).in(urls.shown_document));
    made->loop_ = std::move(loop);
    auto document =
        KUDO_TRY(HttpsGet::create({urls.document, urls.shown_document, range_map_max_bytes, false}, made->options_));
    made->document_ = std::move(document);
    if (!made->options_.vendor_list) {
        auto signatures = KUDO_TRY(
            HttpsGet::create({urls.signatures, urls.shown_signatures, signatures_max_bytes, true}, made->options_));
        made->signatures_ = std::move(signatures);
    }
    return std::unique_ptr<Source>(std::move(made));
}

HttpsSource::HttpsSource(HttpsOptions options, std::string name, Epoll epoll, Timer retry_timer)
    : options_(std::move(options)), name_(std::move(name)), epoll_(std::move(epoll)),
      retry_timer_(std::move(retry_timer)), random_(seed()) {}

HttpsSource::~HttpsSource() {
    if (is_reading()) loop_->remove(reading_->handle());
}

void HttpsSource::on_ready(const Deliver& deliver) {
    std::array<epoll_event, 16> room;
    for (const epoll_event& event : epoll_.ready(room)) {
        if (event.data.fd != retry_timer_.fd())
            loop_->on_event(event);
        else if (!is_reading())
            begin();
    }
    while (const auto ended_now = loop_->take_ended())
        ended(ended_now->code, deliver);
}

void HttpsSource::read_again(const Deliver& /*deliver*/) {
    if (is_reading()) {
        again_ = true;
        return;
    }
    always_ = true;
    settling_ = false;
    if (Clock::now() >= not_before_) begin(); // if not, the timer is set for it
}

void HttpsSource::begin() {
    retry_timer_.stop();
    get(*document_);
}

void HttpsSource::get(HttpsGet& document) {
    const bool last = !signatures_ || &document == signatures_.get();
    if (auto added = loop_->add(document.begin(last)); added) {
        reading_ = &document;
        return;
    }
    reading_ = nullptr;
    retry_timer_.set(Clock::now() + options_.max_retry);
    problem_ = name_ + ": libcurl takes no transfer";
}

void HttpsSource::ended(int curl_code, const Deliver& deliver) {
    HttpsGet& now = *reading_;
    reading_ = nullptr;
    if (auto result = now.end(static_cast<CURLcode>(curl_code)); !result) {
        problem_ = std::move(result.error().message);
        return failed(now);
    }
    if (signatures_ && &now == document_.get()) return get(*signatures_);
    succeeded(deliver);
}

void HttpsSource::succeeded(const Deliver& deliver) {
    failures_ = 0;
    not_before_ = {};
    problem_.clear();
    last_read_ = wall_time();
    const std::array<uint64_t, 2> read{document_->version(), signatures_ ? signatures_->version() : 0};
    const bool first = delivered_[0] == 0;
    const bool half = !first && signatures_ && (read[0] != delivered_[0]) != (read[1] != delivered_[1]);
    if (always_ || read != delivered_) {
        delivered_ = read;
        always_ = false;
        deliver(Delivery{name_, document_->body(), signatures_ ? signatures_->body() : "", options_.vendor_list});
    }
    if (again_) {
        again_ = false;
        always_ = true;
        settling_ = false;
        return begin();
    }
    // Once only: a server that signs anew for every request would be asked for ever.
    settling_ = half && !settling_;
    if (settling_) retry_timer_.set(Clock::now() + options_.first_retry / 2 + jitter(options_.first_retry / 2));
}

void HttpsSource::failed(const HttpsGet& get) {
    always_ = always_ || again_;
    again_ = false;
    auto limit = options_.first_retry;
    for (unsigned i = 0; i < failures_ && limit < options_.max_retry; i++)
        limit *= 2;
    failures_++;
    // Anywhere up to the limit: after an outage not all hosts come back at once.
    auto wait = jitter(std::min(limit, options_.max_retry));
    if (const auto asked = get.retry_after(); asked > asked.zero()) {
        wait = std::min<std::chrono::milliseconds>(asked + wait, options_.max_retry);
        not_before_ = Clock::now() + wait;
    }
    retry_timer_.set(Clock::now() + wait);
}

std::chrono::milliseconds HttpsSource::jitter(std::chrono::milliseconds longest) {
    return std::chrono::milliseconds(
        std::uniform_int_distribution<int64_t>(0, std::max<int64_t>(longest.count(), 0))(random_));
}

} // namespace kudo
