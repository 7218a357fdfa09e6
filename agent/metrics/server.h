// SPDX-License-Identifier: MIT
// Serves metrics by HTTP/1.1 (RFC 9112): GET /metrics, one request a connection.
// Invariant: it never waits for a client; at most max_scrapers connections are open, and of those the oldest goes when
// another comes.
#pragma once

#include <functional>
#include <list>
#include <optional>
#include <string>

#include "agent/metrics/address.h"
#include "agent/query/socket.h"
#include "agent/system/event_loop.h"

namespace kudo {

inline constexpr std::size_t max_scrapers = 8;

class MetricsServer {
public:
    // `text`: what is served, asked for with each scrape. `loop` outlives it.
    MetricsServer(MetricsAddress address, std::function<std::string()> text, EventLoop& loop)
        : address_(std::move(address)), text_(std::move(text)), loop_(loop) {}

    // Listens, if it does not yet, or no longer, and goes on accepting where descriptors or memory had run out.
    Result<void> open();

private:
    struct Scraper {
        Fd connection;
        std::string request;
    };
    using Place = std::list<Scraper>::iterator;
    void accept_one(int listening);
    void read_request(Place scraper);
    void end(Place scraper);

    MetricsAddress address_;
    std::function<std::string()> text_;
    EventLoop& loop_;
    std::optional<ListeningSocket> unix_;
    Fd tcp_;
    bool accepting_ = false;
    std::list<Scraper> scrapers_;
};

// What is answered to a request, whose head is whole: status line, header, and for GET of /metrics what `text` gives.
std::string http_answer(std::string_view request, const std::function<std::string()>& text);

} // namespace kudo
