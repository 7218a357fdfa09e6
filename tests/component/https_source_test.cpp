// SPDX-License-Identifier: MIT
// A range map on a web server: what is asked for, what is delivered, and what a bad server cannot do to us.
// Needs no root. Invariant: real servers on 127.0.0.1, real TLS with an authority of the
// test's own; what was asked for is read from the servers' logs.
#include <gtest/gtest.h>

#include <sys/stat.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <optional>
#include <sstream>
#include <thread>

#include <fmt/format.h>

#include "agent/sources/https/source.h"
#include "tests/component/source_test.h"
#include "tests/support/loopback.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/web_server.h"

namespace kudo::test {
namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;
using Lines = std::vector<std::string>;

class Https : public SourceTest {
protected:
    void SetUp() override {
        if (const std::string why = why_no_servers(); !why.empty()) GTEST_SKIP() << why;
        fs::create_directory(folder_ / "www");
        authority_.emplace(folder_, "ca");
        server_ = authority_->sign("server", "IP:127.0.0.1");
        // The servers are here: no proxy of the machine's is asked.
        unsetenv("https_proxy");
        unsetenv("HTTPS_PROXY");
        unsetenv("ALL_PROXY");
        unsetenv("all_proxy");
        options_.ca_file = authority_->certificate();
        options_.first_retry = 100ms;
        options_.max_retry = 400ms;
        options_.timeout = 20s;
    }
    ~Https() override {
        source_.reset();
        nginx_.reset();
        odd_.reset();
    }
    // On the same port each time.
    void start_nginx() {
        for (int attempt = 0; attempt < 5; attempt++) {
            if (port_ == 0 || attempt > 0) {
                port_ = free_port();
                plain_port_ = free_port();
            }
            const std::string more =
                fmt::format("location = /to-plain.json {{ return 302 http://127.0.0.1:{}/map.json; }}\n"
                            "location = /to-map.json {{ return 302 /map.json; }}\n"
                            "location = /broken.json.minisig {{ return 500; }}\n",
                            plain_port_);
            std::ofstream(folder_ / "nginx.conf") << nginx_configuration(folder_, server_, port_, plain_port_, more);
            nginx_.emplace(std::vector<std::string>{nginx_program, "-e", folder_ / "error.log", "-p", folder_, "-c",
                                                    folder_ / "nginx.conf"});
            if (listens(port_, *nginx_)) return;
        }
        FAIL() << "nginx does not start: " << text_of("error.log");
    }
    void start_odd() {
        odd_.emplace(odd_server(folder_, server_));
        for (int i = 0; i < 400 && !fs::exists(folder_ / "odd.port"); i++)
            usleep(50'000);
        port_ = std::stoi(text_of("odd.port"));
        ASSERT_TRUE(listens(port_, *odd_));
    }
    [[nodiscard]] std::string url(const std::string& path) const {
        return fmt::format("https://127.0.0.1:{}{}", port_, path);
    }
    void open(const std::string& url) {
        options_.url = url;
        auto opened = HttpsSource::open(options_);
        ASSERT_TRUE(opened) << opened.error().message;
        source_ = std::move(*opened);
    }
    void start(const std::string& path) {
        open(url(path));
        if (source_) read_again();
    }
    // An hour old: its date is one that a server and a client may trust.
    void publish(const std::string& name, const std::string& content, std::chrono::seconds age = 1h) const {
        std::ofstream(folder_ / "www" / name, std::ios::trunc) << content;
        fs::last_write_time(folder_ / "www" / name, fs::file_time_type::clock::now() - age);
    }
    void publish_pair(const std::string& name, const std::string& content, std::chrono::seconds age = 1h) const {
        publish(name, content, age);
        publish(name + ".minisig", "signature of " + content, age);
    }
    [[nodiscard]] std::string text_of(const std::string& file) const {
        std::ostringstream text;
        text << std::ifstream(folder_ / file).rdbuf();
        return text.str();
    }
    // Those of the log that hold this part.
    [[nodiscard]] Lines log_lines(const std::string& part, const std::string& file = "access.log") const {
        Lines lines;
        std::istringstream text(text_of(file));
        for (std::string line; std::getline(text, line);)
            if (line.find(part) != std::string::npos) lines.push_back(line);
        return lines;
    }
    // Once there are so many, for at most five seconds: nginx writes a line after it has sent the response.
    [[nodiscard]] Lines log_lines_once(const std::string& part, std::size_t count) const {
        const auto deadline = std::chrono::steady_clock::now() + patient(5s);
        Lines lines = log_lines(part);
        while (lines.size() < count && std::chrono::steady_clock::now() < deadline) {
            std::this_thread::sleep_for(5ms);
            lines = log_lines(part);
        }
        return lines;
    }
    bool has_problem(const std::string& part) const { return problem().find(part) != std::string::npos; }

    const TemporaryFolder temporary_;
    const fs::path folder_ = temporary_.path();
    std::optional<TestAuthority> authority_;
    TestAuthority::Pair server_;
    HttpsOptions options_;
    std::optional<ServerProcess> nginx_, odd_;
    int port_ = 0, plain_port_ = 0;
};

TEST_F(Https, DeliversTheMapAndItsSignature) {
    start_nginx();
    publish_pair("map.json", "one");
    start("/map.json");
    ASSERT_TRUE(serve_until_delivered(1)) << problem();
    EXPECT_EQ(delivered_[0].source, url("/map.json"));
    EXPECT_EQ(delivered_[0].document, "one");
    EXPECT_EQ(delivered_[0].signatures, "signature of one");
    EXPECT_FALSE(delivered_[0].trust_transport);
    EXPECT_EQ(problem(), "");
    EXPECT_TRUE(source_->health().last_read.has_value());
}

TEST_F(Https, IsSentNothingThatHasNotChanged) {
    start_nginx();
    publish_pair("map.json", "one");
    start("/map.json");
    ASSERT_TRUE(serve_until_delivered(1)) << problem();
    read_again();
    ASSERT_TRUE(serve_until_delivered(2)) << problem();
    EXPECT_EQ(documents(), (Documents{"one", "one"}));
    EXPECT_EQ(delivered_[1].signatures, "signature of one");
    const Lines lines = log_lines_once("", 4);
    ASSERT_EQ(lines.size(), 4U) << text_of("access.log");
    EXPECT_TRUE(lines[0].starts_with("GET /map.json 200 inm=[] ims=[] encoding=[] ")) << lines[0];
    EXPECT_TRUE(lines[1].starts_with("GET /map.json.minisig 200 inm=[] ims=[] encoding=[] ")) << lines[1];
    EXPECT_TRUE(lines[2].starts_with("GET /map.json 304 inm=[\"")) << lines[2];
    EXPECT_TRUE(lines[3].starts_with("GET /map.json.minisig 304 inm=[\"")) << lines[3];
    EXPECT_EQ(lines[2].find("ims=[]"), std::string::npos) << lines[2];
}

TEST_F(Https, DeliversAChangedMap) {
    start_nginx();
    publish_pair("map.json", "one");
    start("/map.json");
    ASSERT_TRUE(serve_until_delivered(1)) << problem();
    publish_pair("map.json", "the second", 30min);
    read_again();
    ASSERT_TRUE(serve_until_delivered(2)) << problem();
    EXPECT_EQ(delivered_[1].document, "the second");
    EXPECT_EQ(delivered_[1].signatures, "signature of the second");
    EXPECT_EQ(log_lines(" 304 ").size(), 0U);
}

TEST_F(Https, FindsAChangeThatHasTheDateAndTheSizeOfWhatItReplaced) {
    start_nginx();
    publish_pair("map.json", "one", -10s);
    start("/map.json");
    ASSERT_TRUE(serve_until_delivered(1)) << problem();
    const auto date = fs::last_write_time(folder_ / "www" / "map.json");
    publish("map.json", "two");
    fs::last_write_time(folder_ / "www" / "map.json", date);
    read_again();
    ASSERT_TRUE(serve_until_delivered(2)) << problem();
    EXPECT_EQ(delivered_[1].document, "two");
}

TEST_F(Https, HealsAPairThatWasReadHalf) {
    options_.first_retry = 1s;
    options_.max_retry = 2s;
    start_nginx();
    publish_pair("map.json", "one");
    start("/map.json");
    ASSERT_TRUE(serve_until_delivered(1)) << problem();
    publish("map.json", "the second", 30min);
    read_again();
    ASSERT_TRUE(serve_until_delivered(2)) << problem();
    EXPECT_EQ(delivered_[1].document, "the second");
    EXPECT_EQ(delivered_[1].signatures, "signature of one");
    publish("map.json.minisig", "signature of the second", 30min);
    ASSERT_TRUE(serve_until_delivered(3)) << problem(); // by itself
    EXPECT_EQ(delivered_[2].document, "the second");
    EXPECT_EQ(delivered_[2].signatures, "signature of the second");
    // And then there is peace: the signature alone has changed this time, but that was the second look.
    const auto asked = log_lines_once("GET", 6).size();
    serve(2500ms);
    EXPECT_EQ(log_lines("GET").size(), asked);
    EXPECT_EQ(delivered_.size(), 3U);
}

TEST_F(Https, WithoutASignatureIsUnsigned) {
    start_nginx();
    publish("map.json", "one");
    start("/map.json");
    ASSERT_TRUE(serve_until_delivered(1)) << problem();
    EXPECT_EQ(delivered_[0].document, "one");
    EXPECT_EQ(delivered_[0].signatures, "");
    EXPECT_EQ(problem(), "");
    publish("map.json.minisig", "signature");
    read_again();
    ASSERT_TRUE(serve_until_delivered(2)) << problem();
    EXPECT_EQ(delivered_[1].signatures, "signature");
    fs::remove(folder_ / "www" / "map.json.minisig");
    read_again();
    ASSERT_TRUE(serve_until_delivered(3)) << problem();
    EXPECT_EQ(delivered_[2].signatures, "");
}

TEST_F(Https, ASignatureThatCannotBeReadIsAProblemAndNothingIsDelivered) {
    start_nginx();
    publish("broken.json", "one");
    start("/broken.json");
    ASSERT_TRUE(serve_until_problem("/broken.json.minisig: the server responds with status 500")) << problem();
    EXPECT_TRUE(delivered_.empty());
    EXPECT_FALSE(source_->health().last_read.has_value());
}

TEST_F(Https, AMissingMapIsAProblemUntilItIsThere) {
    start_nginx();
    publish("map.json.minisig", "signature of one");
    start("/map.json");
    ASSERT_TRUE(serve_until_problem("/map.json: the server responds with status 404")) << problem();
    EXPECT_TRUE(delivered_.empty());
    publish("map.json", "one");
    ASSERT_TRUE(serve_until_delivered(1)) << problem();
    EXPECT_EQ(problem(), "");
}

TEST_F(Https, TakesTheVendorsListWithoutASignature) {
    start_nginx();
    publish_pair("map.json", R"({"ipv4": []})");
    options_.vendor_list = true;
    start("/map.json");
    ASSERT_TRUE(serve_until_delivered(1)) << problem();
    EXPECT_TRUE(delivered_[0].trust_transport);
    EXPECT_EQ(delivered_[0].signatures, "");
    serve(300ms);
    EXPECT_EQ(log_lines("minisig").size(), 0U);
}

TEST_F(Https, PutsTheSuffixOnThePathAndShowsNoQuery) {
    start_nginx();
    publish_pair("map.json", "one");
    start("/map.json?token=secret");
    ASSERT_TRUE(serve_until_delivered(1)) << problem();
    EXPECT_EQ(delivered_[0].signatures, "signature of one");
    EXPECT_EQ(delivered_[0].source, url("/map.json"));
    EXPECT_EQ(source_->name(), url("/map.json"));
    EXPECT_EQ(log_lines_once("GET /map.json.minisig?token=secret 200", 1).size(), 1U) << text_of("access.log");
    fs::remove(folder_ / "www" / "map.json");
    read_again();
    ASSERT_TRUE(serve_until_problem("404"));
    EXPECT_FALSE(has_problem("secret")) << problem();
}

TEST_F(Https, StartsNoTransferTwice) {
    start_nginx();
    publish_pair("map.json", "one");
    start("/map.json");
    for (int i = 0; i < 5; i++)
        read_again();
    ASSERT_TRUE(serve(patient(timeout), [&] { return log_lines("GET /map.json.minisig ").size() >= 2; })) << problem();
    serve(500ms);
    // The one that was under way, and one more for all that came meanwhile: of those that came before this test had
    // its turn, the loop sees the newest.
    EXPECT_LE(delivered_.size(), 3U);
    EXPECT_GE(delivered_.size(), 1U);
    // A third where the first had ended before the calls came.
    EXPECT_LE(log_lines("GET /map.json ").size(), 3U) << text_of("access.log");
    EXPECT_LE(log_lines("GET /map.json.minisig ").size(), 3U) << text_of("access.log");
}

TEST_F(Https, RefusesACertificateOfAnotherAuthority) {
    start_nginx();
    publish_pair("map.json", "one");
    options_.ca_file = TestAuthority(folder_, "other").certificate();
    start("/map.json");
    ASSERT_TRUE(serve_until_problem("certificate")) << problem();
    serve(500ms);
    EXPECT_TRUE(delivered_.empty());
    EXPECT_EQ(log_lines("GET").size(), 0U);
    // The right one in its place counts at once.
    fs::copy_file(authority_->certificate(), options_.ca_file, fs::copy_options::overwrite_existing);
    ASSERT_TRUE(serve_until_delivered(1)) << problem();
}

TEST_F(Https, RefusesASelfSignedCertificateWhereTheSystemsAuthoritiesCount) {
    start_nginx();
    publish_pair("map.json", "one");
    options_.ca_file.clear();
    start("/map.json");
    ASSERT_TRUE(serve_until_problem("certificate")) << problem();
    EXPECT_EQ(log_lines("GET").size(), 0U);
}

TEST_F(Https, RefusesACertificateOfAnotherHost) {
    start_nginx();
    publish_pair("map.json", "one");
    open(fmt::format("https://localhost:{}/map.json", port_)); // the certificate is 127.0.0.1's
    read_again();
    ASSERT_TRUE(serve_until_problem("subject name")) << problem();
    serve(500ms);
    EXPECT_TRUE(delivered_.empty());
    EXPECT_EQ(log_lines("GET").size(), 0U);
}

TEST_F(Https, IsNeverRedirectedToPlainHttp) {
    start_nginx();
    publish_pair("map.json", "one");
    start("/to-plain.json");
    ASSERT_TRUE(serve_until_problem("'http'")) << problem();
    serve(500ms);
    EXPECT_TRUE(delivered_.empty());
    EXPECT_EQ(log_lines(fmt::format("port={}", plain_port_)).size(), 0U);
}

TEST_F(Https, FollowsARedirectButNoCircle) {
    start_nginx();
    publish_pair("map.json", "one");
    start("/to-map.json");
    ASSERT_TRUE(serve_until_delivered(1)) << problem();
    EXPECT_EQ(delivered_[0].document, "one");
    start_odd();
    options_.first_retry = options_.max_retry = 1min;
    start("/loop.json");
    ASSERT_TRUE(serve_until_problem("redirects")) << problem();
    EXPECT_EQ(log_lines("/loop.json", "odd.log").size(), 4U);
}

TEST_F(Https, ComesBackWhenTheServerDoes) {
    start_nginx();
    nginx_.reset();
    publish_pair("map.json", "one");
    start("/map.json");
    ASSERT_TRUE(serve_until_problem("connect")) << problem();
    serve(1500ms);
    EXPECT_TRUE(delivered_.empty());
    start_nginx();
    ASSERT_TRUE(serve_until_delivered(1)) << problem();
    EXPECT_EQ(problem(), "");
    EXPECT_TRUE(source_->health().last_read.has_value());
}

TEST_F(Https, WaitsLongerAfterEachFailure) {
    options_.first_retry = 20ms;
    options_.max_retry = 1s;
    start_nginx();
    start("/map.json");
    serve(8s);
    // On average half of 20, 40, ... 640 ms and then half a second each: some 20. Without doubling, 800.
    const auto asked = log_lines("GET /map.json 404").size();
    EXPECT_GE(asked, 6U);
    EXPECT_LE(asked, 80U);
}

TEST_F(Https, ObeysRetryAfterEvenWhenAskedToReadAgain) {
    options_.first_retry = 1ms;
    options_.max_retry = 10s;
    start_odd();
    start("/busy.json");
    ASSERT_TRUE(serve_until_problem("status 503")) << problem();
    read_again();
    ASSERT_TRUE(serve_until_delivered(1)) << problem();
    const Lines lines = log_lines("/busy.json", "odd.log");
    ASSERT_GE(lines.size(), 2U);
    EXPECT_GE(std::stod(lines[1]) - std::stod(lines[0]), 1.9);
}

TEST_F(Https, ObeysRetryAfterNoLongerThanTheLongestRetry) {
    start_odd();
    start("/busy-for-long.json");
    ASSERT_TRUE(serve_until_delivered(1)) << problem();
}

// What a server does, and what is said of it.
struct Misbehaviour {
    const char *path, *problem;
};
class HttpsMisbehaviour : public Https, public testing::WithParamInterface<Misbehaviour> {};

TEST_P(HttpsMisbehaviour, IsCutOffAndNothingIsDelivered) {
    options_.timeout = 18s; // too slow: for 6 s
    options_.first_retry = options_.max_retry = 1min;
    start_odd();
    const auto begin = std::chrono::steady_clock::now();
    start(GetParam().path);
    ASSERT_TRUE(serve_until_problem(GetParam().problem)) << problem();
    EXPECT_LT(std::chrono::steady_clock::now() - begin, 17500ms) << "only the time limit has ended it";
    EXPECT_TRUE(delivered_.empty());
    for (const char c : problem())
        EXPECT_TRUE(c >= ' ' && c <= '~') << problem();
    // What buffers on the way hold is more than the limit, but not much more.
    serve(500ms);
    for (const std::string& line : log_lines(" sent ", "odd.log"))
        EXPECT_LT(std::stoul(line.substr(line.rfind(' ') + 1)), 16U * 1024 * 1024) << line;
}
INSTANTIATE_TEST_SUITE_P(
    Server, HttpsMisbehaviour,
    testing::Values(Misbehaviour{"/endless.json", "larger than 1048576 bytes"},
                    Misbehaviour{"/endless-error.json", "status 404"}, Misbehaviour{"/endless-headers.json", "eader"},
                    Misbehaviour{"/declared.json", "larger than 1048576 bytes"},
                    Misbehaviour{"/short.json", "bytes remaining"}, Misbehaviour{"/drip.json", "too slow"},
                    Misbehaviour{"/garbage.json", "HTTP/0.9"}, Misbehaviour{"/packed.json", "compressed"}),
    [](const auto& test) {
        std::string name;
        for (const char c : std::string(test.param.path))
            if (isalpha(c)) name += c;
        return name;
    });

std::ptrdiff_t open_descriptors() {
    return std::distance(fs::directory_iterator("/proc/self/fd"), fs::directory_iterator());
}

TEST_F(Https, LeavesNothingBehindWhenItEndsInTheMiddle) {
    start_odd();
    start("/hang.json"); // whatever stays for the process's life is made here
    serve(100ms);
    source_.reset();
    const auto before = open_descriptors();
    for (int i = 0; i < 12; i++) {
        start("/hang.json");
        serve(std::chrono::milliseconds(i * 3)); // not begun, connecting, in the handshake, in the body
        source_.reset();
    }
    EXPECT_EQ(open_descriptors(), before);
    start("/hang.json");
    ASSERT_TRUE(serve(patient(timeout), [&] { return log_lines("/hang.json", "odd.log").size() >= 2; }));
    serve(200ms);
    EXPECT_GT(open_descriptors(), before) << "no connection is open: nothing is tested";
    source_.reset();
    EXPECT_EQ(open_descriptors(), before);
    EXPECT_TRUE(delivered_.empty());
}

TEST_F(Https, KeepsNoConnectionBetweenReads) {
    start_nginx();
    publish_pair("map.json", "one");
    open(url("/map.json"));
    const auto before = open_descriptors();
    read_again();
    ASSERT_TRUE(serve_until_delivered(1)) << problem();
    serve(100ms);
    EXPECT_EQ(open_descriptors(), before);
}

TEST_F(Https, RefusesUrlsThatItWouldNotRead) {
    struct Wrong {
        const char *url, *why;
    };
    for (const auto& [url, why] : {Wrong{"http://maps.example/map.json", "begins with https://"},
                                   {"ftp://maps.example/map.json", "begins with https://"},
                                   {"file:///etc/passwd", "begins with https://"},
                                   {"maps.example/map.json", "expected"},
                                   {"https://", "expected https://HOST/PATH"},
                                   {"https://maps.example", "names no document"},
                                   {"https://maps.example/", "names no document"},
                                   {"https://maps.example/maps/", "names no document"},
                                   {"https://admin:secret@maps.example/map.json", "user name or a password"},
                                   {"https://admin@maps.example/map.json", "user name or a password"},
                                   {"https://maps.example/a b", "expected https://HOST/PATH"},
                                   {"", "expected https://HOST/PATH"}}) {
        HttpsOptions options;
        options.url = url;
        const auto opened = HttpsSource::open(options);
        ASSERT_FALSE(opened) << url;
        EXPECT_EQ(opened.error().kind, ErrorKind::BadInput) << url;
        EXPECT_NE(opened.error().message.find(why), std::string::npos) << url << ": " << opened.error().message;
        EXPECT_EQ(opened.error().message.find("secret"), std::string::npos) << opened.error().message;
    }
}

} // namespace
} // namespace kudo::test
