// SPDX-License-Identifier: MIT
// `kudo-agent ranges apply FILE`: uses a range map from its effective date on, or from the next enable.
// Invariant: what is refused changes nothing.
#include "cli/commands/ranges_apply.h"

#include <filesystem>
#include <memory>
#include <system_error>

#include <fmt/format.h>

#include "agent/acceptance/acceptance.h"
#include "agent/system/files.h"
#include "cli/arguments/options.h"
#include "cli/ranges/current_rules.h"
#include "cli/ranges/outlook.h"
#include "cli/terminal/output.h"
#include "cli/views/report.h"

namespace kudo {
namespace {

struct ApplyOptions {
    std::string file, signature;
    bool allow_unsigned = false, end_rollback = false, reset_serial = false, trust_folder = false;
    std::string overrides;
};

std::string source_of(const std::string& file) {
    std::error_code error;
    const auto path = std::filesystem::absolute(file, error);
    return error ? file : path.lexically_normal().string();
}

// The signature beside the file; none if there is no such file and none was named.
Result<std::string> read_signatures(const ApplyOptions& options) {
    const std::string path = options.signature.empty() ? options.file + ".minisig" : options.signature;
    auto text = read_file(path, signatures_max_bytes);
    if (!text && text.error().number == ENOENT && options.signature.empty()) return std::string();
    return text;
}

std::string apply_text(const Acceptance& acceptance, const PolicySummary& summary, bool colour) {
    std::string headline = acceptance.text + "\n";
    if (acceptance.what == Accepted::Activated && !summary.state.enabled)
        headline = fmt::format("range map {} ({}) is stored; it is used from the next kudo-agent enable\n",
                               summary.serial, summary.source);
    else if (acceptance.what == Accepted::Activated)
        headline = fmt::format("applied: {}, generation {}\n", summary_text(summary), acceptance.report.generation);
    else if (acceptance.what == Accepted::Staged)
        headline = fmt::format("{}, if the service, kudo-agent run, is there then\n", acceptance.text);
    return fitted(headline + report_text(acceptance.report, colour));
}

Result<int> run_apply(const ApplyOptions& options, const GlobalOptions& global) {
    AcceptanceSettings settings = global.acceptance;
    Delivery delivery;
    delivery.source = source_of(options.file);
    delivery.document = KUDO_TRY(read_range_file(options.file));
    delivery.signatures = KUDO_TRY(read_signatures(options));
    settings.allow_unsigned = options.allow_unsigned;
    settings.end_rollback = options.end_rollback;
    settings.reset_serial = options.reset_serial;
    settings.overrides = KUDO_TRY(read_overrides(options.overrides));
    settings.trust_folder = options.trust_folder;
    auto acceptance = KUDO_TRY(accept(global.instance, settings, delivery));
    if (acceptance.what == Accepted::Held)
        return bad_input(acceptance.text + ", or apply it with --end-rollback: your own decision");
    if (acceptance.what == Accepted::Superseded)
        return bad_input(acceptance.alarm.empty() ? acceptance.text : acceptance.alarm);
    const auto summary = summarise(KUDO_TRY(load_desired_state(global.instance)), acceptance.report);
    if (!global.json) {
        KUDO_TRY(print(apply_text(acceptance, summary, colour_wanted())));
        return exit_done;
    }
    OrderedJson answer = report_json(acceptance.report, summary);
    answer["outcome"] = outcome_name(acceptance.what);
    answer["serial"] = acceptance.serial;
    KUDO_TRY(print_json(answer));
    return exit_done;
}

} // namespace

Run setup_ranges_apply(CLI::App& app) {
    const auto options = std::make_shared<ApplyOptions>();
    app.add_option("FILE", options->file,
                   "A range map or a key set; or the vendor's {\"ipv4\": [...]}, which replaces the media ranges")
        ->required()
        ->type_name("");
    app.add_option("--signature", options->signature, "Its minisign signatures; default: FILE.minisig")
        ->type_name("FILE");
    app.add_flag("--allow-unsigned", options->allow_unsigned, "Apply it although it is not signed: your own decision");
    app.add_flag("--end-rollback", options->end_rollback, "Apply it although this host was rolled back");
    app.add_flag("--reset-serial", options->reset_serial,
                 "Apply it although a higher serial was accepted, and go on from its own: your own decision");
    add_override_option(app, options->overrides);
    app.add_flag("--trust-folder", options->trust_folder,
                 "Forget the key set that was adopted and trust the keys in --keys again");
    app.footer(
        "A map whose effective date is in the future is staged: the service, kudo-agent run, activates it then.\n"
        "Trusted keys: --keys and --key-threshold; how long withdrawn ranges are still honoured: --grace "
        "(kudo-agent --help).");
    return [options](const GlobalOptions& global) { return run_apply(*options, global); };
}

} // namespace kudo
