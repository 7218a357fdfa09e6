// SPDX-License-Identifier: MIT
#include "agent/firewall/reader.h"

#include <algorithm>
#include <charconv>

#include <fmt/format.h>

#include "agent/firewall/statement.h"
#include "maps/base/text.h"

namespace kudo::firewall {
namespace {

constexpr std::pair<const char*, Hook> hooks[] = {
    {"ingress", Hook::Ingress}, {"prerouting", Hook::Prerouting}, {"input", Hook::Input},
    {"forward", Hook::Forward}, {"output", Hook::Output},         {"postrouting", Hook::Postrouting},
    {"egress", Hook::Egress},
};

struct TableKey {
    std::string family, name;
    auto operator<=>(const TableKey&) const = default;
};
struct TableObjects {
    Sets sets;
    Counters counters;
    bool dormant = false; // its chains are not at their hooks
};
using Tables = std::map<TableKey, TableObjects>;

// bridge and arp are met by frames, not by the packets of this host's IP.
bool is_ip_family(const std::string& family) {
    return family == "ip" || family == "ip6" || family == "inet" || family == "netdev";
}

bool has_flag(const Json& object, const char* flag) {
    const Json& flags = at(object, "flags");
    return flags == flag || (flags.is_array() && std::ranges::find(flags, Json(flag)) != flags.end());
}

Chain read_chain(const Json& json, bool legacy) {
    Chain chain{.legacy = legacy, .family = text_at(json, "family"), .table = text_at(json, "table")};
    chain.name = text_at(json, "name");
    const std::string hook = text_at(json, "hook");
    for (const auto& [name, value] : hooks)
        if (hook == name) chain.hook = value;
    chain.priority = static_cast<int>(number_at(json, "prio").value_or(0));
    chain.nat = text_at(json, "type") == "nat";
    chain.drops = text_at(json, "policy") == "drop";
    const Json& devices = at(json, "dev");
    if (devices.is_string()) chain.devices.push_back(devices.get<std::string>());
    if (devices.is_array())
        for (const Json& device : devices)
            if (device.is_string()) chain.devices.push_back(device.get<std::string>());
    return chain;
}

bool uses_state(const Expression& expression) {
    return expression.key == Key::ConntrackState || std::ranges::any_of(expression.parts, uses_state);
}

void note_kinds(const Rule& rule, Model& model) {
    for (const Statement& statement : rule.statements) {
        const bool unknown = statement.kind == Statement::Kind::MayDrop;
        model.uses_states |= uses_state(statement.left);
        model.translates |= unknown || statement.kind == Statement::Kind::Translate;
        model.untracks |= unknown || statement.kind == Statement::Kind::Untrack;
    }
}

// Everything that rules refer to, which may be listed behind them.
Tables read_objects(const Json& objects) {
    Tables tables;
    for (const Json& object : objects) {
        if (const Json& table = at(object, "table"); table.is_object())
            tables[{text_at(table, "family"), text_at(table, "name")}].dormant = has_flag(table, "dormant");
        for (const char* kind : {"set", "map"}) {
            const Json& set = at(object, kind);
            if (!set.is_object()) continue;
            tables[{text_at(set, "family"), text_at(set, "table")}].sets["@" + text_at(set, "name")] =
                read_elements(at(set, "elem"), has(set, "map"));
        }
        if (const Json& counter = at(object, "counter"); counter.is_object())
            if (const auto packets = number_at(counter, "packets"))
                tables[{text_at(counter, "family"), text_at(counter, "table")}].counters[text_at(counter, "name")] =
                    static_cast<uint64_t>(*packets);
    }
    return tables;
}

} // namespace

const char* hook_name(Hook hook) {
    for (const auto& [name, value] : hooks)
        if (hook == value) return name;
    return "";
}

const Chain* Model::find(const Chain& from, const std::string& name) const {
    const auto found = by_name.find({from.legacy, from.family, from.table, name});
    return found == by_name.end() ? nullptr : &chains[found->second];
}

RuleTexts read_texts(std::string_view listing) {
    constexpr std::string_view mark = " # handle ";
    RuleTexts texts;
    std::string family, table, words;
    for (const std::string_view raw : split(listing, '\n')) {
        const auto begin = raw.find_first_not_of("\t ");
        if (begin == std::string_view::npos) continue;
        const std::string_view line = raw.substr(begin);
        // A rule may take several lines, the last of which has its handle.
        const auto at = line.rfind(mark);
        words += words.empty() ? "" : " ";
        words += line.substr(0, at == std::string_view::npos ? line.size() : at);
        const bool opens = line.ends_with("{") || words.ends_with("{");
        if (begin == 0 && line.starts_with("table ")) {
            const auto fields = split(words, ' ');
            family = fields.size() > 1 ? std::string(fields[1]) : "";
            table = fields.size() > 2 ? std::string(fields[2]) : "";
            words.clear();
            continue;
        }
        if (at == std::string_view::npos) {
            // Not the middle of an anonymous set: those lines end in a comma or open a brace within a rule.
            if (line == "}" || line.ends_with(";") || (words == line && line.starts_with("comment "))) words.clear();
            continue;
        }
        uint64_t handle = 0;
        const std::string_view digits = line.substr(at + mark.size());
        std::from_chars(digits.data(), digits.data() + digits.size(), handle);
        if (!opens) texts[{family, table, handle}] = words;
        words.clear();
    }
    return texts;
}

Result<void> read_ruleset_json(const Json& document, const RuleTexts& texts, bool legacy, Model& model) {
    const Json& objects = at(document, "nftables");
    if (!objects.is_array()) return bad_input("the ruleset: no list \"nftables\" in its JSON");
    const Tables tables = read_objects(objects);
    for (const auto& [key, table] : tables)
        if (!is_ip_family(key.family) && !key.family.empty())
            model.gaps.push_back(fmt::format("table {} {} is of another family than IP", key.family, key.name));
    for (const Json& object : objects) {
        const Json& json = at(object, "chain");
        if (!json.is_object() || !is_ip_family(text_at(json, "family"))) continue;
        Chain chain = read_chain(json, legacy);
        const auto table = tables.find({chain.family, chain.table});
        if (table != tables.end() && table->second.dormant) chain.hook = Hook::None;
        model.uses_states |= chain.nat;
        model.by_name[{legacy, chain.family, chain.table, chain.name}] = model.chains.size();
        model.chains.push_back(std::move(chain));
    }
    for (const Json& object : objects) {
        const Json& json = at(object, "rule");
        if (!json.is_object()) continue;
        const std::string family = text_at(json, "family"), table = text_at(json, "table");
        const auto chain = model.by_name.find({legacy, family, table, text_at(json, "chain")});
        if (chain == model.by_name.end()) continue;
        Rule rule{.handle = static_cast<uint64_t>(number_at(json, "handle").value_or(0))};
        rule.comment = text_at(json, "comment");
        const auto words = texts.find({family, table, rule.handle});
        rule.text = words != texts.end() ? words->second
                    : has(json, "text")  ? text_at(json, "text")
                                         : at(json, "expr").dump(-1, ' ', true, Json::error_handler_t::replace);
        static const TableObjects nothing;
        const auto objects_of = tables.find({family, table});
        const TableObjects& known = objects_of == tables.end() ? nothing : objects_of->second;
        rule.statements = read_statements(at(json, "expr"), known.sets, known.counters);
        note_kinds(rule, model);
        model.chains[chain->second].rules.push_back(std::move(rule));
    }
    return {};
}

} // namespace kudo::firewall
