// SPDX-License-Identifier: MIT
// The config file: TOML, read by toml++, checked against the options that the program has, and handed to CLI11.
// Invariant: nothing of a file with any unknown key, any unknown section or any value of the wrong type is used; what
// is wrong is told as "FILE: line N: ...".
#pragma once

#include <string>
#include <vector>

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>

namespace kudo {

class ConfigFileError : public CLI::ParseError {
public:
    explicit ConfigFileError(std::string text)
        : CLI::ParseError("ConfigFileError", std::move(text), CLI::ExitCodes::ConfigError) {}
};

class ConfigFile : public CLI::Config {
public:
    // `app`, whose config file this is, outlives it.
    explicit ConfigFile(const CLI::App& app) : app_(app) {}

    [[nodiscard]] std::vector<CLI::ConfigItem> from_config(std::istream& input) const override;
    // Nothing writes config files.
    [[nodiscard]] std::string to_config(const CLI::App*, bool, bool, std::string) const override { return {}; }

    // The commands that have a section with keys in this file, each once: {"fleet", "publish"}.
    [[nodiscard]] std::vector<std::vector<std::string>> sections(const std::string& file);

private:
    const CLI::App& app_;
};

} // namespace kudo
