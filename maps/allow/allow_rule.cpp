// SPDX-License-Identifier: MIT
#include "maps/allow/allow_rule.h"

#include <algorithm>
#include <charconv>
#include <optional>

#include <fmt/format.h>
#include <netinet/in.h>

#include "maps/base/text.h"

namespace kudo {
namespace {

constexpr std::size_t max_rule_length = 4096;

struct ProtocolName {
    std::string_view name;
    uint8_t protocol; // 0: any
    kudo_allow_kind kind = KUDO_ALLOW_PROTOCOL;
};
constexpr ProtocolName protocol_names[] = {
    {"tcp", IPPROTO_TCP},   {"udp", IPPROTO_UDP},  {"icmp", 0, KUDO_ALLOW_ECHO},
    {"esp", IPPROTO_ESP},   {"ah", IPPROTO_AH},    {"gre", IPPROTO_GRE},
    {"ipip", IPPROTO_IPIP}, {"ip6", IPPROTO_IPV6}, {"any", 0},
};
constexpr std::string_view expected_protocols = "tcp, udp, icmp, esp, ah, gre, ipip, ip6, proto/N or any";

template <typename T> std::optional<T> number(std::string_view text, T lowest) {
    T value{};
    const char* const end = text.data() + text.size();
    const auto [rest, error] = std::from_chars(text.data(), end, value);
    if (text.empty() || error != std::errc() || rest != end || value < lowest) return std::nullopt;
    return value;
}

std::vector<std::string_view> words_of(std::string_view text) {
    std::vector<std::string_view> words;
    for (std::string_view word : split(text, ' '))
        if (!word.empty()) words.push_back(word);
    return words;
}

Result<void> read_ports(std::string_view text, kudo_allow& rule) {
    const auto dash = text.find('-');
    const auto first = number<uint16_t>(text.substr(0, dash), 1);
    const auto last = dash == std::string_view::npos ? first : number<uint16_t>(text.substr(dash + 1), 1);
    if (!first || !last)
        return bad_input(
            fmt::format("the port {}: expected 1 to 65535, or two of them with - between", quoted_text(text)));
    if (*last < *first) return bad_input(fmt::format("the ports {}: the last is below the first", quoted_text(text)));
    rule.first_port = *first;
    rule.last_port = *last;
    return {};
}

Result<void> read_protocol(std::string_view text, kudo_allow& rule) {
    const auto slash = text.find('/');
    const std::string_view name = text.substr(0, slash);
    const bool has_more = slash != std::string_view::npos;
    rule.last_port = UINT16_MAX;
    if (name == "proto") {
        const auto protocol = has_more ? number<uint8_t>(text.substr(slash + 1), 1) : std::nullopt;
        if (!protocol)
            return bad_input(fmt::format("the protocol {}: expected proto/N, N being 1 to 255", quoted_text(text)));
        if (*protocol == IPPROTO_ICMP || *protocol == IPPROTO_ICMPV6)
            return bad_input(fmt::format("the protocol {}: write icmp, which is echo of both families; ICMP errors and "
                                         "neighbour discovery are lifelines",
                                         quoted_text(text)));
        rule.protocol = *protocol;
        return {};
    }
    const auto known = std::ranges::find(protocol_names, name, &ProtocolName::name);
    if (known == std::end(protocol_names))
        return bad_input(fmt::format("the protocol {}: expected {}", quoted_text(name), expected_protocols));
    rule.protocol = known->protocol;
    rule.kind = known->kind;
    if (!has_more) return {};
    if (known->protocol != IPPROTO_TCP && known->protocol != IPPROTO_UDP)
        return bad_input(
            fmt::format("the port {}: {} has none, only tcp and udp have", quoted_text(text.substr(slash + 1)), name));
    return read_ports(text.substr(slash + 1), rule);
}

Result<void> read_remotes(std::string_view text, std::vector<Prefix>& remotes) {
    for (const std::string_view part : split(text)) {
        if (part == "any") {
            std::ranges::copy(any_prefixes(), std::back_inserter(remotes));
            continue;
        }
        auto prefix = Prefix::parse(part);
        if (!prefix)
            return bad_input(fmt::format("the remote {}: {}; expected addresses, prefixes or any, with commas and no "
                                         "spaces between",
                                         quoted_text(part), prefix.error().message));
        remotes.push_back(*prefix);
    }
    return {};
}

Result<AllowRule> read_rule(std::string_view text) {
    AllowRule result{.rule = {}, .remotes = {}, .text = std::string(text), .lifeline = {}};
    const auto words = words_of(text);
    if (words.empty()) return bad_input("it is empty; expected for example tcp/22 from 203.0.113.0/24");
    KUDO_TRY(read_protocol(words[0], result.rule));
    const bool has_ports = result.rule.protocol == IPPROTO_TCP || result.rule.protocol == IPPROTO_UDP;
    if (words.size() == 1) {
        if (has_ports)
            return bad_input("who opens is missing: write \"from REMOTE\" where the remote does, \"to REMOTE\" where "
                             "this host does; REMOTE may be any");
        result.rule.flags = KUDO_ALLOW_FROM | KUDO_ALLOW_TO;
        result.remotes = any_prefixes();
        return result;
    }
    if (words[1] != "from" && words[1] != "to")
        return bad_input(fmt::format("{}: expected from or to", quoted_text(words[1])));
    if (words.size() == 2) return bad_input(fmt::format("the remote behind {} is missing", words[1]));
    if (words.size() > 3)
        return bad_input(fmt::format("{}: expected nothing behind the remote", quoted_text(words[3])));
    result.rule.flags = words[1] == "from" ? KUDO_ALLOW_FROM : KUDO_ALLOW_TO;
    KUDO_TRY(read_remotes(words[2], result.remotes));
    std::ranges::sort(result.remotes);
    result.remotes.erase(std::unique(result.remotes.begin(), result.remotes.end()), result.remotes.end());
    return result;
}

} // namespace

const std::vector<Prefix>& any_prefixes() {
    static const std::vector<Prefix> both{{.address = {.family = Family::IPv4}, .length = 0},
                                          {.address = {.family = Family::IPv6}, .length = 0}};
    return both;
}

Result<AllowRule> parse_allow_rule(std::string_view text) {
    if (text.size() > max_rule_length)
        return bad_input(fmt::format("{}: longer than {} characters", quoted_text(text), max_rule_length));
    return read_rule(text).in(quoted_text(text));
}

} // namespace kudo
