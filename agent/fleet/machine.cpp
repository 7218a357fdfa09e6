// SPDX-License-Identifier: MIT
#include "agent/fleet/machine.h"

#include "agent/system/files.h"
#include "agent/system/uptime.h"
#include "maps/base/hash.h"

namespace kudo {
namespace {

constexpr std::size_t max_id_bytes = 4096, hash_digits = 32;

std::string read_id(const char* path) {
    const auto text = read_file(path, max_id_bytes);
    return text ? *text : "";
}

std::string hashed(const std::string& text) {
    return content_hash("kudo-agent host\n" + text).substr(0, hash_digits);
}

} // namespace

Machine this_machine() {
    // Only root may read the UUID. Cloned disks share the first, cloned virtual machines often both.
    const std::string ids = read_id("/etc/machine-id") + "\n" + read_id("/sys/class/dmi/id/product_uuid");
    return {.id = ids == "\n" ? "" : hashed(ids), .identity = hashed(ids + "\n" + read_uptime().boot)};
}

} // namespace kudo
