// SPDX-License-Identifier: MIT
// A fleet's message server as a source of range maps and key sets, and where the host reports.
// Invariant: the server is a doorbell that nobody trusts: what rings makes us read, what is read is only delivered, and
// whatever happens to server, network, store or credentials, everything is read anew at least every `read_again`.
#pragma once

#include <memory>

#include "agent/fleet/host_report.h"
#include "agent/sources/delivery_inbox.h"
#include "agent/sources/nats/options.h"
#include "agent/sources/source.h"

namespace kudo {

class NatsWorker;

class NatsSource : public Source {
public:
    // Connects when it is read for the first time. `options.fleet`, `ring` and `host` are right (is_simple_name,
    // is_host_name).
    explicit NatsSource(NatsOptions options);
    // Waits for the one request that is under way: at most connect_wait or answer_wait, however many servers there are.
    ~NatsSource() override;
    NatsSource(const NatsSource&) = delete;
    NatsSource& operator=(const NatsSource&) = delete;

    [[nodiscard]] std::string name() const override;
    [[nodiscard]] int fd() const override;
    void on_ready(const Deliver& deliver) override;
    // Delivers all of it, also what has been delivered before.
    void read_again(const Deliver& deliver) override;
    [[nodiscard]] SourceHealth health() const override;

    // Stores what the host says of itself. The latest wins; it is tried until it is stored, and stored again if the
    // server has lost it.
    void report(const HostReport& report);

private:
    std::string name_;
    DeliveryInbox inbox_;
    std::unique_ptr<NatsWorker> worker_; // ends before the inbox does
};

} // namespace kudo
