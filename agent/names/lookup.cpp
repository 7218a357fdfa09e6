// SPDX-License-Identifier: MIT
#include "agent/names/lookup.h"

#include <net/if.h>
#include <poll.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>
#include <memory>
#include <span>

#include <fmt/format.h>
#include <ldns/ldns.h>

#include "agent/system/fd.h"
#include "bpf/dns.h"
#include "maps/base/text.h"

namespace kudo {
namespace {

using Bytes = std::vector<uint8_t>;
using Clock = std::chrono::steady_clock;

constexpr std::size_t max_servers = 3; // resolv.conf(5), MAXNS
constexpr std::size_t max_records = 1024, max_addresses = 1024;
constexpr uint16_t udp_size = 1232; // what the programs read; www.dnsflagday.net/2020

Result<Bytes> make_query(const std::string& name, bool ipv6, bool edns) {
    ldns_pkt* made = nullptr;
    const auto type = ipv6 ? LDNS_RR_TYPE_AAAA : LDNS_RR_TYPE_A;
    if (ldns_pkt_query_new_frm_str(&made, name.c_str(), type, LDNS_RR_CLASS_IN, LDNS_RD) != LDNS_STATUS_OK)
        return fail("is not a name that can be looked up");
    const std::unique_ptr<ldns_pkt, decltype(&ldns_pkt_free)> packet(made, ldns_pkt_free);
    uint16_t id = 0;
    if (getrandom(&id, sizeof id, 0) != sizeof id) return fail_errno("no random number");
    ldns_pkt_set_id(packet.get(), id);
    if (edns) ldns_pkt_set_edns_udp_size(packet.get(), udp_size);
    uint8_t* wire = nullptr;
    std::size_t size = 0;
    if (ldns_pkt2wire(&wire, packet.get(), &size) != LDNS_STATUS_OK) return fail("the query could not be written");
    Bytes bytes(wire, wire + size);
    std::free(wire);
    return bytes;
}

// What a query and its response have in common: the identifier and the question.
std::optional<kudo_dns_query> question_of(std::span<const uint8_t> message) {
    std::array<uint8_t, KUDO_DNS_WINDOW> window{};
    const auto seen = std::min<std::size_t>(message.size(), window.size());
    if (seen < KUDO_DNS_HEADER) return std::nullopt;
    std::copy_n(message.begin(), seen, window.begin());
    kudo_dns_query query{};
    if (!kudo_read_dns_name(window.data(), static_cast<uint32_t>(seen), &query)) return std::nullopt;
    return query;
}

bool is_response(std::span<const uint8_t> message, const Bytes& query) {
    if (message.size() < KUDO_DNS_HEADER || !kudo_is_dns_response(message.data())) return false;
    const auto of_query = question_of(query), of_message = question_of(message);
    return of_query && of_message && of_query->hash == of_message->hash && of_query->id == of_message->id;
}

struct SocketAddress {
    sockaddr_storage storage{};
    socklen_t size = 0;
    [[nodiscard]] const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage); }
};

SocketAddress socket_address(const NameServer& server) {
    SocketAddress result;
    if (server.address.family == Family::IPv4) {
        auto& address = reinterpret_cast<sockaddr_in&>(result.storage);
        address.sin_family = AF_INET;
        address.sin_port = htons(server.port);
        std::memcpy(&address.sin_addr, server.address.bytes.data(), 4);
        result.size = sizeof address;
    } else {
        auto& address = reinterpret_cast<sockaddr_in6&>(result.storage);
        address.sin6_family = AF_INET6;
        address.sin6_port = htons(server.port);
        std::memcpy(&address.sin6_addr, server.address.bytes.data(), 16);
        address.sin6_scope_id = server.zone;
        result.size = sizeof address;
    }
    return result;
}

// False: its time has come first.
bool wait_for(int fd, short events, Clock::time_point deadline) {
    while (true) {
        const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now()).count();
        if (left <= 0) return false;
        pollfd waits{fd, events, 0};
        const int ready = poll(&waits, 1, static_cast<int>(left));
        if (ready > 0) return true;
        if (ready < 0 && errno != EINTR) return false;
    }
}

