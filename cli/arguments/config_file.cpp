// SPDX-License-Identifier: MIT
#include "cli/arguments/config_file.h"

#include <algorithm>
#include <array>
#include <istream>

#include <fmt/format.h>
#include <toml++/toml.h>

#include "cli/arguments/parse_error.h"
#include "maps/base/text.h"

namespace kudo {
namespace {

constexpr std::size_t config_max_bytes = 65536;

std::string_view type_name(const toml::node& node) {
    switch (node.type()) {
    case toml::node_type::table:
        return "a table";
    case toml::node_type::array:
        return "an array";
    case toml::node_type::string:
        return "a string";
    case toml::node_type::integer:
        return "an integer";
    case toml::node_type::floating_point:
        return "a number with a point";
    case toml::node_type::boolean:
        return "a boolean";
    default:
        return "a date or time";
    }
}

// The option that a key of this command's section sets; null: none.
const CLI::Option* option_of(const CLI::App& command, const std::string& key) {
    for (const CLI::Option* option : command.get_options()) {
        const auto& names = key.size() == 1 ? option->get_snames() : option->get_lnames();
        if (option->get_configurable() && std::ranges::find(names, key) != names.end()) return option;
    }
    return nullptr;
}

const CLI::App* command_of(const CLI::App& parent, const std::string& name) {
    const auto named = parent.get_subcommands([&](const CLI::App* command) { return command->get_name() == name; });
    return named.empty() ? nullptr : named.front();
}

// The names that a key of this command's section may have.
std::vector<std::string> known_keys(const CLI::App& command) {
    std::vector<std::string> keys;
    for (const CLI::Option* option : command.get_options())
        if (option->get_configurable()) std::ranges::copy(option->get_lnames(), std::back_inserter(keys));
    return keys;
}

class ConfigReader {
public:
    ConfigReader(std::string file) : file_(std::move(file)) {}

    std::vector<CLI::ConfigItem> read(const CLI::App& app, const std::string& text) {
        try {
            read_section(app, toml::parse(text));
        } catch (const toml::parse_error& error) {
            refuse(error.source(), fmt::format("not valid TOML: {}{}", escaped(error.description(), 300), hint(error)));
        }
        return std::move(items_);
    }

    [[noreturn]] void refuse(const std::string& what) const {
        throw ConfigFileError(fmt::format("{}: {}", file_, what));
    }

private:
    [[noreturn]] void refuse(const toml::source_region& where, const std::string& what) const {
        refuse(fmt::format("line {}: {}", where.begin.line, what));
    }

    // For the mistakes that are made most.
    static std::string_view hint(const toml::parse_error& error) {
        const std::string_view what = error.description();
        if (what.find("string 'fleet") != std::string_view::npos)
            return "; write the fleet's name into its section: [fleet], name = \"NAME\"";
        if (what.find("redefin") != std::string_view::npos || what.find("already") != std::string_view::npos)
            return "; each key and each section may be there once";
        return "; text is written in quotes: key = \"text\", lists are written as [\"a\", \"b\"]";
    }

    void read_section(const CLI::App& command, const toml::table& table) {
        for (const auto& [key, node] : table)
            read_key(command, key, node);
    }

    void read_key(const CLI::App& command, const toml::key& toml_key, const toml::node& node) {
        const std::string key(toml_key.str());
        const CLI::App* const child = command_of(command, key);
        const toml::table* const section = node.as_table();
        if (section && child) {
            parents_.push_back(key);
            read_section(*child, *section);
            parents_.pop_back();
            return;
        }
        if (const std::string lacking = section ? lacking_feature(key) : ""; !lacking.empty())
            refuse(toml_key.source(), fmt::format("[{}]{}", escaped(full(key), 80), lacking));
        // The section [fleet] takes the place of the key "fleet".
        const bool fleet_name = parents_ == std::vector<std::string>{"fleet"} && key == "name";
        const CLI::Option* const option =
            fleet_name ? option_of(*command.get_parent(), "fleet") : option_of(command, key);
        if (option) {
            CLI::ConfigItem item{parents_, key, values(*option, full(key), node)};
            if (fleet_name) item = {{}, "fleet", std::move(item.inputs)};
            if (!item.inputs.empty()) items_.push_back(std::move(item));
            return;
        }
        if (child)
            refuse(toml_key.source(), fmt::format("{} is {}; expected the section [{}]", quoted_text(full(key)),
                                                  type_name(node), full(key)));
        std::string why = lacking_feature(key);
        if (why.empty()) {
            const std::vector<std::string> names = section ? command_names(command) : known_keys(command);
            why = did_you_mean(key, names, "");
        }
        refuse(toml_key.source(), section ? fmt::format("unknown section [{}]{}", escaped(full(key), 80), why)
                                          : fmt::format("unknown key {}{}", quoted_text(full(key)), why));
    }

