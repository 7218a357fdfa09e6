// SPDX-License-Identifier: MIT
#include "agent/firewall/iptables_save.h"

#include <algorithm>
#include <charconv>
#include <map>
#include <set>
#include <tuple>
#include <vector>

#include "maps/base/text.h"

namespace kudo::firewall {
namespace {

using Words = std::vector<std::string>;

// Quoted as iptables-save quotes: double quotes, backslashes.
Words words_of(std::string_view line) {
    Words words;
    std::string word;
    bool quoted = false, any = false;
    for (std::size_t at = 0; at < line.size(); at++) {
        const char letter = line[at];
        if (letter == '\\' && at + 1 < line.size())
            word += line[++at];
        else if (letter == '"')
            any = true, quoted = !quoted;
        else if (letter == ' ' && !quoted) {
            if (any || !word.empty()) words.push_back(word);
            word.clear();
            any = false;
        } else
            word += letter;
    }
    if (any || !word.empty()) words.push_back(word);
    return words;
}

Json meta(const char* key) {
    return {{"meta", {{"key", key}}}};
}
Json payload(const std::string& protocol, const char* field) {
    return {{"payload", {{"protocol", protocol}, {"field", field}}}};
}
Json match(bool inverted, Json left, Json right, const char* op = "==") {
    return {{"match", {{"op", inverted ? "!=" : op}, {"left", std::move(left)}, {"right", std::move(right)}}}};
}
Json unknown_match(const std::string& name) {
    return {{"xt", {{"type", "match"}, {"name", name}}}};
}

// Decimal or hexadecimal; else as it is.
Json number_or_text(std::string_view text) {
    uint64_t number = 0;
    const int base = text.starts_with("0x") ? 16 : 10;
    const std::string_view digits = base == 16 ? text.substr(2) : text;
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), number, base);
    if (digits.empty() || error != std::errc() || end != digits.data() + digits.size()) return std::string(text);
    return number;
}

// "5", "1:5", "1:" (to the greatest), "1-5"
Json range_or_number(std::string_view text, char separator, uint64_t greatest) {
    const auto at = text.find(separator);
    if (at == std::string_view::npos) return number_or_text(text);
    const std::string_view first = text.substr(0, at), last = text.substr(at + 1);
    return {{"range",
             {first.empty() ? Json(0) : number_or_text(first), last.empty() ? Json(greatest) : number_or_text(last)}}};
}

Json port_set(std::string_view list) {
    Json set = Json::array();
    for (const std::string_view part : split(list))
        set.push_back(range_or_number(part, ':', 65535));
    return {{"set", set}};
}

Json prefix_or_address(const std::string& text) {
    const auto slash = text.find('/');
    if (slash == std::string::npos) return text;
    const Json length = number_or_text(std::string_view(text).substr(slash + 1));
    if (!length.is_number()) return {{"mask", text}}; // a mask with holes
    return {{"prefix", {{"addr", text.substr(0, slash)}, {"len", length}}}};
}

Json flags_of(std::string_view list) {
    static const std::map<std::string_view, unsigned> bits{{"FIN", 1},  {"SYN", 2},  {"RST", 4},  {"PSH", 8},
                                                           {"ACK", 16}, {"URG", 32}, {"ALL", 63}, {"NONE", 0}};
    unsigned flags = 0;
    for (const std::string_view name : split(list)) {
        const auto found = bits.find(name);
        if (found == bits.end()) return nullptr;
        flags |= found->second;
    }
    return flags;
}

Json states_of(std::string_view list) {
    static const std::map<std::string_view, unsigned> bits{
        {"INVALID", 1}, {"ESTABLISHED", 2}, {"RELATED", 4}, {"NEW", 8}, {"UNTRACKED", 64}};
    Json set = Json::array();
    for (const std::string_view name : split(list)) {
        const auto found = bits.find(name);
        if (found == bits.end()) return nullptr; // SNAT, DNAT
        set.push_back(found->second);
    }
    return {{"set", set}};
}

Json mark_match(bool inverted, std::string_view text) {
    const auto slash = text.find('/');
    if (slash == std::string_view::npos) return match(inverted, meta("mark"), number_or_text(text));
    return match(inverted, {{"&", {meta("mark"), number_or_text(text.substr(slash + 1))}}},
                 number_or_text(text.substr(0, slash)));
}

Json set_mark(std::string_view text) {
    const auto slash = text.find('/');
    const Json value = number_or_text(text.substr(0, slash));
    const Json mask = slash == std::string_view::npos ? Json(0xffffffff) : number_or_text(text.substr(slash + 1));
    if (!value.is_number() || !mask.is_number()) return {{"xt", {{"type", "target"}, {"name", "MARK"}}}};
    const Json kept = {{"&", {meta("mark"), ~mask.get<uint32_t>()}}};
    return {{"mangle", {{"key", meta("mark")}, {"value", {{"^", {kept, value}}}}}}};
}

