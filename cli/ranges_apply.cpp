// SPDX-License-Identifier: MIT
// `kudo-agent ranges apply FILE`: uses a range map from now on, or from the next enable.
// Invariant: a map with anything wrong changes nothing.
#include <filesystem>
#include <memory>
#include <system_error>

#include <fmt/format.h>

#include "agent/reconcile.h"
#include "cli/commands.h"
#include "cli/current_rules.h"
#include "cli/output.h"
#include "cli/report.h"

namespace kudo {
namespace {

std::string source_of(const std::string& file) {
    std::error_code error;
    const auto path = std::filesystem::absolute(file, error);
    return error ? file : path.lexically_normal().string();
}

std::string apply_text(const ReconcileReport& report, const PolicySummary& summary, bool colour) {
    if (!summary.state.enabled)
        return fmt::format("range map {} ({}) is stored; it is used from the next kudo-agent enable\n", summary.serial,
                           summary.source) +
               report_text(report, colour);
    const std::string headline =
        report.changed ? fmt::format("applied: {}, generation {}\n", summary_text(summary), report.generation)
                       : fmt::format("range map {} is in use already; nothing changed\n", summary.serial);
    return headline + report_text(report, colour);
}

Result<int> run_apply(const std::string& file, const GlobalOptions& global) {
    const auto read = read_map(global.instance, file);
    if (!read) return fail(read.error());
    auto report = apply_range_map(global.instance, read->map, source_of(file));
    if (!report) return fail(std::move(report.error()));
    const auto rules = current_rules(global.instance);
    if (!rules) return fail(rules.error());
    const auto summary = summarise(rules->state, rules->stored);
    if (!summary) return fail(summary.error());
    if (global.json)
        KUDO_TRY(print_json(report_json(*report, *summary)));
    else
        KUDO_TRY(print(apply_text(*report, *summary, colour_wanted())));
    return exit_done;
}

} // namespace

Run setup_ranges_apply(CLI::App& app) {
    const auto file = std::make_shared<std::string>();
    app.add_option("FILE", *file, "A range map, or the vendor's {\"ipv4\": [...]}, which replaces the media ranges")
        ->required()
        ->type_name("");
    return [file](const GlobalOptions& global) { return run_apply(*file, global); };
}

} // namespace kudo
