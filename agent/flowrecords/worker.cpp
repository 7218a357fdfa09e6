// SPDX-License-Identifier: MIT
#include "agent/flowrecords/worker.h"

#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <curl/curl.h>
#include <systemd/sd-journal.h>

#include "agent/flowrecords/batch.h"
#include "agent/flowrecords/ipfix_encoder.h"

namespace kudo {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::chrono::milliseconds first_retry{500}, max_retry{30'000};

// To a collector: connects where there is no connection, and tells of the templates what must be told.
class CollectorOutput {
public:
    explicit CollectorOutput(const WorkerSettings& settings) : settings_(settings) {
        curl_global_init(CURL_GLOBAL_DEFAULT);
    }
    // Also without records: so that trouble is known before there are any.
    Result<void> open() {
        if (transport_) return {};
        auto encoder = KUDO_TRY(IpfixEncoder::make(settings_.enterprise, settings_.domain));
        transport_ = KUDO_TRY(connect_to(settings_.destination, settings_.tls, settings_.timeout));
        encoder_.emplace(std::move(encoder));
        templates_sent_.reset();
        return {};
    }
    Result<void> send(std::span<const DataRecord> records) {
        KUDO_TRY(open());
        const auto now = Clock::now();
        if (!templates_sent_ || (is_udp() && now - *templates_sent_ >= settings_.templates_every)) {
            KUDO_TRY(transport_->send(KUDO_TRY(encoder_->templates())));
            templates_sent_ = now;
        }
        return transport_->send(KUDO_TRY(encoder_->records(records)));
    }
    Result<void> check() { return transport_ ? transport_->check() : Result<void>(); }
    [[nodiscard]] int fd() const { return transport_ ? transport_->fd() : -1; }
    // A datagram can be sent wherever nobody listens: only records that were handed over say that all is well.
    [[nodiscard]] bool open_is_well() const { return !is_udp(); }
    void close() { transport_.reset(); }

private:
    [[nodiscard]] bool is_udp() const { return settings_.destination.kind == FlowDestination::Kind::Udp; }

    const WorkerSettings& settings_;
    std::unique_ptr<Transport> transport_;
    std::optional<IpfixEncoder> encoder_; // of this connection
    std::optional<Clock::time_point> templates_sent_;
};

// To the journal (sd_journal_send(3), which says nothing where there is none).
class JournalOutput {
public:
    static Result<void> open() {
        if (access("/run/systemd/journal/socket", W_OK) == 0) return {};
        return fail_errno("there is no journal");
    }
    static Result<void> send(std::span<const DataRecord> records) {
        for (const DataRecord& record : records) {
            KUDO_TRY(open());
            const std::string message = "MESSAGE=" + json_line(record);
            constexpr std::string_view name = "SYSLOG_IDENTIFIER=kudo-agent-flows", priority = "PRIORITY=6";
            const auto field = [](std::string_view text) { return iovec{const_cast<char*>(text.data()), text.size()}; };
            const std::array parts{field(message), field(name), field(priority)};
            if (const int result = sd_journal_sendv(parts.data(), parts.size()); result < 0)
                return fail_errno("cannot write", -result);
        }
        return {};
    }
    static Result<void> check() { return {}; }
    [[nodiscard]] static int fd() { return -1; }
    [[nodiscard]] static bool open_is_well() { return true; }
    void close() {}
};

bool tell(int socket, const WorkerNews& news) {
    const std::string text = write_news(news);
    return ::send(socket, text.data(), text.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(text.size());
}

template <typename Output> class Worker {
public:
    Worker(int socket, Output output) : socket_(socket), output_(std::move(output)) {}

    void run() {
        while (good_) {
            attempt();
            wait();
        }
    }

private:
    // Connects, and hands over what there is.
    void attempt() {
        if (Clock::now() < next_attempt_) return;
        Result<void> done = output_.open();
        if (done && batch_) done = output_.send(*batch_);
        if (!done) return fail_for_now(done.error().message);
        if (batch_ || output_.open_is_well()) tell_problem("");
        if (batch_) {
            wait_ = first_retry;
            good_ = good_ && tell(socket_, {.handed_over = std::exchange(batch_, std::nullopt)->size()});
        }
        next_attempt_ = Clock::now();
    }

    void fail_for_now(const std::string& problem) {
        output_.close();
        tell_problem(problem);
        next_attempt_ = Clock::now() + wait_;
        wait_ = std::min(2 * wait_, max_retry);
    }

    void tell_problem(const std::string& problem) {
        if (std::exchange(problem_, problem) != problem) good_ = good_ && tell(socket_, {.problem = problem});
    }

    // Until there is something to do.
    void wait() {
        if (!good_ || take()) return;
        const auto now = Clock::now();
        const bool tries_later = next_attempt_ > now;
        const int most =
            tries_later ? static_cast<int>(std::chrono::ceil<std::chrono::milliseconds>(next_attempt_ - now).count())
                        : -1;
        pollfd waits[] = {{socket_, POLLIN, 0}, {output_.fd(), POLLIN, 0}};
        if (poll(waits, 2, most) <= 0) return;
        if (waits[0].revents != 0) receive();
        if (waits[1].revents == 0) return;
        if (const auto still = output_.check(); !still) fail_for_now(still.error().message);
    }

    void receive() {
        char bytes[65536];
        const ssize_t got = recv(socket_, bytes, sizeof bytes, MSG_DONTWAIT);
        if (got > 0) received_.append(bytes, static_cast<std::size_t>(got));
        if (got == 0 || (got < 0 && errno != EINTR && errno != EAGAIN)) good_ = false;
    }

    // True: there is a batch that may be handed over now.
    bool take() {
        if (!batch_) {
            auto batch = take_batch(received_);
            if (!batch) return good_ = false, true;
            batch_ = std::move(*batch);
        }
        return batch_ && Clock::now() >= next_attempt_;
    }

    int socket_;
    Output output_;
    bool good_ = true; // the service is there
    std::string received_, problem_;
    std::optional<std::vector<DataRecord>> batch_;
    Clock::time_point next_attempt_{};
    std::chrono::milliseconds wait_ = first_retry;
};

} // namespace

void run_worker(int socket, const WorkerSettings& settings) {
    std::signal(SIGPIPE, SIG_IGN); // OpenSSL writes to a connection that the collector may have closed
    if (settings.destination.kind == FlowDestination::Kind::Journal)
        Worker(socket, JournalOutput()).run();
    else
        Worker(socket, CollectorOutput(settings)).run();
    _exit(0); // a thread of libcurl may still resolve a name
}

} // namespace kudo
