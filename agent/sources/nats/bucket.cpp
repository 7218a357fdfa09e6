// SPDX-License-Identifier: MIT
#include "agent/sources/nats/bucket.h"

#include <climits>

#include <fmt/format.h>

#include "agent/fleet/layout.h"
#include "agent/sources/nats/handles.h"

namespace kudo {
namespace {

using Entry = NatsHandle<kvEntry, kvEntry_Destroy>;

NatsEntry copy_of(kvEntry* entry) {
    NatsEntry copy;
    copy.key = kvEntry_Key(entry);
    if (kvEntry_ValueLen(entry) > 0)
        copy.value.assign(static_cast<const char*>(kvEntry_Value(entry)),
                          static_cast<std::size_t>(kvEntry_ValueLen(entry)));
    copy.revision = kvEntry_Revision(entry);
    copy.created =
        std::chrono::system_clock::time_point(std::chrono::duration_cast<std::chrono::system_clock::duration>(
            std::chrono::nanoseconds(kvEntry_Created(entry))));
    return copy;
}

} // namespace

Result<std::optional<NatsEntry>> NatsBucket::read(const std::string& key) {
    Entry entry;
    const natsStatus status = kvStore_Get(entry.fill(), handles_->store.get(), key.c_str());
    if (status == NATS_NOT_FOUND) return std::optional<NatsEntry>();
    KUDO_TRY(nats_result(status, handles_->where, "cannot read " + key));
    return std::optional(copy_of(entry.get()));
}

Result<void> NatsBucket::put(const std::string& key, const std::string& value) {
    if (value.size() > INT_MAX) return bad_input("too large");
    return nats_result(
        kvStore_Put(nullptr, handles_->store.get(), key.c_str(), value.data(), static_cast<int>(value.size())),
        handles_->where, "cannot write " + key);
}

Result<void> NatsBucket::put_after(const std::string& key, const std::string& value, uint64_t revision) {
    const auto max = natsConnection_GetMaxPayload(handles_->connection->connection.get());
    if (max > 0 && static_cast<int64_t>(value.size()) > max)
        return bad_input(fmt::format("{}: {} has {} bytes, but the server takes at most {} in one message; raise "
                                     "max_payload in its configuration",
                                     handles_->where, key, value.size(), max));
    const int size = static_cast<int>(value.size());
    const natsStatus status =
        revision == 0 ? kvStore_Create(nullptr, handles_->store.get(), key.c_str(), value.data(), size)
                      : kvStore_Update(nullptr, handles_->store.get(), key.c_str(), value.data(), size, revision);
    return nats_result(status, handles_->where,
                       fmt::format("cannot write {}; if it was changed meanwhile, try again", key));
}

Result<std::vector<std::string>> NatsBucket::keys(const std::string& pattern, std::size_t max) {
    const std::string stream = "KV_" + handles_->bucket, subjects = subject_of(handles_->bucket, pattern);
    jsOptions js;
    jsOptions_Init(&js);
    js.Wait = handles_->connection->answer_wait.count();
    js.Stream.Info.SubjectsFilter = subjects.c_str();
    NatsHandle<jsStreamInfo, jsStreamInfo_Destroy> info;
    KUDO_TRY(
        nats_result(js_GetStreamInfo(info.fill(), handles_->connection->jetstream.get(), stream.c_str(), &js, nullptr),
                    handles_->where, "cannot list " + pattern));
    std::vector<std::string> found;
    const auto* list = info.get()->State.Subjects;
    const std::size_t skipped = subject_of(handles_->bucket, "").size();
    for (int i = 0; list && i < list->Count && found.size() < max; i++)
        if (const std::string subject = list->List[i].Subject; subject.size() > skipped)
            found.push_back(subject.substr(skipped));
    return found;
}

Result<void> NatsBucket::erase(const std::string& key) {
    return nats_result(kvStore_Purge(handles_->store.get(), key.c_str(), nullptr), handles_->where,
                       "cannot remove " + key);
}

Result<void> NatsBucket::for_each(const std::string& keys, const std::function<void(NatsEntry)>& visit) {
    const std::string what = "cannot read " + keys;
    kvWatchOptions options;
    kvWatchOptions_Init(&options);
    options.IgnoreDeletes = true;
    options.Timeout = handles_->connection->answer_wait.count();
    NatsHandle<kvWatcher, kvWatcher_Destroy> watcher;
    KUDO_TRY(nats_result(kvStore_Watch(watcher.fill(), handles_->store.get(), keys.c_str(), &options), handles_->where,
                         what));
    while (true) {
        Entry entry;
        KUDO_TRY(nats_result(kvWatcher_Next(entry.fill(), watcher.get(), handles_->connection->answer_wait.count()),
                             handles_->where, what));
        if (!entry.get()) return {}; // libnats's mark after the last one
        visit(copy_of(entry.get()));
    }
}

} // namespace kudo
