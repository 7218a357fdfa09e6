// SPDX-License-Identifier: MIT
#include "agent/stun/datagram_probe.h"

#include <linux/errqueue.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cstring>

#include <fmt/format.h>

#include "agent/stun/socket_address.h"
#include "agent/system/fd.h"

namespace kudo {
namespace {

using Clock = std::chrono::steady_clock;
constexpr int max_messages = 256; // that are read at once

struct Try {
    StunTransaction transaction{};
    Clock::time_point sent_at{}, next{};
};

Result<Fd> open_socket(Family family) {
    const bool v4 = family == Family::IPv4;
    Fd fd(socket(v4 ? AF_INET : AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!fd) return fail_errno("no socket");
    const int on = 1;
    setsockopt(fd.get(), v4 ? IPPROTO_IP : IPPROTO_IPV6, v4 ? IP_RECVERR : IPV6_RECVERR, &on, sizeof on);
    setsockopt(fd.get(), v4 ? IPPROTO_IP : IPPROTO_IPV6, v4 ? IP_RECVTOS : IPV6_RECVTCLASS, &on, sizeof on);
    return fd;
}

bool send_marked(int fd, const DatagramProbe& probe, const std::vector<uint8_t>& bytes) {
    SocketAddress to(probe.to, probe.port);
    const int ds_field = probe.dscp << 2;
    iovec part{const_cast<uint8_t*>(bytes.data()), bytes.size()};
    alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof ds_field)> control{};
    msghdr message{};
    message.msg_name = &to.storage;
    message.msg_namelen = to.size;
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    cmsghdr* const header = CMSG_FIRSTHDR(&message);
    const bool v4 = probe.to.family == Family::IPv4;
    header->cmsg_level = v4 ? IPPROTO_IP : IPPROTO_IPV6;
    header->cmsg_type = v4 ? IP_TOS : IPV6_TCLASS;
    header->cmsg_len = CMSG_LEN(sizeof ds_field);
    std::memcpy(CMSG_DATA(header), &ds_field, sizeof ds_field);
    for (int attempt = 0; attempt < 2; attempt++) // an error of before is told first, and is in the queue as well
        if (sendmsg(fd, &message, 0) >= 0) return true;
    return false;
}

class Exchange {
public:
    Exchange(std::vector<DatagramProbe>& probes, const ProbeTimes& times, const ProbeSockets& sockets,
             Clock::time_point begin)
        : probes_(probes), tries_(probes.size()), times_(times), sockets_(sockets) {
        for (std::size_t i = 0; i < probes.size(); i++) {
            tries_[i].transaction = new_stun_transaction();
            tries_[i].next = begin + probes[i].after;
        }
    }

    void run(Clock::time_point deadline) {
        std::array<pollfd, 2> waits{};
        for (std::size_t i = 0; i < waits.size(); i++)
            waits[i] = {sockets_[i], POLLIN, 0};
        while (!is_done() && Clock::now() < deadline) {
            send_due();
            const auto until = std::min(deadline, next_due(deadline));
            const auto left = std::chrono::ceil<std::chrono::milliseconds>(until - Clock::now()).count();
            if (poll(waits.data(), waits.size(), static_cast<int>(std::max<int64_t>(left, 0))) <= 0) continue;
            for (std::size_t i = 0; i < waits.size(); i++)
                if (waits[i].revents != 0) {
                    // Whoever floods us delays what is due by no more than this.
                    for (int count = 0; count < max_messages && receive(waits[i].fd); count++) {
                    }
                    for (int count = 0; count < max_messages && receive_error(waits[i].fd); count++) {
                    }
                }
        }
    }

private:
    [[nodiscard]] static bool is_settled(const DatagramProbe& probe) { return probe.response || probe.error != 0; }
    [[nodiscard]] bool is_done() const { return std::ranges::all_of(probes_, is_settled); }

    [[nodiscard]] Clock::time_point next_due(Clock::time_point next) const {
        for (std::size_t i = 0; i < probes_.size(); i++)
            if (!is_settled(probes_[i]) && probes_[i].sent <= times_.tries.size())
                next = std::min(next, tries_[i].next);
        return next;
    }

    void send_due() {
        for (std::size_t i = 0; i < probes_.size(); i++) {
            DatagramProbe& probe = probes_[i];
            if (is_settled(probe) || probe.sent > times_.tries.size() || Clock::now() < tries_[i].next) continue;
            const auto bytes =
                probe.allocate ? allocate_request(tries_[i].transaction) : binding_request(tries_[i].transaction);
            tries_[i].sent_at = Clock::now();
            if (!send_marked(sockets_[probe.to.family == Family::IPv6], probe, bytes)) probe.error = errno;
            tries_[i].next = tries_[i].sent_at +
                             (probe.sent < times_.tries.size() ? times_.tries[probe.sent] : std::chrono::hours(1));
            probe.sent++;
        }
    }

