// SPDX-License-Identifier: MIT
#include "cli/views/stats_json.h"
#include "maps/base/abi_names.h"

#include <iterator>
#include <unordered_map>

#include <fmt/format.h>
#include <netinet/in.h>

namespace kudo {
namespace {

OrderedJson directions_json(const Directions& directions) {
    OrderedJson result;
    result["ingress"] = {{"packets", directions[KUDO_INGRESS].packets}, {"bytes", directions[KUDO_INGRESS].bytes}};
    result["egress"] = {{"packets", directions[KUDO_EGRESS].packets}, {"bytes", directions[KUDO_EGRESS].bytes}};
    return result;
}

OrderedJson service_json(const Statistics::ServiceCounters& service) {
    OrderedJson result = directions_json(service.total());
    for (std::size_t i = 0; i < service.classes.size(); ++i)
        result["classes"][std::string(class_name(static_cast<kudo_class>(i)))] = directions_json(service.classes[i]);
    return result;
}

OrderedJson rate_json(const kudo_counter& counter, double seconds) {
    OrderedJson result;
    result["packets_per_second"] = static_cast<double>(counter.packets) / seconds;
    result["bits_per_second"] = 8 * static_cast<double>(counter.bytes) / seconds;
    return result;
}

OrderedJson rates_json(const Directions& directions, double seconds) {
    OrderedJson result;
    result["ingress"] = rate_json(directions[KUDO_INGRESS], seconds);
    result["egress"] = rate_json(directions[KUDO_EGRESS], seconds);
    return result;
}

OrderedJson growth_json(const Growth& growth) {
    OrderedJson result;
    result["seconds"] = growth.seconds;
    result["totals"] = rates_json(growth.totals, growth.seconds);
    result["services"] = OrderedJson::object();
    for (const auto& [name, service] : growth.services)
        result["services"][name] = rates_json(service.total(), growth.seconds);
    return result;
}

// Writes flows by hand: a document of a million flows would need gigabytes. What recurs is made once.
class FlowWriter {
public:
    void append(std::string& text, const FlowRecord& flow) {
        auto to = std::back_inserter(text);
        text += R"({"protocol":")";
        text += protocol_name(flow.protocol);
        text += '"';
        end_point(to, "local", flow.local, flow.local_port);
        end_point(to, "remote", flow.remote, flow.remote_port);
        fmt::format_to(to, R"(,"service":{},"class":"{}","range":)", quoted_text(flow.service),
                       class_name(flow.class_));
        if (flow.service.empty())
            text += "null";
        else
            fmt::format_to(to, "\"{}\"", flow.range.text());
        fmt::format_to(to, R"(,"interface":{},"verdict":"{}","reason":"{}")", quoted_text(flow.interface),
                       verdict_name(flow.verdict), reason_name(flow.reason));
        direction(to, "ingress", flow.counters[KUDO_INGRESS]);
        direction(to, "egress", flow.counters[KUDO_EGRESS]);
        time(to, "first_seen", flow.first_seen);
        time(to, "last_seen", flow.last_seen);
        if (flow.class_ == KUDO_CLASS_MEDIA)
            streams(to, flow.streams);
        else if (flow.class_ == KUDO_CLASS_FALLBACK)
            fmt::format_to(to, R"(,"rtp":null)"); // within TLS: nobody can see any
        fmt::format_to(to, R"(,"generation":{}}})", flow.generation);
    }

private:
    using To = std::back_insert_iterator<std::string>;

