// SPDX-License-Identifier: MIT
// `kudo-agent fleet promote --from RING --to RING`: what has worked in one ring is published to the next.
// Invariant: exactly the bytes that the first ring has are sent, after they have been verified again with the
// operator's keys, and only if the hosts of the first ring report that they are healthy with them.
#include "cli/commands/fleet_promote.h"

#include <memory>

#include <fmt/format.h>

#include "agent/fleet/layout.h"
#include "cli/arguments/duration.h"
#include "cli/arguments/nats_options.h"
#include "cli/arguments/operator_keys.h"
#include "cli/fleet/document.h"
#include "cli/fleet/text.h"
#include "cli/fleet/view.h"
#include "cli/terminal/output.h"

namespace kudo {
namespace {

struct PromoteOptions {
    std::string from, to, require = "100%", silent_after = "15m";
    bool key_set = false;
    NatsOptions nats;
};

// The outcome; with reasons: nothing was sent.
struct Promotion {
    FleetDocument document;
    RingCount ring;
    std::vector<Straggler> stragglers; // of the ring, and those whose report cannot be read
    std::vector<std::string> reasons;
    Sent sent;
};

OrderedJson promotion_json(const Promotion& promotion, const PromoteOptions& options) {
    return {{"promoted", promotion.reasons.empty()},
            {"changed", promotion.sent.changed},
            {"kind", promotion.document.is_key_set ? "key-set" : "range-map"},
            {"serial", promotion.document.serial},
            {"fleet", options.nats.fleet},
            {"from", options.from},
            {"to", options.to},
            {"hosts", promotion.ring.hosts},
            {"good", promotion.ring.good},
            {"reasons", promotion.reasons},
            {"stragglers", stragglers_json(promotion.stragglers)},
            {"note", text_or_null(promotion.sent.note)}};
}

std::string promotion_text(const Promotion& promotion, const PromoteOptions& options, bool colour) {
    std::string text;
    if (!promotion.reasons.empty()) {
        text = fmt::format("{} stays in ring {}:\n", promotion.document.text(), options.from);
        for (const std::string& reason : promotion.reasons)
            text += "  " + one_line(reason) + "\n";
    } else if (promotion.sent.changed) {
        text =
            fmt::format("promoted {} from ring {} to {}: {} of {} hosts are healthy and have it\n",
                        promotion.document.text(), options.from, options.to, promotion.ring.good, promotion.ring.hosts);
    } else {
        text = fmt::format("ring {} has {} already; nothing to do\n", options.to, promotion.document.text());
    }
    if (!promotion.sent.note.empty()) text += "note: " + one_line(promotion.sent.note) + "\n";
    if (!promotion.stragglers.empty()) text += "\n" + stragglers_text(promotion.stragglers, colour);
    return text;
}

Result<FleetDocument> read_from_ring(NatsBucket& maps, const PromoteOptions& options, const KeySet& keys) {
    const std::string key = options.key_set ? ring_keys_key(options.from) : ring_map_key(options.from);
    const auto entry = KUDO_TRY(maps.read(key));
    if (!entry)
        return bad_input(
            fmt::format("--from: nothing has been published to ring {}; see kudo-agent fleet status", options.from));
    auto bundle = KUDO_TRY(split_bundle(entry->value).in(key));
    auto document = read_fleet_document(keys, std::move(bundle), key);
    // A key set under the map's key, or the reverse, is not what was asked for.
    if (document && document->is_key_set != options.key_set)
        return bad_input(fmt::format("{}: not a {}", key, options.key_set ? "key set" : "range map"));
    return document;
}

Result<int> promote(const PromoteOptions& options, const GlobalOptions& global) {
    KUDO_TRY(check_nats_options(options.nats));
    KUDO_TRY(check_ring("--from", options.from));
    KUDO_TRY(check_ring("--to", options.to));
    if (options.from == options.to) return bad_input("--to: the same ring as --from");
    const auto required = KUDO_TRY(parse_percentage("--require", options.require));
    const auto silent_after = KUDO_TRY(parse_duration("--silent-after", options.silent_after));
    const auto keys = KUDO_TRY(load_operator_keys(global));

    auto connection = KUDO_TRY(NatsConnection::open(options.nats));
    auto maps = connection.bucket(maps_bucket(options.nats.fleet));
    if (!maps)
        return fail(ErrorKind::NotEnabled == maps.error().kind
                        ? Error{ErrorKind::BadInput, maps.error().message + "; publish first", 0}
                        : maps.error());
    auto document = KUDO_TRY(read_from_ring(*maps, options, keys));
    const auto clock = std::chrono::system_clock::now();
    const auto now = std::chrono::floor<std::chrono::seconds>(clock);
    KUDO_TRY(check_destination(document, options.nats.fleet, options.to, now));

    auto hosts = KUDO_TRY(read_fleet_hosts(connection, options.nats.fleet, clock));
    settle_names(hosts, silent_after);
    const Wanted wanted{document.is_key_set, document.serial, document.effective};
    Promotion promotion{std::move(document), count_ring(hosts, options.from, wanted, silent_after, now), {}, {}, {}};
    RingCount unreadable = count_ring(hosts, "", wanted, silent_after, now);
    promotion.reasons = reasons_against(promotion.ring, unreadable, required);
    promotion.stragglers = promotion.ring.stragglers;
    promotion.stragglers.insert(promotion.stragglers.end(), unreadable.stragglers.begin(), unreadable.stragglers.end());
    if (promotion.reasons.empty()) {
        promotion.sent = KUDO_TRY(send_to_ring(*maps, options.to, promotion.document, keys));
    }
    if (global.json)
        KUDO_TRY(print_json(promotion_json(promotion, options)));
    else
        KUDO_TRY(print(promotion_text(promotion, options, colour_wanted())));
    return promotion.reasons.empty() ? exit_done : exit_degraded;
}

} // namespace

Run setup_fleet_promote(CLI::App& app) {
    const auto options = std::make_shared<PromoteOptions>();
    app.add_option("--from", options->from, "The ring that has it")->required()->type_name("RING");
    app.add_option("--to", options->to, "The ring to publish it to")->required()->type_name("RING");
    app.add_flag("--key-set", options->key_set, "The ring's key set instead of its range map");
    app.add_option("--require", options->require, "The share of hosts that must be healthy and have it")
        ->type_name("PERCENT")
        ->capture_default_str();
    app.add_option("--silent-after", options->silent_after, "A host that has not reported for this long is silent")
        ->type_name("TIME")
        ->capture_default_str();
    add_nats_options(app, options->nats)->required();
    app.footer("Exit status: 0 promoted, 4 not promoted because of hosts in the ring; the reasons are printed.");
    return [options](const GlobalOptions& global) {
        options->nats.fleet = global.acceptance.fleet;
        return promote(*options, global);
    };
}

} // namespace kudo
