// SPDX-License-Identifier: MIT
#include "maps/document/domain.h"

#include <algorithm>
#include <limits>

#include <fmt/format.h>

#include "bpf/dns.h"
#include "maps/base/text.h"

namespace kudo {
namespace {

bool is_label(std::string_view label) {
    return is_simple_name(label) && label.front() != '-' && label.back() != '-';
}

uint64_t label_hash(std::string_view label) {
    uint64_t hash = kudo_fnv(KUDO_FNV_BASIS, static_cast<uint8_t>(label.size()));
    for (const char c : label)
        hash = kudo_fnv(hash, static_cast<uint8_t>(c));
    return hash;
}

kudo_dns_name labels_of(std::string_view name) {
    kudo_dns_name result{};
    kudo_begin_dns_name(&result);
    for (const std::string_view label : split(name, '.'))
        result.labels[result.count++ % KUDO_DOMAIN_LABELS] = label_hash(label);
    return result;
}

} // namespace

std::size_t domain_fit(std::string_view domain, std::string_view name) {
    if (!domain.starts_with("*.")) return domain == name ? std::numeric_limits<std::size_t>::max() : 0;
    const std::string_view below = domain.substr(1); // ".kudoway.ca"
    return name.size() > below.size() && name.ends_with(below) ? below.size() : 0;
}

uint64_t name_ending(std::string_view domain) {
    const kudo_dns_name name = labels_of(domain);
    return kudo_name_ending(&name);
}

uint64_t domain_key(std::string_view domain) {
    const bool exact = !domain.starts_with("*.");
    const kudo_dns_name name = labels_of(exact ? domain : domain.substr(2));
    uint64_t ending = KUDO_FNV_BASIS;
    for (uint32_t back = 0; back < name.count; back++)
        ending = kudo_add_to_ending(ending, kudo_label_from_end(&name, back));
    return kudo_domain_key(ending, exact);
}

Result<void> check_domain(std::string_view text) {
    const auto refuse = [&](std::string_view why) {
        return bad_input(quoted_text(text) + " is not a domain: " + std::string(why));
    };
    std::string_view rest = text;
    if (rest.starts_with("*.")) rest.remove_prefix(2);
    if (rest.find('*') != std::string_view::npos)
        return refuse("a wildcard may only be the first label, as in *.example.com");
    if (std::ranges::any_of(rest, [](char c) { return c >= 'A' && c <= 'Z'; })) return refuse("write it in lower case");
    if (rest.size() > 253) return refuse("it has more than 253 characters");
    const std::vector<std::string_view> labels = split(rest, '.');
    if (!std::ranges::all_of(labels, is_label))
        return refuse("each label is 1 to 63 letters, digits and inner hyphens");
    if (labels.size() > KUDO_DOMAIN_LABELS)
        return refuse(fmt::format("it has more than {} labels", KUDO_DOMAIN_LABELS));
    if (labels.size() < 2) return refuse("it needs at least two labels, as in example.com");
    if (labels.back().find_first_not_of("0123456789") == std::string_view::npos)
        return refuse("its last label is a number; addresses belong in \"ipv4\" or \"ipv6\"");
    return {};
}

} // namespace kudo