Result<Fd> connect_to(const NameServer& server, int type, Clock::time_point deadline) {
    const SocketAddress address = socket_address(server);
    Fd fd(socket(address.storage.ss_family, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!fd) return fail_errno("no socket");
    if (connect(fd.get(), address.get(), address.size) == 0) return fd;
    if (errno != EINPROGRESS) return fail_errno("cannot be reached");
    int error = ETIMEDOUT;
    socklen_t size = sizeof error;
    if (wait_for(fd.get(), POLLOUT, deadline)) getsockopt(fd.get(), SOL_SOCKET, SO_ERROR, &error, &size);
    if (error != 0) return fail_errno("cannot be reached", error);
    return fd;
}

struct Patience {
    std::chrono::milliseconds timeout;
    int tries;
};

// Over UDP. What is not the response to the query is not looked at further.
Result<Bytes> ask_by_datagram(const NameServer& server, const Bytes& query, const Patience& patience) {
    const Fd fd = KUDO_TRY(connect_to(server, SOCK_DGRAM, Clock::now() + patience.timeout));
    std::array<uint8_t, 65536> buffer;
    for (int attempt = 0; attempt < patience.tries; attempt++) {
        if (send(fd.get(), query.data(), query.size(), 0) < 0) return fail_errno("cannot be reached");
        const auto deadline = Clock::now() + patience.timeout;
        while (wait_for(fd.get(), POLLIN, deadline)) {
            const ssize_t got = recv(fd.get(), buffer.data(), buffer.size(), 0);
            if (got < 0 && errno != EAGAIN && errno != EINTR) return fail_errno("cannot be reached");
            if (got <= 0) continue;
            const std::span<const uint8_t> message(buffer.data(), static_cast<std::size_t>(got));
            if (is_response(message, query)) return Bytes(message.begin(), message.end());
        }
    }
    return fail("does not answer", ETIMEDOUT);
}

// Exactly these bytes, in the time there is.
bool transfer(int fd, uint8_t* bytes, std::size_t size, bool sending, Clock::time_point deadline) {
    while (size > 0) {
        if (!wait_for(fd, sending ? POLLOUT : POLLIN, deadline)) return false;
        const ssize_t done = sending ? send(fd, bytes, size, MSG_NOSIGNAL) : recv(fd, bytes, size, 0);
        if (done < 0 && (errno == EAGAIN || errno == EINTR)) continue;
        if (done <= 0) return false;
        bytes += done;
        size -= static_cast<std::size_t>(done);
    }
    return true;
}

Result<Bytes> ask_by_stream(const NameServer& server, const Bytes& query, std::chrono::milliseconds timeout) {
    const auto deadline = Clock::now() + 2 * timeout;
    const Fd fd = KUDO_TRY(connect_to(server, SOCK_STREAM, deadline).in("over TCP"));
    Bytes bytes{static_cast<uint8_t>(query.size() >> 8), static_cast<uint8_t>(query.size())};
    bytes.insert(bytes.end(), query.begin(), query.end());
    std::array<uint8_t, 2> length{};
    if (!transfer(fd.get(), bytes.data(), bytes.size(), true, deadline) ||
        !transfer(fd.get(), length.data(), length.size(), false, deadline))
        return fail("does not answer over TCP", ETIMEDOUT);
    Bytes message(std::size_t{length[0]} << 8 | length[1]);
    if (!transfer(fd.get(), message.data(), message.size(), false, deadline))
        return fail("does not answer over TCP", ETIMEDOUT);
    if (!is_response(message, query)) return fail("answers something else over TCP");
    return message;
}

std::string answers_text(unsigned code) {
    const std::unique_ptr<char, decltype(&std::free)> name(ldns_pkt_rcode2str(static_cast<ldns_pkt_rcode>(code)),
                                                           std::free);
    return fmt::format("answers {}", name ? name.get() : std::to_string(code));
}

// One server. The Error's number is ETIMEDOUT where it says nothing, another one where it is not there at all.
Result<void> ask(const NameServer& server, const Patience& patience, Lookup& lookup) {
    Bytes message;
    for (const bool edns : {true, false}) { // RFC 6891 section 6.2.2
        const Bytes query = KUDO_TRY(make_query(lookup.name, lookup.ipv6, edns));
        message = KUDO_TRY(ask_by_datagram(server, query, patience));
        lookup.tcp = (kudo_load16(message.data() + 2) & KUDO_DNS_TRUNCATED) != 0;
        if (lookup.tcp) {
            auto whole = ask_by_stream(server, query, patience.timeout);
            // Also where nothing listens there: the server is not gone, it has just answered.
            if (!whole) return fail(whole.error().message, whole.error().number == ETIMEDOUT ? ETIMEDOUT : 0);
            message = std::move(*whole);
        }
        const unsigned code = kudo_load16(message.data() + 2) & KUDO_DNS_CODE;
        if (code != LDNS_RCODE_FORMERR && code != LDNS_RCODE_NOTIMPL) break;
    }
    if (const unsigned code = kudo_load16(message.data() + 2) & KUDO_DNS_CODE; code != 0)
        return fail(answers_text(code));
    auto answer = read_dns_answer(message, max_records);
    if (!answer) return fail("answers what cannot be read");
    lookup.addresses = std::move(answer->addresses);
    lookup.ttls = std::move(answer->ttls);
    return {};
}

} // namespace