    // As a JSON string; null for an empty one.
    const std::string& quoted_text(const std::string& name) {
        const auto [entry, added] = quoted_.try_emplace(name);
        if (added) entry->second = json_text(text_or_null(name), true);
        return entry->second;
    }
    static void end_point(To to, const char* name, const Address& address, uint16_t port) {
        fmt::format_to(to, R"(,"{}":"{}","{}_port":)", name, address.text(), name);
        if (port == 0)
            fmt::format_to(to, "null");
        else
            fmt::format_to(to, "{}", port);
    }
    static void direction(To to, const char* name, const kudo_counter& counter) {
        fmt::format_to(to, R"(,"{}":{{"packets":{},"bytes":{}}})", name, counter.packets, counter.bytes);
    }
    static void streams(To to, const std::vector<RtpStream>& list) {
        fmt::format_to(to, R"(,"rtp":[)");
        const char* separator = "";
        for (const auto& [ssrc, direction, what] : list) {
            fmt::format_to(to,
                           R"({}{{"ssrc":"{:#010x}","direction":"{}","kind":"{}","why":"{}","payload_type":{},)"
                           R"("packets":{},"largest":{},"step":{}}})",
                           separator, ssrc, direction == KUDO_EGRESS ? "egress" : "ingress", rtp_kind_name(what.kind),
                           rtp_reason(what), what.payload_type, what.packets, what.largest, what.step);
            separator = ",";
        }
        fmt::format_to(to, "]");
    }
    void time(To to, const char* name, std::chrono::system_clock::time_point when) {
        const auto milliseconds = std::chrono::floor<std::chrono::milliseconds>(when);
        const auto [entry, added] = times_.try_emplace(milliseconds.time_since_epoch().count());
        if (added) entry->second = rfc3339_milliseconds(when);
        fmt::format_to(to, R"(,"{}":"{}")", name, entry->second);
    }

    std::unordered_map<std::string, std::string> quoted_;
    std::unordered_map<int64_t, std::string> times_; // by millisecond: the kernel's ticks are coarser
};

template <typename T> OrderedJson number_or_null(const std::optional<T>& number) {
    return number ? OrderedJson(*number) : OrderedJson(nullptr);
}

OrderedJson queue_json(const QueueNumbers& queue) {
    OrderedJson result;
    result["interface"] = queue.interface;
    result["direction"] = queue.direction;
    result["queue"] = queue.kind;
    result["classes"] = OrderedJson::array();
    for (const QueueClass& part : queue.classes) {
        OrderedJson item;
        item["carries"] = part.carries;
        item["packets"] = part.packets;
        item["bytes"] = part.bytes;
        item["backlog_packets"] = number_or_null(part.backlog_packets);
        item["backlog_bytes"] = number_or_null(part.backlog_bytes);
        item["drops"] = number_or_null(part.drops);
        item["delay_us"] = number_or_null(part.delay_us);
        result["classes"].push_back(std::move(item));
    }
    return result;
}

// All but the flows.
OrderedJson frame_json(const Statistics& statistics, const StatsView& view) {
    OrderedJson result;
    result["generation"] = statistics.generation;
    result["read_at"] = rfc3339_milliseconds(statistics.read_at);
    result["totals"] = directions_json(statistics.totals);
    result["reasons"] = OrderedJson::object();
    for (std::size_t i = 0; i < statistics.reasons.size(); ++i)
        result["reasons"][std::string(reason_name(static_cast<kudo_reason>(i)))] =
            directions_json(statistics.reasons[i]);
    result["services"] = OrderedJson::object();
    for (const auto& [name, service] : statistics.services)
        result["services"][name] = service_json(service);
    result["flows"] = OrderedJson::array();
    result["flow_table"]["entries"] = statistics.flow_entries;
    result["flow_table"]["capacity"] = statistics.flow_capacity;
    result["unrecorded_flow_packets"] = statistics.unrecorded_flow_packets;
    result["queues"] = OrderedJson::array();
    for (const QueueNumbers& queue : statistics.queues)
        result["queues"].push_back(queue_json(queue));
    result["strays"] = strays_json(statistics.stale.strays);
    result["moved_names"] = moved_names_json(statistics.stale.moved_names);
    if (view.growth) result["rates"] = growth_json(*view.growth);
    result["drops"] = OrderedJson::array();
    result["drops_measured"] = false;
    return result;
}

} // namespace

OrderedJson strays_json(const std::vector<StrayRemote>& strays) {
    auto result = OrderedJson::array();
    for (const StrayRemote& stray : strays) {
        OrderedJson item;
        item["remote"] = stray.remote.text();
        item["name"] = text_or_null(stray.name);
        item["requests"] = stray.requests;
        item["answers"] = stray.answers;
        item["first_seen"] = rfc3339_milliseconds(stray.first_seen);
        item["last_seen"] = rfc3339_milliseconds(stray.last_seen);
        item["interface"] = stray.interface;
        result.push_back(std::move(item));
    }
    return result;
}

OrderedJson moved_names_json(const std::vector<NamedAddress>& names) {
    auto result = OrderedJson::array();
    for (const NamedAddress& named : names) {
        OrderedJson item;
        item["name"] = named.name;
        item["address"] = named.address.text();
        item["service"] = named.service;
        item["last_seen"] = rfc3339_milliseconds(named.last_seen);
        item["interface"] = named.interface;
        result.push_back(std::move(item));
    }
    return result;
}

std::string flow_json(const FlowRecord& flow) {
    std::string text;
    FlowWriter().append(text, flow);
    return text;
}

Result<void> write_stats_json(const Statistics& statistics, const StatsView& view, bool one_line, const Write& write) {
    constexpr std::size_t piece = 1 << 20;
    std::string text = json_text(frame_json(statistics, view), one_line);
    // Within a string the quotes would be escaped: there is no other such place.
    const std::string place = one_line ? R"("flows":[])" : R"("flows": [])";
    const std::size_t middle = text.find(place) + place.size() - 1;
    const std::string rest = text.substr(middle) + "\n";
    text.resize(middle);
    FlowWriter writer;
    const char* separator = one_line ? "" : "\n    ";
    for (const FlowRecord& flow : statistics.flows) {
        text += separator;
        writer.append(text, flow);
        separator = one_line ? "," : ",\n    ";
        if (text.size() < piece) continue;
        KUDO_TRY(write(text));
        text.clear();
    }
    if (!statistics.flows.empty() && !one_line) text += "\n  ";
    return write(text + rest);
}

} // namespace kudo
