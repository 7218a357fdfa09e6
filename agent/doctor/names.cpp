// SPDX-License-Identifier: MIT
#include "agent/doctor/names.h"

#include <algorithm>
#include <filesystem>
#include <iterator>
#include <thread>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <nlohmann/json.hpp>

#include "agent/system/files.h"
#include "maps/base/text.h"
#include "maps/net/nat64.h"
#include "maps/net/special_addresses.h"

namespace kudo {
namespace {

using Clock = std::chrono::steady_clock;
constexpr std::size_t max_setting = 1 << 20;
constexpr std::chrono::milliseconds dns_timeout{500}, slow_dns{500};

std::string milliseconds_text(std::chrono::microseconds time) {
    return fmt::format("{:.1f} ms", static_cast<double>(time.count()) / 1000);
}

NameAnswer look_up(const std::vector<NameServer>& servers, const std::string& name) {
    NameLookup lookup(servers, dns_timeout);
    NameAnswer answer{.name = name};
    const auto begin = Clock::now();
    Lookup found = lookup.look_up(name, false);
    answer.took = std::chrono::duration_cast<std::chrono::microseconds>(Clock::now() - begin);
    answer.problem = std::move(found.problem);
    answer.ipv4 = std::move(found.addresses);
    answer.server = found.server;
    if (answer.problem.empty()) answer.ipv6 = lookup.look_up(name, true).addresses;
    return answer;
}

// systemd.syntax(7): also around "=".
std::string without_blanks(std::string_view text) {
    std::string left(text);
    std::erase_if(left, [](char letter) { return letter == ' ' || letter == '\t' || letter == '\r'; });
    return left;
}

bool is_private(const Address& address) {
    const SpecialBlock* block = special_block_at({address, static_cast<uint8_t>(address.bits())});
    return block && block->what == "private";
}

// "DNSOverTLS=yes" of resolved.conf(5), the last one of all files; empty: not set.
std::string resolved_setting() {
    namespace fs = std::filesystem;
    std::vector<fs::path> files{"/etc/systemd/resolved.conf"};
    std::error_code error;
    std::vector<fs::path> parts;
    for (const char* folder :
         {"/usr/lib/systemd/resolved.conf.d", "/run/systemd/resolved.conf.d", "/etc/systemd/resolved.conf.d"})
        for (const auto& entry : fs::directory_iterator(folder, error))
            if (entry.path().extension() == ".conf") parts.push_back(entry.path());
    std::ranges::sort(parts, {}, [](const fs::path& path) { return path.filename(); });
    files.insert(files.end(), parts.begin(), parts.end());
    std::string value;
    for (const fs::path& file : files) {
        const auto text = read_file(file, max_setting);
        if (!text) continue;
        for (std::string_view line : split(*text, '\n')) {
            const auto equals = line.find('=');
            if (equals == std::string_view::npos || without_blanks(line.substr(0, equals)) != "DNSOverTLS") continue;
            value = without_blanks(line.substr(equals + 1));
        }
    }
    return value;
}

// Policies of browsers that make them ask a server of their own: Chromium's DnsOverHttpsMode, Firefox's DNSOverHTTPS.
std::vector<std::string> browsers_elsewhere() {
    namespace fs = std::filesystem;
    std::vector<std::string> found;
    std::error_code error;
    for (const char* folder : {"/etc/chromium/policies/managed", "/etc/opt/chrome/policies/managed",
                               "/etc/opt/edge/policies/managed", "/etc/brave/policies/managed"})
        for (const auto& entry : fs::directory_iterator(folder, error)) {
            const auto text = read_file(entry.path(), max_setting);
            const auto json = nlohmann::json::parse(text ? *text : "", nullptr, false);
            if (json.is_object() && json.contains("DnsOverHttpsMode") && json["DnsOverHttpsMode"] == "secure")
                found.push_back(fmt::format("{}: DnsOverHttpsMode is \"secure\"", entry.path().string()));
        }
    for (const char* file : {"/etc/firefox/policies/policies.json", "/usr/lib/firefox/distribution/policies.json",
                             "/usr/lib/firefox-esr/distribution/policies.json"}) {
        const auto text = read_file(file, max_setting);
        const auto json = nlohmann::json::parse(text ? *text : "", nullptr, false);
        if (!json.is_object() || !json.contains("policies") || !json["policies"].is_object()) continue;
        const auto& policies = json["policies"];
        if (policies.contains("DNSOverHTTPS") && policies["DNSOverHTTPS"].is_object() &&
            policies["DNSOverHTTPS"].value("Enabled", nlohmann::json()) == true)
            found.push_back(fmt::format("{}: DNSOverHTTPS is enabled", file));
    }
    return found;
}

} // namespace

std::vector<NameAnswer> look_up_names(const std::vector<std::string>& names, const std::vector<NameServer>& servers) {
    std::vector<NameAnswer> answers(names.size());
    std::vector<std::jthread> threads;
    for (std::size_t at = 0; at < names.size(); at++)
        threads.emplace_back([&, at] { answers[at] = look_up(servers, names[at]); });
    threads.clear();
    return answers;
}

bool is_nowhere(const Address& address) {
    if (address.family == Family::IPv4)
        return address.bytes[0] == 0 || address.bytes[0] == 127 || address.bytes[0] >= 224;
    return address.bytes[0] == 0xff ||
           (std::all_of(address.bytes.begin(), address.bytes.begin() + 15, [](uint8_t byte) { return byte == 0; }) &&
            address.bytes[15] <= 1);
}

CheckReport judge_names(const std::vector<NameAnswer>& answers, const Subject& subject) {
    if (answers.empty()) return skipped("the chosen regions have no exact names in the range map");
    CheckReport report{.result = CheckResult::Pass};
    std::size_t failed = 0, proxied = 0, blocked = 0;
    std::string elsewhere;
    std::vector<std::string> resolved;
    std::chrono::microseconds longest{};
    for (const NameAnswer& answer : answers) {
        const bool is_blocked = std::ranges::any_of(answer.ipv4, is_nowhere);
        if (!answer.problem.empty() || answer.ipv4.empty() || is_blocked) {
            failed++;
            blocked += is_blocked;
            proxied += subject.proxies.may_proxy(answer.name);
            report.evidence.push_back(fmt::format("{}: {}", answer.name,
                                                  !answer.problem.empty() ? answer.problem
                                                  : is_blocked
                                                      ? fmt::format("DNS blocks the name: {} answers {}",
                                                                    answer.server.text(), answer.ipv4.front().text())
                                                      : "it has no address"));
            continue;
        }
        longest = std::max(longest, answer.took);
        std::vector<std::string> texts;
        for (const Address& address : answer.ipv4) {
            if (is_private(address)) elsewhere = fmt::format("{} is {}", answer.name, address.text());
            const auto nat64 = subject.options().nat64_prefixes();
            const auto range = std::ranges::find_if(subject.routes, [&](const RangeRoute& way) {
                return way.range.contains(address) || std::ranges::any_of(nat64, [&](const Prefix& prefix) {
                           return address.family == Family::IPv4 &&
                                  way.range.contains(embed(prefix, {address, 32}).address);
                       });
            });
            texts.push_back(address.text() + (range == subject.routes.end()
                                                  ? " (in no range of the map: known by its name only)"
                                                  : fmt::format(" ({})", range->service)));
        }
        resolved.push_back(fmt::format("{}: {}, by {} in {}", answer.name, fmt::join(texts, ", "), answer.server.text(),
                                       milliseconds_text(answer.took)));
    }
    std::ranges::move(resolved, std::back_inserter(report.evidence)); // what has failed comes first
    if (failed > 0 && failed == proxied) {
        report.result = CheckResult::Warn;
        report.summary =
            fmt::format("{} of {} cannot be resolved here; programs that use the proxy do not need to, but "
                        "media do not go through it",
                        failed, counted(answers.size(), "name"));
        report.advice = "Ask whoever runs the name servers of /etc/resolv.conf, or correct them there.";
    } else if (failed > 0) {
        report.result = CheckResult::Fail;
        report.summary = blocked > 0
                             ? fmt::format("DNS blocks {} of {}", blocked, counted(answers.size(), "name"))
                             : fmt::format("{} of {} cannot be resolved", failed, counted(answers.size(), "name"));
        report.advice = "Ask whoever runs the name servers of /etc/resolv.conf, or correct them there.";
    } else if (!elsewhere.empty()) {
        report.result = CheckResult::Warn;
        report.summary = fmt::format("DNS leads to a private address, which is none of KUDO's servers: {}", elsewhere);
        report.advice =
            "Ask whoever runs the name servers of /etc/resolv.conf whether something between is meant to be.";
    } else if (longest >= slow_dns) {
        report.result = CheckResult::Warn;
        report.summary = fmt::format("DNS is slow: {}", milliseconds_text(longest));
        report.advice = "Ask whoever runs the name servers of /etc/resolv.conf; the first of them may not answer.";
    } else {
        report.summary =
            fmt::format("{} resolved, the slowest in {}", counted(answers.size(), "name"), milliseconds_text(longest));
    }
    return report;
}

CheckReport check_encrypted_dns(const Subject&) {
    CheckReport report{.result = CheckResult::Pass,
                       .summary = "no setting of this host makes programs look names up over TLS or HTTPS"};
    const std::string resolved = resolved_setting();
    std::vector<std::string> texts = browsers_elsewhere();
    constexpr std::string_view words[] = {"1", "yes", "y", "true", "t", "on", "opportunistic"}; // parse_boolean()
    if (std::ranges::find(words, resolved) != std::end(words))
        texts.push_back("systemd-resolved: DNSOverTLS=" + resolved);
    report.evidence = texts;
    if (texts.empty()) return report;
    report.result = CheckResult::Warn;
    report.summary = "names are looked up over TLS or HTTPS, which kudo-agent's programs cannot read";
    report.advice = "Run the service (kudo-agent run): it looks the exact names up itself; names behind wildcards are "
                    "then known from TLS only. Or leave KUDO's domains out of it.";
    return report;
}

} // namespace kudo