std::vector<NameServer> name_servers_of(std::string_view resolv_conf) {
    std::vector<NameServer> servers;
    constexpr std::string_view keyword = "nameserver", blanks = " \t\r";
    for (std::string_view line : split(resolv_conf, '\n')) {
        if (!line.starts_with(keyword) || servers.size() == max_servers) continue;
        line.remove_prefix(keyword.size());
        const auto begin = line.find_first_not_of(blanks);
        if (begin == 0 || begin == std::string_view::npos) continue;
        std::string_view word = line.substr(begin);
        word = word.substr(0, word.find_first_of(blanks));
        const auto percent = word.find('%');
        const auto address = Address::parse(word.substr(0, percent));
        if (!address) continue;
        NameServer server{*address};
        if (percent != std::string_view::npos)
            server.zone = if_nametoindex(std::string(word.substr(percent + 1)).c_str());
        servers.push_back(server);
    }
    if (servers.empty()) servers.push_back({Address::parse("127.0.0.1").value()});
    return servers;
}

Lookup NameLookup::look_up(const std::string& name, bool ipv6) {
    Lookup lookup{.name = name, .ipv6 = ipv6};
    for (Server& server : servers_) {
        if (!server.gone.empty()) {
            add_clause(lookup.problem, server.gone);
            continue;
        }
        lookup.server = server.where.address;
        const auto asked =
            ask(server.where, {server.is_silent ? timeout_ / 2 : timeout_, server.is_silent ? 1 : 2}, lookup);
        if (asked) {
            server.is_silent = false;
            lookup.problem.clear();
            return lookup;
        }
        const std::string problem = fmt::format("{} {}", lookup.server.text(), asked.error().message);
        add_clause(lookup.problem, problem);
        server.is_silent = asked.error().number == ETIMEDOUT;
        if (asked.error().number != 0 && !server.is_silent) server.gone = problem;
        if (asked.error().message == answers_text(LDNS_RCODE_NXDOMAIN)) return lookup; // so would the others
    }
    return lookup;
}

// "NAME A|AAAA SERVER udp|tcp ADDRESS/TTL..." or "NAME A|AAAA SERVER problem TEXT".
std::string lookup_text(const Lookup& lookup) {
    std::string text = fmt::format("{} {} {} {}", lookup.name, lookup.ipv6 ? "AAAA" : "A", lookup.server.text(),
                                   !lookup.problem.empty() ? "problem"
                                   : lookup.tcp            ? "tcp"
                                                           : "udp");
    if (!lookup.problem.empty()) return text + " " + escaped(lookup.problem, 300) + "\n";
    for (std::size_t at = 0; at < lookup.addresses.size(); at++)
        text += fmt::format(" {}/{}", lookup.addresses[at].text(), lookup.ttls[at]);
    return text + "\n";
}

std::optional<Lookup> parse_lookup(std::string_view line) {
    const auto words = split(line, ' ');
    if (words.size() < 4 || (words[1] != "A" && words[1] != "AAAA")) return std::nullopt;
    const auto server = Address::parse(words[2]);
    if (!server) return std::nullopt;
    Lookup lookup{
        .name = std::string(words[0]), .ipv6 = words[1] == "AAAA", .server = *server, .tcp = words[3] == "tcp"};
    if (words[3] == "problem") {
        const auto begin = static_cast<std::size_t>(words[3].end() - line.begin());
        lookup.problem = escaped(line.substr(std::min(begin + 1, line.size())), 400);
        if (lookup.problem.empty()) lookup.problem = "failed";
        return lookup;
    }
    if ((words[3] != "udp" && words[3] != "tcp") || words.size() > 4 + max_addresses) return std::nullopt;
    for (const std::string_view word : std::span(words).subspan(4)) {
        const auto slash = word.find('/');
        const auto address = Address::parse(word.substr(0, slash));
        if (slash == std::string_view::npos || !address ||
            address->family != (lookup.ipv6 ? Family::IPv6 : Family::IPv4))
            return std::nullopt;
        uint32_t ttl = 0;
        const std::string_view digits = word.substr(slash + 1);
        const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), ttl);
        if (error != std::errc() || end != digits.data() + digits.size()) return std::nullopt;
        lookup.addresses.push_back(*address);
        lookup.ttls.push_back(ttl);
    }
    return lookup;
}

} // namespace kudo
