// SPDX-License-Identifier: MIT
#include "agent/doctor/doctor.h"

#include <algorithm>
#include <mutex>
#include <thread>

#include "agent/doctor/examination.h"
#include "agent/doctor/firewall.h"
#include "agent/doctor/host.h"
#include "agent/doctor/interfaces.h"
#include "agent/doctor/load.h"
#include "agent/doctor/marks.h"
#include "agent/doctor/proxy.h"
#include "agent/doctor/reach.h"
#include "agent/doctor/routes.h"
#include "agent/doctor/tls_probe.h"

namespace kudo {
namespace {

using Clock = std::chrono::steady_clock;

// Checks of one sequence run one after the other, sequences side by side; the load comes when all others have ended.
enum class Sequence { Host, Media, Names, Proxy, Load };

struct Check {
    const char *name, *group, *title;
    Sequence sequence;
    CheckReport (*run)(Examination& examination);
};

template <CheckReport (*check)(const Subject&)> CheckReport of_subject(Examination& examination) {
    return check(examination.subject);
}

constexpr Check all_checks[] = {
    {"privileges", "host", "Privileges", Sequence::Host, of_subject<check_privileges>},
    {"kernel", "host", "Kernel", Sequence::Host, of_subject<check_kernel>},
    {"btf", "host", "Kernel types (BTF)", Sequence::Host, of_subject<check_btf>},
    {"bpffs", "host", "Place for pins (bpffs)", Sequence::Host, of_subject<check_bpffs>},
    {"jit", "host", "BPF compiler (JIT)", Sequence::Host, of_subject<check_jit>},
    {"socket_buffers", "host", "Socket buffers", Sequence::Host, of_subject<check_socket_buffers>},
    {"routes", "route", "Routes to KUDO's ranges", Sequence::Host, of_subject<check_routes>},
    {"gateway", "route", "Next hop", Sequence::Host, of_subject<check_gateway>},
    {"tunnel", "route", "VPN and tunnels", Sequence::Host, of_subject<check_tunnel>},
    {"rp_filter", "route", "Reverse path filter", Sequence::Host, of_subject<check_rp_filter>},
    {"interfaces", "interface", "Interfaces and hooks", Sequence::Host, of_subject<check_interfaces>},
    {"programs", "interface", "Other BPF programs", Sequence::Host, of_subject<check_programs>},
    {"queue", "interface", "Queue", Sequence::Host, of_subject<check_queue>},
    {"offloads", "interface", "Receive offloads", Sequence::Host, of_subject<check_offloads>},
    {"mtu", "interface", "MTU", Sequence::Host, of_subject<check_mtu>},
    {"wifi_power_save", "interface", "Wi-Fi power saving", Sequence::Host, of_subject<check_wifi_power_save>},
    {"firewall_out", "firewall", "This host's firewall, outgoing", Sequence::Host, of_subject<check_firewall_out>},
    {"firewall_in", "firewall", "This host's firewall, incoming", Sequence::Host, of_subject<check_firewall_in>},
    {"conntrack", "firewall", "Connection table", Sequence::Host, of_subject<check_conntrack>},
    {"conntrack_timeouts", "firewall", "Timeouts of UDP flows", Sequence::Host, of_subject<check_conntrack_timeouts>},
    {"dns", "name", "DNS", Sequence::Names, check_dns},
    {"encrypted_dns", "name", "DNS over TLS or HTTPS", Sequence::Names, of_subject<check_encrypted_dns>},
    {"region", "reach", "The region's servers, TLS 443", Sequence::Names, check_region},
    {"inspection", "reach", "TLS inspection", Sequence::Names, check_inspection},
    {"teams", "reach", "Microsoft Teams", Sequence::Names, check_teams},
    {"ipv6", "reach", "IPv6", Sequence::Names, check_ipv6},
    {"proxy", "proxy", "Proxy", Sequence::Proxy, check_proxy},
    {"media_udp", "reach", "Media, UDP 3478", Sequence::Media, check_media_udp},
    {"media_tcp", "reach", "Media, TCP 443", Sequence::Media, check_media_tcp},
    {"nat", "reach", "NAT", Sequence::Media, check_nat},
    {"marks", "mark", "Marks (DSCP) on the way", Sequence::Media, check_marks},
    {"load", "load", "Load of a call", Sequence::Load, check_load},
};

std::chrono::milliseconds since(Clock::time_point begin) {
    return std::chrono::duration_cast<std::chrono::milliseconds>(Clock::now() - begin);
}

} // namespace

std::string_view result_name(CheckResult result) {
    switch (result) {
    case CheckResult::Pass:
        return "pass";
    case CheckResult::Warn:
        return "warn";
    case CheckResult::Fail:
        return "fail";
    case CheckResult::Skip:
        break;
    }
    return "skip";
}

bool DoctorReport::has_failed() const {
    return std::ranges::any_of(checks,
                               [](const NamedReport& check) { return check.report.result == CheckResult::Fail; });
}

std::vector<NamedReport> doctor_checks() {
    std::vector<NamedReport> checks;
    for (const Check& check : all_checks)
        checks.push_back({.name = check.name, .group = check.group, .title = check.title, .report = {}});
    return checks;
}

DoctorReport run_doctor(const Subject& subject, const std::function<void(const NamedReport&)>& done) {
    const auto begin = Clock::now();
    const TlsLibrary library;
    DoctorReport report{.checks = doctor_checks()};
    std::mutex telling;
    const auto run = [&](Sequence sequence) {
        Examination examination{subject};
        for (std::size_t i = 0; i < std::size(all_checks); i++) {
            if (all_checks[i].sequence != sequence) continue;
            const auto check_begin = Clock::now();
            NamedReport& entry = report.checks[i];
            entry.report = all_checks[i].run(examination);
            entry.took = since(check_begin);
            const std::scoped_lock lock(telling);
            if (done) done(entry);
        }
    };
    {
        const std::jthread media([&] { run(Sequence::Media); }), names([&] { run(Sequence::Names); }),
            proxy([&] { run(Sequence::Proxy); });
        run(Sequence::Host);
    }
    run(Sequence::Load);
    report.took = since(begin);
    return report;
}

} // namespace kudo
