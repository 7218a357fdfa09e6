// SPDX-License-Identifier: MIT
#include "tests/support/web_server.h"

#include <arpa/inet.h>
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

constexpr const char* odd_program = R"(
import os, socket, ssl, sys, threading, time
folder, certificate, key = sys.argv[1:]
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(certificate, key)
listener = socket.create_server(("127.0.0.1", 0))
log_file = open(folder + "/odd.log", "a", buffering=1)
seen = {}

def head(status, *fields):
    return "\r\n".join(["HTTP/1.1 " + status, "Connection: close", *fields, "", ""]).encode()

def answer(path, send):
    seen[path] = seen.get(path, 0) + 1
    if path == "/endless.json":
        send(head("200 OK"))
        while True: send(b"x" * 16384)
    elif path == "/endless-error.json":
        send(head("404 Not Found"))
        while True: send(b"x" * 16384)
    elif path == "/endless-headers.json":
        send(b"HTTP/1.1 200 OK\r\n")
        while True: send(b"X-More: " + b"x" * 1000 + b"\r\n")
    elif path == "/declared.json":
        send(head("200 OK", "Content-Length: 5000000000") + b"{}")
        time.sleep(60)
    elif path == "/short.json":
        send(head("200 OK", "Content-Length: 100") + b"{}")
    elif path == "/drip.json":
        send(head("200 OK", "Content-Length: 100000"))
        while True:
            send(b"x")
            time.sleep(0.1)
    elif path == "/hang.json":
        send(head("200 OK", "Content-Length: 100000") + b"{}")
        time.sleep(60)
    elif path == "/garbage.json":
        send(b"\x00\xff\x1b[31mgarbage\r\n" * 100)
    elif path == "/packed.json":
        send(head("200 OK", "Content-Encoding: gzip", "Content-Length: 2") + b"{}")
    elif path == "/loop.json":
        send(head("302 Found", "Location: /loop.json"))
    elif path in ("/busy.json", "/busy-for-long.json") and seen[path] == 1:
        send(head("503 Service Unavailable", "Retry-After: " + ("2" if path == "/busy.json" else "3600")))
    elif path.endswith(".minisig"):
        send(head("404 Not Found"))
    else:
        send(head("200 OK", "Content-Length: 2") + b"{}")

def serve(plain):
    path, sent = "", 0
    try:
        plain.settimeout(60)
        with context.wrap_socket(plain, server_side=True) as line:
            request = b""
            while b"\r\n\r\n" not in request:
                part = line.recv(4096)
                if not part: return
                request += part
            path = request.split()[1].decode()
            log_file.write("%.3f %s\n" % (time.monotonic(), path))
            def send(part):
                nonlocal sent
                line.sendall(part)
                sent += len(part)
            answer(path, send)
    except OSError:
        if path: log_file.write("%.3f %s sent %d\n" % (time.monotonic(), path, sent))
    finally:
        plain.close()

with open(folder + "/odd.port.new", "w") as file:
    file.write(str(listener.getsockname()[1]))
os.rename(folder + "/odd.port.new", folder + "/odd.port")
while True:
    threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()
)";

void write_file(const std::filesystem::path& path, const std::string& content) {
    std::ofstream file(path, std::ios::trunc);
    file << content;
    if (!file.flush()) throw std::runtime_error("cannot write " + path.string());
}

void openssl(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), "openssl");
    const Outcome outcome = run_program(arguments);
    if (outcome.status != 0) throw std::runtime_error("openssl: " + outcome.err);
}

} // namespace

std::string why_no_servers() {
    const char* const path = getenv("PATH");
    for (const std::string program : {nginx_program, "openssl", "python3", "setpriv"}) {
        std::istringstream folders(program.starts_with('/') || path == nullptr ? "" : path);
        bool found = access(program.c_str(), X_OK) == 0;
        for (std::string folder; !found && std::getline(folders, folder, ':');)
            found = access((folder + "/" + program).c_str(), X_OK) == 0;
        if (!found) return program + " is not installed";
    }
    return {};
}

