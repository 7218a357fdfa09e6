// SPDX-License-Identifier: MIT
#include "tests/e2e/service/tls_server.h"

#include <unistd.h>

#include <fstream>
#include <stdexcept>

namespace kudo::test {

namespace {

constexpr const char* program = R"(
import os, socket, ssl, sys, warnings
warnings.simplefilter("ignore")
folder, certificate, key, version, greeting = sys.argv[1:]
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.set_ciphers("ALL:@SECLEVEL=0")
context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
context.maximum_version = ssl.TLSVersion[version]
context.minimum_version = ssl.TLSVersion[version]
context.load_cert_chain(certificate, key)
listener = socket.create_server(("127.0.0.1", 0))
log = open(folder + "/tls.log", "a", buffering=1)
with open(folder + "/tls.port.new", "w") as file:
    file.write(str(listener.getsockname()[1]))
os.rename(folder + "/tls.port.new", folder + "/tls.port")
while True:
    plain, _ = listener.accept()
    try:
        plain.settimeout(10)
        plain.sendall(greeting.encode())
        with context.wrap_socket(plain, server_side=True) as line:
            log.write("through " + line.version() + "\n")
    except OSError as error:
        log.write("refused: " + str(error) + "\n")
    plain.close()
)";

std::vector<std::string> lines_of(const std::filesystem::path& path) {
    std::vector<std::string> lines;
    std::ifstream file(path);
    for (std::string line; std::getline(file, line);)
        lines.push_back(line);
    return lines;
}

} // namespace

TlsServer::TlsServer(std::filesystem::path folder, const TestAuthority::Pair& pair, const std::string& version,
                     const std::string& greeting)
    : folder_(std::move(folder)) {
    std::ofstream(folder_ / "tls.py") << program;
    process_.emplace(std::vector<std::string>{"python3", folder_ / "tls.py", folder_, pair.certificate, pair.key,
                                              version, greeting});
    for (int i = 0; i < 400 && process_->is_running() && !std::filesystem::exists(folder_ / "tls.port"); i++)
        usleep(50'000);
    const auto port = lines_of(folder_ / "tls.port");
    if (port.empty()) throw std::runtime_error("the TLS server does not listen");
    port_ = std::stoi(port.front());
}

std::vector<std::string> TlsServer::handshakes() const {
    return lines_of(folder_ / "tls.log");
}

std::string permissive_openssl_conf(const std::filesystem::path& folder) {
    std::string path = folder / "permissive.cnf";
    std::ofstream(path) << "openssl_conf = all\n[all]\nssl_conf = ssl\n[ssl]\nsystem_default = anything\n"
                           "[anything]\nMinProtocol = TLSv1\nCipherString = ALL:@SECLEVEL=0\n";
    return path;
}

} // namespace kudo::test
