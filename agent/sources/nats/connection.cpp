// SPDX-License-Identifier: MIT
#include "agent/sources/nats/connection.h"

#include <chrono>

#include <fmt/format.h>
#include <nats/nats.h>

#include "agent/fleet/layout.h"
#include "agent/sources/nats/handles.h"
#include "agent/sources/nats/library_options.h"
#include "maps/trust/bundle.h"

namespace kudo {
namespace {

void on_closed(natsConnection*, void* closure) {
    NatsCallback::call(closure, {.closed = true});
}

void on_message(natsConnection*, natsSubscription*, natsMsg* message, void* closure) {
    const NatsHandle<natsMsg, natsMsg_Destroy> owned(message);
    const int size = natsMsg_GetDataLength(message);
    NatsEvent event{.subject = natsMsg_GetSubject(message)};
    if (size > 0 && static_cast<std::size_t>(size) <= bundle_max_bytes)
        event.value.assign(natsMsg_GetData(message), static_cast<std::size_t>(size));
    NatsCallback::call(closure, event);
}

constexpr int max_replicas = 3;

} // namespace

Result<NatsConnection> NatsConnection::open(const NatsOptions& options, NatsCallback::Function on_event) {
    auto handles = std::make_shared<Handles>();
    handles->where = redacted_url(options.url);
    handles->answer_wait = options.answer_wait;
    if (on_event) handles->callback.emplace(std::move(on_event));
    auto [made, signs] = KUDO_TRY(library_options(options));
    if (handles->callback) natsOptions_SetClosedCB(made.get(), on_closed, handles->callback->closure());

    const auto begin = std::chrono::steady_clock::now();
    natsStatus status = natsConnection_Connect(handles->connection.fill(), made.get());
    // libnats 3.4.1 leaves out a signature that begins with a zero byte, one of 256: the next one is another. Both
    // together take no longer than one may.
    const auto left =
        std::chrono::floor<std::chrono::milliseconds>(begin + options.connect_wait - std::chrono::steady_clock::now());
    if (status == NATS_CONNECTION_AUTH_FAILED && left.count() > 0 && signs &&
        natsOptions_SetTimeout(made.get(), left.count()) == NATS_OK)
        status = natsConnection_Connect(handles->connection.fill(), made.get());
    KUDO_TRY(nats_result(status, handles->where, "cannot connect"));
    jsOptions js;
    jsOptions_Init(&js);
    js.Wait = options.answer_wait.count();
    KUDO_TRY(nats_result(natsConnection_JetStream(handles->jetstream.fill(), handles->connection.get(), &js),
                         handles->where, "cannot use JetStream"));
    return NatsConnection(std::move(handles));
}

Result<void> NatsConnection::round_trip() {
    return nats_result(natsConnection_FlushTimeout(handles_->connection.get(), handles_->answer_wait.count()),
                       handles_->where, "the server does not respond");
}

Result<void> NatsConnection::listen(const std::string& subject) {
    if (!handles_->callback) return {};
    NatsHandle<natsSubscription, natsSubscription_Destroy> fresh;
    const natsStatus status = natsConnection_Subscribe(fresh.fill(), handles_->connection.get(), subject.c_str(),
                                                       on_message, handles_->callback->closure());
    KUDO_TRY(nats_result(status, handles_->where, "cannot subscribe to " + subject));
    // A message that is dropped is no loss: each only says that there is something to read.
    natsSubscription_SetPendingLimits(fresh.get(), 65536, 16 * 1024 * 1024);
    handles_->subscription = std::move(fresh);
    return {};
}

Result<NatsBucket> NatsConnection::bucket(const std::string& name) {
    auto handles = std::make_shared<NatsBucket::Handles>();
    handles->connection = handles_;
    handles->bucket = name;
    handles->where = fmt::format("{} {}", handles_->where, name);
    const natsStatus status = js_KeyValue(handles->store.fill(), handles_->jetstream.get(), name.c_str());
    if (status == NATS_NOT_FOUND)
        return fail(Error{ErrorKind::NotEnabled, handles->where + ": there is no such bucket on the server", 0});
    KUDO_TRY(nats_result(status, handles->where, "cannot look up the bucket"));
    return NatsBucket(std::move(handles));
}

// Makes an older bucket what make_bucket() would make it today. A sentence if it could not, or if it did.
std::string NatsConnection::raise(Handles& handles, const std::string& name, Notify notify) {
    const std::string stream = "KV_" + name;
    NatsHandle<jsStreamInfo, jsStreamInfo_Destroy> info;
    if (js_GetStreamInfo(info.fill(), handles.jetstream.get(), stream.c_str(), nullptr, nullptr) != NATS_OK)
        return fmt::format("bucket {}: its settings cannot be read", name);
    jsStreamConfig& config = *info.get()->Config;
    const auto update = [&] {
        return js_UpdateStream(nullptr, handles.jetstream.get(), &config, nullptr, nullptr) == NATS_OK;
    };
    std::string note;
    if (notify == Notify::Value && config.RePublish && config.RePublish->HeadersOnly) {
        config.RePublish->HeadersOnly = false;
        if (!update())
            note = fmt::format("bucket {}: its notifications carry no documents; each host reads them", name);
    }
    const int64_t before = config.Replicas;
    const jsClusterInfo* cluster = info.get()->Cluster;
    if (!cluster || !cluster->Name || before >= max_replicas) return note;
    for (config.Replicas = max_replicas; config.Replicas > before; --config.Replicas)
        if (update()) return fmt::format("bucket {}: raised from {} to {} replicas", name, before, config.Replicas);
    return fmt::format("bucket {}: has only {} of {} replicas: a server that is lost takes it along", name, before,
                       max_replicas);
}

Result<NatsBucket> NatsConnection::make_bucket(const std::string& name, int history, Notify notify) {
    auto there = bucket(name);
    if (there) {
        there->note = raise(*handles_, name, notify);
        return there;
    }
    if (there.error().kind != ErrorKind::NotEnabled) return there;
    kvConfig config;
    kvConfig_Init(&config);
    config.Bucket = name.c_str();
    config.History = static_cast<uint8_t>(history);
    const std::string written = subject_of(name, ">"), notification = notification_subject(name, ">");
    jsRePublish republish;
    jsRePublish_Init(&republish);
    republish.Source = written.c_str();
    republish.Destination = notification.c_str();
    republish.HeadersOnly = notify == Notify::Key;
    config.RePublish = &republish;
    NatsHandle<kvStore, kvStore_Destroy> made;
    natsStatus status = NATS_ERR;
    // A server refuses more than its cluster has servers.
    for (config.Replicas = max_replicas; config.Replicas > 0; --config.Replicas) {
        status = js_CreateKeyValue(made.fill(), handles_->jetstream.get(), &config);
        if (status != NATS_ERR && status != NATS_INVALID_ARG) break;
    }
    KUDO_TRY(nats_result(status, fmt::format("{} {}", handles_->where, name), "cannot create the bucket"));
    return bucket(name);
}

bool NatsConnection::is_closed() const {
    return natsConnection_IsClosed(handles_->connection.get());
}

} // namespace kudo
