// SPDX-License-Identifier: MIT
#include "agent/flowrecords/transport.h"

#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <regex>
#include <string>
#include <thread>

#include <curl/curl.h>
#include <fmt/format.h>

#include "agent/system/fd.h"
#include "maps/base/text.h"

namespace kudo {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::chrono::milliseconds refusal_wait{100};   // for ICMP of the collector's host
constexpr std::chrono::milliseconds acknowledge_look{5}; // how often acknowledgements are looked for, at first
constexpr std::size_t max_discarded = 1 << 16;           // of what a collector sends, at a time

// False: it was not within the time.
bool wait_for(int fd, short events, Clock::time_point deadline) {
    while (true) {
        const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(deadline - Clock::now());
        if (left.count() <= 0) return false;
        pollfd waits{fd, events, 0};
        const int got = poll(&waits, 1, static_cast<int>(left.count()));
        if (got > 0) return true;
        if (got == 0 || errno != EINTR) return false;
    }
}

struct FreeCurl {
    void operator()(CURL* curl) const { curl_easy_cleanup(curl); }
};

class StreamTransport : public Transport {
public:
    static Result<std::unique_ptr<Transport>> connect(const FlowDestination& destination, const TlsFiles& files,
                                                      std::chrono::milliseconds timeout) {
        auto stream = std::make_unique<StreamTransport>(timeout);
        KUDO_TRY(stream->open(destination, files));
        return stream;
    }
    explicit StreamTransport(std::chrono::milliseconds timeout) : timeout_(timeout), curl_(curl_easy_init()) {}

    Result<void> send(std::span<const std::string> messages) override {
        for (const std::string& message : messages)
            KUDO_TRY(send_one(message));
        return wait_until_acknowledged();
    }
    Result<void> check() override {
        char buffer[4096];
        for (std::size_t discarded = 0; discarded < max_discarded;) {
            std::size_t got = 0;
            const CURLcode code = curl_easy_recv(curl_.get(), buffer, sizeof buffer, &got);
            if (code == CURLE_AGAIN) return {};
            if (code != CURLE_OK) return curl_failure(code);
            if (got == 0) return fail("the collector has closed the connection");
            discarded += got;
        }
        return {};
    }
    [[nodiscard]] int fd() const override { return fd_; }

private:
    Result<void> open(const FlowDestination& destination, const TlsFiles& files) {
        if (!curl_) return fail("libcurl: curl_easy_init failed");
        const bool tls = destination.kind == FlowDestination::Kind::Tls;
        const bool is_ipv6 = destination.host.find(':') != std::string::npos;
        const std::string url = fmt::format("{}://{}{}{}:{}/", tls ? "https" : "http", is_ipv6 ? "[" : "",
                                            destination.host, is_ipv6 ? "]" : "", destination.port);
        CURLcode code = CURLE_OK;
        const auto set = [&](CURLoption option, auto value) {
            if (code == CURLE_OK) code = curl_easy_setopt(curl_.get(), option, value);
        };
        set(CURLOPT_URL, url.c_str());
        set(CURLOPT_CONNECT_ONLY, 1L);
        set(CURLOPT_PROXY, ""); // whatever the environment says
        set(CURLOPT_PROTOCOLS_STR, tls ? "https" : "http");
        set(CURLOPT_SSL_ENABLE_ALPN, 0L); // it is no HTTP
        set(CURLOPT_SSL_VERIFYPEER, 1L);
        set(CURLOPT_SSL_VERIFYHOST, 2L);
        set(CURLOPT_SSLVERSION, long{CURL_SSLVERSION_TLSv1_2});
        if (!files.ca.empty()) {
            set(CURLOPT_CAINFO, files.ca.c_str());
            // Debian's libcurl would trust all of /etc/ssl/certs beside it.
            set(CURLOPT_CAPATH, static_cast<const char*>(nullptr));
        }
        if (!files.certificate.empty()) {
            set(CURLOPT_SSLCERT, files.certificate.c_str());
            set(CURLOPT_SSLKEY, files.key.c_str());
        }
        set(CURLOPT_TCP_KEEPALIVE, 1L);
        set(CURLOPT_NOSIGNAL, 1L);
        set(CURLOPT_CONNECTTIMEOUT_MS, static_cast<long>(timeout_.count()));
        set(CURLOPT_ERRORBUFFER, error_.data());
        if (code == CURLE_OK) code = curl_easy_perform(curl_.get());
        curl_socket_t socket = CURL_SOCKET_BAD;
        if (code == CURLE_OK) code = curl_easy_getinfo(curl_.get(), CURLINFO_ACTIVESOCKET, &socket);
        if (code != CURLE_OK) return curl_failure(code);
        fd_ = socket;
        return {};
    }

    [[nodiscard]] tl::unexpected<Error> curl_failure(CURLcode code) const {
        const std::string text(error_[0] != '\0' ? error_.data() : curl_easy_strerror(code));
        // How long it took is never the same: "Connection timed out after 3001 milliseconds", "… after 12 ms: …".
        static const std::regex how_long(" after [0-9]+ (milliseconds|ms)");
        return fail(escaped(std::regex_replace(text, how_long, ""), 300));
    }

