// SPDX-License-Identifier: MIT
// The fixture of the kernel tests, and the range map that they judge by.
// Invariant: each test has a data path of its own; without BPF it is skipped.
#pragma once

#include <cstring>
#include <optional>
#include <sstream>
#include <string>
#include <string_view>

#include <gtest/gtest.h>
#include <linux/bpf.h>
#include <netinet/in.h>

#include "maps/compile/compile.h"
#include "tests/kernel/bpf_program.h"
#include "tests/kernel/oracle.h"
#include "tests/support/packet_builder.h"

namespace kudo::test {

inline constexpr uint32_t tc_next = 0xffffffff; // TC_ACT_UNSPEC
inline constexpr uint32_t tc_drop = 2;

inline Service service(std::string name, kudo_class class_, const std::vector<std::string_view>& ports,
                       const std::vector<std::string_view>& ranges) {
    Service result;
    result.name = std::move(name);
    result.class_ = class_;
    result.regions = {"*"};
    for (const auto port : ports)
        result.ports.push_back(PortRule::parse(port).value());
    for (const auto range : ranges)
        result.ranges.push_back({Prefix::parse(range).value(), std::string(range)});
    return result;
}

inline RangeMap map_of(std::vector<Service> services) {
    RangeMap map;
    map.serial = 1;
    map.services = std::move(services);
    return map;
}

// Overlapping services, up to four over one address; prefixes of all lengths, shorter and longer than the prefilter's.
inline RangeMap overlapping_map() {
    return map_of({
        service(
            "media", KUDO_CLASS_MEDIA, {"udp/3478", "tcp/443"},
            {"3.7.161.0/26", "3.7.161.48/28", "3.123.12.128/28", "100.64.0.0/10", "2001:db8:1::/48", "2a05:d018::/32"}),
        service("signal", KUDO_CLASS_CONTROL, {"tcp/443", "tcp/8443"},
                {"3.7.161.56/32", "100.64.128.0/17", "203.0.113.0/25", "2001:db8:1:2::/64"}),
        service("relay", KUDO_CLASS_MEDIA, {"udp/3478", "udp/50000", "tcp/443"},
                {"3.7.161.56/29", "100.100.0.0/16", "2001:db8:1:2::5/128"}),
        service("wide", KUDO_CLASS_CONTROL, {"tcp/80", "udp/123"}, {"3.0.0.0/8", "2001::/16", "2001:db8:1:2::5/128"}),
        service("portless", KUDO_CLASS_CONTROL, {}, {"198.51.100.7/32", "2001:db8:2::/47"}),
    });
}

inline CompileOptions options_for(kudo_mode mode) {
    CompileOptions options;
    options.mode = mode;
    options.marks = default_marks();
    return options;
}

class KernelTest : public ::testing::Test {
protected:
    void SetUp() override {
        if (const std::string why = Datapath::missing(); !why.empty()) GTEST_SKIP() << why;
    }
};

// "" or the first counter that differs.
inline std::string counter_difference(const kudo_counters& kernel, const kudo_counters& expected) {
    if (std::memcmp(&kernel, &expected, sizeof kernel) == 0) return {};
    std::ostringstream text;
    const auto compare = [&text](const std::string& name, const kudo_counter& is, const kudo_counter& should) {
        if (is.packets == should.packets && is.bytes == should.bytes) return;
        text << name << ": " << is.packets << " packets, " << is.bytes << " bytes; expected " << should.packets << ", "
             << should.bytes << "\n";
    };
    for (unsigned direction = 0; direction < KUDO_DIRECTIONS; ++direction) {
        const std::string way = direction == KUDO_INGRESS ? " in" : " out";
        for (unsigned reason = 0; reason < KUDO_MAX_REASONS; ++reason)
            compare("reason " + std::to_string(reason) + way, kernel.reasons[reason][direction],
                    expected.reasons[reason][direction]);
        for (unsigned slot = 0; slot < KUDO_MAX_SERVICES; ++slot) {
            for (unsigned class_ = 0; class_ < KUDO_CLASSES; ++class_)
                compare("service " + std::to_string(slot) + " class " + std::to_string(class_) + way,
                        kernel.services[slot][class_][direction], expected.services[slot][class_][direction]);
        }
    }
    if (kernel.untracked_packets != expected.untracked_packets)
        text << "unrecorded " << kernel.untracked_packets << "\n";
    return text.str();
}

inline std::string key_dump(const std::string& key) {
    return hex_dump({reinterpret_cast<const uint8_t*>(key.data()), key.size()});
}

// "" or the first flow that differs. Times are not compared, but must be in order.
inline std::string flow_difference(const FlowBook& kernel, const FlowBook& expected) {
    std::ostringstream text;
    for (const auto& [key, flow] : expected) {
        const auto found = kernel.find(key);
        if (found == kernel.end()) {
            text << "the kernel lacks flow " << key_dump(key);
            return text.str();
        }
        const kudo_flow& row = found->second;
        if (row.judgement != flow.judgement ||
            std::memcmp(row.directions, flow.directions, sizeof row.directions) != 0 ||
            row.last_seen < row.first_seen || row.first_seen == 0) {
            text << "flow " << key_dump(key) << " differs: judgement " << std::hex << row.judgement << ", expected "
                 << flow.judgement << std::dec;
            for (unsigned i = 0; i < KUDO_DIRECTIONS; ++i)
                text << "; " << row.directions[i].packets << " packets, " << row.directions[i].bytes
                     << " bytes, expected " << flow.directions[i].packets << ", " << flow.directions[i].bytes;
            return text.str();
        }
    }
    for (const auto& [key, flow] : kernel) {
        if (!expected.contains(key)) return "the kernel has a flow that should not be: " + key_dump(key);
    }
    return {};
}

} // namespace kudo::test
