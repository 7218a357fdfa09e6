// SPDX-License-Identifier: MIT
#include "agent/acceptance/acceptance.h"

#include <algorithm>

#include <fmt/format.h>

#include "agent/acceptance/rules.h"
#include "agent/netlink/interfaces.h"
#include "agent/state/range_store.h"
#include "agent/system/capabilities.h"
#include "maps/base/hash.h"
#include "maps/document/parse_range_map.h"
#include "maps/document/vendor_list.h"
#include "maps/document/write_range_map.h"

namespace kudo {

namespace {

// Carries `candidate` into `state` if nothing speaks against it.
Result<Acceptance> admit(const Instance& instance, const AcceptanceSettings& settings, const Candidate& candidate,
                         DesiredState& state, const TimePoint& moment) {
    const auto addresses = KUDO_TRY(own_addresses());
    const auto judgement = judge(instance, settings, state, candidate, addresses, moment.now);
    if (!judgement.what) return bad_input(judgement.text);
    Acceptance acceptance{*judgement.what, judgement.text, candidate.map.serial, {}};
    if (acceptance.what != Accepted::Activated && acceptance.what != Accepted::Staged) return acceptance;
    auto hash = KUDO_TRY(store_range_map(instance, candidate.map));
    AcceptedMap accepted{.serial = candidate.map.serial,
                         .hash = hash,
                         .document = candidate.document,
                         .source = candidate.source,
                         .signed_by = candidate.signed_by,
                         .effective = candidate.map.effective,
                         .expires = candidate.map.expires,
                         .early = settings.early_additions};
    if (candidate.is_list) {
        replace_content(state.ranges, accepted, settings.grace, moment);
    } else if (acceptance.what == Accepted::Activated) {
        activate(state.ranges, accepted, settings.grace, moment);
    } else {
        stage(state.ranges, accepted, moment);
    }
    return acceptance;
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
        auto next = KUDO_TRY(rotate(current, delivery.document, delivery.signatures, delivery.source));
        acceptance.serial = next.serial;
        acceptance.text = fmt::format("key set {} is in effect: {} keys, {} must sign", next.serial, next.keys.size(),
                                      next.threshold);
        follow_keys(state.ranges, std::move(next), delivery.source, current_time_point());
        return {};
    };
    auto report = KUDO_TRY(change_and_reconcile(instance, change, Interfaces::MayBeMissing, settings.timeout));
    acceptance.report = std::move(report);
    return acceptance;
}

// The very bytes that were accepted once: after a change of keys whoever signed them may count no more, but nothing is
// wrong with them, and nothing is done about them.
std::optional<Acceptance> known_before(const DesiredState& state, const Delivery& delivery) {
    const AcceptedMap* map = find_document(state.ranges, content_hash(delivery.document));
    if (!map) return std::nullopt;
    return Acceptance{Accepted::Known,
                      fmt::format("range map {} was accepted before, by keys of then; nothing changed", map->serial),
                      map->serial,
                      {}};
}

} // namespace

Result<Acceptance> accept(const Instance& instance, const AcceptanceSettings& settings, const Delivery& delivery) {
    KUDO_TRY(check_capabilities());
    auto folder = KUDO_TRY(read_keys_folder(settings.keys_folder, settings.key_threshold));
    auto before = KUDO_TRY(load_desired_state(instance));
    if (settings.trust_folder) before.ranges.keys.reset();
    const KeySet& keys = trusted_keys(folder, before.ranges);
    auto signed_by = signers(settings, keys, delivery);
    if (!signed_by) {
        if (auto known = known_before(before, delivery)) return std::move(*known);
        return fail(std::move(signed_by.error()));
    }
    // From here on the bytes are believed to be the signer's: only now they are parsed (but for the question above,
    // whether they are no more than a list).
    if (is_key_set(delivery.document)) return accept_key_set(instance, settings, folder, delivery);
    const bool vendor_list = is_vendor_list(delivery.document);
    if (vendor_list && !settings.allow_unsigned && !delivery.trust_transport)
        return bad_input(fmt::format("{}: a vendor's list has no serial and no dates, so a signature does not make it "
                                     "safe; apply it by hand with --allow-unsigned",
                                     delivery.source));
    Candidate candidate;
    candidate.source = delivery.source;
    if (!vendor_list) {
        auto map = KUDO_TRY(parse_range_map(delivery.document, delivery.source));
        candidate.map = std::move(map);
        candidate.hash = content_hash(to_json(candidate.map));
        candidate.document = content_hash(delivery.document);
        candidate.signed_by = std::move(*signed_by);
    }
    Acceptance acceptance;
    const std::string believed = to_json(keys);
    const auto change = [&](DesiredState& state) -> Result<void> {
        if (settings.trust_folder) state.ranges.keys.reset();
        if (to_json(trusted_keys(folder, state.ranges)) != believed)
            return fail(fmt::format("{}: the key set has changed meanwhile; try again", delivery.source));
        const TimePoint moment = current_time_point();
        advance(state.ranges, settings.grace, moment);
        if (vendor_list) {
            auto made = KUDO_TRY(candidate_of_list(instance, state, delivery.document, delivery.source));
            candidate = std::move(made);
        }
        auto taken = KUDO_TRY(admit(instance, settings, candidate, state, moment));
        acceptance = std::move(taken);
        return {};
    };
    auto report = KUDO_TRY(change_and_reconcile(instance, change, Interfaces::MayBeMissing, settings.timeout));
    acceptance.report = std::move(report);
    return acceptance;
}

} // namespace kudo
