// SPDX-License-Identifier: MIT
// libFuzzer target: any bytes as the config file, read by toml++, checked against options of every kind that the
// program has, handed to CLI11. Invariant: it is taken, or refused in one printable line that names the file; nothing
// else is thrown.
#include <cstdint>
#include <cstdlib>
#include <sstream>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>

#include "cli/arguments/config_file.h"

namespace {

constexpr const char* file_name = "/etc/kudo-agent/kudo-agent.toml";

// Flags, numbers, texts and lists, in the file's head, in sections, and in a section's section.
struct Options {
    bool json = false, early_additions = true, teams = false;
    unsigned key_threshold = 1;
    int64_t number = 0;
    std::string keys, fleet, mode;
    std::vector<std::string> regions, allow;
};

void add(CLI::App& app, Options& options) {
    app.config_formatter(std::make_shared<kudo::ConfigFile>(app));
    app.set_config("--config", file_name);
    app.add_flag("--json", options.json);
    app.add_flag_callback("--no-early-additions", [&options] { options.early_additions = false; });
    app.add_option("--keys", options.keys);
    app.add_option("--key-threshold", options.key_threshold);
    app.add_option("--fleet", options.fleet);
    CLI::App* const enable = app.add_subcommand("enable");
    enable->add_option("--region", options.regions)->delimiter(',');
    enable->add_option("--allow", options.allow)->take_all();
    enable->add_option("--mode", options.mode)->check(CLI::IsMember({"observe", "prioritise", "enforce"}));
    enable->add_flag("--teams", options.teams);
    CLI::App* const publish = app.add_subcommand("fleet")->add_subcommand("publish");
    publish->add_option("--number", options.number);
}

void check_refusal(const std::string& text) {
    if (!text.starts_with(std::string(file_name) + ": ")) std::abort();
    for (const char byte : text)
        if (static_cast<unsigned char>(byte) < 32 || byte == 127) std::abort();
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, std::size_t size) {
    std::istringstream input(std::string(reinterpret_cast<const char*>(data), size));
    static Options options;
    static CLI::App app;
    static const bool added = (add(app, options), true);
    (void)added;
    try {
        app.clear();
        app.parse_from_stream(input);
    } catch (const kudo::ConfigFileError& error) {
        check_refusal(error.what());
    } catch (const CLI::ParseError&) { // a value that an option does not take
    }
    return 0;
}
