// SPDX-License-Identifier: MIT
#include "agent/metrics/server.h"

#include <sys/socket.h>

#include <cerrno>

#include <string_view>

#include <fmt/format.h>
#include <spdlog/spdlog.h>

namespace kudo {
namespace {

constexpr std::size_t max_request = 8192;
constexpr int send_buffer = 1 << 20; // as far as net.core.wmem_max allows: what is served goes there at once

std::string message(std::string_view status, std::string_view type, std::string_view body, bool head_only,
                    std::string_view extra = "") {
    return fmt::format("HTTP/1.1 {}\r\nContent-Type: {}\r\nContent-Length: {}\r\n{}Connection: close\r\n\r\n{}", status,
                       type, body.size(), extra, head_only ? "" : body);
}

} // namespace

std::string http_answer(std::string_view request, const std::function<std::string()>& text) {
    constexpr std::string_view plain = "text/plain; charset=utf-8";
    const std::string_view line = request.substr(0, request.find("\r\n"));
    const auto first = line.find(' '), last = line.rfind(' ');
    if (first == std::string_view::npos || first == last || !line.substr(last + 1).starts_with("HTTP/1."))
        return message("400 Bad Request", plain, "not an HTTP/1.1 request\n", false);
    const std::string_view method = line.substr(0, first);
    std::string_view target = line.substr(first + 1, last - first - 1);
    target = target.substr(0, target.find('?'));
    if (method != "GET" && method != "HEAD")
        return message("405 Method Not Allowed", plain, "GET or HEAD\n", false, "Allow: GET, HEAD\r\n");
    if (target != "/metrics") return message("404 Not Found", plain, "metrics are at /metrics\n", method == "HEAD");
    return message("200 OK", "text/plain; version=0.0.4; charset=utf-8", text(), method == "HEAD");
}

Result<void> MetricsServer::open() {
    const bool is_open = address_.path.empty() ? static_cast<bool>(tcp_) : unix_ && unix_->is_there();
    if (is_open && accepting_) return {};
    if (!is_open && address_.path.empty()) {
        tcp_ = KUDO_TRY(listen_on(address_));
    } else if (!is_open) {
        unix_.reset();
        unix_.emplace(KUDO_TRY(ListeningSocket::open(address_.path, SOCK_STREAM)));
    }
    const int listening = unix_ ? unix_->fd() : tcp_.get();
    KUDO_TRY(loop_.watch(listening, [this, listening] { accept_one(listening); }));
    accepting_ = true;
    return {};
}

void MetricsServer::accept_one(int listening) {
    Fd connection(accept4(listening, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (!connection) {
        if (errno == EAGAIN || errno == EINTR || errno == ECONNABORTED) return;
        loop_.forget(listening); // it stays readable; whoever has connected waits for the next open()
        accepting_ = false;
        return;
    }
    if (scrapers_.size() >= max_scrapers) end(scrapers_.begin());
    setsockopt(connection.get(), SOL_SOCKET, SO_SNDBUF, &send_buffer, sizeof send_buffer);
    const auto scraper = scrapers_.insert(scrapers_.end(), Scraper{std::move(connection), {}});
    if (!loop_.watch(scraper->connection.get(), [this, scraper] { read_request(scraper); })) end(scraper);
}

void MetricsServer::read_request(Place scraper) {
    char buffer[4096];
    const ssize_t got = recv(scraper->connection.get(), buffer, sizeof buffer, MSG_DONTWAIT);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (got > 0) scraper->request.append(buffer, static_cast<std::size_t>(got));
    const bool whole = scraper->request.find("\r\n\r\n") != std::string::npos;
    if (got > 0 && !whole && scraper->request.size() <= max_request) return;
    if (whole) {
        const std::string answer = http_answer(scraper->request, text_);
        const ssize_t sent = send(scraper->connection.get(), answer.data(), answer.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
        if (sent != static_cast<ssize_t>(answer.size())) spdlog::debug("a scrape was cut off");
    }
    end(scraper);
}

void MetricsServer::end(Place scraper) {
    loop_.forget(scraper->connection.get());
    scrapers_.erase(scraper);
}

} // namespace kudo
