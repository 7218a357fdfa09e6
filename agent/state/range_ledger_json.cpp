// SPDX-License-Identifier: MIT
#include "agent/state/range_ledger_json.h"

#include <algorithm>
#include <stdexcept>
#include <utility>

#include <nlohmann/json.hpp>

namespace kudo {

namespace {

using Json = nlohmann::json;

constexpr std::pair<RangeEvent, std::string_view> events[] = {
    {RangeEvent::Staged, "staged"},   {RangeEvent::Activated, "activated"}, {RangeEvent::RolledBack, "rolled back"},
    {RangeEvent::Retired, "retired"}, {RangeEvent::Dropped, "dropped"},     {RangeEvent::KeySet, "key set"}};

RangeEvent event_of(const std::string& name) {
    for (const auto& [event, text] : events)
        if (text == name) return event;
    throw std::out_of_range("unknown event in the history of range maps");
}

Time time_from(const Json& json) {
    auto time = parse_rfc3339(json.get<std::string>());
    if (!time) throw std::out_of_range(time.error().message);
    return *time;
}

Json json_of(const AcceptedMap& map) {
    return {{"serial", map.serial},
            {"hash", map.hash},
            {"document", map.document},
            {"source", map.source},
            {"signed_by", map.signed_by},
            {"expires", map.expires ? Json(rfc3339(*map.expires)) : Json(nullptr)},
            {"effective", rfc3339(map.effective)},
            {"early", map.early}};
}

AcceptedMap accepted_from(const Json& json) {
    AcceptedMap map;
    json.at("serial").get_to(map.serial);
    json.at("hash").get_to(map.hash);
    map.document = json.value("document", "");
    json.at("source").get_to(map.source);
    json.at("signed_by").get_to(map.signed_by);
    map.effective = time_from(json.at("effective"));
    if (!json.at("expires").is_null()) map.expires = time_from(json.at("expires"));
    json.at("early").get_to(map.early);
    return map;
}

} // namespace

std::string_view event_name(RangeEvent event) {
    return std::ranges::find(events, event, &std::pair<RangeEvent, std::string_view>::first)->second;
}

Json to_json(const RangeLedger& ledger) {
    Json staged = Json::array(), retiring = Json::array(), history = Json::array(), alarms = Json::array();
    for (const AcceptedMap& map : ledger.staged)
        staged.push_back(json_of(map));
    for (const RetiringMap& map : ledger.retiring)
        retiring.push_back({{"serial", map.serial}, {"hash", map.hash}, {"remaining_seconds", map.remaining.count()}});
    for (const HistoryEntry& entry : ledger.history)
        history.push_back(
            {{"when", rfc3339(entry.when)}, {"event", event_name(entry.event)}, {"map", json_of(entry.map)}});
    for (const Alarm& alarm : ledger.alarms)
        alarms.push_back({{"source", alarm.source},
                          {"text", alarm.text},
                          {"first", rfc3339(alarm.first)},
                          {"last", rfc3339(alarm.last)},
                          {"times", alarm.times}});
    Json json = {{"highest_serial", ledger.highest_serial},
                 {"highest_hash", ledger.highest_hash},
                 {"active", json_of(ledger.active)},
                 {"staged", std::move(staged)},
                 {"retiring", std::move(retiring)},
                 {"rolled_back_from", ledger.rolled_back_from},
                 {"keys", nullptr},
                 {"key_set_serial", ledger.key_set_serial},
                 {"history", std::move(history)},
                 {"alarms", std::move(alarms)},
                 {"uptime", {{"boot", ledger.uptime.boot}, {"seconds", ledger.uptime.since_boot.count()}}}};
    if (ledger.keys) json["keys"] = to_json(*ledger.keys);
    return json;
}

RangeLedger range_ledger_from_json(const Json& json) {
    RangeLedger ledger;
    json.at("highest_serial").get_to(ledger.highest_serial);
    json.at("highest_hash").get_to(ledger.highest_hash);
    ledger.active = accepted_from(json.at("active"));
    for (const Json& map : json.at("staged"))
        ledger.staged.push_back(accepted_from(map));
    for (const Json& map : json.at("retiring"))
        ledger.retiring.push_back(
            {map.at("serial"), map.at("hash"), std::chrono::seconds(map.at("remaining_seconds").get<int64_t>())});
    json.at("rolled_back_from").get_to(ledger.rolled_back_from);
    if (const Json& keys = json.at("keys"); !keys.is_null()) {
        auto parsed = parse_key_set(keys.get<std::string>(), "keys");
        if (!parsed) throw std::out_of_range(parsed.error().message);
        ledger.keys = std::move(*parsed);
    }
    json.at("key_set_serial").get_to(ledger.key_set_serial);
    for (const Json& entry : json.at("history"))
        ledger.history.push_back(
            {time_from(entry.at("when")), event_of(entry.at("event")), accepted_from(entry.at("map"))});
    for (const Json& alarm : json.at("alarms"))
        ledger.alarms.push_back({alarm.at("source"), alarm.at("text"), time_from(alarm.at("first")),
                                 time_from(alarm.at("last")), alarm.at("times")});
    json.at("uptime").at("boot").get_to(ledger.uptime.boot);
    ledger.uptime.since_boot = std::chrono::seconds(json.at("uptime").at("seconds").get<int64_t>());
    return ledger;
}

} // namespace kudo
