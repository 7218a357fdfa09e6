// SPDX-License-Identifier: MIT
#include "tests/e2e/enforce/enforce_fixture.h"

#include <arpa/inet.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <stdexcept>

#include <fmt/format.h>

namespace kudo::test {
namespace {

constexpr int wait_milliseconds = 500;

bool is_slow() {
    return patient(std::chrono::seconds(1)) > std::chrono::seconds(1);
}

bool arrives(const Fd& from, const Endpoint& to, const Fd& receiver) {
    constexpr std::array<uint8_t, 20> payload{};
    try {
        send_datagram(from.get(), to, payload);
    } catch (const std::exception&) {
        return false; // tc egress drops with an error to the sender
    }
    pollfd waiting{receiver.get(), POLLIN, 0};
    if (poll(&waiting, 1, wait_milliseconds) != 1) return false;
    return receive_datagram(receiver.get()) == payload.size();
}

sockaddr_in address_of(const Endpoint& endpoint) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(endpoint.port);
    inet_pton(AF_INET, endpoint.address.c_str(), &address.sin_addr);
    return address;
}

Fd tcp_socket(const NetworkNamespace& space, const Endpoint& local) {
    return inside<Fd>(space, [&] {
        Fd fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
        const int on = 1;
        const sockaddr_in address = address_of(local);
        if (!fd || setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0 ||
            bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
            throw std::system_error(errno, std::generic_category(), "a TCP socket");
        return fd;
    });
}

} // namespace

LoginServer::LoginServer(const NetworkNamespace& space, Endpoint at) : at_(std::move(at)) {
    pid_ = inside<int>(space, [&] {
        return start_program({KUDO_LOGIN_SERVER, at_.address, std::to_string(at_.port)});
    });
}

LoginServer::~LoginServer() {
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
}

Fd LoginServer::connect(const NetworkNamespace& from, const std::string& source) const {
    Fd connected;
    const bool made = eventually([&] {
        Fd client = tcp_socket(from, {source, 0});
        const sockaddr_in address = address_of(at_);
        // It goes on in the background.
        [[maybe_unused]] const int begun =
            ::connect(client.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address);
        pollfd waiting{client.get(), POLLOUT, 0};
        int error = 0;
        socklen_t size = sizeof error;
        if (poll(&waiting, 1, 10 * wait_milliseconds) != 1 ||
            getsockopt(client.get(), SOL_SOCKET, SO_ERROR, &error, &size) != 0 || error != 0)
            return false;
        connected = std::move(client);
        return true;
    });
    if (!made) throw std::runtime_error("no connection to the login server");
    return connected;
}

Outcome LoginServer::run(const Fd& connection, std::vector<std::string> argv, const std::string& folder) {
    const std::string files = folder + "/login";
    for (const char* name : {".status", ".out", ".err"})
        std::filesystem::remove(files + name);
    argv.insert(argv.begin(), {"sh", "-c", "f=$1; shift; \"$@\" >$f.out 2>$f.err; echo $? >$f.status", "sh", files});
    std::string words;
    for (const std::string& word : argv)
        words.append(word.c_str(), word.size() + 1);
    words.push_back('\0');
    if (send(connection.get(), words.data(), words.size(), MSG_NOSIGNAL) != static_cast<ssize_t>(words.size()))
        throw std::system_error(errno, std::generic_category(), "the login server");
    pollfd waiting{connection.get(), POLLIN, 0};
    poll(&waiting, 1, static_cast<int>(patient(std::chrono::milliseconds(60'000)).count())); // until it is closed
    const auto text = [&](const char* name) {
        std::ifstream file(files + name);
        return std::string(std::istreambuf_iterator<char>(file), {});
    };
    const std::string status = text(".status");
    return {.status = status.empty() ? -1 : std::stoi(status), .out = text(".out"), .err = text(".err")};
}

Outcome EnforceTest::confirm_over(const Fd& connection) const {
    return LoginServer::run(connection, test_->agent_argv({"confirm"}), test_->folder);
}

Outcome EnforceTest::confirm_by(const LoginServer& server, const std::string& from) const {
    return confirm_over(server.connect(test_->far, from));
}

Outcome EnforceTest::enforce(std::vector<std::string> more, const std::string& ssh) const {
    const auto tells_when = [](const std::string& word) {
        return word == "--confirm-within" || word == "--no-confirm";
    };
    // Where a command takes long, the default deadline would pass before the next.
    if (is_slow() && std::ranges::none_of(more, tells_when)) more.insert(more.end(), {"--confirm-within", "1h"});
    more.insert(more.begin(), {"enable", "--region", "ca", "--mode", "enforce"});
    Outcome enabled = test_->agent(std::move(more), {"SSH_CONNECTION=" + ssh});
    if (enabled.status != 0) throw std::runtime_error("enable: " + enabled.err + enabled.out);
    return enabled;
}

std::chrono::seconds EnforceTest::soon(int seconds) {
    return std::chrono::seconds(is_slow() ? 10 * seconds : seconds);
}

Outcome EnforceTest::confirm(const std::string& ssh) const {
    std::vector<std::string> argv = test_->agent_argv({"confirm"});
    argv.insert(argv.begin(), {"setsid", "--wait", "env", "SSH_CONNECTION=" + ssh});
    return inside<Outcome>(test_->host, [&] { return run_program(argv); });
}

Outcome EnforceTest::enforce_and_confirm_in_one_session() const {
    const std::string script =
        fmt::format("SSH_CONNECTION='{}' \"$@\" enable --region ca --mode enforce --allow icmp >&2 || exit 99; "
                    "SSH_CONNECTION='{}' \"$@\" confirm",
                    asking_connection, other_connection);
    std::vector<std::string> argv = test_->agent_argv({});
    argv.insert(argv.begin(), {"setsid", "--wait", "sh", "-c", script, "sh"});
    return inside<Outcome>(test_->host, [&] { return run_program(argv); });
}

bool EnforceTest::goes_out(const Endpoint& here, const Endpoint& there) const {
    return arrives(udp_socket(test_->host, here), there, udp_socket(test_->far, there));
}

bool EnforceTest::comes_in(const Endpoint& there, const Endpoint& here) const {
    return arrives(udp_socket(test_->far, there), here, udp_socket(test_->host, here));
}

bool EnforceTest::answers(const Endpoint& here, const Endpoint& there) const {
    const Fd near = udp_socket(test_->host, here), far = udp_socket(test_->far, there);
    return arrives(near, there, far) && arrives(far, here, near);
}

static std::pair<Fd, Fd> connection(const NetworkNamespace& from, const std::string& source, const NetworkNamespace& to,
                                    const Endpoint& listener) {
    const Fd server = tcp_socket(to, listener);
    std::pair<Fd, Fd> both{tcp_socket(from, {source, 0}), Fd()};
    const sockaddr_in address = address_of(listener);
    if (listen(server.get(), 1) != 0) throw std::system_error(errno, std::generic_category(), "listen");
    if (connect(both.first.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 &&
        errno != EINPROGRESS)
        throw std::system_error(errno, std::generic_category(), "connect to " + listener.address);
    pollfd waiting{server.get(), POLLIN, 0};
    if (poll(&waiting, 1, 10 * wait_milliseconds) == 1) both.second = Fd(accept(server.get(), nullptr, nullptr));
    if (!both.second) throw std::runtime_error("no TCP connection to " + listener.address);
    return both;
}

EnforceTest::Connection EnforceTest::connect_out(const Endpoint& listener) const {
    auto [near, far] = connection(test_->host, host_address, test_->far, listener);
    return {.near = std::move(near), .far = std::move(far)};
}

EnforceTest::Connection EnforceTest::connect_in(const Endpoint& listener, const std::string& source) const {
    auto [far, near] = connection(test_->far, source, test_->host, listener);
    return {.near = std::move(near), .far = std::move(far)};
}

bool EnforceTest::connects(const NetworkNamespace& from, const std::string& source, const NetworkNamespace& to,
                           const Endpoint& listener) const {
    const Fd server = tcp_socket(to, listener), client = tcp_socket(from, {source, 0});
    if (listen(server.get(), 1) != 0) throw std::system_error(errno, std::generic_category(), "listen");
    const sockaddr_in address = address_of(listener);
    if (connect(client.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 && errno != EINPROGRESS)
        return false;
    pollfd waiting{client.get(), POLLOUT, 0};
    int error = 0;
    socklen_t size = sizeof error;
    return poll(&waiting, 1, wait_milliseconds) == 1 &&
           getsockopt(client.get(), SOL_SOCKET, SO_ERROR, &error, &size) == 0 && error == 0;
}

bool EnforceTest::strangers_pass() const {
    return comes_in({stranger_address, 40000}, {host_address, 40001});
}

std::chrono::steady_clock::time_point EnforceTest::blocked_until(std::chrono::steady_clock::time_point latest) const {
    using Clock = std::chrono::steady_clock;
    const Endpoint to{host_address, 40001};
    const Fd from = udp_socket(test_->far, {stranger_address, 40000}), at = udp_socket(test_->host, to);
    std::vector<Clock::time_point> sent{Clock::time_point::min()};
    while (Clock::now() < latest) {
        const auto number = static_cast<uint32_t>(sent.size());
        std::array<uint8_t, 20> payload{};
        std::memcpy(payload.data(), &number, sizeof number);
        sent.push_back(Clock::now());
        send_datagram(from.get(), to, payload);
        pollfd waiting{at.get(), POLLIN, 0};
        uint32_t arrived = 0;
        if (poll(&waiting, 1, 10) == 1 && recv(at.get(), &arrived, sizeof arrived, 0) == sizeof arrived)
            return sent.at(arrived - 1);
    }
    return Clock::time_point::max();
}

} // namespace kudo::test
