// SPDX-License-Identifier: MIT
#include "tests/support/nats_server.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <fstream>
#include <sstream>
#include <stdexcept>
#include <thread>

#include <fmt/format.h>

#include "agent/system/fd.h"
#include "tests/support/loopback.h"
#include "tests/support/patience.h"
#include "tests/support/process.h"

namespace kudo::test {

namespace {

// The server speaks first: "INFO {...}".
bool greets(const std::string& port) {
    const Fd socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    const timeval timeout{1, 0};
    setsockopt(socket.get(), SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout);
    sockaddr_in address = loopback(static_cast<uint16_t>(std::stoi(port)));
    char first = 0;
    return connect(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0 &&
           read(socket.get(), &first, 1) == 1 && first == 'I';
}

} // namespace

NatsServer::NatsServer(const std::string& configuration, std::string address)
    : address_(std::move(address)), port_(std::to_string(free_port())), leaf_port_(std::to_string(free_port())) {
    configure(configuration);
}

NatsServer::~NatsServer() {
    if (process_ > 0) end(SIGKILL);
}

std::string NatsServer::hub_configuration() const {
    return "leafnodes { listen: \"127.0.0.1:" + leaf_port_ + "\" }";
}

std::unique_ptr<NatsServer> NatsServer::leaf_of(const NatsServer& hub) {
    auto leaf = std::make_unique<NatsServer>();
    leaf->has_store_ = false;
    leaf->configure("leafnodes { remotes: [ { url: \"nats-leaf://127.0.0.1:" + hub.leaf_port_ +
                    "\" } ] }\ndefault_js_domain: { \"$G\": hub }");
    return leaf;
}

void NatsServer::configure(const std::string& configuration) const {
    std::string text = fmt::format("listen: {}:{}\nmax_payload: 2MB\nlog_file: \"{}\"\n", address_, port_,
                                   (folder_.path() / "log").string());
    if (has_store_)
        text += fmt::format("jetstream {{ store_dir: \"{}\", max_file_store: 1GB, domain: hub }}\n",
                            (folder_.path() / "store").string());
    folder_.write("server.conf", text + configuration + "\n");
}

void NatsServer::start() {
    process_ = start_program(
        {"setpriv", "--pdeathsig", "KILL", "nats-server", "-c", (folder_.path() / "server.conf").string()});
    const auto deadline = std::chrono::steady_clock::now() + patient(std::chrono::seconds(20));
    while (!greets(port_)) {
        int status = 0;
        if (waitpid(process_, &status, WNOHANG) == process_) {
            process_ = -1;
            throw std::runtime_error("nats-server has ended: " + log());
        }
        if (std::chrono::steady_clock::now() > deadline) throw std::runtime_error("nats-server is deaf: " + log());
        std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
}

void NatsServer::end(int signal) {
    send(signal);
    int status = 0;
    waitpid(process_, &status, 0);
    process_ = -1;
}

void NatsServer::send(int signal) const {
    kill(process_, signal);
}

void NatsServer::save_store() const {
    std::filesystem::remove_all(folder_.path() / "saved");
    std::filesystem::copy(folder_.path() / "store", folder_.path() / "saved", std::filesystem::copy_options::recursive);
}

void NatsServer::restore_store() const {
    std::filesystem::remove_all(folder_.path() / "store");
    std::filesystem::copy(folder_.path() / "saved", folder_.path() / "store", std::filesystem::copy_options::recursive);
}

std::string NatsServer::log() const {
    std::ostringstream text;
    text << std::ifstream(folder_.path() / "log").rdbuf();
    return text.str();
}

} // namespace kudo::test
