// SPDX-License-Identifier: MIT
// A real nats-server with JetStream in a folder of its own, and all that can befall one.
// Invariant: listens on the loopback of the thread's network namespace unless told otherwise; gone, with its folder,
// when the owner is.
#pragma once

#include <memory>
#include <string>

#include "tests/support/temporary_folder.h"

namespace kudo::test {

class NatsServer {
public:
    // Not started. `configuration`: more of the server's own, such as authorization {...} or tls {...}.
    explicit NatsServer(const std::string& configuration = "", std::string address = "127.0.0.1");
    // One without a store of its own that passes everything on to `hub`, whose configuration has hub_configuration().
    static std::unique_ptr<NatsServer> leaf_of(const NatsServer& hub);
    [[nodiscard]] std::string hub_configuration() const;
    ~NatsServer();
    NatsServer(const NatsServer&) = delete;
    NatsServer& operator=(const NatsServer&) = delete;

    // Until it answers; throws if it does not within 20 s.
    void start();
    void end(int signal); // SIGKILL or SIGTERM; waits
    void send(int signal) const;
    // For the next start(), or at once with send(SIGHUP).
    void configure(const std::string& configuration) const;

    // The whole store, away and back; only while it does not run.
    void save_store() const;
    void restore_store() const;

    [[nodiscard]] std::string url() const { return "nats://127.0.0.1:" + port_; }
    [[nodiscard]] const std::string& port() const { return port_; }
    [[nodiscard]] int process() const { return process_; }
    [[nodiscard]] const TemporaryFolder& folder() const { return folder_; }
    [[nodiscard]] std::string log() const;

private:
    TemporaryFolder folder_;
    std::string address_, port_, leaf_port_;
    bool has_store_ = true;
    int process_ = -1;
};

} // namespace kudo::test