class RuleOfSave {
public:
    RuleOfSave(const Words& words, std::string family, const std::set<std::string>& chains)
        : words_(words), family_(std::move(family)), chains_(chains) {}

    // From word `at` on, behind "-A CHAIN".
    Json expressions(std::size_t at, const Json& counter) {
        at_ = at;
        bool counted = false;
        while (at_ < words_.size()) {
            bool inverted = false;
            if (words_[at_] == "!" && at_ + 1 < words_.size()) inverted = true, at_++;
            const std::string option = words_[at_++];
            if (option == "-j" || option == "-g") {
                if (!counter.is_null()) result_.push_back(counter);
                counted = true;
                add_target(option == "-g", next());
                break; // what follows is the target's
            }
            add_match(option, inverted);
        }
        if (!counted && !counter.is_null()) result_.push_back(counter);
        return result_;
    }

private:
    std::string next() { return at_ < words_.size() ? words_[at_++] : std::string(); }

    void add(Json json) { result_.push_back(std::move(json)); }
    void add_or_unknown(const Json& right, const Json& json, const char* name) {
        add(right.is_null() ? unknown_match(name) : json);
    }

    void add_match(const std::string& option, bool inverted) {
        static const std::map<std::string, const char*> addresses{{"-s", "saddr"}, {"-d", "daddr"}};
        static const std::map<std::string, const char*> ports{
            {"--sport", "sport"}, {"--dport", "dport"}, {"--sports", "sport"}, {"--dports", "dport"}};
        static const std::map<std::string, const char*> devices{{"-i", "iifname"}, {"-o", "oifname"}};
        static const std::map<std::string, const char*> ranges{{"--src-range", "saddr"}, {"--dst-range", "daddr"}};
        if (const auto field = addresses.find(option); field != addresses.end())
            add(match(inverted, payload(family_, field->second), prefix_or_address(next())));
        else if (const auto port = ports.find(option); port != ports.end())
            add(match(inverted, payload("th", port->second), port_set(next())));
        else if (const auto device = devices.find(option); device != devices.end()) {
            std::string name = next();
            if (name.ends_with('+')) name.back() = '*';
            add(match(inverted, meta(device->second), name));
        } else if (const auto range = ranges.find(option); range != ranges.end()) {
            const std::string text = next();
            const auto dash = text.find('-');
            add(match(inverted, payload(family_, range->second),
                      {{"range", {text.substr(0, dash), dash == std::string::npos ? text : text.substr(dash + 1)}}}));
        } else if (option == "-p")
            add(match(inverted, meta("l4proto"), number_or_text(next())));
        else if (option == "-m")
            add_module(next());
        else if (option == "--comment")
            next();
        else
            add_of_module(option, inverted);
    }

    void add_of_module(const std::string& option, bool inverted) {
        const std::string module = module_;
        if (option == "--ctstate" || option == "--state") {
            const Json states = states_of(next());
            add_or_unknown(states, match(inverted, {{"ct", {{"key", "state"}}}}, states), "ct state");
        } else if (option == "--mark" && module == "mark")
            add(mark_match(inverted, next()));
        else if (option == "--dscp")
            add(match(inverted, payload(family_, "dscp"), number_or_text(next())));
        else if (option == "--length")
            add(match(inverted, meta("length"), range_or_number(next(), ':', 65535)));
        else if (option == "--uid-owner")
            add(match(inverted, meta("skuid"), range_or_number(next(), '-', 0xffffffff)));
        else if (option == "--tcp-flags") {
            const Json mask = flags_of(next()), value = flags_of(next());
            add_or_unknown(mask.is_null() ? mask : value,
                           match(inverted, {{"&", {payload("tcp", "flags"), mask}}}, value), "tcp flags");
        } else {
            // Not known, with as many words as it has.
            while (at_ < words_.size() && !words_[at_].starts_with('-') && words_[at_] != "!")
                at_++;
            add(unknown_match(module.empty() ? option : module));
        }
    }

    void add_module(const std::string& name) {
        static const std::set<std::string> understood{"udp",   "tcp",     "multiport", "conntrack", "state",
                                                      "mark",  "dscp",    "length",    "iprange",   "comment",
                                                      "owner", "udplite", "sctp",      "dccp"};
        module_ = name;
        if (!understood.contains(name)) add(unknown_match(name));
    }

    void add_target(bool is_goto, const std::string& name) {
        static const std::map<std::string, const char*> verdicts{
            {"DROP", "drop"}, {"ACCEPT", "accept"}, {"RETURN", "return"}, {"QUEUE", "queue"}, {"NFQUEUE", "queue"}};
        if (is_goto)
            add({{"goto", {{"target", name}}}});
        else if (const auto verdict = verdicts.find(name); verdict != verdicts.end())
            add({{verdict->second, nullptr}});
        else if (chains_.contains(name))
            add({{"jump", {{"target", name}}}});
        else if (name == "MARK" && at_ + 1 < words_.size() && words_[at_] == "--set-xmark")
            add(set_mark(words_[at_ + 1]));
        else
            add({{"xt", {{"type", "target"}, {"name", name}}}});
    }

