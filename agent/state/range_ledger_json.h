// SPDX-License-Identifier: MIT
// The ledger of range maps as JSON, as the state file holds it: nlohmann's conversions of every type in it.
// Invariant: what was written is read back as it was; whatever is missing, unknown or of another type throws one of
// nlohmann's exceptions or std::out_of_range.
#pragma once

#include <optional>
#include <stdexcept>
#include <string>

#include <nlohmann/json.hpp>

#include "agent/state/range_ledger.h"

namespace nlohmann {

// A value that is kept as the text that `Write` makes of it. Text for which `Read` has no value is refused.
template <typename T, auto Write, auto Read> struct AsText {
    static void to_json(json& out, const T& value) { out = Write(value); }
    static void from_json(const json& from, T& value) {
        auto read = Read(from.get<std::string>());
        if (!read) throw std::out_of_range("not a known value: " + from.dump());
        value = std::move(*read);
    }
};

template <> struct adl_serializer<kudo::Time> : AsText<kudo::Time, kudo::rfc3339, kudo::parse_rfc3339> {};
template <>
struct adl_serializer<kudo::RangeEvent> : AsText<kudo::RangeEvent, kudo::event_name, kudo::range_event_of> {};
template <>
struct adl_serializer<kudo::KeySet>
    : AsText<kudo::KeySet, [](const kudo::KeySet& keys) { return kudo::to_json(keys); },
             [](const std::string& text) { return kudo::parse_key_set(text, "keys"); }> {};

template <> struct adl_serializer<std::chrono::seconds> {
    static void to_json(json& out, std::chrono::seconds seconds) { out = seconds.count(); }
    static void from_json(const json& from, std::chrono::seconds& seconds) {
        seconds = std::chrono::seconds(from.get<int64_t>());
    }
};

template <typename T> struct adl_serializer<std::optional<T>> { // null: none
    static void to_json(json& out, const std::optional<T>& value) { out = value ? json(*value) : json(nullptr); }
    static void from_json(const json& from, std::optional<T>& value) {
        value = from.is_null() ? std::nullopt : std::optional(from.get<T>());
    }
};

} // namespace nlohmann

namespace kudo {

inline void to_json(nlohmann::json& out, const AcceptedMap& map) {
    out = {{"serial", map.serial}, {"hash", map.hash},           {"document", map.document},
           {"source", map.source}, {"signed_by", map.signed_by}, {"effective", map.effective},
           {"early", map.early},   {"expires", map.expires}};
}
inline void from_json(const nlohmann::json& from, AcceptedMap& map) {
    from.at("serial").get_to(map.serial);
    from.at("hash").get_to(map.hash);
    map.document = from.value("document", ""); // files of older versions do not have it
    from.at("source").get_to(map.source);
    from.at("signed_by").get_to(map.signed_by);
    from.at("effective").get_to(map.effective);
    from.at("early").get_to(map.early);
    from.at("expires").get_to(map.expires);
}

inline void to_json(nlohmann::json& out, const RetiringMap& map) {
    out = {{"serial", map.serial}, {"hash", map.hash}, {"remaining_seconds", map.remaining}};
}
inline void from_json(const nlohmann::json& from, RetiringMap& map) {
    map = {from.at("serial"), from.at("hash"), from.at("remaining_seconds").get<std::chrono::seconds>()};
}

inline void to_json(nlohmann::json& out, const Uptime& uptime) {
    out = {{"boot", uptime.boot}, {"seconds", uptime.since_boot}};
}
inline void from_json(const nlohmann::json& from, Uptime& uptime) {
    uptime = {from.at("boot"), from.at("seconds").get<std::chrono::seconds>()};
}

NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(HistoryEntry, when, event, map)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(Alarm, source, text, first, last, times)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(RangeLedger, highest_serial, highest_hash, active, staged, retiring,
                                   rolled_back_from, keys, key_set_serial, history, alarms, uptime)

} // namespace kudo
