// SPDX-License-Identifier: MIT
#include "agent/fleet/machine.h"

#include <sys/random.h>

#include <array>

#include <spdlog/spdlog.h>

#include "agent/system/files.h"
#include "agent/system/uptime.h"
#include "maps/base/hash.h"
#include "maps/base/text.h"

namespace kudo {
namespace {

constexpr std::size_t max_id_bytes = 4096, hash_digits = 32;

std::string read_id(const std::filesystem::path& path) {
    const auto text = read_file(path, max_id_bytes);
    return text ? *text : "";
}

std::string hashed(const std::string& text) {
    return content_hash("kudo-agent host\n" + text).substr(0, hash_digits);
}

std::string random_number() {
    std::array<unsigned char, 16> bytes{};
    return getrandom(bytes.data(), bytes.size(), 0) == static_cast<ssize_t>(bytes.size()) ? hex(bytes) : "";
}

std::string kept_number(const std::filesystem::path& state_dir) {
    const auto file = state_dir / "machine";
    if (std::string kept = read_id(file); !kept.empty()) return kept;
    std::string fresh = random_number();
    auto stored = make_folder(state_dir);
    if (stored) stored = replace_file(file, fresh);
    if (stored) return fresh;
    spdlog::warn("{}; a clone of this machine may not be told from it", stored.error().message);
    return "";
}

} // namespace

Machine this_machine(const std::filesystem::path& state_dir) {
    // Only root may read the UUID. Cloned disks share the first, cloned virtual machines often both.
    const std::string ids = read_id("/etc/machine-id") + "\n" + read_id("/sys/class/dmi/id/product_uuid");
    return {.id = ids == "\n" ? "" : hashed(ids),
            .identity = hashed(ids + "\n" + read_uptime().boot + "\n" + kept_number(state_dir))};
}

std::string identity_apart(const std::string& identity) {
    return hashed(identity + "\n" + random_number());
}

} // namespace kudo