    [[nodiscard]] std::string full(const std::string& key) const {
        std::string name;
        for (const std::string& parent : parents_)
            name += parent + ".";
        return name + key;
    }

    // What the option is given.
    [[nodiscard]] std::vector<std::string> values(const CLI::Option& option, const std::string& key,
                                                  const toml::node& node) const {
        const bool is_flag = option.get_expected_min() == 0, is_list = option.get_items_expected_max() > 1;
        const auto wrong = [&](const toml::node& at, std::string_view expected) {
            refuse(at.source(), fmt::format("{}: {}; expected {}", quoted_text(key), type_name(at), expected));
        };
        if (is_flag) {
            if (const auto flag = node.value_exact<bool>()) return {*flag ? "true" : "false"};
            wrong(node, "true or false");
        }
        const std::string_view expected = is_list ? "a string or an array of strings" : "a string or an integer";
        if (const toml::array* const array = node.as_array(); array && is_list) {
            std::vector<std::string> texts;
            for (const toml::node& element : *array) {
                if (auto text = text_of(element)) {
                    check(option, key, element, *text);
                    texts.push_back(std::move(*text));
                } else {
                    refuse(element.source(),
                           fmt::format("{}: {} in the array; expected strings", quoted_text(key), type_name(element)));
                }
            }
            return texts;
        }
        auto text = text_of(node);
        if (!text) wrong(node, expected);
        if (is_list) check(option, key, node, *text);
        return {*text};
    }

    // What the option's own check refuses is told here, where its line is known.
    void check(const CLI::Option& option, const std::string& key, const toml::node& at, std::string text) const {
        CLI::Validator* validator = nullptr;
        try {
            validator = const_cast<CLI::Option&>(option).get_validator(0); // only found, not changed
        } catch (const CLI::OptionNotFound&) {
            return; // it has none
        }
        if (const std::string why = (*validator)(text); !why.empty())
            refuse(at.source(), fmt::format("{}: {}", quoted_text(key), why));
    }

    static std::optional<std::string> text_of(const toml::node& node) {
        if (const auto number = node.value_exact<int64_t>()) return std::to_string(*number);
        return node.value_exact<std::string>();
    }

    const std::string file_;
    std::vector<std::string> parents_; // of the section that is being read
    std::vector<CLI::ConfigItem> items_;
};

} // namespace

std::vector<CLI::ConfigItem> ConfigFile::from_config(std::istream& input) const {
    ConfigReader reader(app_.get_config_ptr()->as<std::string>());
    std::string text(config_max_bytes + 1, '\0');
    input.read(text.data(), static_cast<std::streamsize>(text.size()));
    if (input.bad()) reader.refuse("cannot be read");
    text.resize(static_cast<std::size_t>(input.gcount()));
    if (text.size() > config_max_bytes) reader.refuse(fmt::format("larger than {} bytes", config_max_bytes));
    return reader.read(app_, text);
}

std::vector<std::vector<std::string>> ConfigFile::sections(const std::string& file) {
    std::vector<std::vector<std::string>> sections;
    for (const CLI::ConfigItem& item : from_file(file))
        if (!item.parents.empty() && std::ranges::find(sections, item.parents) == sections.end())
            sections.push_back(item.parents);
    return sections;
}

} // namespace kudo
