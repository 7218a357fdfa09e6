// SPDX-License-Identifier: MIT
#include "tests/support/nats_agent.h"

#include <poll.h>

#include <stdexcept>

#include <nats/nats.h>

#include "agent/fleet/layout.h"
#include "agent/sources/nats/connection.h"
#include "agent/system/uptime.h"
#include "maps/trust/bundle.h"
#include "tests/support/patience.h"

namespace kudo::test {

namespace {

template <typename T> T value_of(Result<T> result) {
    if (!result) throw std::runtime_error(result.error().message);
    if constexpr (!std::is_void_v<T>) return std::move(*result);
}

} // namespace

NatsOptions quick_nats_options(const std::string& url) {
    using namespace std::chrono_literals;
    NatsOptions options;
    options.url = url;
    options.fleet = "acme";
    options.ring = "canary";
    options.host = "web-1";
    options.connect_wait = 500ms;
    options.answer_wait = 500ms;
    options.reconnect_wait = 50ms;
    options.max_reconnect_wait = 500ms;
    options.health_check = 300ms;
    options.read_again = 1s;
    options.notification_spread = 0ms;
    return options;
}

NatsAgent::NatsAgent(const NatsOptions& options) : source(options) {
    source.read_again([](Delivery) {});
}

bool NatsAgent::serve_until(const std::function<bool()>& done, std::chrono::milliseconds timeout) {
    return serve(done, patient(timeout));
}

bool NatsAgent::serve(const std::function<bool()>& done, std::chrono::milliseconds time) {
    const auto deadline = std::chrono::steady_clock::now() + time;
    while (!done()) {
        if (std::chrono::steady_clock::now() > deadline) return false;
        pollfd ready{source.fd(), POLLIN, 0};
        if (poll(&ready, 1, 10) > 0)
            source.on_ready([this](Delivery delivery) { deliveries.push_back(std::move(delivery)); });
    }
    return true;
}

void NatsAgent::serve(std::chrono::milliseconds time) {
    serve([] { return false; }, time);
}

bool NatsAgent::serve_until_delivered(const std::string& document, std::chrono::milliseconds timeout) {
    return serve_until([&] { return !deliveries.empty() && deliveries.back().document == document; }, timeout);
}

std::vector<std::string> NatsAgent::documents() const {
    std::vector<std::string> documents;
    for (const Delivery& delivery : deliveries)
        documents.push_back(delivery.document);
    return documents;
}

void NatsAgent::report(uint64_t serial, const Machine& machine, std::string_view health) {
    HostReport report;
    report.host = "web-1";
    report.fleet = "acme";
    report.ring = "canary";
    report.serial = serial;
    report.health = health;
    report.machine = machine.id;
    report.identity = machine.identity;
    report.time = wall_time();
    report.booted = report.time - std::chrono::seconds(60);
    source.report(report);
}

void put_value(const NatsOptions& options, const std::string& key, const std::string& value) {
    auto connection = value_of(NatsConnection::open(options));
    value_of(value_of(connection.bucket(maps_bucket(options.fleet))).put(key, value));
}

void put_document(const NatsOptions& options, const std::string& document, const std::string& signatures) {
    put_value(options, ring_map_key(options.ring), value_of(join({signatures, document})));
}

void make_buckets(const NatsOptions& options) {
    auto connection = value_of(NatsConnection::open(options));
    value_of(connection.make_bucket(maps_bucket(options.fleet), maps_history, NatsConnection::Notify::Value));
    value_of(connection.make_bucket(hosts_bucket(options.fleet), 1));
}

void delete_buckets(const NatsOptions& options) {
    natsConnection* connection = nullptr;
    jsCtx* jetstream = nullptr;
    if (natsConnection_ConnectTo(&connection, options.url.c_str()) != NATS_OK ||
        natsConnection_JetStream(&jetstream, connection, nullptr) != NATS_OK ||
        js_DeleteKeyValue(jetstream, maps_bucket(options.fleet).c_str()) != NATS_OK ||
        js_DeleteKeyValue(jetstream, hosts_bucket(options.fleet).c_str()) != NATS_OK)
        throw std::runtime_error("cannot delete the buckets");
    jsCtx_Destroy(jetstream);
    natsConnection_Destroy(connection);
}

std::string stored_report(const NatsOptions& options) {
    auto connection = value_of(NatsConnection::open(options));
    const auto entry = value_of(value_of(connection.bucket(hosts_bucket(options.fleet))).read(host_key(options.host)));
    return entry ? entry->value : "";
}

} // namespace kudo::test
