// SPDX-License-Identifier: MIT
// How a command declares its options: CLI11, and readers for our own types.
// Invariant: an option's text is read into its field while the command line is parsed, and only if its command was
// named, so that a mistake in another command's section of the config file does not matter. What is wrong with it is
// told as "--name: why".
#pragma once

#include <string>
#include <utility>
#include <vector>

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <fmt/format.h>

#include "maps/base/result.h"
#include "maps/base/text.h"

namespace kudo {

// `read` takes a const Text& and gives a Result<T>. Text: std::vector<std::string> for an option that may be repeated.
// `value` must outlive the parsing.
template <typename Text = std::string, typename T, typename Read>
CLI::Option* add_option(CLI::App& app, const std::string& name, T& value, Read read, const std::string& description) {
    const auto set = [&app, &value, name, read](const Text& text) {
        if (!app.parsed()) return;
        auto result = read(text);
        if (!result) throw CLI::ValidationError(name, result.error().message);
        value = std::move(*result);
    };
    return app.add_option_function<Text>(name, set, description);
}

// Reads one of these words. Of words with the same value that follow each other errors name the first.
template <typename T> auto one_of(std::vector<std::pair<std::string, T>> words) {
    return [words = std::move(words)](const std::string& text) -> Result<T> {
        std::string expected;
        const T* before = nullptr;
        for (const auto& [word, value] : words) {
            if (text == word) return value;
            if (!before || *before != value) expected += (expected.empty() ? "" : ", ") + word;
            before = &value;
        }
        return bad_input(fmt::format("{} is not one of {}", quoted_text(text), expected));
    };
}

} // namespace kudo
