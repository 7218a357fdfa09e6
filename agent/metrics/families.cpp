// SPDX-License-Identifier: MIT
#include "agent/metrics/families.h"

#include <algorithm>
#include <array>
#include <map>
#include <tuple>

#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <prometheus/metric_family.h>
#include <prometheus/text_serializer.h>

#include "maps/base/abi_names.h"
#include "maps/compile/combine.h"

namespace kudo {
namespace {

using prometheus::ClientMetric;
using prometheus::MetricFamily;
using prometheus::MetricType;
using Labels = std::vector<ClientMetric::Label>;

// The exposition format is UTF-8; an interface's name may be any bytes. What is none becomes U+FFFD, as in JSON.
std::string as_utf8(const std::string& text) {
    using Json = nlohmann::json;
    return Json::parse(Json(text).dump(-1, ' ', false, Json::error_handler_t::replace)).get<std::string>();
}

constexpr const char* direction_names[KUDO_DIRECTIONS] = {"ingress", "egress"};
static_assert(KUDO_INGRESS == 0 && KUDO_EGRESS == 1);

class Family {
public:
    Family(MetricType type, const std::string& name, const std::string& help) : family_{name, help, type, {}} {}
    void add(double value, Labels labels = {}) {
        ClientMetric metric;
        metric.label = std::move(labels);
        (family_.type == MetricType::Counter ? metric.counter.value : metric.gauge.value) = value;
        family_.metric.push_back(std::move(metric));
    }
    // A family without series is left out.
    void move_to(std::vector<MetricFamily>& families) {
        if (!family_.metric.empty()) families.push_back(std::move(family_));
    }

private:
    MetricFamily family_;
};

double seconds_of(std::chrono::system_clock::time_point time) {
    return std::chrono::duration<double>(time.time_since_epoch()).count();
}

class Families {
public:
    void gauge(const std::string& name, const std::string& help, double value, Labels labels = {}) {
        Family family(MetricType::Gauge, name, help);
        family.add(value, std::move(labels));
        family.move_to(families_);
    }
    void time(const std::string& name, const std::string& help, const std::optional<Time>& time) {
        if (time) gauge(name, help, seconds_of(*time));
    }
    void add(Family family) { family.move_to(families_); }
    [[nodiscard]] std::string text() const { return prometheus::TextSerializer().Serialize(families_); }

private:
    std::vector<MetricFamily> families_;
};

void add_status(const StatusFacts& status, Families& families) {
    families.gauge("kudo_status_timestamp_seconds", "When the service last compared the kernel with the desired state.",
                   seconds_of(status.read_at));
    families.gauge("kudo_enabled", "1 if kudo-agent is enabled on this host.", status.enabled);
    families.gauge("kudo_healthy", "1 if it is enabled and nothing differs from the desired state.", status.healthy);
    families.gauge("kudo_problems", "Differences between the kernel and the desired state.",
                   static_cast<double>(status.problems));
    families.gauge("kudo_alarms", "Alarms, such as range maps that were refused.", static_cast<double>(status.alarms));
    if (status.enabled) {
        Family mode(MetricType::Gauge, "kudo_mode_info", "The mode by which packets are judged; always 1.");
        mode.add(1, {{"mode", status.mode}});
        families.add(std::move(mode));
    }
    families.gauge("kudo_range_map_serial", "Serial of the range map in effect.", static_cast<double>(status.serial));
    families.time("kudo_range_map_effective_timestamp_seconds", "From when on the range map is effective.",
                  status.effective);
    families.time("kudo_range_map_next_effective_timestamp_seconds", "When the next staged range map takes effect.",
                  status.next_effective);
    if (status.enabled) {
        Family prefixes(MetricType::Gauge, "kudo_range_map_prefixes", "Address ranges that the kernel judges by.");
        prefixes.add(static_cast<double>(status.prefixes4), {{"family", "ipv4"}});
        prefixes.add(static_cast<double>(status.prefixes6), {{"family", "ipv6"}});
        families.add(std::move(prefixes));
    }
    families.gauge("kudo_range_map_retiring_ranges", "Withdrawn ranges that are still honoured.",
                   static_cast<double>(status.retiring_ranges));
    families.gauge("kudo_range_map_stray_remotes",
                   "Media servers that answer this host at addresses that the range map lacks.",
                   static_cast<double>(status.stray_remotes));
    families.gauge("kudo_range_map_named_stray_remotes",
                   "Those of them that DNS has given this host for a name of the map.",
                   static_cast<double>(status.named_strays));
    families.gauge("kudo_range_map_moved_names", "Names of the range map at addresses that it lacks.",
                   static_cast<double>(status.moved_names));
    families.time("kudo_enforce_deadline_timestamp_seconds", "When mode enforce ends unless it is confirmed.",
                  status.enforce_ends);
}

// Packets and bytes of something: two families.
class Traffic {
public:
    Traffic(const std::string& name, const std::string& what)
        : packets_(MetricType::Counter, name + "_packets_total", "Packets " + what + "."),
          bytes_(MetricType::Counter, name + "_bytes_total", "Bytes of layer 3 " + what + ".") {}
    void add(const kudo_counter& counter, const Labels& labels) {
        packets_.add(static_cast<double>(counter.packets), labels);
        bytes_.add(static_cast<double>(counter.bytes), labels);
    }
    void move_to(Families& families) {
        families.add(std::move(packets_));
        families.add(std::move(bytes_));
    }

private:
    Family packets_, bytes_;
};

void add_services(const Statistics& counters, Families& families) {
    // "media~retiring" and "media~retiring2" are one.
    std::map<std::tuple<std::string, std::string, std::size_t, std::size_t>, kudo_counter> sums;
    for (const auto& [name, service] : counters.services) {
        const auto [plain, state] = parts_of(name);
        for (std::size_t class_ = 0; class_ < KUDO_CLASSES; class_++)
            for (std::size_t direction = 0; direction < KUDO_DIRECTIONS; direction++) {
                const kudo_counter& counter = service.classes[class_][direction];
                kudo_counter& sum =
                    sums[{std::string(plain), state.empty() ? "current" : std::string(state), class_, direction}];
                sum.packets += counter.packets;
                sum.bytes += counter.bytes;
            }
    }
    Traffic traffic("kudo_service", "of a service of the range map, as on the wire");
    for (const auto& [key, counter] : sums) {
        const auto& [service, state, class_, direction] = key;
        traffic.add(counter, {{"service", service},
                              {"state", state},
                              {"class", std::string(class_name(static_cast<kudo_class>(class_)))},
                              {"direction", direction_names[direction]}});
    }
    traffic.move_to(families);
}

void add_queues(const Statistics& counters, Families& families) {
    Family packets(MetricType::Counter, "kudo_queue_packets_total", "Packets that a queue has sent."),
        bytes(MetricType::Counter, "kudo_queue_bytes_total", "Bytes of layer 2 that a queue has sent."),
        drops(MetricType::Counter, "kudo_queue_dropped_packets_total", "Packets that a queue has dropped."),
        waiting(MetricType::Gauge, "kudo_queue_backlog_bytes", "Bytes that wait in a queue.");
    for (const QueueNumbers& queue : counters.queues)
        for (const QueueClass& part : queue.classes) {
            const Labels labels = {
                {"interface", as_utf8(queue.interface)},
                {"direction", queue.direction},
                {"carries", part.carries.empty() ? "all" : fmt::format("{}", fmt::join(part.carries, ","))}};
            packets.add(static_cast<double>(part.packets), labels);
            bytes.add(static_cast<double>(part.bytes), labels);
            if (part.drops) drops.add(static_cast<double>(*part.drops), labels);
            if (part.backlog_bytes) waiting.add(*part.backlog_bytes, labels);
        }
    for (Family* family : {&packets, &bytes, &drops, &waiting})
        families.add(std::move(*family));
}

void add_counters(const Statistics& counters, Families& families) {
    Traffic by_reason("kudo", "by the reason of their judgement, as on the wire");
    for (std::size_t reason = 0; reason < KUDO_REASON_END; reason++)
        for (std::size_t direction = 0; direction < KUDO_DIRECTIONS; direction++)
            by_reason.add(counters.reasons[reason][direction],
                          {{"reason", std::string(reason_name(static_cast<kudo_reason>(reason)))},
                           {"direction", direction_names[direction]}});
    by_reason.move_to(families);
    add_services(counters, families);
    add_queues(counters, families);
}

void add_drops(const DropFacts& drops, Families& families) {
    families.gauge("kudo_drops_timestamp_seconds", "When the service last read what the kernel has dropped.",
                   seconds_of(drops.read_at));
    families.gauge("kudo_drops_measured", "1 if what the kernel drops of KUDO's packets is counted.", drops.measured);
    if (!drops.measured) return;
    Family lost(MetricType::Counter, "kudo_host_dropped_packets_total",
                "KUDO's packets that this host's kernel has lost, by the layer where."),
        untold(MetricType::Counter, "kudo_host_untold_packets_total",
               "KUDO's packets that the kernel has freed, saying neither why nor where: losses, copies, or both.");
    for (std::size_t direction = 0; direction < KUDO_DIRECTIONS; direction++) {
        for (std::size_t layer = 0; layer < drops.lost.size(); layer++)
            lost.add(static_cast<double>(drops.lost[layer][direction]),
                     {{"layer", std::string(layer_name(static_cast<DropLayer>(layer)))},
                      {"direction", direction_names[direction]}});
        untold.add(static_cast<double>(drops.untold[direction]), {{"direction", direction_names[direction]}});
    }
    families.add(std::move(lost));
    families.add(std::move(untold));
}

void add_media(const MediaLoss::Packets& media, Families& families) {
    Family received(MetricType::Counter, "kudo_rtp_received_packets_total",
                    "Packets of KUDO's incoming RTP streams that have come, each sequence number once."),
        missing(
            MetricType::Counter, "kudo_rtp_missing_packets_total",
            "Packets of KUDO's incoming RTP streams that are missing: lost before they came to kudo-agent's programs.");
    received.add(static_cast<double>(media.received));
    missing.add(static_cast<double>(media.missing));
    families.add(std::move(received));
    families.add(std::move(missing));
}

} // namespace

DropFacts facts_of(const DropReport& report) {
    DropFacts facts{.read_at = std::chrono::system_clock::now(), .measured = report.available};
    for (const Drop& drop : report.totals)
        for (std::size_t direction = 0; direction < KUDO_DIRECTIONS; direction++) {
            const uint64_t packets = drop.counters[direction].packets;
            facts.all[direction] += packets;
            if (drop.is_loss && !drop.is_ours) facts.lost[static_cast<std::size_t>(drop.layer)][direction] += packets;
            if (is_untold(drop)) facts.untold[direction] += packets;
        }
    return facts;
}

void keep_up(DropFacts& now, const DropFacts& before) {
    for (std::size_t direction = 0; direction < KUDO_DIRECTIONS; direction++)
        if (now.all[direction] < before.all[direction]) return; // other tables
    for (std::size_t direction = 0; direction < KUDO_DIRECTIONS; direction++)
        for (std::size_t layer = 0; layer < now.lost.size(); layer++)
            now.lost[layer][direction] = std::max(now.lost[layer][direction], before.lost[layer][direction]);
}

StatusFacts facts_of(const Status& status) {
    StatusFacts facts{.read_at = std::chrono::system_clock::now(),
                      .enabled = status.desired.enabled,
                      .healthy = is_healthy(status),
                      .mode = std::string(mode_name(status.mode)),
                      .problems = status.drift.size(),
                      .alarms = status.alarms.size(),
                      .serial = status.serial,
                      .effective = status.effective,
                      .prefixes4 = status.prefixes4,
                      .prefixes6 = status.prefixes6,
                      .stray_remotes = status.stale.strays.size(),
                      .moved_names = status.stale.moved_names.size()};
    for (const StrayRemote& stray : status.stale.strays)
        facts.named_strays += stray.name.empty() ? 0 : 1;
    if (const AcceptedMap* next = next_staged(status.desired.ranges)) facts.next_effective = next->effective;
    if (status.what_retires)
        for (const auto& map : *status.what_retires)
            facts.retiring_ranges += map.ranges;
    const uint64_t deadline = status.effect.deadline, now = status.read_at.since_boot;
    if (deadline > now)
        facts.enforce_ends =
            std::chrono::floor<std::chrono::seconds>(facts.read_at + std::chrono::nanoseconds(deadline - now));
    return facts;
}

std::string metrics_text(const MetricsInput& input) {
    Families families;
    Labels build = {{"version", KUDO_VERSION}};
    if (!input.ring.empty()) build.push_back({"ring", input.ring});
    families.gauge("kudo_build_info", "Version of the running service, and the host's ring; always 1.", 1, build);
    if (input.looked)
        families.gauge("kudo_status_read", "1 if the service could read the host's state when it last looked.",
                       input.status.has_value());
    if (input.status) add_status(*input.status, families);
    if (input.counters) add_counters(*input.counters, families);
    if (input.drops) add_drops(*input.drops, families);
    if (input.media) add_media(*input.media, families);
    return families.text();
}

} // namespace kudo
