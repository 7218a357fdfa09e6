// SPDX-License-Identifier: MIT
#include "agent/diagnosis/snapshots.h"

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <vector>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "agent/datapath/bpf_object.h"
#include "agent/system/files.h"
#include "agent/system/own_files.h"
#include "agent/system/uptime.h"

namespace kudo {
namespace {

using std::chrono::seconds;

constexpr const char* format = "kudo-snapshot/1";
constexpr std::size_t max_snapshot_bytes = 8u << 20;
constexpr std::uintmax_t max_bytes_together = 32u << 20;
constexpr std::size_t max_flows_kept = 20'000;

// A file's name is when it was taken, in seconds since boot.
struct StoredSnapshot {
    seconds taken;
    std::filesystem::path path;
    std::uintmax_t size = 0;
};

// By age, the newest first. What has another name is not ours.
std::vector<StoredSnapshot> stored_snapshots(const Instance& instance) {
    std::vector<StoredSnapshot> found;
    std::error_code error;
    for (const auto& entry : std::filesystem::directory_iterator(instance.snapshots(), error)) {
        const std::string name = entry.path().filename();
        seconds::rep taken = 0;
        const auto [end, failure] = std::from_chars(name.data(), name.data() + name.size(), taken);
        if (failure != std::errc{} || end != name.data() + name.size()) continue;
        std::error_code gone;
        found.push_back({seconds(taken), entry.path(), entry.file_size(gone)});
    }
    std::ranges::sort(found, std::greater{}, &StoredSnapshot::taken);
    return found;
}

// In which span a snapshot of this age lies: of each span only the oldest stays.
std::pair<int, seconds::rep> span_of(seconds taken, seconds age) {
    if (age < std::chrono::minutes(5)) return {0, taken.count()};
    if (age < std::chrono::hours(1)) return {1, taken / std::chrono::minutes(1)};
    return {2, taken / std::chrono::minutes(10)};
}

void prune(const Instance& instance, seconds now) {
    auto stored = stored_snapshots(instance);
    std::uintmax_t together = 0;
    for (std::size_t i = 0; i < stored.size(); ++i) {
        const auto& [taken, path, size] = stored[i];
        const seconds age = now - taken;
        // Another boot's may be "younger" than now.
        const bool outdated = age < seconds(0) || age > std::chrono::hours(24) + std::chrono::minutes(10);
        const bool has_older_in_span =
            i + 1 < stored.size() && span_of(taken, age) == span_of(stored[i + 1].taken, now - stored[i + 1].taken);
        std::error_code error;
        if (outdated || has_older_in_span || together + size > max_bytes_together)
            std::filesystem::remove(path, error);
        else
            together += size;
    }
}

// What the counters belong to: they begin at zero with a boot, and with a data path.
nlohmann::json identity(const DataPath& data_path, const Uptime& uptime) {
    return {{"format", format}, {"boot", uptime.boot}, {"counters", map_id(data_path.maps().cpus.get())}};
}

// Nothing: of another data path or boot, pruned meanwhile, or not as we write it.
std::optional<Snapshot> read_snapshot(const StoredSnapshot& stored, const nlohmann::json& wanted,
                                      const Uptime& uptime) {
    if (stored.taken > uptime.since_boot) return std::nullopt;
    const auto content = read_own_file(stored.path, max_snapshot_bytes);
    if (!content) return std::nullopt;
    const auto document = nlohmann::json::from_cbor(*content, true, false);
    if (document.is_discarded() || !document.is_object()) return std::nullopt;
    const bool same = std::ranges::all_of(wanted.items(), [&](const auto& field) {
        return document.contains(field.key()) && document.at(field.key()) == field.value();
    });
    if (!same || !document.contains("series")) return std::nullopt;
    try {
        return Snapshot{uptime.since_boot - stored.taken, document.at("series").get<Series>()};
    } catch (const nlohmann::json::exception&) {
        return std::nullopt;
    }
}

} // namespace

Result<void> save_snapshot(const Instance& instance, const DataPath& data_path, const Diagnosis& diagnosis) {
    const Uptime uptime = read_uptime();
    nlohmann::json document = identity(data_path, uptime);
    document["series"] = series_of(diagnosis, max_flows_kept);
    const std::vector<uint8_t> bytes = nlohmann::json::to_cbor(document);
    if (bytes.size() > max_snapshot_bytes)
        return fail(fmt::format("{}: a snapshot would be larger than {} bytes", instance.snapshots().string(),
                                max_snapshot_bytes));
    KUDO_TRY(make_folder(instance.snapshots()));
    KUDO_TRY(replace_file(instance.snapshots() / std::to_string(uptime.since_boot.count()),
                          {reinterpret_cast<const char*>(bytes.data()), bytes.size()}, Flush::No));
    prune(instance, uptime.since_boot);
    return {};
}

Result<std::optional<Snapshot>> load_snapshot(const Instance& instance, const DataPath& data_path, seconds age) {
    const Uptime uptime = read_uptime();
    const nlohmann::json wanted = identity(data_path, uptime);
    std::optional<Snapshot> oldest;
    for (const StoredSnapshot& stored : stored_snapshots(instance)) {
        auto snapshot = read_snapshot(stored, wanted, uptime);
        if (!snapshot) continue;
        oldest = std::move(snapshot);
        if (oldest->age >= age) break;
    }
    return oldest;
}

void for_each_snapshot(const Instance& instance, const DataPath& data_path,
                       const std::function<void(Snapshot snapshot)>& take) {
    const Uptime uptime = read_uptime();
    const nlohmann::json wanted = identity(data_path, uptime);
    auto all = stored_snapshots(instance);
    std::ranges::reverse(all);
    for (const StoredSnapshot& stored : all)
        if (auto snapshot = read_snapshot(stored, wanted, uptime)) take(std::move(*snapshot));
}

} // namespace kudo
