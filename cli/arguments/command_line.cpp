// SPDX-License-Identifier: MIT
#include "cli/arguments/command_line.h"

#include <filesystem>
#include <memory>
#include <system_error>

#include <fmt/format.h>
#include <unistd.h>

#include "cli/arguments/duration.h"
#include "cli/arguments/parse_error.h"
#include "cli/terminal/output.h"
#include "maps/base/text.h"

namespace kudo {
namespace {

struct GlobalTexts {
    GlobalOptions options;
    std::string bpffs = default_bpffs;
    std::string state_dir = default_state_dir;
    std::string keys = default_keys_folder;
    std::string grace = "7d";
    bool no_early_additions = false;
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
    const auto range_map_option = [&](const char* name, auto& value, const char* text, const char* type) {
        app.add_option(name, value, text)
            ->type_name(type)
            ->capture_default_str()
            ->group("Which range maps are accepted");
    };
    range_map_option("--keys", texts.keys, "minisign public keys (*.pub) whose signatures count", "DIR");
    range_map_option("--key-threshold", texts.options.acceptance.key_threshold, "How many of them must have signed",
                     "N");
    range_map_option("--fleet", texts.options.acceptance.fleet, "The fleet of this host; maps for others are refused",
                     "NAME");
    range_map_option("--ring", texts.options.acceptance.ring, "Its ring in the fleet", "NAME");
    range_map_option("--grace", texts.grace, "How long withdrawn ranges are still honoured", "TIME");
    app.add_flag("--no-early-additions", texts.no_early_additions, "Honour additions only from a map's effective date")
        ->group("Which range maps are accepted");
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
    auto bpffs = KUDO_TRY(absolute(texts.bpffs, "--bpffs"));
    auto state_dir = KUDO_TRY(absolute(texts.state_dir, "--state-dir"));
    return Instance{.bpffs = std::move(bpffs), .state_dir = std::move(state_dir)};
}

Result<void> read_acceptance(GlobalTexts& texts) {
    AcceptanceSettings& acceptance = texts.options.acceptance;
    acceptance.keys_folder = texts.keys;
    acceptance.early_additions = !texts.no_early_additions;
    for (const auto& [option, name] : {std::pair("--fleet", &acceptance.fleet), {"--ring", &acceptance.ring}})
        if (!name->empty() && !is_simple_name(*name))
            return bad_input(
                fmt::format("{}: {} is not a name; write 1 to 63 of a-z, 0-9 and -", option, quoted_text(*name)));
    if (acceptance.fleet.empty() && !acceptance.ring.empty())
        return bad_input("--ring: a ring is part of a fleet; give --fleet as well");
    auto grace = KUDO_TRY(parse_duration("--grace", texts.grace));
    acceptance.grace = grace;
    return {};
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

Result<Invocation> parse(const std::vector<Command>& commands, int argc, const char* const* argv, ConfigFile config) {
    GlobalTexts texts;
    CLI::App app("Lets KUDO's meetings through: counts, prioritises and explains their traffic on this host.",
                 "kudo-agent");
    app.get_formatter()->column_width(36);
    app.fallthrough();
    add_global_options(app, texts, config);
    std::vector<Registered> registered;
    register_commands(app, commands, registered);
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
            auto without = parse(commands, argc, argv, ConfigFile::Ignore);
            if (without) return without;
        }
        return fail(error_of(app, error));
    }
    auto instance = KUDO_TRY(instance_of(texts));
    texts.options.instance = std::move(instance);
    const Registered* command = chosen(registered);
    if (!command || command->app->get_name() != "disable") KUDO_TRY(read_acceptance(texts));
    if (!command || !command->run) return Invocation{texts.options, help_and_refuse(app.help())};
    return Invocation{texts.options, command->run};
}

} // namespace

Result<Invocation> parse_command_line(const std::vector<Command>& commands, int argc, const char* const* argv) {
    return parse(commands, argc, argv, ConfigFile::Read);
}

} // namespace kudo
