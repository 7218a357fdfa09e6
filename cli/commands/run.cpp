// SPDX-License-Identifier: MIT
// `kudo-agent run`: the service, in the foreground. See agent/service/service.h.
// Invariant: the configuration is read once, at the start; a restart does no harm, for the data path stays.
#include "cli/commands/run.h"

#include <algorithm>
#include <chrono>
#include <memory>

#include <fmt/format.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include "agent/lifelines/map_sources.h"
#include "agent/service/service.h"
#include "agent/sources/confined_source.h"
#include "agent/sources/drop_folder.h"
#include "cli/arguments/duration.h"
#include "cli/arguments/options.h"
#include "cli/commands/by_service.h"
#include "cli/commands/run_check.h"
#include "cli/commands/run_start.h"
#include "cli/terminal/output.h"
#include "cli/views/status_view.h"
#include "maps/base/text.h"
#ifdef KUDO_FLOW_RECORDS
#include "cli/commands/run_flow_records.h"
#endif
#ifdef KUDO_HTTPS
#include "agent/sources/https/source.h"
#endif
#ifdef KUDO_METRICS
#include "agent/metrics/exporter.h"
#endif
#ifdef KUDO_NATS
#include "agent/sources/nats/source.h"
#include "cli/arguments/nats_options.h"
#endif

