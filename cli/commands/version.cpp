// SPDX-License-Identifier: MIT
#include "cli/commands/version.h"

#include <CLI/App.hpp>
#include <nlohmann/json.hpp>

#include "cli/terminal/output.h"
#include "cli/views/version_view.h"

namespace kudo {
namespace {

Result<int> run_version(const GlobalOptions& global) {
    const VersionView view = version_view();
    KUDO_TRY(print_either(global.json, view.json, view.text));
    return exit_done;
}

} // namespace

Run setup_version(CLI::App& app) {
    app.footer(
        "The kernel itself is asked, by loading programs that do nothing; what this user may not ask is unknown.");
    return run_version;
}

} // namespace kudo
