// SPDX-License-Identifier: MIT
#include "agent/doctor/doctor.h"

#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <functional>
#include <mutex>
#include <thread>

#include "agent/confined/process.h"
#include "agent/doctor/examination.h"
#include "agent/doctor/firewall.h"
#include "agent/doctor/host.h"
#include "agent/doctor/interfaces.h"
#include "agent/doctor/load.h"
#include "agent/doctor/marks.h"
#include "agent/doctor/proxy.h"
#include "agent/doctor/reach.h"
#include "agent/doctor/report_lines.h"
#include "agent/doctor/routes.h"
#include "agent/doctor/tls_probe.h"

namespace kudo {
namespace {

using Clock = std::chrono::steady_clock;
constexpr std::chrono::seconds network_time{14}, load_time{load_seconds + 8};
constexpr std::size_t max_line = 1 << 20, max_told = 16 << 20;

// Checks of one sequence run one after the other, sequences side by side: Media, Names and Proxy in a process without
// privileges, Host here; then Way, here; and when all others have ended Load, again without privileges.
enum class Sequence { Host, Media, Names, Proxy, Way, Load };

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
    {"firewall_out", "firewall", "This host's firewall, outgoing", Sequence::Host, check_firewall_out},
    {"firewall_in", "firewall", "This host's firewall, incoming", Sequence::Host, check_firewall_in},
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
    {"marks", "mark", "Marks (DSCP) on the way", Sequence::Way, check_marks},
    {"load", "load", "Load of a call", Sequence::Load, check_load},
};

std::chrono::milliseconds since(Clock::time_point begin) {
    return std::chrono::duration_cast<std::chrono::milliseconds>(Clock::now() - begin);
}

void run(Sequence sequence, Examination& examination, const std::function<void(const ReportLine&)>& take) {
    for (std::size_t i = 0; i < std::size(all_checks); i++) {
        if (all_checks[i].sequence != sequence) continue;
        const auto begin = Clock::now();
        ReportLine line{.check = i, .report = all_checks[i].run(examination)};
        line.took = since(begin);
        take(line);
    }
}

// In the process without privileges: each sequence in a thread of its own.
void ask(int socket, const Subject& subject, const std::vector<Sequence>& sequences) {
    std::mutex telling;
    const auto tell = [&](const std::string& line) {
        const std::scoped_lock lock(telling);
        static_cast<void>(send(socket, line.data(), line.size(), MSG_NOSIGNAL)); // blocks until all of it is taken
    };
    const TlsLibrary library;
    std::vector<std::jthread> threads;
    for (const Sequence sequence : sequences)
        threads.emplace_back([&, sequence] {
            Examination examination{subject};
            if (subject.unmarked) {
                const int first = ConfinedProcess::first_more_fd;
                examination.unmarked = {(*subject.unmarked)[0] ? first : -1, (*subject.unmarked)[1] ? first + 1 : -1};
            }
            run(sequence, examination, [&](const ReportLine& line) { tell(report_line(line)); });
            if (sequence == Sequence::Media) tell(marks_line(ask_with_marks(examination)));
        });
}

// That process, and what it has told.
class Asking {
public:
    Asking(const Subject& subject, const std::vector<Sequence>& sequences, Clock::time_point deadline)
        : sequences_(sequences), deadline_(deadline),
          process_(ConfinedProcess::start(
              Confinement::Network, [&](int socket) { ask(socket, subject, sequences); }, descriptors_of(subject))) {}

    // Until it has ended, or its time has. Checks that it has not told of are skipped with the reason.
    // `unfinished`: how it ended then.
    MarkExchange wait(const std::function<void(const ReportLine&)>& take, std::string& unfinished) {
        MarkExchange marks;
        std::vector<bool> told(std::size(all_checks));
        const std::string why = process_ ? read([&](std::string_view text) {
            const auto line = parse_report_line(text);
            if (auto exchange = parse_marks_line(text)) marks = std::move(*exchange);
            if (!line || line->check >= told.size() || told[line->check] || !is_asked(line->check)) return;
            told[line->check] = true;
            take(*line);
        })
                                         : process_.error().message;
        const std::string untold = "what asks the network " + why;
        for (std::size_t i = 0; i < told.size(); i++) {
            if (told[i] || !is_asked(i)) continue;
            take({.check = i, .report = skipped(untold)});
            unfinished = untold;
        }
        if (marks.outcomes.empty() && marks.why_not.empty()) marks.why_not = untold;
        return marks;
    }

private:
    static std::vector<int> descriptors_of(const Subject& subject) {
        if (!subject.unmarked) return {};
        return {(*subject.unmarked)[0].get(), (*subject.unmarked)[1].get()};
    }

    [[nodiscard]] bool is_asked(std::size_t check) const {
        return std::ranges::find(sequences_, all_checks[check].sequence) != sequences_.end();
    }

    // How it ended.
    std::string read(const std::function<void(std::string_view)>& take) {
        std::string received;
        std::size_t all = 0;
        while (true) {
            // First what was told in time, however late it is read.
            std::array<char, 16384> bytes{};
            const ssize_t got = recv(process_->socket(), bytes.data(), bytes.size(), MSG_DONTWAIT);
            if (got < 0 && errno == EINTR) continue;
            if (got < 0 && errno == EAGAIN) {
                const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline_ - Clock::now()).count();
                pollfd waits{process_->socket(), POLLIN, 0};
                if (left <= 0 || poll(&waits, 1, static_cast<int>(left)) == 0) return "took too long";
                continue;
            }
            if (got <= 0) return process_->end();
            all += static_cast<std::size_t>(got);
            received.append(bytes.data(), static_cast<std::size_t>(got));
            for (std::size_t at; (at = received.find('\n')) != std::string::npos; received.erase(0, at + 1))
                take(std::string_view(received).substr(0, at));
            if (received.size() > max_line || all > max_told) return "has told too much";
        }
    }

    std::vector<Sequence> sequences_;
    Clock::time_point deadline_;
    Result<ConfinedProcess> process_;
};

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
    return !unfinished.empty() || std::ranges::any_of(checks, [](const NamedReport& check) {
        return check.report.result == CheckResult::Fail;
    });
}

std::vector<NamedReport> doctor_checks() {
    std::vector<NamedReport> checks;
    for (const Check& check : all_checks)
        checks.push_back({.name = check.name, .group = check.group, .title = check.title, .report = {}});
    return checks;
}

DoctorReport run_doctor(const Subject& subject,
                        const std::function<void(const NamedReport&, std::size_t ended)>& on_check) {
    const auto begin = subject.began;
    DoctorReport report{.checks = doctor_checks()};
    Examination examination{subject};
    std::size_t ended = 0;
    const auto take = [&](const ReportLine& line) {
        report.checks[line.check].report = line.report;
        report.checks[line.check].took = line.took;
        if (on_check) on_check(report.checks[line.check], ++ended);
    };
    {
        Asking asking(subject, {Sequence::Media, Sequence::Names, Sequence::Proxy}, subject.began + network_time);
        run(Sequence::Host, examination, take);
        examination.marks = asking.wait(take, report.unfinished);
    }
    run(Sequence::Way, examination, take);
    if (subject.load)
        Asking(subject, {Sequence::Load}, Clock::now() + load_time).wait(take, report.unfinished);
    else
        run(Sequence::Load, examination, take);
    report.took = since(begin);
    return report;
}

} // namespace kudo
