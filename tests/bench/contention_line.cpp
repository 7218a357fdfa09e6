// SPDX-License-Identifier: MIT
#include "tests/bench/contention_line.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <fstream>
#include <iterator>
#include <sstream>
#include <stdexcept>
#include <system_error>

#include <fmt/format.h>

#include "tests/bench/stage.h"

namespace kudo::bench {

using namespace test;

namespace {

constexpr int buffer_size = 8 << 20; // seconds of the line

std::vector<std::string> words(const std::string& line) {
    std::istringstream stream(line);
    return {std::istream_iterator<std::string>(stream), {}};
}

void run_line(const NetworkNamespace& space, const std::string& line) {
    const auto outcome = inside<Outcome>(space, [&] { return run_program(words(line)); });
    if (outcome.status != 0) throw std::runtime_error(line + ": " + outcome.err);
}

// A setting of this namespace, where the kernel has it.
void set_sysctl(const NetworkNamespace& space, const std::string& name, const std::string& value) {
    inside<bool>(space, [&] { return bool(std::ofstream("/proc/sys/net/ipv4/" + name) << value << std::flush); });
}

} // namespace

ContentionLine::ContentionLine(double mbit, double rtt)
    : mbit_(mbit), host_(value_of(TestHost::build())), server_(value_of(NetworkNamespace::create())) {
    lay_wire(rtt);
    in_modem("ip address add 10.77.1.1/24 dev line");
    in_modem("ip link set line up");
    in_server("ip address add 10.77.1.2/24 dev eth0");
    in_server("ip link set eth0 up");
    in_server("ip route add default via 10.77.1.1");
    for (const std::string address : {media, stranger}) {
        in_server("ip address add " + address + "/32 dev eth0");
        in_modem("ip route add " + address + "/32 via 10.77.1.2");
    }
    set_sysctl(host_.far, "ip_forward", "1");
    // Frames come to the modem from the server one by one, as over any line; the host's are cut by the modem's bucket.
    // That holds 2.5 ms: what a timer on a busy machine may be late without the line losing capacity.
    in_server("ethtool -K eth0 tso off gso off");
    for (const char* interface : {"line", "eth0"})
        in_modem(fmt::format("tc qdisc add dev {} root tbf rate {}mbit burst 6200 limit {}", interface, mbit,
                             static_cast<int>(mbit * 1e6 / 8 / 2)));
    // TCP takes a peer less than 16 ms away for one in the same rack and makes segments of 64 kB for it (since 5.18).
    for (const NetworkNamespace* space : {&host_.host, &server_})
        set_sysctl(*space, "tcp_tso_rtt_log", "0");
    host_.wait_for_carrier();
}

// From the modem to the server, which has its end in any case; what a round trip takes is the server's frames' time.
void ContentionLine::lay_wire(double rtt) {
    const auto pair = [](const std::string& name, const std::string& peer, const NetworkNamespace& space) {
        return fmt::format("ip link add {} type veth peer name {} netns /proc/{}/fd/{}", name, peer, getpid(),
                           space.fd());
    };
    const bool has_netem = rtt > 0 && kernel_has_qdisc("netem");
    if (rtt == 0 || has_netem) {
        in_modem(pair("line", "eth0", server_));
        if (has_netem) in_server(fmt::format("tc qdisc add dev eth0 root netem delay {}ms limit 20000", rtt));
        return;
    }
    between_.emplace(value_of(NetworkNamespace::create()));
    in_modem(pair("line", "modem", *between_));
    in_server(pair("eth0", "server", *between_));
    in_modem("ethtool -K line tx off");
    in_server("ethtool -K eth0 tx off");
    for (const char* end : {"modem", "server"})
        run_line(*between_, fmt::format("ip link set {} addrgenmode none up", end));
    wire_.emplace(*between_, "server", "modem", rtt);
}

void ContentionLine::in_server(const std::string& line) const {
    run_line(server_, line);
}

void ContentionLine::in_modem(const std::string& line) const {
    run_line(host_.far, line);
}

std::string ContentionLine::enable(const AgentQueue& queue) const {
    const Outcome outcome = host_.agent(
        {"enable", "--region", "ca", "--uplink", queue.uplink, "--downlink", queue.downlink, "--queue", queue.kind});
    if (outcome.status == 2) return outcome.err.substr(0, outcome.err.find('\n'));
    if (outcome.status != 0) throw std::runtime_error(outcome.err);
    return "";
}

void ContentionLine::disable() const {
    run_agent(host_, {"disable"});
}

void ContentionLine::set_rate(Direction direction, double mbit) const {
    for (const auto& [way, interface] : {std::pair(Direction::Uplink, "line"), {Direction::Downlink, "eth0"}})
        if (direction == way || direction == Direction::Both)
            in_modem(fmt::format("tc qdisc change dev {} root tbf rate {}mbit burst 6200 limit {}", interface, mbit,
                                 static_cast<int>(mbit_ * 1e6 / 8 / 2)));
}

bool kernel_has_qdisc(const std::string& kind) {
    const NetworkNamespace scratch = value_of(NetworkNamespace::create());
    std::string line = "tc qdisc add dev lo root " + kind;
    if (kind == "netem") line += " delay 1ms";
    if (kind == "tbf") line += " rate 1mbit burst 3000 limit 3000";
    return inside<Outcome>(scratch, [&] { return run_program(words(line)); }).status == 0;
}

Fd roomy_socket(const NetworkNamespace& space, int type, const Endpoint& local) {
    return inside<Fd>(space, [&] {
        sockaddr_in address{};
        address.sin_family = AF_INET;
        address.sin_port = htons(local.port);
        inet_pton(AF_INET, local.address.c_str(), &address.sin_addr);
        Fd fd(socket(AF_INET, type | SOCK_CLOEXEC, 0));
        const int on = 1;
        if (!fd || setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0 ||
            bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
            throw std::system_error(errno, std::generic_category(), "socket at " + local.address);
        // TCP sizes its buffers itself, up to 6 MB, and better.
        if (type == SOCK_DGRAM &&
            (setsockopt(fd.get(), SOL_SOCKET, SO_RCVBUFFORCE, &buffer_size, sizeof buffer_size) != 0 ||
             setsockopt(fd.get(), SOL_SOCKET, SO_SNDBUFFORCE, &buffer_size, sizeof buffer_size) != 0))
            throw std::system_error(errno, std::generic_category(), "socket buffers");
        return fd;
    });
}

} // namespace kudo::bench
