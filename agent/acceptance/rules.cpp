// SPDX-License-Identifier: MIT
#include "agent/acceptance/rules.h"

#include <algorithm>

#include <fmt/format.h>

#include "maps/base/hash.h"
#include "maps/document/built_in.h"
#include "maps/document/write_range_map.h"

namespace kudo {
namespace {

// The highest serial that was ever accepted: nothing older is, and nothing else under it.
struct RollbackProtection {
    uint64_t serial;
    std::string hash;
};
RollbackProtection protection_of(const RangeLedger& ledger) {
    if (ledger.highest_serial != 0) return {ledger.highest_serial, ledger.highest_hash};
    return {built_in_range_map().serial, content_hash(to_json(built_in_range_map()))};
}

Result<void> check_audience(const RangeMap& map, const AcceptanceSettings& settings, const std::string& source) {
    if (!map.audience) return {};
    const std::string audience = map.audience->text();
    if (settings.fleet.empty())
        return bad_input(
            fmt::format("{}: audience: the map is for {}, and this host is in no fleet", source, audience));
    if (map.audience->fleet != settings.fleet || (!map.audience->ring.empty() && map.audience->ring != settings.ring))
        return bad_input(fmt::format("{}: audience: the map is for {}, this host is {}", source, audience,
                                     Audience{settings.fleet, settings.ring}.text()));
    return {};
}

// The newest that was accepted. A damaged one must not keep a good one out.
RangeMap newest_map(const Instance& instance, const RangeLedger& ledger, ParsedMaps& parsed) {
    const std::string& hash = ledger.staged.empty() ? ledger.active.hash : ledger.staged.back().hash;
    if (auto newest = load_document(instance, hash, &parsed)) return std::move(*newest);
    return built_in_range_map();
}

std::vector<Violation> check_guards(const Instance& instance, const AcceptanceSettings& settings,
                                    const RangeLedger& ledger, const RangeMap& map,
                                    std::span<const Address> own_addresses, Time now, ParsedMaps& parsed) {
    auto violations =
        find_violations(map, newest_map(instance, ledger, parsed), own_addresses, now, protection_of(ledger).serial);
    std::erase_if(violations, [&](const Violation& violation) {
        return std::ranges::find(settings.overrides, guard_name(violation.guard)) != settings.overrides.end();
    });
    return violations;
}

// The map in effect, for when it was issued. Where that is yet to come it is wrong, and the map before counts, unless
// it is the clock that is wrong. What cannot be read counts as the built-in map.
RangeMap credible_active(const Instance& instance, const RangeLedger& ledger, Time now, ParsedMaps& parsed) {
    const auto is_credible = [&](const Result<RangeMap>& map) {
        return map && (map->issued <= now || now < built_in_range_map().issued);
    };
    auto active = load_document(instance, ledger.active.hash, &parsed);
    if (is_credible(active)) return std::move(*active);
    if (const auto before = map_before(ledger)) {
        auto older = load_document(instance, before->hash, &parsed);
        if (is_credible(older)) return std::move(*older);
    }
    return built_in_range_map();
}

bool was_accepted(const RangeLedger& ledger, const std::string& hash) {
    return ledger.active.hash == hash || std::ranges::any_of(ledger.history, [&](const HistoryEntry& entry) {
               return entry.event != RangeEvent::KeySet && entry.map.hash == hash;
           });
}

// Why a map that is ignored for its serial is no old one; empty: it is one, or was accepted before, also before the
// host was rolled back.
std::string ignored_although_newer(const Instance& instance, const RangeLedger& ledger, const Candidate& candidate,
                                   Time now, ParsedMaps& parsed) {
    if (was_accepted(ledger, candidate.hash)) return {};
    const RangeMap active = credible_active(instance, ledger, now, parsed);
    if (candidate.map.issued <= active.issued) return {};
    return fmt::format("{}: ignored, although it was issued later, {}, than map {}, {}: its serial, {}, is lower than "
                       "{}, the highest that was accepted. Sign it with a higher one; if the highest is wrong: ranges "
                       "apply FILE --reset-serial on each host, or a key set with \"serial_floor\"",
                       candidate.source, rfc3339(candidate.map.issued), active.serial, rfc3339(active.issued),
                       candidate.map.serial, protection_of(ledger).serial);
}

std::string hash_of_active(const RangeLedger& ledger) {
    return ledger.active.hash.empty() ? content_hash(to_json(built_in_range_map())) : ledger.active.hash;
}

// Is this map, of the highest serial, in effect (perhaps with a vendor's list over it) or staged? One whose stored
// document was damaged is not, and is taken in again.
bool is_in_use(const Instance& instance, const RangeLedger& ledger, const Candidate& candidate, ParsedMaps& parsed) {
    if (ledger.highest_serial == 0) return true; // it is the built-in one
    if (ledger.active.serial == candidate.map.serial)
        return static_cast<bool>(load_document(instance, ledger.active.hash, &parsed));
    return std::ranges::find(ledger.staged, candidate.hash, &AcceptedMap::hash) != ledger.staged.end() &&
           load_document(instance, candidate.hash, &parsed);
}

} // namespace

Candidate::Candidate(RangeMap map_, std::string source_, bool is_list_)
    : map(std::move(map_)), source(std::move(source_)), is_list(is_list_), canonical(to_json(map)),
      hash(content_hash(canonical)) {}

Result<std::vector<std::string>> signers(const AcceptanceSettings& settings, const KeySet& keys,
                                         const Delivery& delivery, bool vouched_for) {
    if ((settings.allow_unsigned || vouched_for) && (delivery.signatures.empty() || keys.keys.empty()))
        return std::vector<std::string>{};
    if (keys.keys.empty())
        return bad_input(
            fmt::format("{}: there is no key to verify it with: put the publisher's minisign key (*.pub) into {}"
                        ", or decide for yourself with --allow-unsigned",
                        delivery.source, settings.keys_folder.string()));
    if (delivery.signatures.empty())
        return bad_input(
            fmt::format("{}: not signed: no signature came with it (minisign -S -m FILE makes FILE.minisig); "
                        "sign it, or decide for yourself with --allow-unsigned",
                        delivery.source));
    return verify(keys, delivery.document, delivery.signatures, delivery.source);
}

Result<void> check_valid(const RangeMap& map, const std::string& source, Time now) {
    if (!map.expires || *map.expires > now) return {};
    return bad_input(
        fmt::format("{}: expires: {} has passed; expected a map that is still valid", source, rfc3339(*map.expires)));
}

Result<void> check_compiles(const Candidate& candidate, const DesiredState& state) {
    if (state.enabled) KUDO_TRY(compile(candidate.map, state.compile_options()).in(candidate.source));
    return {};
}

Judgement judge(const Instance& instance, const AcceptanceSettings& settings, const DesiredState& state,
                const Candidate& candidate, std::span<const Address> own_addresses, Time now, ParsedMaps& parsed) {
    const RangeMap& map = candidate.map;
    const RollbackProtection highest = protection_of(state.ranges);
    const auto outcome = [&](Accepted what, std::string text) { return Judgement{what, std::move(text), {}}; };
    const auto refused = [](std::string text) { return Judgement{{}, std::move(text), {}}; };
    if (const auto for_us = check_audience(map, settings, candidate.source); !for_us)
        return refused(for_us.error().message);
    if (candidate.is_list) {
        if (candidate.hash == hash_of_active(state.ranges))
            return outcome(Accepted::Known, "the media ranges are those of this list already; nothing changed");
    } else if (settings.reset_serial) {
        // An admin's decision: neither the highest serial nor a rollback counts.
    } else if (map.serial < highest.serial) {
        Judgement judgement = outcome(
            Accepted::Superseded,
            fmt::format("{}: serial: {} is lower than {}, the highest that was accepted; a serial never goes down",
                        candidate.source, map.serial, highest.serial));
        judgement.alarm = ignored_although_newer(instance, state.ranges, candidate, now, parsed);
        return judgement;
    } else if (map.serial == highest.serial) {
        if (!highest.hash.empty() && candidate.hash != highest.hash)
            return refused(fmt::format("{}: serial: {} was accepted before with other content; a changed map needs a "
                                       "higher serial",
                                       candidate.source, map.serial));
        if (!settings.end_rollback && is_in_use(instance, state.ranges, candidate, parsed))
            return outcome(Accepted::Known, fmt::format("range map {} is known already; nothing changed", map.serial));
    }
    if (const uint64_t from = state.ranges.rolled_back_from; from != 0 && !settings.end_rollback &&
                                                             !(settings.reset_serial && !candidate.is_list) &&
                                                             (candidate.is_list || map.supersedes < from))
        return outcome(
            Accepted::Held,
            fmt::format("{}: this host was rolled back from serial {}; a map that is intended for it as well says "
                        "\"supersedes\": {}",
                        candidate.source, from, from));
    if (const auto valid = check_valid(map, candidate.source, now); !valid) return refused(valid.error().message);
    if (auto violations = check_guards(instance, settings, state.ranges, map, own_addresses, now, parsed);
        !violations.empty()) {
        std::string text = violations_text(candidate.source, violations, 1);
        return Judgement{{}, std::move(text), std::move(violations)};
    }
    if (map.effective > now)
        return outcome(Accepted::Staged, fmt::format("range map {} is staged; it takes effect at {}", map.serial,
                                                     rfc3339(map.effective)));
    return outcome(Accepted::Activated, fmt::format("range map {} is in effect", map.serial));
}

} // namespace kudo