TestAuthority::TestAuthority(std::filesystem::path folder, const std::string& name)
    : folder_(std::move(folder)), base_((folder_ / name).string()) {
    // Not the machine's own openssl.cnf, which may add anything.
    write_file(base_ + ".cnf", "[req]\ndistinguished_name = name\nx509_extensions = authority\n[name]\n"
                               "[authority]\nbasicConstraints = critical, CA:TRUE\nsubjectKeyIdentifier = hash\n");
    openssl({"req", "-x509", "-config", base_ + ".cnf", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
             "-nodes", "-keyout", base_ + ".key", "-out", base_ + ".crt", "-days", "2", "-subj",
             "/CN=kudo test " + name});
}

TestAuthority::Pair TestAuthority::sign(const std::string& name, const std::string& subject) const {
    const std::string base = (folder_ / name).string();
    write_file(base + ".cnf", "[req]\ndistinguished_name = name\nx509_extensions = server\n[name]\n[server]\n"
                              "basicConstraints = CA:FALSE\nsubjectAltName = " +
                                  subject + "\n");
    openssl({"req",    "-x509",        "-config",     base + ".cnf", "-CA",         base_ + ".crt",
             "-CAkey", base_ + ".key", "-newkey",     "ec",          "-pkeyopt",    "ec_paramgen_curve:prime256v1",
             "-nodes", "-keyout",      base + ".key", "-out",        base + ".crt", "-days",
             "2",      "-subj",        "/CN=" + name});
    return {base + ".crt", base + ".key"};
}

ServerProcess::ServerProcess(std::vector<std::string> argv) {
    // Ends with this process even if that is killed.
    argv.insert(argv.begin(), {"setpriv", "--pdeathsig", "KILL", "--"});
    pid_ = start_program(argv);
}

ServerProcess::~ServerProcess() {
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
}

bool ServerProcess::is_running() const {
    siginfo_t about{};
    return waitid(P_PID, static_cast<id_t>(pid_), &about, WEXITED | WNOHANG | WNOWAIT) == 0 && about.si_pid == 0;
}

bool listens(int port, const ServerProcess& server) {
    const auto deadline = std::chrono::steady_clock::now() + patient(std::chrono::seconds(20));
    while (server.is_running() && std::chrono::steady_clock::now() < deadline) {
        const Fd socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
        const sockaddr_in address = loopback(static_cast<uint16_t>(port));
        if (connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0) return true;
        std::this_thread::sleep_for(std::chrono::milliseconds(50));
    }
    return false;
}

std::string nginx_configuration(const std::filesystem::path& folder, const TestAuthority::Pair& pair, int port,
                                int plain_port, const std::string& more) {
    std::string text = "daemon off; master_process off; worker_processes 1;\n";
    text += fmt::format("pid {0}/nginx.pid; error_log {0}/error.log info;\nevents {{ worker_connections 64; }}\n",
                        folder.string());
    text += "http {\n  log_format kudo escape=none '$request_method $request_uri $status inm=[$http_if_none_match] "
            "ims=[$http_if_modified_since] encoding=[$http_accept_encoding] port=$server_port';\n";
    text += fmt::format("  access_log {}/access.log kudo;\n", folder.string());
    for (const char* kind : {"client_body", "proxy", "fastcgi", "uwsgi", "scgi"})
        text += fmt::format("  {0}_temp_path {1}/{0};\n", kind, folder.string());
    text += fmt::format(
        "  server {{ listen 127.0.0.1:{} ssl; ssl_certificate {}; ssl_certificate_key {}; root {}/www;\n{}}}\n", port,
        pair.certificate.string(), pair.key.string(), folder.string(), more);
    text += fmt::format("  server {{ listen 127.0.0.1:{}; root {}/www; }}\n}}\n", plain_port, folder.string());
    return text;
}

std::vector<std::string> odd_server(const std::filesystem::path& folder, const TestAuthority::Pair& pair) {
    write_file(folder / "odd.py", odd_program);
    return {"python3", folder / "odd.py", folder, pair.certificate, pair.key};
}

} // namespace kudo::test
