// SPDX-License-Identifier: MIT
#include "agent/acceptance/acceptance.h"

#include <algorithm>
#include <optional>

#include <fmt/format.h>

#include "agent/acceptance/rules.h"
#include "agent/netlink/interfaces.h"
#include "agent/state/range_store.h"
#include "agent/system/capabilities.h"
#include "maps/base/hash.h"
#include "maps/trust/document.h"

namespace kudo {
namespace {

// Carries `candidate` into `state` if nothing speaks against it.
Result<Acceptance> admit(const Instance& instance, const AcceptanceSettings& settings, const Candidate& candidate,
                         DesiredState& state, const TimePoint& moment, ParsedMaps& parsed) {
    const auto judgement = judge(instance, settings, state, candidate, KUDO_TRY(own_addresses()), moment.now, parsed);
    if (!judgement.what) return bad_input(judgement.text);
    Acceptance acceptance{*judgement.what, judgement.text, judgement.alarm, candidate.map.serial, {}};
    if (acceptance.what != Accepted::Activated && acceptance.what != Accepted::Staged) return acceptance;
    if (acceptance.what == Accepted::Staged) KUDO_TRY(check_compiles(candidate, state));
    KUDO_TRY(store_range_map(instance, candidate.hash, candidate.canonical));
    parsed.emplace(candidate.hash, candidate.map);
    const AcceptedMap accepted{.serial = candidate.map.serial,
                               .hash = candidate.hash,
                               .document = candidate.document,
                               .source = candidate.source,
                               .signed_by = candidate.signed_by,
                               .effective = candidate.map.effective,
                               .expires = candidate.map.expires,
                               .early = settings.early_additions};
    if (settings.reset_serial && !candidate.is_list)
        lower_highest(state.ranges, candidate.map.serial, candidate.hash, moment.now);
    if (candidate.is_list)
        replace_content(state.ranges, accepted, settings.grace, moment);
    else if (acceptance.what == Accepted::Activated)
        activate(state.ranges, accepted, settings.grace, moment);
    else
        stage(state.ranges, accepted, moment);
    return acceptance;
}

// Carries a key set into `state`. Its signatures are verified again, with the keys that the host has now.
Result<Acceptance> admit_keys(const KeySet& folder, const KeySet& offered, const Delivery& delivery,
                              DesiredState& state) {
    KeySet current = trusted_keys(folder, state.ranges);
    current.serial = std::max(current.serial, state.ranges.key_set_serial);
    const auto outcome = [&](Accepted what, std::string text) {
        return Acceptance{what, std::move(text), {}, offered.serial, {}};
    };
    if (offered.serial == current.serial && to_json(offered) == to_json(current))
        return outcome(Accepted::Known, fmt::format("key set {} is known already; nothing changed", current.serial));
    if (offered.serial < current.serial)
        return outcome(Accepted::Superseded, fmt::format("{}: serial: {} is lower than {}, the current key set's",
                                                         delivery.source, offered.serial, current.serial));
    KUDO_TRY(check_rotation(current, offered, delivery.document, delivery.signatures, delivery.source));
    follow_keys(state.ranges, offered, delivery.source, current_time_point());
    return outcome(Accepted::KeySet, fmt::format("key set {} is in effect: {} keys, {} must sign", offered.serial,
                                                 offered.keys.size(), offered.threshold));
}

// The very bytes that were accepted once: after a change of keys their signer may no longer be trusted, but they are
// not at fault, and nothing changes.
std::optional<Acceptance> known_before(const DesiredState& state, const Delivery& delivery) {
    const AcceptedMap* map = find_document(state.ranges, content_hash(delivery.document));
    if (!map) return std::nullopt;
    return Acceptance{
        Accepted::Known,
        fmt::format("range map {} was accepted before, with the keys trusted then; nothing changed", map->serial),
        {},
        map->serial,
        {}};
}

} // namespace

Result<Acceptance> accept(const Instance& instance, const AcceptanceSettings& settings, const Delivery& delivery) {
    KUDO_TRY(check_capabilities());
    auto folder = KUDO_TRY(read_keys_folder(settings.keys_folder, settings.key_threshold));
    auto before = KUDO_TRY(load_desired_state(instance));
    if (settings.trust_folder) before.ranges.keys.reset();
    const KeySet& keys = trusted_keys(folder.keys, before.ranges);
    // Bytes are parsed only once they are known to be the signer's. A trusted transport answers for a vendor's list,
    // and for nothing else: that was parsed where it came in (ConfinedSource).
    if (!delivery.refused.empty()) return bad_input(delivery.refused);
    auto signed_by = signers(settings, keys, delivery, delivery.list.has_value());
    if (!signed_by) {
        if (auto known = known_before(before, delivery)) return std::move(*known);
        if (before.ranges.keys) return fail(std::move(signed_by.error()));
        KUDO_TRY(folder.check_threshold().in(delivery.source));
        return bad_input(folder.with_problems(std::move(signed_by.error().message)));
    }
    auto document =
        delivery.list
            ? Document(*delivery.list)
            : KUDO_TRY(parse_document(KUDO_TRY(read_json(delivery.document).in(delivery.source)), delivery.source));
    const auto* list = std::get_if<VendorList>(&document);
    if (list && !settings.allow_unsigned && !delivery.list)
        return bad_input(fmt::format("{}: a vendor's list has no serial and no dates, so a signature does not make it "
                                     "safe; apply it by hand with --allow-unsigned",
                                     delivery.source));
    std::optional<Candidate> candidate;
    if (auto* map = std::get_if<RangeMap>(&document)) {
        candidate.emplace(std::move(*map), delivery.source);
        candidate->document = content_hash(delivery.document);
        candidate->signed_by = std::move(*signed_by);
    }
    Acceptance acceptance;
    ParsedMaps parsed;
    bool admitted = false;
    const std::string trusted = to_json(keys);
    if (const auto* offered = std::get_if<KeySet>(&document)) {
        const auto follow = [&](DesiredState& state) -> Result<void> {
            if (settings.trust_folder) state.ranges.keys.reset();
            acceptance = KUDO_TRY(admit_keys(folder.keys, *offered, delivery, state));
            return {};
        };
        KUDO_TRY(change_state(instance, follow, settings.timeout));
        return acceptance;
    }
    const auto change = [&](DesiredState& state) -> Result<void> {
        if (settings.trust_folder) state.ranges.keys.reset();
        if (to_json(trusted_keys(folder.keys, state.ranges)) != trusted)
            return fail(fmt::format("{}: the key set has changed meanwhile; try again", delivery.source));
        const TimePoint moment = current_time_point();
        advance(state.ranges, settings.grace, moment);
        if (list) {
            // It has no serial of its own: it keeps that of the map that is in effect.
            auto base = KUDO_TRY(load_document(instance, state.ranges.active.hash, &parsed));
            candidate.emplace(KUDO_TRY(apply_vendor_list(std::move(base), *list, delivery.source)), delivery.source,
                              true);
        }
        acceptance = KUDO_TRY(admit(instance, settings, *candidate, state, moment, parsed));
        admitted = acceptance.what == Accepted::Activated;
        return {};
    };
    auto report = change_and_reconcile(instance, change, settings.retries ? Asked::Delivery : Asked::Policy,
                                       settings.timeout, &parsed, settings.retries);
    // It was compiled there, and this is what does not fit.
    if (!report && admitted && report.error().kind == ErrorKind::BadInput)
        return fail(std::move(report.error()).in(delivery.source));
    acceptance.report = KUDO_TRY(std::move(report));
    return acceptance;
}

} // namespace kudo
