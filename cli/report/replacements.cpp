// SPDX-License-Identifier: MIT
#include "cli/report/replacements.h"

#include <algorithm>
#include <cctype>
#include <optional>

#include <fmt/format.h>

namespace kudo {
namespace {

constexpr std::size_t shortest_word = 2;

char lower(char c) {
    return static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
}
std::string lower(std::string_view text) {
    std::string result(text);
    std::ranges::transform(result, result.begin(), [](char c) { return lower(c); });
    return result;
}
bool is_hex(char c) {
    return std::isxdigit(static_cast<unsigned char>(c)) != 0;
}
bool is_digit(char c) {
    return c >= '0' && c <= '9';
}
// Of a word; bytes of UTF-8 too.
bool is_letter(char c) {
    return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_' || (static_cast<unsigned char>(c) & 0x80) != 0;
}
char at_or_end(std::string_view text, std::size_t at) {
    return at < text.size() ? text[at] : '\0';
}

// 10/8, 172.16/12, 192.168/16, 100.64/10, 169.254/16; fc00::/7, fe80::/10.
bool is_private(const Address& address) {
    const auto& b = address.bytes;
    if (address.family == Family::IPv6) return (b[0] & 0xfe) == 0xfc || (b[0] == 0xfe && (b[1] & 0xc0) == 0x80);
    return b[0] == 10 || (b[0] == 172 && (b[1] & 0xf0) == 16) || (b[0] == 192 && b[1] == 168) ||
           (b[0] == 100 && (b[1] & 0xc0) == 64) || (b[0] == 169 && b[1] == 254);
}

// Says nothing of anybody: unspecified, loopback, broadcast, netmasks, 224.0.0.0/4 and ff00::/8.
bool is_nobodys(const Address& address) {
    const auto& b = address.bytes;
    if (address.family == Family::IPv4) return b[0] == 0 || b[0] == 127 || b[0] >= 224;
    const bool small = std::all_of(b.begin(), b.begin() + 15, [](uint8_t byte) { return byte == 0; });
    return (small && b[15] <= 1) || b[0] == 0xff;
}

using Located = std::optional<std::pair<Address, std::size_t>>; // and its length in characters

// IPv6 text that begins here: at least two colons.
Located ipv6_at(std::string_view text, std::size_t at) {
    std::size_t end = at;
    while (end < text.size() && (is_hex(text[end]) || text[end] == ':' || text[end] == '.'))
        ++end;
    std::string_view part = text.substr(at, end - at);
    const bool has_two = std::ranges::count(part, ':') >= 2;
    for (; has_two && !is_letter(at_or_end(text, end)) && part.size() >= 2; part.remove_suffix(1)) {
        if (auto address = Address::parse(part)) return std::pair(*address, part.size());
        if (part.back() != ':' && part.back() != '.') break; // what follows a sentence's address
    }
    return std::nullopt;
}

// A dotted quad. Of more than four numbers (the reverse of an address) the first four.
Located ipv4_at(std::string_view text, std::size_t at) {
    std::size_t end = at;
    for (int dots = 0; end < text.size() && (is_digit(text[end]) || text[end] == '.'); ++end)
        if (text[end] == '.' && ++dots == 4) break;
    if (auto address = Address::parse(text.substr(at, end - at))) return std::pair(*address, end - at);
    return std::nullopt;
}

// Words with dots that are no names of hosts: settings of the kernel, files, units.
bool is_technical(std::string_view name) {
    for (const std::string_view beginning : {"net.", "kernel.", "vm.", "fs.", "user."})
        if (name.starts_with(beginning)) return true;
    constexpr std::string_view endings[] = {"conf", "json",  "service", "socket", "slice", "scope", "toml", "minisig",
                                            "pem",  "crt",   "so",      "md",     "html",  "sock",  "pub",  "target",
                                            "arpa", "mount", "list",    "deb",    "pac",   "bpf",   "ko"};
    const std::size_t dot = name.rfind('.');
    return std::ranges::find(endings, name.substr(dot + 1)) != std::end(endings);
}

} // namespace

Replacements::Replacements(const Identities& identities) : own_(identities.own), kudo_(identities.kudo) {
    for (const std::string& domain : identities.kudo_domains)
        domains_.push_back(lower(domain.starts_with("*.") ? domain.substr(2) : domain));
    for (const Address& address : own_) {
        const std::string name = name_of(address);
        if (address.family != Family::IPv4) continue;
        // As programs write them that do not know that they are addresses.
        uint32_t number = 0;
        for (int i = 0; i < 4; ++i)
            number = number << 8 | address.bytes[static_cast<std::size_t>(i)];
        for (const std::string& text : {fmt::format("0x{:08x}", number), fmt::format("0x{:x}", number),
                                        fmt::format("{:08x}", number), fmt::format("{}", number)})
            if (number > 0xffffff && !is_nobodys(address)) words_[lower(text.front())].emplace_back(text, name);
    }
    for (const std::string& host : identities.hosts)
        if (host != "localhost") add_word(host, "host-name");
    for (const std::string& user : identities.users)
        add_word(user, "user");
}

void Replacements::add_word(const std::string& word, const std::string& kind) {
    if (word.size() < shortest_word) return;
    const std::string known = lower(word);
    auto& list = words_[known.front()];
    if (std::ranges::any_of(list, [&](const auto& entry) { return entry.first == known; })) return;
    list.emplace_back(known, numbered(kind, known));
    std::ranges::stable_sort(list, [](const auto& a, const auto& b) { return a.first.size() > b.first.size(); });
}

std::string Replacements::numbered(const std::string& kind, const std::string& what) {
    const auto [entry, added] = names_.try_emplace(kind + "/" + what);
    if (added) entry->second = fmt::format("{}-{}", kind, ++counts_[kind]);
    return entry->second;
}

std::string Replacements::name_of(const Address& given) {
    const Address address = ipv4_of_mapped(given).value_or(given);
    const auto in_kudo = [&](const Prefix& prefix) { return prefix.contains(address); };
    if (is_nobodys(address)) return given.text();
    if (own_.contains(address)) return numbered("host", address.text());
    if (kept_.contains(address) || std::ranges::any_of(kudo_, in_kudo)) return given.text();
    return numbered(is_private(address) ? "net" : "other", address.text());
}

Replacements::Found Replacements::find_address(std::string_view text, std::size_t at) {
    const char before = at == 0 ? '\0' : text[at - 1];
    Located found;
    if ((is_hex(text[at]) || text[at] == ':') && !is_letter(before) && before != ':' && before != '.')
        found = ipv6_at(text, at);
    if (!found && is_digit(text[at]) && !is_digit(before) && before != '.') found = ipv4_at(text, at);
    if (!found) return {};
    return {found->second, name_of(found->first)};
}

// "52:54:00:12:34:56", with dashes as well; and interfaces that are named by it: "wlx525400123456".
Replacements::Found Replacements::find_hardware_address(std::string_view text, std::size_t at) {
    constexpr std::size_t length = 17, digits = 12;
    const auto all_hex = [](std::string_view part) { return std::ranges::all_of(part, is_hex); };
    for (const std::string_view beginning : {"enx", "wlx", "wwx"})
        if (text.substr(at).starts_with(beginning) && text.size() >= at + 3 + digits &&
            all_hex(text.substr(at + 3, digits)) && !is_letter(at_or_end(text, at + 3 + digits)))
            return {3 + digits, numbered("interface", lower(text.substr(at + 3, digits)))};
    if (text.size() < at + length || is_letter(at_or_end(text, at + length)) || at_or_end(text, at + length) == ':')
        return {};
    std::string plain;
    const char separator = text[at + 2];
    if (separator != ':' && separator != '-') return {};
    for (std::size_t i = 0; i < length; ++i) {
        if (i % 3 == 2 ? text[at + i] != separator : !is_hex(text[at + i])) return {};
        if (i % 3 != 2) plain += lower(text[at + i]);
    }
    return {length, numbered("mac", plain)};
}

// The name behind "/home/".
Replacements::Found Replacements::find_home(std::string_view text, std::size_t at) {
    constexpr std::string_view home = "/home/";
    if (!text.substr(at).starts_with(home)) return {};
    std::size_t end = at + home.size();
    while (end < text.size() && (is_letter(text[end]) || text[end] == '.' || text[end] == '-'))
        ++end;
    const std::string name = lower(text.substr(at + home.size(), end - at - home.size()));
    if (name.empty()) return {};
    const Found known = find_word(name, 0);
    return {end - at, std::string(home) + (known.length == name.size() ? known.instead : numbered("user", name))};
}

Replacements::Found Replacements::find_word(std::string_view text, std::size_t at) const {
    const auto list = words_.find(lower(text[at]));
    if (list == words_.end()) return {};
    for (const auto& [word, instead] : list->second) {
        if (text.size() - at < word.size() || is_letter(at_or_end(text, at + word.size()))) continue;
        if (lower(text.substr(at, word.size())) == word) return {word.size(), instead};
    }
    return {};
}

bool Replacements::is_kudo(std::string_view name) const {
    return std::ranges::any_of(domains_, [&](const std::string& domain) {
        return name == domain || (name.ends_with(domain) && name[name.size() - domain.size() - 1] == '.');
    });
}

Replacements::Found Replacements::find_domain_name(std::string_view text, std::size_t at) {
    std::size_t end = at;
    while (end < text.size() && (is_letter(text[end]) || text[end] == '-' || text[end] == '.'))
        ++end;
    while (end > at && (text[end - 1] == '.' || text[end - 1] == '-'))
        --end;
    const std::string name = lower(text.substr(at, end - at));
    const std::size_t dot = name.rfind('.');
    if (dot == std::string::npos || dot == 0 || name.size() - dot < 3) return {};
    const bool has_top = std::all_of(name.begin() + static_cast<std::ptrdiff_t>(dot) + 1, name.end(),
                                     [](char c) { return c >= 'a' && c <= 'z'; });
    if (!has_top || name.find("..") != std::string::npos || is_technical(name)) return {};
    if (is_kudo(name)) return {end - at, std::string(text.substr(at, end - at))};
    return {end - at, numbered("name", name)};
}

std::string Replacements::apply(std::string_view text) {
    std::string result;
    for (std::size_t at = 0; at < text.size();) {
        Found found;
        if (text[at] == '/') found = find_home(text, at);
        // Words, addresses and names begin where no other goes on.
        const char before = at == 0 ? '\0' : text[at - 1];
        if (!is_letter(before)) {
            if (is_hex(text[at]) || text[at] == 'e' || text[at] == 'w') found = find_hardware_address(text, at);
            if (found.length == 0) found = find_address(text, at);
            if (found.length == 0) found = find_word(text, at);
            if (found.length == 0 && is_letter(text[at]) && before != '.' && before != '-')
                found = find_domain_name(text, at);
        }
        if (found.length == 0) found = find_address(text, at);
        if (found.length == 0) {
            result += text[at++];
            continue;
        }
        result += found.instead;
        at += found.length;
    }
    return result;
}

} // namespace kudo
