// SPDX-License-Identifier: MIT
#include "agent/doctor/load.h"

#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cstring>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "agent/stun/socket_address.h"
#include "agent/stun/stun.h"
#include "agent/system/fd.h"
#include "bpf/stun.h"

namespace kudo {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::microseconds;
constexpr microseconds interval{1'000'000 / load_rate};
constexpr std::chrono::seconds last_answers{1};
constexpr double too_much = 0.01, stall = 0.5; // shares lost: of all; of a second
constexpr microseconds slow_rtt{150'000};

// The transaction has the request's number in front, so that an answer says which one it is to.
StunTransaction numbered(StunTransaction transaction, uint32_t number) {
    std::memcpy(transaction.data(), &number, sizeof number);
    return transaction;
}

Result<LoadOutcome> run(const Address& server) {
    const SocketAddress to(server, KUDO_STUN_PORT);
    const Fd fd(socket(to.storage.ss_family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!fd || connect(fd.get(), to.get(), to.size) != 0) return fail_errno("cannot send to " + server.text());
    const StunTransaction base = new_stun_transaction();
    const unsigned total = load_rate * load_seconds;
    LoadOutcome outcome;
    outcome.seconds.resize(load_seconds);
    std::vector<Clock::time_point> sent(total);
    std::vector<bool> answered(total);
    const auto begin = Clock::now();
    const auto receive = [&] {
        std::array<uint8_t, 2048> bytes{};
        ssize_t got = 0;
        for (unsigned count = 0; count < load_rate; count++) { // whoever floods us delays what is due by no more
            got = recv(fd.get(), bytes.data(), bytes.size(), 0);
            if (got < 0 && errno != ECONNREFUSED) break;
            if (got < KUDO_STUN_HEADER) continue;
            uint32_t number = 0;
            std::memcpy(&number, bytes.data() + KUDO_STUN_TRANSACTION, sizeof number);
            if (number >= total || answered[number] ||
                !read_stun_response({bytes.data(), static_cast<std::size_t>(got)}, numbered(base, number)))
                continue;
            answered[number] = true;
            outcome.seconds[number / load_rate].answered++;
            outcome.rtts.push_back(std::chrono::duration_cast<microseconds>(Clock::now() - sent[number]));
        }
    };
    const auto wait_until = [&](Clock::time_point until) {
        for (auto left = until - Clock::now(); left > Clock::duration::zero(); left = until - Clock::now()) {
            pollfd waits{fd.get(), POLLIN, 0};
            const timespec time{.tv_sec = 0,
                                .tv_nsec = std::min<int64_t>(
                                    std::chrono::duration_cast<std::chrono::nanoseconds>(left).count(), 999'999'999)};
            if (ppoll(&waits, 1, &time, nullptr) > 0) receive();
        }
    };
    for (uint32_t number = 0; number < total; number++) {
        wait_until(begin + number * interval);
        const auto request = binding_request(numbered(base, number), number % 4 == 0 ? small_request : large_request);
        sent[number] = Clock::now();
        outcome.seconds[number / load_rate].sent++;
        static_cast<void>(send(fd.get(), request.data(), request.size(), MSG_NOSIGNAL)); // what is not sent is lost
    }
    wait_until(Clock::now() + last_answers);
    return outcome;
}

} // namespace

CheckReport judge_load(LoadOutcome outcome, const Address& server) {
    unsigned sent = 0, answered = 0, stalled = 0;
    double worst = 0;
    for (const auto& second : outcome.seconds) {
        sent += second.sent;
        answered += second.answered;
        if (second.sent == 0) continue;
        const double lost = 1 - static_cast<double>(second.answered) / second.sent;
        worst = std::max(worst, lost);
        stalled += lost >= stall;
    }
    std::ranges::sort(outcome.rtts);
    const auto at = [&](double share) {
        if (outcome.rtts.empty()) return microseconds{};
        return outcome.rtts[static_cast<std::size_t>(share * static_cast<double>(outcome.rtts.size() - 1))];
    };
    const double lost = sent == 0 ? 1 : 1 - static_cast<double>(answered) / sent;
    const std::string numbers =
        fmt::format("{} of {} requests answered by {} ({:.1f} % lost, worst second {:.0f} %), round trip {:.1f} ms "
                    "(median), {:.1f} ms (p99)",
                    answered, sent, server.text(), lost * 100, worst * 100, static_cast<double>(at(0.5).count()) / 1000,
                    static_cast<double>(at(0.99).count()) / 1000);
    if (answered == 0)
        return {CheckResult::Fail,
                fmt::format("{} answered none of {} requests", server.text(), sent),
                {},
                {},
                "Is it a STUN server on UDP 3478? See media_udp."};
    if (stalled > 0)
        return {
            CheckResult::Fail,
            fmt::format("the network lost half and more of the packets in {} of {} seconds: something throttles "
                        "UDP, as flood control of firewalls does",
                        stalled, outcome.seconds.size()),
            {numbers},
            {},
            "Whoever runs the network's firewall raises its UDP flood threshold for KUDO's ranges above the packets "
            "that a call sends: 1000 a second and more."};
    if (lost > too_much)
        return {CheckResult::Fail,
                fmt::format("{:.1f} % of the packets were lost under the load of a call", lost * 100),
                {numbers},
                {},
                "Look where: Wi-Fi, the line's rate (enable --uplink RATE lets KUDO go first), or the provider."};
    if (at(0.99) > slow_rtt)
        return {CheckResult::Warn,
                "packets wait too long under the load of a call",
                {numbers},
                {},
                "A full queue on the way: enable --uplink RATE, slightly below the line's, lets packets wait here, "
                "where KUDO goes first."};
    return passed("the load of a call passes", {numbers});
}

CheckReport check_load(Examination& examination) {
    if (!examination.subject.load) return skipped("not asked for: --load");
    const Address& server = examination.subject.servers.front();
    auto outcome = run(server);
    if (!outcome) return skipped(outcome.error().message);
    return judge_load(std::move(*outcome), server);
}

} // namespace kudo
