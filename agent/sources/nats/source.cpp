// SPDX-License-Identifier: MIT
#include "agent/sources/nats/source.h"

#include <fmt/format.h>

#include "agent/sources/nats/worker.h"

namespace kudo {

NatsSource::NatsSource(NatsOptions options)
    : name_(fmt::format("{} fleet {}, ring {}", redacted_url(options.url), options.fleet, options.ring)),
      worker_(std::make_unique<NatsWorker>(std::move(options), inbox_)) {}

NatsSource::~NatsSource() = default;

std::string NatsSource::name() const {
    return name_;
}

int NatsSource::fd() const {
    return inbox_.fd();
}

void NatsSource::on_ready(const Deliver& deliver) {
    for (Delivery& delivery : inbox_.take())
        deliver(std::move(delivery));
}

void NatsSource::read_again(const Deliver&) {
    worker_->read_again();
}

SourceHealth NatsSource::health() const {
    return worker_->health();
}

void NatsSource::report(const HostReport& report) {
    worker_->report(to_json(report));
}

} // namespace kudo
