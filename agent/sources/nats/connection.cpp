// SPDX-License-Identifier: MIT
#include "agent/sources/nats/connection.h"

#include <chrono>
#include <string_view>

#include <fmt/format.h>
#include <nats/nats.h>

#include "agent/fleet/layout.h"
#include "agent/sources/nats/credentials.h"
#include "agent/sources/nats/failure.h"
#include "agent/sources/nats/handles.h"
#include "agent/sources/nats/library_options.h"
#include "maps/base/text.h"

namespace kudo {
namespace {

void on_closed(natsConnection*, void* closure) {
    NatsCallback::call(closure, {.closed = true});
}

void on_message(natsConnection*, natsSubscription*, natsMsg* message, void* closure) {
    const NatsHandle<natsMsg, natsMsg_Destroy> owned(message);
    NatsCallback::call(closure, {});
}

// Do the credentials prove themselves by a signature?
bool signs_something(const NatsOptions& options) {
    if (options.credentials.empty()) return false;
    const auto credentials = read_nats_credentials(options.credentials);
    return credentials && credentials->is_jwt();
}

} // namespace

Result<NatsConnection> NatsConnection::open(const NatsOptions& options, NatsCallback::Function on_event) {
    auto handles = std::make_shared<Handles>();
    handles->where = redacted_url(options.url);
    handles->answer_wait = options.answer_wait;
    if (on_event) handles->callback.emplace(std::move(on_event));
    auto made = KUDO_TRY(library_options(options));
    if (handles->callback) natsOptions_SetClosedCB(made.get(), on_closed, handles->callback->closure());

    const auto begin = std::chrono::steady_clock::now();
    natsStatus status = natsConnection_Connect(handles->connection.fill(), made.get());
    // libnats 3.4.1 leaves out a signature that begins with a zero byte, one of 256: the next one is another. Both
    // together take no longer than one may.
    const auto left =
        std::chrono::floor<std::chrono::milliseconds>(begin + options.connect_wait - std::chrono::steady_clock::now());
    if (status == NATS_CONNECTION_AUTH_FAILED && left.count() > 0 && signs_something(options) &&
        natsOptions_SetTimeout(made.get(), left.count()) == NATS_OK)
        status = natsConnection_Connect(handles->connection.fill(), made.get());
    if (status != NATS_OK) return nats_failure(handles->where, "cannot connect", status);
    jsOptions js;
    jsOptions_Init(&js);
    js.Wait = options.answer_wait.count();
    status = natsConnection_JetStream(handles->jetstream.fill(), handles->connection.get(), &js);
    if (status != NATS_OK) return nats_failure(handles->where, "cannot use JetStream", status);
    return NatsConnection(std::move(handles));
}

Result<void> NatsConnection::round_trip() {
    const natsStatus status = natsConnection_FlushTimeout(handles_->connection.get(), handles_->answer_wait.count());
    if (status != NATS_OK) return nats_failure(handles_->where, "the server does not answer", status);
    return {};
}

Result<void> NatsConnection::listen(const std::string& subject) {
    if (!handles_->callback) return {};
    NatsHandle<natsSubscription, natsSubscription_Destroy> fresh;
    const natsStatus status = natsConnection_Subscribe(fresh.fill(), handles_->connection.get(), subject.c_str(),
                                                       on_message, handles_->callback->closure());
    if (status != NATS_OK) return nats_failure(handles_->where, "cannot listen to " + subject, status);
    // A message that is dropped is no loss: each only says that there is something to read.
    natsSubscription_SetPendingLimits(fresh.get(), 4096, 16 * 1024 * 1024);
    handles_->subscription = std::move(fresh);
    return {};
}

Result<NatsBucket> NatsConnection::bucket(const std::string& name) {
    auto handles = std::make_shared<NatsBucket::Handles>();
    handles->connection = handles_;
    handles->where = fmt::format("{} {}", handles_->where, name);
    const natsStatus status = js_KeyValue(handles->store.fill(), handles_->jetstream.get(), name.c_str());
    if (status == NATS_NOT_FOUND)
        return fail(Error{ErrorKind::NotEnabled, handles->where + ": there is no such bucket on the server", 0});
    if (status != NATS_OK) return nats_failure(handles->where, "cannot look up the bucket", status);
    return NatsBucket(std::move(handles));
}

Result<NatsBucket> NatsConnection::make_bucket(const std::string& name, int history) {
    auto there = bucket(name);
    if (there || there.error().kind != ErrorKind::NotEnabled) return there;
    kvConfig config;
    kvConfig_Init(&config);
    config.Bucket = name.c_str();
    config.History = static_cast<uint8_t>(history);
    const std::string written = subject_of(name, ">"), notification = notification_subject(name, ">");
    jsRePublish republish;
    jsRePublish_Init(&republish);
    republish.Source = written.c_str();
    republish.Destination = notification.c_str();
    republish.HeadersOnly = true;
    config.RePublish = &republish;
    NatsHandle<kvStore, kvStore_Destroy> made;
    const natsStatus status = js_CreateKeyValue(made.fill(), handles_->jetstream.get(), &config);
    if (status != NATS_OK)
        return nats_failure(fmt::format("{} {}", handles_->where, name), "cannot make the bucket", status);
    return bucket(name);
}

bool NatsConnection::is_closed() const {
    return natsConnection_IsClosed(handles_->connection.get());
}

} // namespace kudo
