// SPDX-License-Identifier: MIT
// libFuzzer target: any bytes as an allow rule.
// Invariant: it is refused in one printable line, or has what allow_rule.h promises and means the same when it is read
// again.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <string>

#include <netinet/in.h>

#include "maps/allow/allow_rule.h"

namespace {

void require(bool condition) {
    if (!condition) std::abort();
}

void check(const kudo::AllowRule& allow, const std::string& text) {
    const kudo_allow& rule = allow.rule;
    require(rule.kind < KUDO_ALLOW_KINDS && rule.pad == 0);
    require(rule.flags != 0 && (rule.flags & ~(KUDO_ALLOW_FROM | KUDO_ALLOW_TO)) == 0);
    require(rule.first_port <= rule.last_port);
    const bool has_ports = rule.protocol == IPPROTO_TCP || rule.protocol == IPPROTO_UDP;
    if (rule.kind != KUDO_ALLOW_PROTOCOL) require(rule.protocol == 0);
    if (!has_ports) require(rule.first_port == 0 && rule.last_port == 65535);
    if (has_ports) require(rule.first_port > 0 || rule.last_port == 65535);
    require(!allow.remotes.empty() && std::ranges::is_sorted(allow.remotes));
    require(std::ranges::adjacent_find(allow.remotes) == allow.remotes.end());
    for (const kudo::Prefix& remote : allow.remotes)
        require(kudo::Prefix::parse(remote.text()).has_value()); // no host bits
    require(allow.lifeline.empty() && allow.text == text);
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, std::size_t size) {
    const std::string text(reinterpret_cast<const char*>(data), size);
    const auto rule = kudo::parse_allow_rule(text);
    if (rule) {
        check(*rule, text);
        return 0;
    }
    const std::string& message = rule.error().message;
    require(rule.error().kind == kudo::ErrorKind::BadInput && !message.empty());
    require(std::ranges::none_of(message, [](char byte) { return static_cast<unsigned char>(byte) < 32 || byte == 127; }));
    return 0;
}
