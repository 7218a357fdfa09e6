// SPDX-License-Identifier: MIT
#include "agent/acceptance.h"

#include <algorithm>

#include <fmt/format.h>

#include "agent/capabilities.h"
#include "agent/own_addresses.h"
#include "agent/range_store.h"
#include "maps/guards.h"

namespace kudo {

namespace {

// A range map on its way in.
struct Candidate {
    RangeMap map;
    std::string hash;
    std::string source;
    std::vector<std::string> signed_by;
    bool is_list = false; // the vendor's: it changes the active map's media ranges and no serial
};

// What the highest serial that was ever accepted stands for.
struct Floor {
    uint64_t serial;
    std::string hash;
};
Floor serial_floor(const RangeLedger& ledger) {
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

Result<void> check_guards(const Instance& instance, const RangeLedger& ledger, const Candidate& candidate) {
    // What it would follow: the newest that was accepted. A damaged one must not keep a good one out.
    const std::string& hash = ledger.staged.empty() ? ledger.active.hash : ledger.staged.back().hash;
    auto previous = load_document(instance, hash);
    auto addresses = own_addresses();
    if (!addresses) return fail(std::move(addresses.error()));
    const auto violations = find_violations(candidate.map, previous ? *previous : built_in_range_map(), *addresses);
    if (violations.empty()) return {};
    std::string text = fmt::format("{}: {}", candidate.source, violations.front().message);
    if (violations.size() > 1) text += fmt::format(" (and {} more)", violations.size() - 1);
    return bad_input(fmt::format("{}; if that is meant, its signer writes \"overrides\": [\"{}\"] into the map", text,
                                 guard_name(violations.front().guard)));
}

std::string hash_of_active(const RangeLedger& ledger) {
    return ledger.active.hash.empty() ? content_hash(to_json(built_in_range_map())) : ledger.active.hash;
}

// Is this map, of the highest serial, in effect (perhaps with a vendor's list over it) or staged? One whose stored
// document was damaged is not, and is taken in again.
bool is_in_use(const Instance& instance, const RangeLedger& ledger, const Candidate& candidate) {
    if (ledger.highest_serial == 0) return true; // it is the built-in one
    if (ledger.active.serial == candidate.map.serial)
        return static_cast<bool>(load_document(instance, ledger.active.hash));
    return std::ranges::find(ledger.staged, candidate.hash, &AcceptedMap::hash) != ledger.staged.end() &&
           load_document(instance, candidate.hash);
}

// Everything that speaks against the map, but for what compiling and reconciling find. Accepted::Activated and Staged:
// it may come in.
Result<Acceptance> judge(const Instance& instance, const AcceptanceSettings& settings, const DesiredState& state,
                         const Candidate& candidate, Time now) {
    const RangeMap& map = candidate.map;
    const Floor floor = serial_floor(state.ranges);
    const auto outcome = [&](Accepted what, std::string text) {
        return Acceptance{what, std::move(text), map.serial, {}};
    };
    KUDO_TRY(check_audience(map, settings, candidate.source));
    if (candidate.is_list) {
        if (candidate.hash == hash_of_active(state.ranges))
            return outcome(Accepted::Known, "the media ranges are those of this list already; nothing changed");
    } else if (map.serial < floor.serial) {
        return outcome(
            Accepted::Superseded,
            fmt::format("{}: serial: {} is lower than {}, the highest that was accepted; a serial never goes down",
                        candidate.source, map.serial, floor.serial));
    } else if (map.serial == floor.serial) {
        if (candidate.hash != floor.hash)
            return bad_input(fmt::format("{}: serial: {} was accepted before with other content; a changed map needs a "
                                         "higher serial",
                                         candidate.source, map.serial));
        if (!settings.end_rollback && is_in_use(instance, state.ranges, candidate))
            return outcome(Accepted::Known, fmt::format("range map {} is known already; nothing changed", map.serial));
    }
    if (const uint64_t from = state.ranges.rolled_back_from;
        from != 0 && !settings.end_rollback && (candidate.is_list || map.supersedes < from))
        return outcome(
            Accepted::Held,
            fmt::format("{}: this host was rolled back from serial {}; a map that is meant for it as well says "
                        "\"supersedes\": {}",
                        candidate.source, from, from));
    if (map.expires && *map.expires <= now)
        return bad_input(fmt::format("{}: expires: {} has passed; expected a map that is still valid", candidate.source,
                                     rfc3339(*map.expires)));
    KUDO_TRY(check_guards(instance, state.ranges, candidate));
    if (state.enabled)
        if (auto compiled = compile(map, state.compile_options()); !compiled)
            return fail(std::move(compiled.error()).in(candidate.source));
    if (map.effective > now)
        return outcome(Accepted::Staged, fmt::format("range map {} is staged; it takes effect at {}", map.serial,
                                                     rfc3339(map.effective)));
    return outcome(Accepted::Activated, fmt::format("range map {} is in effect", map.serial));
}

// Carries `candidate` into `state` if nothing speaks against it.
Result<Acceptance> take_in(const Instance& instance, const AcceptanceSettings& settings, const Candidate& candidate,
                           DesiredState& state, const Moment& moment) {
    auto acceptance = judge(instance, settings, state, candidate, moment.now);
    if (!acceptance || (acceptance->what != Accepted::Activated && acceptance->what != Accepted::Staged))
        return acceptance;
    auto hash = store_range_map(instance, candidate.map);
    if (!hash) return fail(std::move(hash.error()));
    AcceptedMap accepted{.serial = candidate.map.serial,
                         .hash = *hash,
                         .source = candidate.source,
                         .signed_by = candidate.signed_by,
                         .effective = candidate.map.effective,
                         .expires = candidate.map.expires,
                         .early = settings.early_additions};
    if (candidate.is_list) {
        replace_content(state.ranges, accepted, settings.grace, moment);
    } else if (acceptance->what == Accepted::Activated) {
        activate(state.ranges, accepted, settings.grace, moment);
    } else {
        stage(state.ranges, accepted, moment);
    }
    return acceptance;
}

Result<std::vector<std::string>> signers(const AcceptanceSettings& settings, const KeySet& keys,
                                         const Delivery& delivery) {
    const bool may_be_unsigned =
        settings.allow_unsigned || (delivery.trust_transport && is_vendor_list(delivery.document));
    if (may_be_unsigned && (delivery.signatures.empty() || keys.keys.empty())) return std::vector<std::string>{};
    if (keys.keys.empty())
        return bad_input(
            fmt::format("{}: there is no key to verify it with: put the publisher's minisign key (*.pub) into {}"
                        ", or decide for yourself with --allow-unsigned",
                        delivery.source, settings.keys_folder.string()));
    return verify(keys, delivery.document, delivery.signatures, delivery.source);
}

Result<Acceptance> accept_key_set(const Instance& instance, const AcceptanceSettings& settings, const KeySet& folder,
                                  const Delivery& delivery) {
    Acceptance acceptance{Accepted::KeySet, "", 0, {}};
    const auto change = [&](DesiredState& state) -> Result<void> {
        if (settings.trust_folder) state.ranges.keys.reset();
        KeySet current = trusted_keys(folder, state.ranges);
        current.serial = std::max(current.serial, state.ranges.key_set_serial);
        auto offered = parse_key_set(delivery.document, delivery.source);
        if (offered && offered->serial == current.serial && to_json(*offered) == to_json(current)) {
            acceptance = {Accepted::Known,
                          fmt::format("key set {} is known already; nothing changed", current.serial),
                          current.serial,
                          {}};
            return {};
        }
        if (offered && offered->serial < current.serial) {
            acceptance = {Accepted::Superseded,
                          fmt::format("{}: serial: {} is lower than {}, the present key set's", delivery.source,
                                      offered->serial, current.serial),
                          offered->serial,
                          {}};
            return {};
        }
        auto next = rotate(current, delivery.document, delivery.signatures, delivery.source);
        if (!next) return fail(std::move(next.error()));
        acceptance.serial = next->serial;
        acceptance.text = fmt::format("key set {} is in effect: {} keys, {} must sign", next->serial, next->keys.size(),
                                      next->threshold);
        follow_keys(state.ranges, std::move(*next), delivery.source, this_moment());
        return {};
    };
    auto report = change_and_reconcile(instance, change, Interfaces::MayBeMissing, settings.patience);
    if (!report) return fail(std::move(report.error()));
    acceptance.report = std::move(*report);
    return acceptance;
}

// The vendor's list as a range map: it has no serial of its own, so it keeps that of the map whose media it replaces.
Result<Candidate> candidate_of_list(const Instance& instance, const DesiredState& state, const Delivery& delivery) {
    auto base = load_document(instance, state.ranges.active.hash);
    if (!base) return fail(std::move(base.error()));
    auto map = apply_vendor_list(*base, delivery.document, delivery.source);
    if (!map) return fail(std::move(map.error()));
    std::string hash = content_hash(to_json(*map));
    return Candidate{std::move(*map), std::move(hash), delivery.source, {}, true};
}

} // namespace

Result<Acceptance> accept(const Instance& instance, const AcceptanceSettings& settings, const Delivery& delivery) {
    KUDO_TRY(check_capabilities());
    auto folder = read_keys_folder(settings.keys_folder, settings.key_threshold);
    if (!folder) return fail(std::move(folder.error()));
    auto before = load_desired_state(instance);
    if (!before) return fail(std::move(before.error()));
    if (settings.trust_folder) before->ranges.keys.reset();
    const KeySet& keys = trusted_keys(*folder, before->ranges);
    auto signed_by = signers(settings, keys, delivery);
    if (!signed_by) return fail(std::move(signed_by.error()));
    // From here on the bytes are believed to be the signer's: only now they are parsed (but for the question above,
    // whether they are no more than a list).
    if (is_key_set(delivery.document)) return accept_key_set(instance, settings, *folder, delivery);
    const bool vendor_list = is_vendor_list(delivery.document);
    if (vendor_list && !settings.allow_unsigned && !delivery.trust_transport)
        return bad_input(fmt::format("{}: a vendor's list has no serial and no dates, so a signature does not make it "
                                     "safe; apply it by hand with --allow-unsigned",
                                     delivery.source));
    Candidate candidate;
    candidate.source = delivery.source;
    if (!vendor_list) {
        auto map = parse_range_map(delivery.document, delivery.source);
        if (!map) return fail(std::move(map.error()));
        candidate.map = std::move(*map);
        candidate.hash = content_hash(to_json(candidate.map));
        candidate.signed_by = std::move(*signed_by);
    }
    Acceptance acceptance;
    const std::string believed = to_json(keys);
    const auto change = [&](DesiredState& state) -> Result<void> {
        if (settings.trust_folder) state.ranges.keys.reset();
        if (to_json(trusted_keys(*folder, state.ranges)) != believed)
            return fail(fmt::format("{}: the key set has changed meanwhile; try again", delivery.source));
        const Moment moment = this_moment();
        advance(state.ranges, settings.grace, moment);
        if (vendor_list) {
            auto made = candidate_of_list(instance, state, delivery);
            if (!made) return fail(std::move(made.error()));
            candidate = std::move(*made);
        }
        auto taken = take_in(instance, settings, candidate, state, moment);
        if (!taken) return fail(std::move(taken.error()));
        acceptance = std::move(*taken);
        return {};
    };
    auto report = change_and_reconcile(instance, change, Interfaces::MayBeMissing, settings.patience);
    if (!report) return fail(std::move(report.error()));
    acceptance.report = std::move(*report);
    return acceptance;
}

} // namespace kudo
