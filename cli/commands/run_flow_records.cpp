// SPDX-License-Identifier: MIT
#include "cli/commands/run_flow_records.h"

#include <algorithm>
#include <memory>
#include <utility>

#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <fmt/format.h>

#include "cli/arguments/duration.h"
#include "cli/arguments/options.h"
#include "maps/base/text.h"

namespace kudo {
namespace {

constexpr std::size_t max_destinations = 4; // each keeps what it has been given of every flow
constexpr std::chrono::seconds min_every{1}, max_every{600};

bool is_same(const FlowDestination& a, const FlowDestination& b) {
    return a.kind == b.kind && a.host == b.host && a.port == b.port &&
           a.path.lexically_normal() == b.path.lexically_normal();
}

Result<std::vector<FlowDestination>> destinations_of(const std::vector<std::string>& texts) {
    std::vector<FlowDestination> destinations;
    for (const std::string& text : texts) {
        FlowDestination destination = KUDO_TRY(parse_flow_destination(text));
        for (const FlowDestination& other : destinations)
            if (is_same(destination, other))
                return bad_input(fmt::format("{} and {} are the same destination; give it once",
                                             quoted_text(other.text), quoted_text(text)));
        destinations.push_back(std::move(destination));
    }
    if (destinations.size() > max_destinations)
        return bad_input(fmt::format("more than {} destinations", max_destinations));
    return destinations;
}

} // namespace

void add_flow_record_options(CLI::App& app, FlowRecordOptions& options) {
    add_option<std::vector<std::string>>(app, "--flow-records", options.destinations, destinations_of,
                                         "Export flow records: ipfix:tcp:HOST:PORT, ipfix:udp:HOST:PORT, "
                                         "ipfix:tls:HOST:PORT, json:/FILE or json:journal")
        ->type_name("WHERE");
    app.add_option("--flow-records-every", options.every,
                   "Time between two records of a flow that goes on, from 1s to 10m")
        ->type_name("TIME")
        ->capture_default_str();
    app.add_option("--flow-records-ca", options.tls.ca, "CA bundle to verify collectors; default: the system's")
        ->type_name("FILE");
    app.add_option("--flow-records-certificate", options.tls.certificate,
                   "Client certificate, if a collector requires one")
        ->type_name("FILE");
    app.add_option("--flow-records-key", options.tls.key, "Key of the client certificate")->type_name("FILE");
    app.add_option("--flow-records-enterprise", options.enterprise,
                   "Private enterprise number of kudo-agent's own information elements")
        ->type_name("NUMBER")
        ->capture_default_str();
    app.add_option("--flow-records-domain", options.domain, "Observation Domain ID in IPFIX messages")
        ->type_name("NUMBER")
        ->capture_default_str();
}

Result<void> add_flow_records(const FlowRecordOptions& options, const GlobalOptions& global,
                              ServiceSettings& settings) {
    FlowRecordSettings records{.destinations = options.destinations,
                               .tls = options.tls,
                               .enterprise = options.enterprise,
                               .domain = options.domain};
    const auto every = KUDO_TRY(parse_duration("--flow-records-every", options.every));
    if (every < min_every || every > max_every)
        return bad_input(fmt::format("--flow-records-every: {} is not between 1s and 10m", options.every));
    if (options.tls.certificate.empty() != options.tls.key.empty())
        return bad_input(
            "--flow-records-certificate and --flow-records-key must be given together; one of them is missing");
    records.timeouts.active = every;
    records.timeouts.idle = std::min<std::chrono::milliseconds>(records.timeouts.idle, every);
    const bool is_tls = std::ranges::any_of(records.destinations,
                                            [](const auto& where) { return where.kind == FlowDestination::Kind::Tls; });
    if (!is_tls && !(options.tls.ca + options.tls.certificate).empty())
        return bad_input("--flow-records: no ipfix:tls:HOST:PORT, which --flow-records-ca, --flow-records-certificate "
                         "and --flow-records-key are for");
    constexpr std::pair<uint32_t, const char*> taken[] = {{0, "IANA's own"},
                                                          {29305, "that of reverse elements (RFC 5103)"},
                                                          {6871, "CERT's, whose elements libfixbuf has"}};
    for (const auto& [number, whose] : taken)
        if (options.enterprise == number)
            return bad_input(fmt::format("--flow-records-enterprise: {} is {}; expected your organisation's private "
                                         "enterprise number",
                                         number, whose));
    if (records.destinations.empty()) {
        const FlowRecordOptions defaults;
        if (options.every != defaults.every || options.enterprise != defaults.enterprise ||
            options.domain != defaults.domain)
            return bad_input("--flow-records-every, --flow-records-enterprise and --flow-records-domain are for "
                             "--flow-records WHERE, which is missing");
        return {};
    }
    settings.exporters.emplace_back([records, instance = global.instance](EventLoop& loop) {
        return std::make_unique<FlowRecordExporter>(instance, records, loop);
    });
    return {};
}

} // namespace kudo
