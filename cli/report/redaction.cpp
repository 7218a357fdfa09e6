// SPDX-License-Identifier: MIT
#include "cli/report/redaction.h"

#include <algorithm>
#include <string_view>
#include <utility>

#include <nlohmann/json.hpp>

#include "cli/report/fields.h"
#include "cli/report/replacements.h"

namespace kudo {
namespace {

// Fields that hold words of our own or of KUDO's map, or times and numbers: never replaced, whatever a process is
// called.
constexpr std::string_view plain_fields[] = {
    "format",        "made_at",      "where",   "layer",    "confidence", "result",       "group",
    "topic",         "asked",        "from",    "protocol", "class",      "service",      "verdict",
    "mode",          "direction",    "kind",    "ssrc",     "repeats",    "first_seen",   "last_seen",
    "begin",         "end",          "read_at", "since",    "time",       "issued",       "effective",
    "expires",       "admission",    "serial",  "hash",     "signed_by",  "content_hash", "version",
    "release",       "machine",      "ingress", "family",   "named_by",   "title",        "last_request",
    "last_response", "last_inbound", "state",   "event",    "regions",    "carries",      "queue",
};

bool is_text(const OrderedJson& value) {
    return value.is_primitive();
}

bool is_plain(std::string_view field, const OrderedJson& value) {
    return std::ranges::find(plain_fields, field) != std::end(plain_fields) &&
           (is_text(value) || (value.is_array() && std::ranges::all_of(value, is_text)));
}

void add_name(const OrderedJson& object, const char* field_name, const std::string& kind, Replacements& replacements) {
    replacements.add_word(text_field(object, field_name), kind);
}

void add_process(const OrderedJson& process, Replacements& replacements) {
    add_name(process, "name", "process", replacements);
    add_name(process, "unit", "unit", replacements);
    add_name(process, "container", "container", replacements);
}

// The processes that the report names, wherever, come before the sentences that name them.
void collect(const OrderedJson& value, Replacements& replacements) {
    if (value.is_object() || value.is_array())
        for (const auto& [name, inner] : value.items()) {
            if (name == "process") add_process(inner, replacements);
            if (name == "processes" && inner.is_array())
                for (const OrderedJson& process : inner)
                    add_process(process, replacements);
            collect(inner, replacements);
        }
}

// How others see this host; and what is KUDO's although no range has it.
void collect_addresses(const OrderedJson& stats, Identities& identities, std::vector<Address>& kept) {
    const auto read = [](const OrderedJson& object, const char* name) {
        return Address::parse(text_field(object, name));
    };
    for (const OrderedJson& flow : list_field(stats, "flows")) {
        if (const auto local = read(flow, "local")) identities.own.insert(*local);
        const OrderedJson& stun = field(field(flow, "network"), "stun");
        for (const OrderedJson* mapped : {&field(stun, "mapped"), &field(field(stun, "last_change"), "before"),
                                          &field(field(stun, "last_change"), "after")})
            if (const auto address = read(*mapped, "address")) identities.own.insert(*address);
        if (const auto remote = read(flow, "remote"); remote && !text_field(flow, "service").empty())
            kept.push_back(*remote);
    }
    for (const OrderedJson& name : list_field(stats, "moved_names"))
        if (const auto address = read(name, "address")) kept.push_back(*address);
}

OrderedJson replaced(const OrderedJson& value, Replacements& replacements) {
    if (value.is_string()) return replacements.apply(value.get_ref<const std::string&>());
    if (value.is_array()) {
        OrderedJson list = OrderedJson::array();
        for (const OrderedJson& inner : value)
            list.push_back(replaced(inner, replacements));
        return list;
    }
    if (!value.is_object()) return value;
    OrderedJson object = OrderedJson::object();
    for (const auto& [name, inner] : value.items())
        object[name] = is_plain(name, inner) ? inner : replaced(inner, replacements);
    return object;
}

} // namespace

OrderedJson redacted(const OrderedJson& document, Identities identities) {
    std::vector<Address> kept;
    collect_addresses(field(document, "stats"), identities, kept);
    Replacements replacements(identities);
    for (const Address& address : kept)
        replacements.keep(address);
    collect(document, replacements);
    OrderedJson result = replaced(document, replacements);
    result["redacted"] = true;
    return result;
}

} // namespace kudo
