// SPDX-License-Identifier: MIT
#include "cli/commands/version.h"

#include <sys/utsname.h>

#include <CLI/App.hpp>
#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "agent/attach/kernel_features.h"
#include "bpf/abi.h"
#include "cli/terminal/output.h"

namespace kudo {
namespace {

Result<int> run_version(const GlobalOptions& global) {
    utsname system{};
    uname(&system);
    const auto features = kernel_features();
    OrderedJson offered = OrderedJson::object();
    Table table({{"FEATURE"}, {"THERE"}, {"FOR"}});
    for (const KernelFeature& feature : features) {
        offered[feature.name] = feature.there ? OrderedJson(*feature.there) : OrderedJson();
        table.add({feature.name, !feature.there ? "unknown" : *feature.there ? "yes" : "no", feature.means});
    }
    const OrderedJson json = {
        {"version", KUDO_VERSION},
        {"layout", KUDO_LAYOUT_VERSION},
        {"kernel", {{"release", system.release}, {"machine", system.machine}, {"features", std::move(offered)}}}};
    const std::string text = fmt::format("kudo-agent {}, layout {}\nLinux {} ({})\n\n", KUDO_VERSION,
                                         KUDO_LAYOUT_VERSION, system.release, system.machine);
    KUDO_TRY(print_either(global.json, json, text + table.text(colour_wanted(), output_width())));
    return exit_done;
}

} // namespace

Run setup_version(CLI::App& app) {
    app.footer(
        "The kernel itself is asked, by loading programs that do nothing; what this user may not ask is unknown.");
    return run_version;
}

} // namespace kudo
