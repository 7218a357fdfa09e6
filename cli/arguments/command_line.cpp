// SPDX-License-Identifier: MIT
#include "cli/arguments/command_line.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <system_error>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "agent/query/socket.h"
#include "agent/system/fd.h"
#include "cli/arguments/config_file.h"
#include "cli/arguments/duration.h"
#include "cli/arguments/options.h"
#include "cli/arguments/parse_error.h"
#include "maps/base/text.h"

namespace kudo {
namespace {

constexpr const char* default_config_file = "/etc/kudo-agent/kudo-agent.toml";

// The innermost command that is named becomes `chosen`.
void add_commands(CLI::App& parent, const std::vector<Command>& table, Run& chosen) {
    parent.require_subcommand(0, 1);
    for (const Command& command : table) {
        CLI::App* app = parent.add_subcommand(command.name, command.description);
        if (command.setup) app->callback([&chosen, run = command.setup(*app)] { chosen = run; });
        add_commands(*app, command.children, chosen);
    }
}

// A config file that is there must be a file: reading a pipe would block indefinitely.
std::string refuse_special_file(const std::string& path) {
    std::error_code ignored;
    const auto status = std::filesystem::status(path, ignored);
    const bool special = std::filesystem::exists(status) && !std::filesystem::is_regular_file(status);
    return special ? fmt::format("{} is not a regular file", path) : "";
}

// CLI11 goes without a default config file that it cannot read, as without one that is not there.
Result<void> check_default_config() {
    struct stat about {};
    if (lstat(default_config_file, &about) != 0 && (errno == ENOENT || errno == ENOTDIR)) return {};
    if (auto special = refuse_special_file(default_config_file); !special.empty()) return bad_input(special);
    const Fd file(open(default_config_file, O_RDONLY | O_CLOEXEC | O_NONBLOCK));
    if (file) return {};
    const int number = errno;
    return fail(Error{number == EACCES ? ErrorKind::NotPermitted : ErrorKind::BadInput,
                      fmt::format("{}: cannot be read: {}; make it readable, or name another with --config",
                                  default_config_file, strerror(number)),
                      number});
}

std::string refuse_other_names(const std::string& name) {
    if (name.empty() || is_simple_name(name)) return "";
    return fmt::format("{} is not a valid name; expected 1 to 63 of a-z, 0-9 and -", quoted_text(name));
}

Result<std::filesystem::path> absolute_folder(const std::string& text) {
    std::error_code error;
    const auto path = std::filesystem::absolute(text, error);
    if (text.empty() || error) return bad_input(quoted_text(text) + " is not a valid path");
    return path.lexically_normal();
}

// The same folder has one name: the service that looks after it is found by that.
Result<std::filesystem::path> folder_without_slash(const std::string& text) {
    auto path = KUDO_TRY(absolute_folder(text));
    return path.has_filename() || !path.has_relative_path() ? path : path.parent_path();
}

Result<std::optional<std::filesystem::path>> socket_path(const std::string& text) {
    if (text == "none") return std::filesystem::path();
    auto path = KUDO_TRY(absolute_folder(text));
    if (path.native().size() > max_socket_path || !path.has_filename())
        return bad_input(
            fmt::format("{} is not a socket's path of at most {} bytes", quoted_text(text), max_socket_path));
    return path;
}

// CheckSection: of a command that is named for this alone, and is not going to run.
enum class ConfigUse { Read, Ignore, CheckSection };

void add_global_options(CLI::App& app, GlobalOptions& options, ConfigUse config) {
    AcceptanceSettings& acceptance = options.acceptance;
    app.set_version_flag("--version", std::string("kudo-agent " KUDO_VERSION), "Print the version");
    app.add_flag("--json", options.json, "Print JSON instead of text");
    add_option(app, "--bpffs", options.instance.bpffs, folder_without_slash,
               "Directory on a bpffs; programs and maps are pinned below it")
        ->type_name("DIR")
        ->default_str(default_bpffs);
    add_option(app, "--state-dir", options.instance.state_dir, folder_without_slash,
               "Directory of the desired state and the accepted range maps")
        ->type_name("DIR")
        ->default_str(default_state_dir);
    add_option(app, "--query-socket", options.query_socket, socket_path,
               "Unix socket by which the service answers users without privileges; none: it does not")
        ->type_name("PATH")
        ->default_str(default_query_socket);
    const auto ignore = [](const CLI::results_t&) { return true; };
    if (config == ConfigUse::Ignore)
        app.add_option("--config", ignore);
    else {
        app.config_formatter(std::make_shared<ConfigFile>(app));
        app.set_config("--config", refuse_special_file(default_config_file).empty() ? default_config_file : "",
                       "Read options from this TOML file; [enable] sets those of enable")
            ->type_name("FILE")
            ->check(refuse_special_file, "", "");
    }
    app.add_flag("-v", options.verbose, "Log details to standard error");

    app.option_defaults()->group("Range map acceptance");
    app.add_option("--keys", acceptance.keys_folder, "Directory of the trusted minisign public keys (*.pub)")
        ->type_name("DIR")
        ->default_str(default_keys_folder);
    app.add_option("--key-threshold", acceptance.key_threshold, "How many of them must have signed a document")
        ->type_name("N")
        ->capture_default_str();
    app.add_flag_callback(
        "--no-early-additions", [&acceptance] { acceptance.early_additions = false; },
        "Apply a map's additions only from its effective date");
    if (config == ConfigUse::Ignore) { // `disable` accepts no range map: these are wrong or right for others
        for (const char* name : {"--fleet", "--ring", "--grace"})
            app.add_option(name, ignore);
        return;
    }
    app.add_option("--fleet", acceptance.fleet, "This host's fleet; range maps for other fleets are refused")
        ->type_name("NAME")
        ->check(refuse_other_names, "", "");
    app.add_option("--ring", acceptance.ring, "This host's ring in the fleet")
        ->type_name("NAME")
        ->check(refuse_other_names, "", "");
    const auto grace = [](const std::string& text) { return parse_duration(text); };
    add_option(app, "--grace", acceptance.grace, grace, "How long withdrawn ranges stay in effect")
        ->type_name("TIME")
        ->default_str(duration_text(acceptance.grace));
}

// Prints the text: on standard error, if that is not what was asked for.
Run say(std::string text, int status) {
    return [text = std::move(text), status](const GlobalOptions&) -> Result<int> {
        if (status == exit_done)
            KUDO_TRY(print(text));
        else // if standard error is closed, the exit status alone tells it
            std::fputs(text.c_str(), stderr);
        return status;
    };
}

bool is_config_check(const CLI::App& app) {
    const auto named = app.get_subcommands();
    return !named.empty() && named.front()->get_name() == "run" && named.front()->count("--check") > 0;
}

Result<Invocation> parse(const std::vector<Command>& commands, int argc, const char* const* argv, ConfigUse config);

// Whoever has the config file checked means all of it: each command that has a section there is named in turn.
Result<void> check_sections(const std::vector<Command>& commands, const CLI::App& app) {
    if (app.get_config_ptr()->count() == 0) return {};
    const auto file = app.get_config_ptr()->as<std::string>();
    for (const auto& section : ConfigFile(app).sections(file)) {
        std::vector<const char*> words{"kudo-agent", "--config", file.c_str()};
        for (const std::string& word : section)
            words.push_back(word.c_str());
        KUDO_TRY(parse(commands, static_cast<int>(words.size()), words.data(), ConfigUse::CheckSection)
                     .in(fmt::format("{}: [{}]", file, fmt::join(section, "."))));
    }
    return {};
}

constexpr const char* about = "Counts, prioritises and explains KUDO meeting traffic on this host.";

void declare(CLI::App& app, const std::vector<Command>& commands, Invocation& invocation, ConfigUse config) {
    app.get_formatter()->column_width(36);
    app.fallthrough();
    app.allow_config_extras(CLI::config_extras_mode::error);
    add_commands(app, commands, invocation.run);
    add_global_options(app, invocation.options, config);
    // Set last: commands would inherit it.
    app.footer(
        "First steps: kudo-agent demo, then kudo-agent enable --region us (or eu, ca, cn), then kudo-agent stats.");
}

// An option as given, by the command line or the config file, in one word; so that no value is taken for another
// option's.
void add_words(const CLI::Option& option, std::vector<std::string>& words) {
    const std::string name = option.get_lnames().empty() ? "" : "--" + option.get_lnames().front();
    for (const std::string& value : option.results())
        words.push_back(name.empty() ? value : value.empty() ? name : fmt::format("{}={}", name, value));
}

// The words are left empty unless the service answers the command.
void note_words(const CLI::App& app, const std::vector<Command>& table, Invocation& invocation) {
    const auto named = app.get_subcommands();
    if (named.empty()) return;
    const auto command =
        std::ranges::find_if(table, [&](const Command& each) { return named.front()->get_name() == each.name; });
    invocation.answered = command->answered;
    if (command->answered == Answered::Here) {
        note_words(*named.front(), command->children, invocation);
        if (invocation.words.empty()) return;
    } else {
        for (const CLI::Option* option : named.front()->get_options())
            if (option->get_configurable() && option->count() > 0) add_words(*option, invocation.words);
    }
    invocation.words.insert(invocation.words.begin(), named.front()->get_name());
}

// Those that the service answers, as it knows them.
std::vector<Command> answered_by_service(const std::vector<Command>& table) {
    std::vector<Command> answered;
    for (Command command : table) {
        command.children = answered_by_service(command.children);
        if (command.answered == Answered::InPart) command.setup = command.setup_in_service;
        if (command.answered != Answered::Here || !command.children.empty()) answered.push_back(std::move(command));
    }
    return answered;
}

Result<Invocation> parse(const std::vector<Command>& commands, int argc, const char* const* argv, ConfigUse config) {
    Invocation invocation;
    CLI::App app(about, "kudo-agent");
    declare(app, commands, invocation, config);
    try {
        app.parse(argc, argv);
    } catch (const CLI::CallForVersion& version) {
        invocation.run = say(std::string(version.what()) + "\n", exit_done);
        return invocation;
    } catch (const CLI::ParseError& error) {
        // Help is given whatever else is wrong.
        const auto is_help = [](std::string_view word) { return word == "--help" || word == "-h"; };
        if (dynamic_cast<const CLI::CallForHelp*>(&error) || std::any_of(argv, argv + argc, is_help)) {
            invocation.run = say(app.help(), exit_done);
            return invocation;
        }
        if (config == ConfigUse::CheckSection && dynamic_cast<const CLI::RequiredError*>(&error)) return invocation;
        // A mistake in the config file must not keep anybody from switching us off.
        if (config == ConfigUse::Read && app.got_subcommand("disable"))
            if (auto without = parse(commands, argc, argv, ConfigUse::Ignore)) return without;
        return fail(error_of(app, error));
    }
    const AcceptanceSettings& acceptance = invocation.options.acceptance;
    if (!app.got_subcommand("disable")) {
        if (acceptance.fleet.empty() && !acceptance.ring.empty()) return bad_input("--ring requires --fleet");
        if (app.get_config_ptr()->count() == 0) KUDO_TRY(check_default_config());
    }
    if (config == ConfigUse::Read && is_config_check(app)) KUDO_TRY(check_sections(commands, app));
    if (!invocation.run) invocation.run = say(app.help(), exit_bad_input);
    note_words(app, commands, invocation);
    return invocation;
}

} // namespace

Result<Invocation> parse_command_line(const std::vector<Command>& commands, int argc, const char* const* argv) {
    return parse(commands, argc, argv, ConfigUse::Read);
}

Result<Invocation> parse_query(const std::vector<Command>& commands, const std::vector<std::string>& words) {
    Invocation invocation;
    CLI::App app(about, "kudo-agent");
    app.fallthrough();
    add_commands(app, answered_by_service(commands), invocation.run);
    try {
        app.parse(std::vector<std::string>(words.rbegin(), words.rend())); // CLI11 takes them from the end
    } catch (const CLI::ParseError& error) {
        return fail(error_of(app, error));
    }
    if (!invocation.run) return bad_input("the query names no command");
    return invocation;
}

void declare_program(CLI::App& app, const std::vector<Command>& commands, Invocation& invocation) {
    app.description(about);
    app.name("kudo-agent");
    declare(app, commands, invocation, ConfigUse::Read);
}

} // namespace kudo
