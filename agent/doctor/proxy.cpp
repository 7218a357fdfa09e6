// SPDX-License-Identifier: MIT
#include "agent/doctor/proxy.h"

#include <algorithm>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "maps/base/text.h"

namespace kudo {
namespace {

constexpr std::size_t max_proxies = 4;
constexpr long authentication_required = 407, connection_established = 200; // RFC 9110

struct Verdict {
    CheckResult result = CheckResult::Pass;
    std::string text, advice;
};

Verdict judge(const TlsProbe& probe, const ProxySetting& setting) {
    const std::string who = fmt::format("the proxy {} ({})", setting.url, setting.source);
    if (probe.proxy_status == authentication_required)
        return {CheckResult::Fail, who + " wants a user and password (407), which KUDO does not support",
                "Whoever runs the proxy lets KUDO's domains through without authentication, or past it."};
    if (probe.proxy_status != 0 && probe.proxy_status / 100 != connection_established / 100)
        return {CheckResult::Fail, fmt::format("{} refuses {} (status {})", who, probe.host, probe.proxy_status),
                "Whoever runs the proxy allows CONNECT to KUDO's domains, port 443."};
    if (probe.is_certificate)
        return {CheckResult::Fail,
                fmt::format("{} opens TLS with a certificate of its own, issued by {}: {}", who, probe.issuer,
                            probe.problem),
                "Whoever runs the proxy exempts KUDO's domains from TLS inspection."};
    if (!probe.connected)
        return {CheckResult::Fail, fmt::format("{} does not lead to {}: {}", who, probe.host, probe.problem),
                "Correct that setting, or whoever runs the proxy looks after it."};
    if (is_issued_by_added_authority(probe) == true)
        return {CheckResult::Warn,
                fmt::format("{} inspects TLS: the certificate is issued by {}, which was added to this host", who,
                            probe.issuer),
                "Whoever runs the proxy exempts KUDO's domains from TLS inspection."};
    return {CheckResult::Pass, fmt::format("{} lets {} through, unchanged", who, probe.host), {}};
}

} // namespace

CheckReport check_proxy(Examination& examination) {
    const ProxySettings& settings = examination.subject.proxies;
    if (settings.proxies.empty() && settings.scripts.empty() && settings.gaps.empty())
        return passed("no proxy is set, as far as the environment, the desktop and browsers' policies tell");
    if (!has_tls_probe()) return skipped("this program was built without libcurl");
    const auto names = examination.subject.names();
    if (names.empty()) return skipped("the chosen regions have no exact names in the range map");
    std::vector<const ProxySetting*> asked;
    std::vector<TlsProbe> probes;
    std::vector<std::string> exempted, left_out;
    for (const ProxySetting& setting : settings.proxies) {
        const auto name = std::ranges::find_if(names, [&](const std::string& each) { return setting.is_for(each); });
        const auto others =
            std::ranges::count_if(names, [&](const std::string& each) { return !setting.is_for(each); });
        if (others != 0)
            exempted.push_back(fmt::format("{} of {} are exempt from the proxy {} ({}) and reached directly", others,
                                           counted(names.size(), "name"), setting.url, setting.source));
        if (name == names.end()) continue;
        if (asked.size() == max_proxies) {
            left_out.push_back(fmt::format("{} ({})", setting.url, setting.source));
            continue;
        }
        asked.push_back(&setting);
        probes.push_back({.host = *name, .proxy = setting.url});
    }
    probe_tls(probes);
    CheckReport report{.result = CheckResult::Pass};
    const auto add = [&](const Verdict& verdict) {
        if (report.summary.empty() || verdict.result > report.result) {
            report.summary = verdict.text;
            report.advice = verdict.advice;
        }
        report.result = std::max(report.result, verdict.result);
        report.evidence.push_back(verdict.text);
    };
    for (std::size_t i = 0; i < asked.size(); i++)
        add(judge(probes[i], *asked[i]));
    for (const std::string& text : exempted)
        add({CheckResult::Pass, text, {}});
    for (const std::string& text : left_out)
        add({CheckResult::Warn, fmt::format("more than {} proxies are set; {} was not tried", max_proxies, text),
             "Remove the settings that are not used, and run this again."});
    for (const std::string& unread : settings.gaps)
        add({CheckResult::Warn, unread, "Correct or remove that setting, and run this again."});
    for (const std::string& script : settings.scripts)
        add({CheckResult::Warn, fmt::format("a script chooses the proxy, which is not run here: {}", script),
             "Set https_proxy to the proxy that it chooses for KUDO's domains, and run this again."});
    return report;
}

} // namespace kudo
