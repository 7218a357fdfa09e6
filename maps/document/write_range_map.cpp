// SPDX-License-Identifier: MIT
#include "maps/document/write_range_map.h"
#include "maps/base/abi_names.h"

#include <nlohmann/json.hpp>

namespace kudo {
namespace {

using OrderedJson = nlohmann::ordered_json;

void write_ranges(OrderedJson& out, const Service& service, Family family) {
    OrderedJson list = OrderedJson::array();
    for (const Range& range : service.ranges) {
        if (range.prefix.address.family == family) list.push_back(range.prefix.text());
    }
    if (!list.empty()) out[family == Family::IPv4 ? "ipv4" : "ipv6"] = std::move(list);
}

OrderedJson service_json(const Service& service) {
    OrderedJson out{{"name", service.name}, {"class", class_name(service.class_)}, {"regions", service.regions}};
    if (service.optional) out["optional"] = true;
    for (const PortRule& rule : service.ports)
        out["ports"].push_back(rule.text());
    write_ranges(out, service, Family::IPv4);
    write_ranges(out, service, Family::IPv6);
    if (!service.domains.empty()) out["domains"] = service.domains;
    return out;
}

} // namespace

std::string to_json(const RangeMap& map) {
    OrderedJson out{{"format", range_map_format},
                    {"serial", map.serial},
                    {"issued", rfc3339(map.issued)},
                    {"effective", rfc3339(map.effective)},
                    {"expires", map.expires ? OrderedJson(rfc3339(*map.expires)) : OrderedJson(nullptr)}};
    if (map.audience) out["audience"] = map.audience->text();
    if (!map.overrides.empty()) out["overrides"] = map.overrides;
    if (map.supersedes != 0) out["supersedes"] = map.supersedes;
    out["services"] = OrderedJson::array();
    for (const Service& service : map.services)
        out["services"].push_back(service_json(service));
    return out.dump(2, ' ', false, OrderedJson::error_handler_t::replace) + "\n";
}

} // namespace kudo
