// SPDX-License-Identifier: MIT
#include "cli/fleet/document.h"

#include <algorithm>

#include <fmt/format.h>

#include "agent/fleet/layout.h"
#include "agent/system/uptime.h"
#include "maps/document/built_in.h"
#include "maps/document/guards.h"
#include "maps/trust/document.h"

namespace kudo {
namespace {

// As the hosts would, but for their own addresses, which are unknown here.
Result<void> check_guards(const FleetDocument& document, const RangeMap& previous, uint64_t highest,
                          const std::vector<std::string>& overrides) {
    auto violations = find_violations(*document.map, previous, {}, wall_time(), highest);
    std::erase_if(violations, [&](const Violation& violation) {
        return std::ranges::find(overrides, guard_name(violation.guard)) != overrides.end();
    });
    if (violations.empty()) return {};
    return bad_input(violations_text(document.name, violations, violations.size()));
}

} // namespace

std::string FleetDocument::text() const {
    return fmt::format("{} {}", is_key_set ? "key set" : "range map", serial);
}

Result<FleetDocument> read_fleet_document(const KeySet& keys, Bundle bundle, std::string_view name) {
    FleetDocument document;
    document.name = name;
    document.signers = KUDO_TRY(verify(keys, bundle.document, bundle.signatures, name));
    auto parsed = KUDO_TRY(parse_document_text(bundle.document, name));
    if (const auto* next = std::get_if<KeySet>(&parsed)) {
        KUDO_TRY(check_rotation(keys, *next, bundle.document, bundle.signatures, name));
        document.is_key_set = true;
        document.serial = next->serial;
    } else if (auto* map = std::get_if<RangeMap>(&parsed)) {
        document.serial = map->serial;
        document.effective = map->effective;
        document.map = std::move(*map);
    } else {
        return bad_input(fmt::format("{}: a vendor's list has no serial; publish a range map or a key set", name));
    }
    document.bundle = std::move(bundle);
    return document;
}

Result<void> check_destination(const FleetDocument& document, const std::string& fleet, const std::string& ring,
                               Time now, const std::vector<std::string>& overrides) {
    if (!document.map) return {};
    const auto& audience = document.map->audience;
    if (audience && (audience->fleet != fleet || (!audience->ring.empty() && audience->ring != ring)))
        return bad_input(fmt::format("{} is for {}, not for {}/{}; no host there would accept it", document.text(),
                                     audience->text(), fleet, ring));
    if (const auto& expires = document.map->expires; expires && *expires <= now)
        return bad_input(
            fmt::format("{} has expired on {}; no host would accept it", document.text(), rfc3339(*expires)));
    // Every host begins with the built-in map.
    return check_guards(document, *document.map, built_in_range_map().serial, overrides);
}

Result<Sent> send_to_ring(NatsBucket& maps, const std::string& ring, const FleetDocument& document, const KeySet& keys,
                          const std::vector<std::string>& overrides) {
    const std::string key = document.is_key_set ? ring_keys_key(ring) : ring_map_key(ring);
    const auto value = KUDO_TRY(join(document.bundle));
    const auto present = KUDO_TRY(maps.read(key));
    Sent sent;
    if (present) {
        if (present->value == value) {
            sent.before = document.serial;
            return sent;
        }
        // What the operator's keys have not signed is nothing to compare with: it must not block a valid document.
        auto there = split_bundle(present->value);
        const auto known = there ? read_fleet_document(keys, *there, key) : fail(there.error());
        if (known && known->serial > document.serial)
            return bad_input(fmt::format("ring {} has {} already, which is newer than {}; sign a new one with a higher "
                                         "serial",
                                         ring, known->text(), document.text()));
        if (known && known->serial == document.serial && known->bundle.document != document.bundle.document)
            return bad_input(fmt::format("ring {} already has {} with other content; a serial is used only once", ring,
                                         document.text()));
        if (known && known->map && document.map)
            KUDO_TRY(check_guards(document, *known->map, known->serial, overrides));
        if (known)
            sent.before = known->serial;
        else
            sent.note = fmt::format("the previous document of ring {} was not signed by these keys and is replaced: {}",
                                    ring, known.error().message);
    }
    KUDO_TRY(maps.put_after(key, value, present ? present->revision : 0));
    sent.changed = true;
    return sent;
}

} // namespace kudo
