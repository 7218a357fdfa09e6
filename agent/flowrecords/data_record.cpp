// SPDX-License-Identifier: MIT
#include "agent/flowrecords/data_record.h"

#include <chrono>
#include <string_view>

#include <fmt/chrono.h>
#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "agent/inspect/protocol_name.h"
#include "maps/base/abi_names.h"
#include "maps/net/prefix.h"

namespace kudo {
namespace {

std::string quoted_or_null(const char* text) {
    // An interface may be called by any bytes.
    return *text == '\0' ? "null" : nlohmann::json(text).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

std::string port_or_null(uint16_t port) {
    return port == 0 ? "null" : fmt::format("{}", port);
}

std::string count_or_null(uint64_t count) {
    return count == unknown_count ? "null" : fmt::format("{}", count);
}

std::string milliseconds_or_null(uint32_t microseconds) {
    return microseconds == unknown_time ? "null" : fmt::format("{:.3f}", microseconds / 1000.0);
}

std::string time_text(int64_t milliseconds) {
    const std::chrono::milliseconds since{milliseconds};
    const auto seconds = std::chrono::floor<std::chrono::seconds>(since);
    return fmt::format("{:%Y-%m-%dT%H:%M:%S}.{:03}Z", fmt::gmtime(static_cast<std::time_t>(seconds.count())),
                       (since - seconds).count());
}

std::string both(const uint64_t (&counts)[KUDO_DIRECTIONS]) {
    return fmt::format(R"({{"ingress":{},"egress":{}}})", count_or_null(counts[KUDO_INGRESS]),
                       count_or_null(counts[KUDO_EGRESS]));
}

std::string counter(const kudo_counter& both) {
    return fmt::format(R"({{"packets":{},"bytes":{}}})", both.packets, both.bytes);
}

} // namespace

std::string_view flow_end_name(FlowEnd end) {
    switch (end) {
    case FlowEnd::Idle:
        return "idle";
    case FlowEnd::Active:
        return "active";
    case FlowEnd::Forced:
        return "forced";
    case FlowEnd::NoRoom:
        return "no_room";
    }
    return "unknown";
}

std::string json_line(const DataRecord& record) {
    const FlowIdentity& flow = record.flow;
    const Family family = flow.family == 4 ? Family::IPv4 : Family::IPv6;
    return fmt::format(
        R"({{"flow":"{:016x}","protocol":"{}","local":"{}","local_port":{},"remote":"{}","remote_port":{},)"
        R"("service":{},"class":"{}","interface":{},"verdict":"{}","reason":"{}","ingress":{},"egress":{},)"
        R"("first_seen":"{}","start":"{}","stop":"{}","end":"{}",)"
        R"("lost":{{"upstream":{},"host":{},"queue":{}}},"jitter_ms":{},"rtt_ms":{}}})",
        record.flow_id, protocol_name(flow.protocol), Address::from_bytes(family, flow.local).text(),
        port_or_null(flow.local_port), Address::from_bytes(family, flow.remote).text(), port_or_null(flow.remote_port),
        quoted_or_null(record.service), class_name(static_cast<kudo_class>(record.class_)),
        quoted_or_null(record.interface), verdict_name(static_cast<kudo_verdict>(record.verdict)),
        reason_name(static_cast<kudo_reason>(record.reason)), counter(record.counters[KUDO_INGRESS]),
        counter(record.counters[KUDO_EGRESS]), time_text(record.first_seen), time_text(record.start),
        time_text(record.stop), flow_end_name(record.end), count_or_null(record.upstream_lost), both(record.host_lost),
        both(record.queue_lost), milliseconds_or_null(record.jitter_us), milliseconds_or_null(record.rtt_us));
}

} // namespace kudo
