// SPDX-License-Identifier: MIT
#include "tests/component/line.h"

#include <netinet/in.h>
#include <sys/socket.h>

#include <cstring>
#include <stdexcept>

#include <fmt/format.h>

#include "maps/base/text.h"
#include "tests/support/temporary_folder.h"

namespace kudo::test {
namespace {

std::string run_line(const std::string& line) {
    std::vector<std::string> argv;
    for (const std::string_view word : split(line, ' '))
        argv.emplace_back(word);
    const Outcome outcome = run_program(argv);
    if (outcome.status != 0) throw std::runtime_error(line + ": " + outcome.err);
    return outcome.out;
}

NetworkNamespace new_namespace() {
    auto space = NetworkNamespace::create();
    if (!space) throw std::runtime_error(space.error().message);
    return std::move(*space);
}

Fd make_socket(const Address& to, uint16_t port, const SocketOptions& options) {
    const int on = 1, off = 0;
    Fd fd(socket(to.family == Family::IPv4 ? AF_INET : AF_INET6, options.type | SOCK_CLOEXEC, 0));
    if (options.reuse_port) setsockopt(fd.get(), SOL_SOCKET, SO_REUSEPORT, &on, sizeof on);
    setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (to.family == Family::IPv6)
        setsockopt(fd.get(), IPPROTO_IPV6, IPV6_V6ONLY, options.only_v6 ? &on : &off, sizeof on);
    if (options.receive_buffer)
        setsockopt(fd.get(), SOL_SOCKET, SO_RCVBUF, &options.receive_buffer, sizeof options.receive_buffer);
    if (!options.device.empty())
        setsockopt(fd.get(), SOL_SOCKET, SO_BINDTODEVICE, options.device.data(),
                   static_cast<socklen_t>(options.device.size()));
    sockaddr_storage storage{};
    const unsigned size = to_sockaddr(to, port, &storage);
    if (bind(fd.get(), reinterpret_cast<const sockaddr*>(&storage), size) != 0)
        throw std::runtime_error(fmt::format("bind {} {}: {}", to.text(), port, strerror(errno)));
    return fd;
}

} // namespace

Line::Line() : host_(std::make_unique<PrivateNetwork>()), far_(new_namespace()) {
    if (!why_not().empty()) return;
    in_host(fmt::format("ip link add eth0 type veth peer name eth0 netns /proc/{}/fd/{}", getpid(), far_.fd()));
    for (const char* line : {"ip link set lo up", "ip address add 10.77.0.2/24 dev eth0",
                             "ip -6 address add fd77::2/64 dev eth0 nodad", "ip link set eth0 up"})
        in_host(line);
    for (const char* line :
         {"ip address add 10.77.0.1/24 dev eth0", "ip -6 address add fd77::1/64 dev eth0 nodad", "ip link set eth0 up"})
        (void)in_far(line);
    in_host("ip route add default via 10.77.0.1");
    in_host("ip -6 route add default via fd77::1");
}

std::string Line::in_host(const std::string& line) {
    return run_line(line);
}

std::string Line::in_far(const std::string& line) const {
    const PrivateNetwork inside(far_);
    return run_line(line);
}

void Line::load_rules(const std::string& rules) {
    const TemporaryFolder folder;
    run_line("nft -f " + folder.write("rules.nft", rules));
}

void Line::load_far_rules(const std::string& rules) const {
    const PrivateNetwork inside(far_);
    load_rules(rules);
}

bool Line::accepts_rules(const std::string& rules) {
    const TemporaryFolder folder;
    return run_program({"nft", "-f", folder.write("rules.nft", rules)}).status == 0;
}

Fd Line::host_socket(const Address& address, uint16_t port, const SocketOptions& options) {
    return make_socket(address, port, options);
}
Fd Line::far_socket(const Address& address, uint16_t port, const SocketOptions& options) const {
    const PrivateNetwork inside(far_);
    return make_socket(address, port, options);
}

Address address(const std::string& text) {
    const auto address = Address::parse(text);
    if (!address) throw std::runtime_error(address.error().message);
    return *address;
}

unsigned to_sockaddr(const Address& address, uint16_t port, void* storage) {
    if (address.family == Family::IPv4) {
        sockaddr_in to{.sin_family = AF_INET, .sin_port = htons(port), .sin_addr = {}, .sin_zero = {}};
        std::memcpy(&to.sin_addr, address.bytes.data(), 4);
        std::memcpy(storage, &to, sizeof to);
        return sizeof to;
    }
    sockaddr_in6 to{};
    to.sin6_family = AF_INET6;
    to.sin6_port = htons(port);
    std::memcpy(&to.sin6_addr, address.bytes.data(), 16);
    std::memcpy(storage, &to, sizeof to);
    return sizeof to;
}

void send_datagram(const Fd& from, const Address& to, uint16_t port, std::size_t size) {
    const std::string payload(size, 'k');
    sockaddr_storage storage{};
    const unsigned length = to_sockaddr(to, port, &storage);
    // Refused: a rule of this host drops it.
    (void)sendto(from.get(), payload.data(), payload.size(), MSG_DONTWAIT, reinterpret_cast<const sockaddr*>(&storage),
                 length);
}

} // namespace kudo::test
