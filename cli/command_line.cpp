// SPDX-License-Identifier: MIT
// Builds the CLI11 parser from the table of commands and finds out which one was meant.
// Used by main. Invariant: see command_line.h.
#include "cli/command_line.h"

#include <filesystem>
#include <memory>
#include <system_error>

#include <fmt/format.h>
#include <unistd.h>

#include "cli/commands.h"
#include "cli/output.h"
#include "cli/parse_error.h"

namespace kudo {
namespace {

struct GlobalTexts {
    GlobalOptions options;
    std::string bpffs = default_bpffs;
    std::string state_dir = default_state_dir;
    std::string ignored_config;
};

// A command, its parser, and what it does.
struct Registered {
    CLI::App* app;
    Run run; // empty: one of its children must be named
};

void register_commands(CLI::App& parent, const std::vector<Command>& table, std::vector<Registered>& registered) {
    parent.require_subcommand(0, 1);
    for (const Command& command : table) {
        CLI::App* app = parent.add_subcommand(command.name, command.description);
        registered.push_back({app, command.setup ? command.setup(*app) : Run{}});
        if (!command.children.empty()) register_commands(*app, command.children, registered);
    }
}

// A config file that is there must be a file: reading a pipe would wait for ever.
std::string refuse_special_file(const std::string& path) {
    std::error_code ignored;
    const auto status = std::filesystem::status(path, ignored);
    const bool special = std::filesystem::exists(status) && !std::filesystem::is_regular_file(status);
    return special ? fmt::format("{} is not a regular file", path) : "";
}

enum class ConfigFile { Read, Ignore };

void add_global_options(CLI::App& app, GlobalTexts& texts, ConfigFile config) {
    app.set_version_flag("--version", std::string("kudo-agent " KUDO_VERSION), "Print the version");
    app.add_flag("--json", texts.options.json, "Print JSON for programs instead of text for people");
    app.add_option("--bpffs", texts.bpffs, "A folder on a bpffs; ours are pinned below it")
        ->type_name("DIR")
        ->capture_default_str();
    app.add_option("--state-dir", texts.state_dir, "Where the desired state is kept")
        ->type_name("DIR")
        ->capture_default_str();
    if (config == ConfigFile::Ignore)
        app.add_option("--config", texts.ignored_config);
    else
        app.set_config("--config", default_config_file,
                       "Read options from this TOML file; [enable] sets those of enable")
            ->type_name("FILE")
            ->check(refuse_special_file, "", "");
    app.allow_config_extras(CLI::config_extras_mode::error);
    app.add_flag("-v", texts.options.verbose, "Say on standard error what is being done");
}

Result<Instance> instance_of(const GlobalTexts& texts) {
    const auto absolute = [](const std::string& folder, const char* option) -> Result<std::filesystem::path> {
        std::error_code error;
        std::filesystem::path path = std::filesystem::absolute(folder, error);
        if (folder.empty() || error) return bad_input(fmt::format("{}: \"{}\" is not a folder", option, folder));
        return path.lexically_normal();
    };
    auto bpffs = absolute(texts.bpffs, "--bpffs");
    if (!bpffs) return fail(std::move(bpffs.error()));
    auto state_dir = absolute(texts.state_dir, "--state-dir");
    if (!state_dir) return fail(std::move(state_dir.error()));
    return Instance{.bpffs = std::move(*bpffs), .state_dir = std::move(*state_dir)};
}

Run print_and_succeed(std::string text) {
    return [text = std::move(text)](const GlobalOptions&) -> Result<int> {
        KUDO_TRY(print(text));
        return exit_done;
    };
}

// The help of a command that needs more words, on standard error.
Run help_and_refuse(std::string text) {
    return [text = std::move(text)](const GlobalOptions&) -> Result<int> {
        // Nobody can be told if standard error is closed; the exit status says it.
        [[maybe_unused]] const ssize_t written = ::write(STDERR_FILENO, text.data(), text.size());
        return exit_bad_input;
    };
}

// The innermost command that was named.
const Registered* chosen(const std::vector<Registered>& registered) {
    const Registered* result = nullptr;
    for (const Registered& entry : registered) {
        if (entry.app->parsed()) result = &entry; // children stand after their parents
    }
    return result;
}

Result<Invocation> parse(int argc, const char* const* argv, ConfigFile config) {
    GlobalTexts texts;
    CLI::App app("Lets KUDO's meetings through: counts, prioritises and explains their traffic on this host.",
                 "kudo-agent");
    app.get_formatter()->column_width(36);
    app.fallthrough();
    add_global_options(app, texts, config);
    std::vector<Registered> registered;
    register_commands(app, commands(), registered);
    // Set last: commands would inherit it.
    app.footer(
        "First steps: kudo-agent demo, then kudo-agent enable --region us (or eu, ca, cn), then kudo-agent stats.");

    try {
        app.parse(argc, argv);
    } catch (const CLI::CallForVersion& version) {
        return Invocation{texts.options, print_and_succeed(std::string(version.what()) + "\n")};
    } catch (const CLI::ParseError& error) {
        if (is_help_wanted(app)) return Invocation{texts.options, print_and_succeed(app.help())};
        // A mistake in the config file must not keep anybody from switching us off.
        const Registered* command = chosen(registered);
        if (config == ConfigFile::Read && command && command->app->get_name() == "disable") {
            auto without = parse(argc, argv, ConfigFile::Ignore);
            if (without) return without;
        }
        return fail(error_of(app, error));
    }
    auto instance = instance_of(texts);
    if (!instance) return fail(std::move(instance.error()));
    texts.options.instance = std::move(*instance);

    const Registered* command = chosen(registered);
    if (!command || !command->run) return Invocation{texts.options, help_and_refuse(app.help())};
    return Invocation{texts.options, command->run};
}

} // namespace

Result<Invocation> parse_command_line(int argc, const char* const* argv) {
    return parse(argc, argv, ConfigFile::Read);
}

} // namespace kudo
