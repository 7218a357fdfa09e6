// SPDX-License-Identifier: MIT
#include "tests/oracle/session.h"

#include <sched.h>

#include <cerrno>
#include <cstring>
#include <stdexcept>

#include <bpf/bpf.h>
#include <linux/bpf.h>

#include "agent/datapath/generation.h"
#include "agent/system/uptime.h"
#include "bpf/learned.h"
#include "bpf/wire.h"
#include "maps/base/abi_names.h"
#include "maps/compile/compile.h"
#include "maps/document/domain.h"
#include "maps/document/parse_range_map.h"

namespace kudo::test {
namespace {

constexpr uint32_t tc_drop = 2, tc_next = 0xffffffff; // linux/pkt_cls.h: TC_ACT_SHOT, TC_ACT_UNSPEC

template <typename T> T required(Result<T>&& result) {
    if (!result) throw std::runtime_error(result.error().message);
    if constexpr (!std::is_void_v<T>) return std::move(*result);
}

// Stays on one CPU: only its counters change.
std::size_t pinned_cpu() {
    const int cpu = sched_getcpu();
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    if (cpu < 0 || sched_setaffinity(0, sizeof set, &set) != 0) throw std::runtime_error("cannot stay on one CPU");
    return static_cast<std::size_t>(cpu);
}

AllowRule rule_from(const nlohmann::json& json) {
    AllowRule rule;
    rule.rule = {.first_port = json.at("first"),
                 .last_port = json.at("last"),
                 .protocol = json.at("protocol"),
                 .kind = json.at("kind"),
                 .flags = json.at("flags"),
                 .pad = 0};
    for (const auto& remote : json.at("remotes"))
        rule.remotes.push_back(required(Prefix::parse(remote.get<std::string>())));
    std::ranges::sort(rule.remotes);
    rule.text = json.dump();
    if (json.at("lifeline")) rule.lifeline = "lifeline";
    return rule;
}

uint64_t deadline_from(const std::string& name) {
    return name == "past" ? kernel_boot_time() : name == "ahead" ? kernel_boot_time() + 3'600'000'000'000 : 0;
}

CompileOptions options_from(const nlohmann::json& policy) {
    CompileOptions options;
    options.regions = policy.at("regions").get<std::vector<std::string>>();
    options.optional_services = policy.at("optional").get<std::vector<std::string>>();
    const std::string mode = policy.at("mode"), admission = policy.at("admission");
    options.mode = mode == "enforce" ? KUDO_ENFORCE : mode == "observe" ? KUDO_OBSERVE : KUDO_PRIORITISE;
    options.marks = default_marks();
    options.admission = admission == "enforce"    ? KUDO_ADMISSION_ENFORCE
                        : admission == "rehearse" ? KUDO_ADMISSION_REHEARSE
                                                  : KUDO_ADMISSION_NONE;
    options.deadline = deadline_from(policy.at("deadline"));
    for (const auto& rule : policy.at("rules"))
        options.allow.push_back(rule_from(rule));
    return options;
}

template <typename Key, typename Value> void forget(int fd) {
    std::vector<Key> keys;
    required(for_each_entry<Key, Value>(fd, "a table", [&](const Key& key, const Value&) { keys.push_back(key); }));
    for (const Key& key : keys)
        bpf_map_delete_elem(fd, &key);
}

// As if DNS had given each address for these domains, for longer than a session.
void learn(const DataPath::Maps& maps, const nlohmann::json& learned) {
    const auto filter = required(Mapped<std::array<uint8_t, KUDO_LEARNED_FILTER>>::map(
        maps.learned_filter.get(), "the learned addresses' filter"));
    for (const auto& row : learned) {
        const Address address = required(Address::parse(row.at("address").get<std::string>()));
        kudo_learned names{};
        for (const std::string& domain : row.at("domains").get<std::vector<std::string>>())
            kudo_add_learned(&names, domain_key(domain), 1, kernel_boot_time(), KUDO_LEARNED_MOST);
        std::array<__be32, 4> words{};
        std::memcpy(words.data(), address.bytes.data(), address.bits() / 8);
        const bool is_ipv4 = address.family == Family::IPv4;
        (*filter)[is_ipv4 ? kudo_learned_byte4(words[0]) : kudo_learned_byte6(words.data())] = 1;
        const int fd = is_ipv4 ? maps.learned4.get() : maps.learned6.get();
        if (bpf_map_update_elem(fd, address.bytes.data(), &names, BPF_ANY) != 0)
            throw std::runtime_error("cannot enter a learned address");
    }
}

template <typename Key> void age_flows(int fd, uint64_t nanoseconds) {
    required(for_each_entry<Key, uint64_t>(fd, "a table", [&](const Key& key, uint64_t time) {
        time -= nanoseconds;
        bpf_map_update_elem(fd, &key, &time, BPF_EXIST);
    }));
}

// Test runs take no frame that is shorter than an Ethernet header; those of tc, on newer kernels, none that says IPv4
// or IPv6 at its Ethernet type and is shorter than that header.
bool is_refused(const ExpectedPacket& packet) {
    const Bytes& frame = packet.frame;
    if (frame.size() < sizeof(kudo_ethernet_header)) return true;
    if (packet.hook == Hook::Xdp) return false;
    const int type = frame[12] << 8 | frame[13];
    return (type == KUDO_ETHERTYPE_IPV4 && frame.size() < 14 + 20) ||
           (type == KUDO_ETHERTYPE_IPV6 && frame.size() < 14 + 40);
}

} // namespace

Bench::Bench(kudo_link_layer link)
    : datapath_(Datapath::Options{.link = link}),
      cpus_(required(Mapped<kudo_cpu>::map(datapath_.maps().cpus.get(), "the counters"))), cpu_(pinned_cpu()) {}

void Bench::begin(const nlohmann::json& policy) {
    const RangeMap map = required(parse_range_map(policy.at("map").dump(), "the session's map"));
    const CompiledPolicy compiled = required(compile(map, options_from(policy), slots_));
    required(publish(datapath_.maps(), compiled));
    slots_ = compiled.slots;
    const DataPath::Maps& maps = datapath_.maps();
    forget<kudo_flow4_key, uint64_t>(maps.outgoing4.get());
    forget<kudo_flow6_key, uint64_t>(maps.outgoing6.get());
    forget<kudo_fragment_key, kudo_fragments>(maps.fragments.get());
    // What a name has decided stays in a flow's row.
    forget<kudo_flow4_key, kudo_flow>(maps.flows4.get());
    forget<kudo_flow6_key, kudo_flow>(maps.flows6.get());
    forget<std::array<uint8_t, 4>, kudo_learned>(maps.learned4.get());
    forget<std::array<uint8_t, 16>, kudo_learned>(maps.learned6.get());
    learn(maps, policy.at("learned"));
    reasons_ = policy.at("reasons").get<std::vector<std::string>>();
    before_ = counted();
}

void Bench::age(uint32_t seconds) {
    const uint64_t nanoseconds = uint64_t{seconds} * 1'000'000'000;
    const DataPath::Maps& maps = datapath_.maps();
    age_flows<kudo_flow4_key>(maps.outgoing4.get(), nanoseconds);
    age_flows<kudo_flow6_key>(maps.outgoing6.get(), nanoseconds);
    const int fd = maps.fragments.get();
    required(for_each_entry<kudo_fragment_key, kudo_fragments>(fd, "fragments", [&](const auto& key, auto value) {
        value.first_seen -= nanoseconds;
        bpf_map_update_elem(fd, &key, &value, BPF_EXIST);
    }));
    // Flows that were just admitted, which their packets do not prove again for a moment.
    std::memset(&cpus_.elements()[cpu_].admitted, 0, sizeof(kudo_cpu::admitted));
}

Bench::Counted Bench::counted() const {
    const kudo_counters& counters = cpus_.elements()[cpu_].counters;
    Counted result;
    for (std::size_t i = 0; i < result.reasons.size(); ++i) {
        result.reasons[i] = counters.reasons[i / directions][i % directions].packets;
        result.would_drop[i] = counters.would_drop[i / directions][i % directions].packets;
    }
    return result;
}

std::string Bench::name_of_change(const Packets& before, const Packets& after, uint32_t direction) const {
    std::string names;
    for (std::size_t i = 0; i < after.size(); ++i) {
        if (after[i] == before[i]) continue;
        if (!names.empty()) names += " and ";
        names += reason_name(static_cast<kudo_reason>(i / directions));
        if (i % directions != direction) names += " of the other direction";
    }
    return names.empty() ? "none" : names;
}

std::optional<std::string> Bench::difference(const ExpectedPacket& packet) {
    if (is_refused(packet)) return std::nullopt;
    const uint32_t direction = packet.hook == Hook::TcEgress ? KUDO_EGRESS : KUDO_INGRESS;
    RunResult result;
    if (packet.hook == Hook::Xdp)
        result = datapath_.run_xdp(packet.frame, packet.first_buffer == ExpectedPacket::whole_frame
                                                     ? std::nullopt
                                                     : std::optional<uint32_t>(packet.first_buffer));
    else
        result = datapath_.run_tc(direction == KUDO_EGRESS ? KUDO_EGRESS : KUDO_INGRESS, packet.frame,
                                  {.segment_size = packet.segment_size, .segments = packet.segments});
    // Before 6.18 the test run does not divide frames at will.
    if (result.error == EINVAL && packet.first_buffer != ExpectedPacket::whole_frame) {
        ExpectedPacket whole = packet;
        whole.first_buffer = ExpectedPacket::whole_frame;
        return difference(whole);
    }
    if (result.error != 0) return std::string("the test run says ") + std::strerror(result.error);
    const Counted after = counted();
    const bool xdp = packet.hook == Hook::Xdp;
    const std::string reason = name_of_change(before_.reasons, after.reasons, direction);
    const std::string would_drop = name_of_change(before_.would_drop, after.would_drop, direction);
    before_ = after;
    const std::string verdict = result.returned == (xdp ? uint32_t{XDP_DROP} : tc_drop)   ? "dropped"
                                : result.returned == (xdp ? uint32_t{XDP_PASS} : tc_next) ? "passed"
                                                                                          : "neither";
    const std::string& expected = reasons_.at(packet.reason);
    const std::string expected_would =
        packet.would_drop == ExpectedPacket::no_reason ? "none" : reasons_.at(packet.would_drop);
    const char* expected_verdict = packet.dropped ? "dropped" : "passed";
    const bool is_alternative =
        packet.alternative != ExpectedPacket::no_reason && reason == reasons_.at(packet.alternative);
    if ((reason == expected || is_alternative) && would_drop == expected_would && verdict == expected_verdict)
        return "";
    return "model: " + expected + ", " + expected_verdict + ", rehearsal " + expected_would + "; kernel: " + reason +
           ", " + verdict + ", rehearsal " + would_drop;
}

} // namespace kudo::test
