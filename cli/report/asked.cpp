// SPDX-License-Identifier: MIT
#include "cli/report/asked.h"

#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "cli/report/fields.h"
#include "maps/base/text.h"

namespace kudo {
namespace {

enum class Met { NotKnown, Yes, Doubtful, No }; // the last one of several decides

std::string_view name_of(Met met) {
    switch (met) {
    case Met::Yes:
        return "met";
    case Met::Doubtful:
        return "doubtful";
    case Met::No:
        return "not_met";
    case Met::NotKnown:
        break;
    }
    return "not_known";
}

struct Point {
    const char *topic, *asked;
    std::vector<std::string_view> checks;   // of `doctor`
    std::vector<std::string_view> findings; // of the verdict: each says that it is not met
};

const Point asked_points[] = {
    {"Domains",
     "Allow *.kudoway.com, .eu or .ca (by region), *.tokbox.com and *.opentok.com, or the exact sub-domains.",
     {"dns", "region", "inspection"},
     {"tls_inspected", "tls_reset"}},
    {"TCP 443", "Required: TCP port 443, in both directions.", {"media_tcp"}, {"tls_reset", "tcp_stalled"}},
    {"UDP 3478",
     "Recommended: UDP port 3478 for media, in both directions. Where it is blocked, media falls back to TCP 443.",
     {"media_udp"},
     {"udp_blocked", "udp_unanswered", "inbound_ended"}},
    {"IP ranges",
     "Allow the servers of the account's region and the ranges of KUDO Media Services.",
     {"routes", "firewall_out", "firewall_in"},
     {"firewall_rule", "firewall_policy", "route", "rp_filter", "policy"}},
    {"Media is not throttled",
     "Stateful packet inspection or flood control must not slow down or block media streams after a while.",
     {"conntrack", "conntrack_timeouts", "load"},
     {"flood_control", "session_timer", "nat_rebinding", "network_loss", "conntrack_full", "firewall_rule",
      "firewall_policy", "policy"}},
    {"Proxy",
     "A proxy must be transparent, or set in the browser for HTTPS. One that wants a user and password does not work.",
     {"proxy"},
     {}},
};
const Point teams_point{"Microsoft Teams",
                        "With Microsoft Teams also teams-bot.kudoway.com and teams-web.kudoway.com, TCP 8445 and 9444.",
                        {"teams"},
                        {}};

void add_checks(const Point& point, const OrderedJson& doctor, Met& met, std::vector<std::string>& seen) {
    for (const OrderedJson& check : list_field(doctor, "checks")) {
        const std::string name = text_field(check, "name"), result = text_field(check, "result");
        if (std::ranges::find(point.checks, name) == point.checks.end()) continue;
        if (result == "skip") {
            if (name != "load" && name != "teams") seen.push_back("not looked at: " + text_field(check, "summary"));
            continue;
        }
        met = std::max(met, result == "fail" ? Met::No : result == "warn" ? Met::Doubtful : Met::Yes);
        seen.push_back(text_field(check, "summary"));
    }
}

// What this host's own calls say of it.
struct Calls {
    double stun_requests = 0, stun_responses = 0, media_dropped = 0, udp_in = 0, tcp_in = 0, rtp_received = 0,
           rtp_lost = 0;
};
Calls calls_of(const OrderedJson& stats) {
    Calls calls;
    for (const OrderedJson& flow : list_field(stats, "flows")) {
        const bool is_udp = text_field(flow, "protocol") == "udp";
        const double in = number_field(field(flow, "ingress"), "packets");
        if (is_udp && number_field(flow, "remote_port") == 3478) calls.udp_in += in;
        if (!is_udp && number_field(flow, "remote_port") == 443) calls.tcp_in += in;
        const OrderedJson& network = field(flow, "network");
        calls.stun_requests +=
            number_field(field(network, "stun"), "requests") - number_field(field(network, "stun"), "pending");
        if (text_field(flow, "class") == "media")
            for (const char* direction : {"ingress", "egress"})
                calls.media_dropped += number_field(field(field(flow, "host"), direction), "packets");
        calls.stun_responses += number_field(field(network, "stun"), "responses");
        for (const OrderedJson& stream : list_field(network, "streams")) {
            if (text_field(stream, "direction") != "ingress") continue;
            calls.rtp_received += number_field(stream, "packets");
            calls.rtp_lost += missing_packets(stream);
        }
    }
    return calls;
}

// A rule that has dropped no media says nothing of media.
bool is_of_other_traffic(const Point& point, const std::string& finding, const Calls& calls) {
    return point.topic == std::string_view("Media is not throttled") && calls.media_dropped == 0 &&
           (finding.starts_with("firewall_") || finding == "policy");
}

void add_findings(const Point& point, const OrderedJson& stats, const Calls& calls, Met& met,
                  std::vector<std::string>& seen) {
    for (const OrderedJson& finding : list_field(field(stats, "verdict"), "findings")) {
        const std::string name = text_field(finding, "name");
        if (std::ranges::find(point.findings, name) == point.findings.end()) continue;
        if (is_of_other_traffic(point, name, calls)) continue;
        const bool past = is_true(finding, "past");
        met = std::max(met, past || text_field(finding, "confidence") == "possible" ? Met::Doubtful : Met::No);
        const std::string sentence = (past ? "earlier: " : "") + text_field(finding, "summary");
        if (std::ranges::find(seen, sentence) == seen.end()) seen.push_back(sentence);
    }
}

void add_calls(const Point& point, const Calls& calls, Met& met, std::vector<std::string>& seen) {
    const std::string_view topic = point.topic;
    const auto number = [](double count) { return static_cast<std::size_t>(count); };
    if (topic == "UDP 3478" && calls.stun_requests > 0)
        seen.push_back(fmt::format("{} of {} on it were answered in this host's calls", number(calls.stun_responses),
                                   counted(number(calls.stun_requests), "STUN request")));
    if (topic == "UDP 3478" && calls.udp_in > 0) {
        // A few are lost everywhere; where many are, it is open no more than half.
        const bool is_answered = calls.stun_responses >= 0.8 * calls.stun_requests;
        met = std::max(met, is_answered ? Met::Yes : Met::Doubtful);
        seen.push_back(counted(number(calls.udp_in), "packet") + " came in");
    }
    if (topic == "TCP 443" && calls.tcp_in > 0) {
        met = std::max(met, Met::Yes);
        seen.push_back(counted(number(calls.tcp_in), "packet") + " came in, in this host's calls");
    }
    if (topic == "Media is not throttled" && calls.rtp_received + calls.rtp_lost > 0) {
        met = std::max(met, Met::Yes);
        seen.push_back(fmt::format("{} reached this host, {} were missing by then",
                                   counted(number(calls.rtp_received), "media packet"), number(calls.rtp_lost)));
    }
}

} // namespace

OrderedJson asked_of_network(const OrderedJson& stats, const OrderedJson& doctor, bool teams) {
    std::vector<Point> asked(std::begin(asked_points), std::end(asked_points));
    if (teams) asked.push_back(teams_point);
    const Calls calls = calls_of(stats);
    OrderedJson list = OrderedJson::array();
    for (const Point& point : asked) {
        Met met = Met::NotKnown;
        std::vector<std::string> seen;
        add_findings(point, stats, calls, met, seen);
        add_calls(point, calls, met, seen);
        add_checks(point, doctor, met, seen);
        // An open connection table says nothing of a call that nobody has made.
        if (point.topic == std::string_view("Media is not throttled") && met == Met::Yes &&
            calls.rtp_received + calls.rtp_lost == 0)
            met = Met::NotKnown;
        if (seen.empty()) seen.emplace_back("not looked at");
        list.push_back(
            {{"topic", point.topic}, {"asked", point.asked}, {"result", name_of(met)}, {"seen", std::move(seen)}});
    }
    return list;
}

} // namespace kudo