    // The same bytes again until all of them are taken: TLS must not be given others (SSL_write(3)).
    Result<void> send_one(std::string_view message) {
        const auto deadline = Clock::now() + timeout_;
        while (!message.empty()) {
            std::size_t sent = 0;
            const CURLcode code = curl_easy_send(curl_.get(), message.data(), message.size(), &sent);
            if (code == CURLE_OK) {
                message.remove_prefix(sent);
            } else if (code == CURLE_AGAIN) {
                KUDO_TRY(check()); // also so that TLS can go on
                if (!wait_for(fd_, POLLOUT, deadline)) return fail("the collector takes nothing any more");
            } else {
                return curl_failure(code);
            }
        }
        return {};
    }

    Result<void> wait_until_acknowledged() {
        const auto deadline = Clock::now() + timeout_;
        for (auto look = acknowledge_look;; look = std::min(2 * look, 20 * acknowledge_look)) {
            TcpInfo info{};
            socklen_t size = sizeof info;
            if (getsockopt(fd_, IPPROTO_TCP, TCP_INFO, &info, &size) != 0) return fail_errno("TCP_INFO");
            // A connection that was reset has nothing in flight either; one that the collector has closed since has got
            // it.
            const bool is_reset = info.known.tcpi_state == TCP_CLOSE;
            if (!is_reset && info.known.tcpi_unacked == 0 && info.not_sent_bytes == 0) return {};
            KUDO_TRY(check());
            if (is_reset) return fail("the collector has reset the connection");
            if (Clock::now() > deadline) return fail("the collector acknowledges nothing any more");
            std::this_thread::sleep_for(look);
        }
    }

    // Of linux/tcp.h up to Linux 4.6; the C library's has the first half.
    struct TcpInfo {
        tcp_info known;
        uint64_t pacing_rate, max_pacing_rate, bytes_acked, bytes_received;
        uint32_t segments_out, segments_in, not_sent_bytes;
    };
    static_assert(sizeof(tcp_info) == 104, "a C library whose tcp_info has more of it");

    const std::chrono::milliseconds timeout_;
    std::array<char, CURL_ERROR_SIZE> error_{}; // outlives the transfer
    std::unique_ptr<CURL, FreeCurl> curl_;
    int fd_ = -1; // libcurl's
};

class UdpTransport : public Transport {
public:
    explicit UdpTransport(Fd fd) : fd_(std::move(fd)) {}
    static Result<std::unique_ptr<Transport>> connect(const FlowDestination& destination) {
        addrinfo hints{};
        hints.ai_socktype = SOCK_DGRAM;
        hints.ai_flags = AI_NUMERICSERV;
        addrinfo* found = nullptr;
        const std::string port = std::to_string(destination.port);
        if (const int code = getaddrinfo(destination.host.c_str(), port.c_str(), &hints, &found); code != 0)
            return fail(fmt::format("{} cannot be resolved: {}", destination.host, gai_strerror(code)));
        const std::unique_ptr<addrinfo, decltype(&freeaddrinfo)> addresses(found, freeaddrinfo);
        int error = 0;
        for (const addrinfo* address = found; address != nullptr; address = address->ai_next) {
            Fd fd(socket(address->ai_family, SOCK_DGRAM | SOCK_CLOEXEC, 0));
            // Connected, so that a refusal is told.
            if (fd && ::connect(fd.get(), address->ai_addr, address->ai_addrlen) == 0)
                return std::make_unique<UdpTransport>(std::move(fd));
            error = errno;
        }
        return fail_errno("cannot connect", error);
    }

    Result<void> send(std::span<const std::string> messages) override {
        for (const std::string& message : messages)
            if (::send(fd_.get(), message.data(), message.size(), MSG_NOSIGNAL) < 0) return refusal();
        if (wait_for(fd_.get(), POLLIN, Clock::now() + refusal_wait)) return check();
        return {};
    }
    Result<void> check() override {
        char buffer[4096];
        for (std::size_t discarded = 0; discarded < max_discarded; discarded += sizeof buffer)
            if (recv(fd_.get(), buffer, sizeof buffer, MSG_DONTWAIT) < 0) {
                if (errno == EAGAIN || errno == EINTR) return {};
                return refusal();
            }
        return {};
    }
    [[nodiscard]] int fd() const override { return fd_.get(); }

private:
    // Told by ICMP, of a datagram that was sent before; which one cannot be known.
    static tl::unexpected<Error> refusal() {
        return errno == ECONNREFUSED ? fail("nobody receives there") : fail_errno("cannot send");
    }
    Fd fd_;
};

} // namespace

Result<std::unique_ptr<Transport>> connect_to(const FlowDestination& destination, const TlsFiles& files,
                                              std::chrono::milliseconds timeout) {
    if (destination.kind == FlowDestination::Kind::Udp) return UdpTransport::connect(destination);
    return StreamTransport::connect(destination, files, timeout);
}

} // namespace kudo