    // One message; false: there is none.
    bool receive(int fd) {
        std::array<uint8_t, 2048> bytes{};
        alignas(cmsghdr) std::array<char, 256> control{};
        SocketAddress from;
        iovec part{bytes.data(), bytes.size()};
        msghdr message = from.message(part, control);
        const ssize_t got = recvmsg(fd, &message, MSG_DONTWAIT);
        const auto now = Clock::now();
        if (got < 0) return false;
        uint8_t ds_field = 0;
        for (cmsghdr* each = CMSG_FIRSTHDR(&message); each; each = CMSG_NXTHDR(&message, each))
            if (each->cmsg_level == IPPROTO_IP && each->cmsg_type == IP_TOS) {
                std::memcpy(&ds_field, CMSG_DATA(each), sizeof ds_field);
            } else if (each->cmsg_level == IPPROTO_IPV6 && each->cmsg_type == IPV6_TCLASS) {
                int whole = 0;
                std::memcpy(&whole, CMSG_DATA(each), sizeof whole);
                ds_field = static_cast<uint8_t>(whole);
            }
        for (std::size_t i = 0; i < probes_.size(); i++) {
            if (probes_[i].response || from.address() != probes_[i].to || from.port() != probes_[i].port) continue;
            const auto response =
                read_stun_response({bytes.data(), static_cast<std::size_t>(got)}, tries_[i].transaction);
            if (!response) continue;
            probes_[i].response = *response;
            probes_[i].error = 0;
            probes_[i].rtt = std::chrono::duration_cast<std::chrono::microseconds>(now - tries_[i].sent_at);
            probes_[i].response_dscp = ds_field >> 2;
            break;
        }
        return true;
    }

    // What ICMP, or this host's own firewall, said of a request: its bytes come back (ip(7), IP_RECVERR).
    bool receive_error(int fd) {
        std::array<uint8_t, 2048> bytes{};
        alignas(cmsghdr) std::array<char, 512> control{};
        SocketAddress to;
        iovec part{bytes.data(), bytes.size()};
        msghdr message = to.message(part, control);
        const ssize_t got = recvmsg(fd, &message, MSG_ERRQUEUE | MSG_DONTWAIT);
        if (got < 0) return false;
        for (cmsghdr* each = CMSG_FIRSTHDR(&message); each; each = CMSG_NXTHDR(&message, each)) {
            if (!((each->cmsg_level == IPPROTO_IP && each->cmsg_type == IP_RECVERR) ||
                  (each->cmsg_level == IPPROTO_IPV6 && each->cmsg_type == IPV6_RECVERR)))
                continue;
            sock_extended_err error{};
            std::memcpy(&error, CMSG_DATA(each), sizeof error);
            if (error.ee_origin != SO_EE_ORIGIN_ICMP && error.ee_origin != SO_EE_ORIGIN_ICMP6) continue;
            const auto* const request = bytes.data();
            for (std::size_t i = 0; i < probes_.size(); i++) {
                const auto& transaction = tries_[i].transaction;
                if (is_settled(probes_[i]) || got < 20 ||
                    !std::equal(transaction.begin(), transaction.end(), request + 8))
                    continue;
                probes_[i].error = static_cast<int>(error.ee_errno);
                sockaddr_storage offender{};
                const auto* at = CMSG_DATA(each) + sizeof error;
                const std::size_t room = each->cmsg_len - CMSG_LEN(sizeof error);
                std::memcpy(&offender, at, std::min(room, sizeof offender));
                probes_[i].complainer = address_of_socket(offender);
            }
        }
        return true;
    }

    std::vector<DatagramProbe>& probes_;
    std::vector<Try> tries_;
    const ProbeTimes& times_;
    const ProbeSockets& sockets_;
};

} // namespace

Result<OwnProbeSockets> open_probe_sockets(uint32_t mark) {
    OwnProbeSockets sockets;
    for (const Family family : {Family::IPv4, Family::IPv6}) {
        auto opened = open_socket(family);
        if (!opened && opened.error().number == EAFNOSUPPORT) continue;
        Fd& fd = sockets[family == Family::IPv6] = KUDO_TRY(std::move(opened));
        if (mark != 0 && setsockopt(fd.get(), SOL_SOCKET, SO_MARK, &mark, sizeof mark) != 0)
            return fail_errno("a mark (SO_MARK) cannot be set");
    }
    return sockets;
}

void probe_datagrams(std::vector<DatagramProbe>& probes, const ProbeTimes& times, const ProbeSockets& sockets) {
    const auto begin = Clock::now();
    Exchange(probes, times, sockets, begin).run(begin + times.deadline);
}

Result<void> probe_datagrams(std::vector<DatagramProbe>& probes, const ProbeTimes& times) {
    const auto sockets = KUDO_TRY(open_probe_sockets());
    probe_datagrams(probes, times, {sockets[0].get(), sockets[1].get()});
    return {};
}

std::string refusal_text(const DatagramProbe& probe) {
    if (probe.error == 0) return "";
    return fmt::format("{}{}", std::strerror(probe.error),
                       probe.complainer ? ", says " + probe.complainer->text() : "");
}

} // namespace kudo