namespace kudo {
namespace {

struct RunOptions {
    std::vector<std::string> drop_folders, https, https_lists;
    std::string https_ca;
    std::string user;
    std::string reconcile_every = "30s", reread_every = "5m";
    bool check = false, prepare = false, restore = false, no_resolve_names = false;
#ifdef KUDO_METRICS
    MetricsSettings metrics;
    bool metrics_to_network = false;
#endif
#ifdef KUDO_FLOW_RECORDS
    FlowRecordOptions flow_records;
#endif
#ifdef KUDO_NATS
    NatsOptions nats;
    NatsWaitTexts nats_waits;
    std::string host;
#endif
};

Result<std::chrono::seconds> period(const std::string& text, std::string_view option, std::chrono::seconds longest) {
    auto duration = KUDO_TRY(parse_duration(option, text));
    if (duration < std::chrono::seconds(1) || duration > longest)
        return bad_input(fmt::format("{}: {} is not between 1s and {}", option, text, duration_text(longest)));
    return duration;
}

// In a process of its own, where `open` gives the source. Errors begin with the option.
template <typename Open>
Result<void> add_source(ServiceSettings& settings, std::string_view option, bool trusts_transport, Open open) {
    const auto make = [open]() -> Result<ConfinedSource::Worker> {
        auto source = KUDO_TRY(open());
        return ConfinedSource::Worker{std::move(source)};
    };
    settings.sources.push_back(KUDO_TRY(ConfinedSource::open(trusts_transport, make).in(option)));
    return {};
}

#ifdef KUDO_NATS
std::string own_host_name() {
    char name[HOST_NAME_MAX + 1] = {};
    gethostname(name, sizeof name - 1);
    return name;
}

Result<void> add_nats(const RunOptions& options, const GlobalOptions& global, ServiceSettings& settings) {
    NatsOptions nats = options.nats;
    KUDO_TRY(read_nats_waits(options.nats_waits, nats));
    if (nats.url.empty()) return check_nats_options(nats);
    nats.fleet = global.acceptance.fleet;
    nats.ring = global.acceptance.ring;
    nats.host = options.host.empty() ? own_host_name() : options.host;
    KUDO_TRY(check_nats_options(nats));
    KUDO_TRY(check_ring("--ring", nats.ring));
    if (!is_host_name(nats.host))
        return bad_input(
            fmt::format("--host-name: {} is not a valid host name in a fleet; expected 1 to 253 of A-Z, a-z, 0-9, "
                        "-, _ and .",
                        quoted_text(nats.host)));
    nats.read_again = settings.reread_every;
    // Valid wherever it is taken out again: it is this program's own.
    const auto make = [nats]() -> Result<ConfinedSource::Worker> {
        auto made = std::make_unique<NatsSource>(nats);
        const auto report = [source = made.get()](const std::string& text) {
            if (const auto about = parse_host_report(text, "the report")) source->report(*about);
        };
        return ConfinedSource::Worker{std::move(made), report};
    };
    auto source = KUDO_TRY(ConfinedSource::open(false, make).in("--nats"));
    HostIdentity identity{nats.host, nats.fleet, nats.ring};
    settings.report = [identity, state_dir = global.instance.state_dir,
                       source = source.get()](const Status& status) mutable {
        if (identity.machine.identity.empty()) identity.machine = this_machine(state_dir);
        source->send(to_json(report_of(status, identity, KUDO_VERSION)));
    };
    settings.sources.push_back(std::move(source));
    return {};
}
#endif

#ifdef KUDO_HTTPS
Result<void> add_https(const RunOptions& options, ServiceSettings& settings) {
    const auto add = [&](const std::string& url, bool vendor_list, std::string_view option) -> Result<void> {
        const HttpsOptions https{.url = url, .ca_file = options.https_ca, .vendor_list = vendor_list};
        return add_source(settings, option, vendor_list, [https] { return HttpsSource::open(https); });
    };
    for (const std::string& url : options.https)
        KUDO_TRY(add(url, false, "--https"));
    for (const std::string& url : options.https_lists)
        KUDO_TRY(add(url, true, "--https-list"));
    return {};
}
#endif

#ifdef KUDO_METRICS
Result<std::optional<MetricsAddress>> metrics_address(const std::string& text) {
    return KUDO_TRY(parse_metrics_address(text));
}

Result<std::filesystem::path> metrics_file(const std::string& text) {
    std::filesystem::path path = text;
    if (!path.is_absolute() || path.extension() != ".prom" || path.stem().empty())
        return bad_input(quoted_text(text) +
                         " is not a file for node_exporter; expected an absolute path that ends in .prom");
    return path;
}

void add_metrics_options(CLI::App& app, RunOptions& options) {
    add_option(app, "--metrics", options.metrics.address, metrics_address,
               "Serve metrics for Prometheus here: 127.0.0.1:9475, [::1]:9475 or unix:PATH")
        ->type_name("ADDRESS");
    app.add_flag("--metrics-to-network", options.metrics_to_network,
                 "Let --metrics be an address that other hosts can reach");
    add_option(app, "--metrics-file", options.metrics.file, metrics_file,
               "Write metrics into this file, *.prom, for node_exporter's textfile collector")
        ->type_name("FILE");
}

Result<void> add_metrics(const RunOptions& options, const GlobalOptions& global, ServiceSettings& settings) {
    const MetricsSettings& metrics = options.metrics;
    if (metrics.address && !metrics.address->is_loopback() && !options.metrics_to_network)
        return bad_input(
            fmt::format("--metrics: other hosts can reach {}; give 127.0.0.1, [::1] or unix:PATH, or allow it "
                        "with --metrics-to-network",
                        metrics.address->text));
    if (!metrics.address && metrics.file.empty()) return {};
    MetricsSettings with_ring = metrics;
    with_ring.ring = global.acceptance.ring;
    settings.exporters.emplace_back([metrics = std::move(with_ring), instance = global.instance](EventLoop& loop) {
        return std::make_unique<MetricsExporter>(instance, metrics, loop);
    });
    return {};
}
#endif

// The servers that the sources ask, once each.
void add_map_source(std::string_view url, ServiceSettings& settings) {
    auto source = source_of_url(url);
    if (source && std::ranges::find(settings.map_sources, source->name, &MapSource::name) == settings.map_sources.end())
        settings.map_sources.push_back(std::move(*source));
}

// What is wrong with the keys is none of this: the service attaches and reconciles without any, and raises an alarm.
Result<ServiceSettings> settings_of(const RunOptions& options, const GlobalOptions& global) {
    ServiceSettings settings;
    settings.acceptance = global.acceptance;
    settings.reconcile_every = KUDO_TRY(period(options.reconcile_every, "--reconcile-every", std::chrono::hours(1)));
    settings.reread_every = KUDO_TRY(period(options.reread_every, "--reread-every", std::chrono::minutes(5)));
    settings.resolve_names = !options.no_resolve_names;
    settings.queries = query_settings(global);
#ifdef KUDO_METRICS
    KUDO_TRY(add_metrics(options, global, settings));
#endif
#ifdef KUDO_FLOW_RECORDS
    KUDO_TRY(add_flow_records(options.flow_records, global, settings));
#endif
    for (const std::string& folder : options.drop_folders)
        KUDO_TRY(add_source(settings, "--drop-folder", false, [folder] { return DropFolder::open(folder); }));
#ifdef KUDO_HTTPS
    KUDO_TRY(add_https(options, settings));
    for (const auto* urls : {&options.https, &options.https_lists})
        for (const std::string& url : *urls)
            add_map_source(url, settings);
#endif
#ifdef KUDO_NATS
    KUDO_TRY(add_nats(options, global, settings));
    for (const std::string& url : options.nats.urls())
        add_map_source(url, settings);
#endif
    return settings;
}

// The files and folders that the configuration names.
std::vector<NamedPath> named_paths(const RunOptions& options, const GlobalOptions& global) {
    std::vector<NamedPath> paths{{"--state-dir", global.instance.state_dir, NamedPath::Written},
                                 {"--bpffs", global.instance.bpffs, NamedPath::Written}};
    const auto& keys = global.acceptance.keys_folder;
    if (keys != default_keys_folder || std::filesystem::exists(keys))
        paths.push_back({"--keys", keys, NamedPath::Folder});
    for (const std::string& folder : options.drop_folders)
        paths.push_back({"--drop-folder", folder, NamedPath::Folder});
    if (global.query_socket && !global.query_socket->empty())
        paths.push_back({"--query-socket", global.query_socket->parent_path(), NamedPath::Written});
    const auto add = [&](const char* option, const std::string& file) {
        if (!file.empty()) paths.push_back({option, file, NamedPath::File});
    };
    add("--https-ca", options.https_ca);
#ifdef KUDO_METRICS
    if (!options.metrics.file.empty())
        paths.push_back({"--metrics-file", options.metrics.file.parent_path(), NamedPath::Written});
    if (options.metrics.address && !options.metrics.address->path.empty())
        paths.push_back({"--metrics", options.metrics.address->path.parent_path(), NamedPath::Written});
#endif
#ifdef KUDO_FLOW_RECORDS
    add("--flow-records-ca", options.flow_records.tls.ca);
    add("--flow-records-certificate", options.flow_records.tls.certificate);
    add("--flow-records-key", options.flow_records.tls.key);
    for (const FlowDestination& where : options.flow_records.destinations)
        if (!where.path.empty()) paths.push_back({"--flow-records", where.path, NamedPath::Appended});
#endif
#ifdef KUDO_NATS
    add("--nats-credentials", options.nats.credentials);
    add("--nats-ca", options.nats.ca_file);
    add("--nats-certificate", options.nats.certificate);
    add("--nats-key", options.nats.key);
#endif
    return paths;
}

// What would go wrong later. Here it is an error, there it may still heal.
Result<void> check_files(const RunOptions& options, const GlobalOptions& global) {
    const AcceptanceSettings& acceptance = global.acceptance;
    const auto keys = KUDO_TRY(read_keys_folder(acceptance.keys_folder, acceptance.key_threshold));
    KUDO_TRY(keys.check_threshold());
    for (const std::string& problem : keys.problems)
        spdlog::warn("{}", problem);
    for (const NamedPath& named : named_paths(options, global))
        for (const std::string& warning : KUDO_TRY(check_path(named, unit_user())))
            spdlog::warn("{}", warning);
    return {};
}

// Sources, and no key by which anything of theirs could be accepted: it may come yet, but nothing else says so.
void warn_without_keys(const ServiceSettings& settings, const GlobalOptions& global) {
    const auto& folder = settings.acceptance.keys_folder;
    const auto keys = read_keys_folder(folder, settings.acceptance.key_threshold);
    const auto state = load_desired_state(global.instance);
    const bool has_key_set = state && state->ranges.keys;
    if (settings.sources.empty() || has_key_set || !keys || !keys->keys.keys.empty() || !keys->problems.empty()) return;
    spdlog::warn("--keys: there is no key (*.pub) in {}: no range map from a source will be accepted", folder.string());
}

Result<int> run(const RunOptions& options, const GlobalOptions& global) {
    if (!global.verbose) spdlog::set_level(spdlog::level::info);
    KUDO_TRY(hold_signals());
    if (options.prepare) return prepare_run(global, options.user);
    if (!options.check) KUDO_TRY(give_up_privileges(global, options.user));
    if (options.restore) return restore(global);
    auto settings = KUDO_TRY(settings_of(options, global));
    warn_without_keys(settings, global);
    if (options.check) {
        KUDO_TRY(check_files(options, global));
        KUDO_TRY(print("the configuration is valid\n"));
        return exit_done;
    }
    KUDO_TRY(run_service(global.instance, std::move(settings)));
    return exit_done;
}

} // namespace

Run setup_run(CLI::App& app) {
    const auto options = std::make_shared<RunOptions>();
    app.add_option("--drop-folder", options->drop_folders,
                   "Take range maps (*.json with *.json.minisig) that are put into this folder")
        ->type_name("DIR");
#ifdef KUDO_HTTPS
    app.add_option("--https", options->https, "Fetch the range map, and its signature at URL.minisig")
        ->type_name("URL");
    app.add_option("--https-list", options->https_lists,
                   "Fetch the vendor's unsigned list of media ranges, trusting the server's certificate alone")
        ->type_name("URL");
    app.add_option("--https-ca", options->https_ca, "CA bundle to verify the server; default: the system's")
        ->type_name("FILE");
#endif
    app.add_option("--reread-every", options->reread_every, "Read every source again at least this often, at most 5m")
        ->type_name("TIME")
        ->capture_default_str();
    app.add_option("--reconcile-every", options->reconcile_every,
                   "Compare the kernel with the desired state this often")
        ->type_name("TIME")
        ->capture_default_str();
    app.add_flag("--no-resolve-names", options->no_resolve_names,
                 "Do not look up the range map's exact names (live.kudoway.ca) with this host's name servers");
#ifdef KUDO_METRICS
    add_metrics_options(app, *options);
#endif
#ifdef KUDO_FLOW_RECORDS
    add_flow_record_options(app, options->flow_records);
#endif
#ifdef KUDO_NATS
    add_nats_options(app, options->nats);
    add_nats_waits(app, options->nats_waits);
    app.add_option("--host-name", options->host, "This host's name in the fleet; default: its host name")
        ->type_name("NAME");
#endif
    app.add_option("--user", options->user,
                   "Run as this user from the start on; default: whom the state directory belongs to")
        ->type_name("NAME");
    CLI::Option* const prepare = app.add_flag("--prepare", options->prepare,
                                              "Only do what takes root: give state and pins to --user, and let its "
                                              "group enter --bpffs; for a unit with User=");
    app.add_flag("--restore", options->restore,
                 "Only enable again what was enabled before a reboot, and exit; for early in the boot")
        ->excludes(prepare);
    app.add_flag("--check", options->check, "Only check whether the configuration is valid");
    app.footer("SIGHUP reads every source again at once; SIGTERM stops the service and leaves the data path in place.\n"
               "The configuration is read at the start: restart the service after a change.");
    return [options](const GlobalOptions& global) { return run(*options, global); };
}

} // namespace kudo
