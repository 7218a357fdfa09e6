// SPDX-License-Identifier: MIT
// `kudo-agent fleet publish FILE --ring RING`: sends a signed range map or key set to a ring of a fleet.
// Invariant: nothing is sent before it has been verified and parsed; the server is only contacted afterwards.
#include "cli/commands/fleet_publish.h"

#include <memory>

#include <fmt/format.h>

#include "agent/fleet/layout.h"
#include "agent/system/files.h"
#include "agent/system/uptime.h"
#include "cli/arguments/nats_options.h"
#include "cli/arguments/operator_keys.h"
#include "cli/fleet/document.h"
#include "cli/fleet/text.h"
#include "cli/ranges/current_rules.h"
#include "cli/terminal/output.h"

namespace kudo {
namespace {

struct PublishOptions {
    std::string file, signature, ring, overrides;
    NatsOptions nats;
};

Result<FleetDocument> read_document(const PublishOptions& options, const KeySet& keys) {
    Bundle bundle;
    bundle.document = KUDO_TRY(read_range_file(options.file));
    const std::string signature = options.signature.empty() ? options.file + ".minisig" : options.signature;
    bundle.signatures = KUDO_TRY(read_file(signature, signatures_max_bytes));
    return read_fleet_document(keys, std::move(bundle), options.file);
}

OrderedJson sent_json(const Sent& sent, const FleetDocument& document, const PublishOptions& options) {
    return {{"published", sent.changed},     {"kind", document.is_key_set ? "key-set" : "range-map"},
            {"serial", document.serial},     {"fleet", options.nats.fleet},
            {"ring", options.ring},          {"previous_serial", serial_json(sent.before)},
            {"signed_by", document.signers}, {"note", text_or_null(sent.note)}};
}

std::string sent_text(const Sent& sent, const FleetDocument& document, const PublishOptions& options) {
    std::string text =
        sent.changed ? fmt::format("published {} to ring {} of fleet {}{}\n", document.text(), options.ring,
                                   options.nats.fleet, sent.before == 0 ? "" : fmt::format(", after {}", sent.before))
                     : fmt::format("ring {} of fleet {} has {} already; nothing to do\n", options.ring,
                                   options.nats.fleet, document.text());
    if (!sent.note.empty()) text += "note: " + one_line(sent.note) + "\n";
    return text;
}

Result<int> publish(const PublishOptions& options, const GlobalOptions& global) {
    KUDO_TRY(check_nats_options(options.nats));
    KUDO_TRY(check_ring("--ring", options.ring));
    const auto overrides = KUDO_TRY(read_overrides(options.overrides));
    const auto keys = KUDO_TRY(load_operator_keys(global));
    const auto document = KUDO_TRY(read_document(options, keys));
    const auto now = wall_time();
    KUDO_TRY(check_destination(document, options.nats.fleet, options.ring, now, overrides));

    auto connection = KUDO_TRY(NatsConnection::open(options.nats));
    auto maps =
        KUDO_TRY(connection.make_bucket(maps_bucket(options.nats.fleet), maps_history, NatsConnection::Notify::Value));
    const auto hosts = KUDO_TRY(connection.make_bucket(hosts_bucket(options.nats.fleet), 1));
    auto sent = KUDO_TRY(send_to_ring(maps, options.ring, document, keys, overrides));
    for (const std::string& note : {maps.note, hosts.note})
        if (!note.empty()) sent.note += (sent.note.empty() ? "" : "; ") + note;
    if (global.json)
        KUDO_TRY(print_json(sent_json(sent, document, options)));
    else
        KUDO_TRY(print(sent_text(sent, document, options)));
    return exit_done;
}

} // namespace

Run setup_fleet_publish(CLI::App& app) {
    const auto options = std::make_shared<PublishOptions>();
    app.add_option("FILE", options->file, "A signed range map or key set")->required()->type_name("");
    app.add_option("--ring", options->ring, "The ring to publish it to")->required()->type_name("RING");
    app.add_option("--signature", options->signature, "Its signature file, several concatenated; default: FILE.minisig")
        ->type_name("FILE");
    add_override_option(app, options->overrides);
    add_nats_options(app, options->nats)->required();
    app.footer("--override is the operator's own decision; hosts judge for themselves: for them the signer writes \n"
               "\"overrides\" into the map.");
    return [options](const GlobalOptions& global) {
        options->nats.fleet = global.acceptance.fleet;
        return publish(*options, global);
    };
}

} // namespace kudo