    const Words& words_;
    std::string family_;
    const std::set<std::string>& chains_;
    std::size_t at_ = 0;
    std::string module_;
    Json result_ = Json::array();
};

// "[packets:bytes]"
Json counter_of(std::string_view word) {
    if (!word.starts_with('[') || !word.ends_with(']')) return nullptr;
    const auto parts = split(word.substr(1, word.size() - 2), ':');
    const Json packets = number_or_text(parts[0]);
    if (parts.size() != 2 || !packets.is_number()) return nullptr;
    return {{"counter", {{"packets", packets}, {"bytes", number_or_text(parts[1])}}}};
}

// Where the kernel registers the chains of each table (linux/netfilter_ipv4.h, enum nf_ip_hook_priorities).
Json base_chain(const std::string& table, const std::string& name) {
    static const std::map<std::string, const char*> hook_of{{"PREROUTING", "prerouting"},
                                                            {"INPUT", "input"},
                                                            {"FORWARD", "forward"},
                                                            {"OUTPUT", "output"},
                                                            {"POSTROUTING", "postrouting"}};
    static const std::map<std::string, int> priorities{
        {"raw", -300}, {"mangle", -150}, {"filter", 0}, {"security", 50}};
    const auto hook = hook_of.find(name);
    if (hook == hook_of.end()) return Json::object();
    const bool source = name == "INPUT" || name == "POSTROUTING";
    const auto priority = priorities.find(table);
    const int value = table == "nat" ? (source ? 100 : -100) : priority == priorities.end() ? 0 : priority->second;
    return {{"hook", hook->second}, {"prio", value}, {"type", table == "nat" ? "nat" : "filter"}};
}

bool has_extension(const Json& rule) {
    const Json& expressions = at(rule, "expr");
    return std::ranges::any_of(expressions, [](const Json& expression) { return has(expression, "xt"); });
}

} // namespace

Json ruleset_of_save(std::string_view text, const std::string& family) {
    Json objects = Json::array();
    std::string table;
    std::set<std::string> chains;
    std::map<std::string, uint64_t> numbers;
    for (const std::string_view line : split(text, '\n')) {
        const Words words = words_of(line);
        if (words.empty() || words[0].starts_with('#')) continue;
        if (words[0].starts_with('*')) {
            table = words[0].substr(1);
            chains.clear();
            numbers.clear();
            objects.push_back({{"table", {{"family", family}, {"name", table}}}});
        } else if (words[0].starts_with(':') && words.size() > 1) {
            const std::string name = words[0].substr(1);
            chains.insert(name);
            Json chain = words[1] == "-" ? Json::object() : base_chain(table, name);
            chain.update({{"family", family}, {"table", table}, {"name", name}});
            if (words[1] == "DROP") chain["policy"] = "drop";
            objects.push_back({{"chain", chain}});
        } else {
            const Json counter = counter_of(words[0]);
            const std::size_t first = counter.is_null() ? 0 : 1;
            if (words.size() < first + 2 || words[first] != "-A") continue;
            const std::string& chain = words[first + 1];
            const Json expressions = RuleOfSave(words, family, chains).expressions(first + 2, counter);
            const auto begin = line.find("-A ");
            objects.push_back({{"rule",
                                {{"family", family},
                                 {"table", table},
                                 {"chain", chain},
                                 {"handle", ++numbers[chain]},
                                 {"text", std::string(line.substr(begin))},
                                 {"expr", expressions}}}});
        }
    }
    return {{"nftables", objects}};
}

void replace_extensions(Json& document, const Json& saved) {
    using ChainName = std::tuple<std::string, std::string, std::string>;
    const auto name_of = [](const Json& rule) {
        return ChainName{text_at(rule, "family"), text_at(rule, "table"), text_at(rule, "chain")};
    };
    if (!has(document, "nftables") || !has(saved, "nftables")) return;
    std::map<ChainName, std::vector<Json*>> rules;
    std::map<ChainName, std::vector<const Json*>> told;
    for (Json& object : document["nftables"])
        if (has(object, "rule")) rules[name_of(object["rule"])].push_back(&object["rule"]);
    for (const Json& object : at(saved, "nftables"))
        if (has(object, "rule")) told[name_of(at(object, "rule"))].push_back(&at(object, "rule"));
    for (auto& [name, list] : rules) {
        const auto& words = told[name];
        if (words.size() != list.size()) continue;
        for (std::size_t index = 0; index < list.size(); index++)
            if (has_extension(*list[index])) (*list[index])["expr"] = at(*words[index], "expr");
    }
}

} // namespace kudo::firewall
