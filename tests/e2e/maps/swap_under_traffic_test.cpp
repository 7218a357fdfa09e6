// SPDX-License-Identifier: MIT
// Swaps of the policy on an enabled host while packets are judged: by the old or the new, never by a mix or an empty
// one. Run by ctest, label e2e; KUDO_SWAPS sets their number. Invariant: three maps in turn, so that a slot of the
// kernel's tables never holds the same map twice in a row, and any mix of two shows in the counters.
#include <gtest/gtest.h>

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <linux/bpf.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include <cstdlib>
#include <iostream>
#include <numeric>
#include <stop_token>
#include <thread>

#include <fmt/format.h>

#include "agent/datapath/bpf_object.h"
#include "agent/datapath/generation.h"
#include "agent/datapath/slot_names.h"
#include "agent/system/lock.h"
#include "maps/document/parse_range_map.h"
#include "tests/support/packet_builder.h"
#include "tests/support/test_host.h"
#include "tests/support/traffic.h"

namespace kudo::test {
namespace {

constexpr unsigned maps = 3, flows = 64, repeat = 50;
constexpr uint16_t first_flow_port = 40000, wire_port = 50000;

// What is sent. 0: to "both", which every map allows. 1 to 3: own to one map, strangers to the others, each in a /16
// of its own. 4 to 6: to a range that all maps have, each with its own port: port_not_listed in all maps but one.
constexpr unsigned kinds = 1 + 2 * maps;
Endpoint remote_of(unsigned kind) {
    const unsigned map = (kind + maps - 1) % maps;
    if (kind == 0) return {"3.7.3.1", 3000};
    if (kind <= maps) return {fmt::format("3.{}.1.1", 8 + map), static_cast<uint16_t>(1000 + map)};
    return {fmt::format("3.7.{}.1", 40 + map), static_cast<uint16_t>(1 + map)};
}
bool allows(unsigned map, unsigned kind) {
    return kind == 0 || (kind - 1) % maps == map;
}

// Its many other ranges are filled in before those of the packets: a table in use while it is filled would be seen.
std::string map_text(unsigned map) {
    std::string services, others;
    for (unsigned i = 0; i < 250; i++)
        others += fmt::format(R"({}"3.6.{}.0/25")", i ? ", " : "", i);
    const auto add = [&](const std::string& name, const char* class_, unsigned port, const std::string& ranges) {
        services +=
            fmt::format(R"({}{{"name": "{}", "class": "{}", "regions": ["ca"], "ports": ["udp/{}"], "ipv4": [{}]}})",
                        services.empty() ? "" : ", ", name, class_, port, ranges);
    };
    add(fmt::format("own-{}", map), "media", 1000 + map, fmt::format(R"("3.{}.1.0/24")", 8 + map));
    for (unsigned range = 0; range < maps; range++)
        add(fmt::format("range-{}-of-{}", range, map), "control", 1 + map, fmt::format(R"("3.7.{}.0/24")", 40 + range));
    add("both", "control", 3000, R"("3.7.3.0/24")");
    add("others", "media", 3478, others);
    return R"({"format": "kudo-range-map/1", "serial": 2022050001, "issued": "2022-03-01T00:00:00Z", "expires": null,
        "overrides": ["shrink"], "effective": "2022-03-01T00:00:00Z", "services": [)" +
           services + "]}";
}

struct Tally {
    std::array<uint64_t, kinds> sent{};
    uint64_t failed = 0, wrong = 0; // wrong: not what the generation says that was active before and after
};

// Runs frames through the pinned XDP program, each many times in one call, which answers for the last.
// `first`: the generation of map 0, if the program's answer tells what was decided.
void judge_packets(const std::stop_token& stop, int program, const DataPath& data_path, std::optional<uint32_t> first,
                   Tally& tally) {
    setpriority(PRIO_PROCESS, 0, 10); // this thread only: the swaps are not to wait for it
    auto active = Mapped<uint32_t>::map(data_path.maps().active.get(), "the active generation").value();
    const auto generation = [&] { return std::atomic_ref(*active).load(std::memory_order_acquire); };
    const auto frame = [](const Endpoint& remote, unsigned flow) {
        const auto local_port = static_cast<uint16_t>(first_flow_port + flow);
        const Udp udp{.source_port = remote.port, .destination_port = local_port};
        return (Ethernet{} / IPv4{.source = remote.address, .destination = "10.77.0.2"} / udp / Payload(20)).bytes();
    };
    std::array<std::vector<Bytes>, kinds> frames;
    for (unsigned i = 0; i < kinds * flows; i++)
        frames[i % kinds].push_back(frame(remote_of(i % kinds), i / kinds));
    for (std::size_t i = 0; !stop.stop_requested(); i++) {
        for (unsigned kind = 0; kind < kinds; kind++) {
            LIBBPF_OPTS(bpf_test_run_opts, options);
            options.data_in = frames[kind][i % flows].data();
            options.data_size_in = static_cast<uint32_t>(frames[kind][i % flows].size());
            options.repeat = repeat;
            const uint32_t before = generation();
            tally.failed += bpf_prog_test_run_opts(program, &options) != 0;
            const uint32_t after = generation();
            tally.sent[kind] += repeat;
            if (!first || before != after) continue;
            tally.wrong += (options.retval == XDP_PASS) != allows((before - *first) % maps, kind);
        }
    }
}

// A UDP socket from `local` to `remote`, which hears the DS field of what comes.
Fd connected(const NetworkNamespace& space, const Endpoint& local, const Endpoint& remote) {
    Fd fd = hearing_socket(space, local, std::chrono::seconds(10));
    const sockaddr_in to{AF_INET, htons(remote.port), {inet_addr(remote.address.c_str())}, {}};
    if (connect(fd.get(), reinterpret_cast<const sockaddr*>(&to), sizeof to) != 0)
        throw std::runtime_error("udp to " + remote.address + ": " + strerror(errno));
    return fd;
}

struct Echoes {
    uint64_t sent = 0, unmarked = 0, lost = 0;
};

// One real datagram at a time to "both" and back.
void exchange_datagrams(const std::stop_token& stop, const TestHost& test, Echoes& echoes) {
    setpriority(PRIO_PROCESS, 0, 10);
    constexpr int af21 = 18 << 2;
    const Endpoint near{"10.77.0.2", wire_port}, both = remote_of(0);
    const Fd host = connected(test.host, near, both), far = connected(test.far, both, near);
    while (!stop.stop_requested() && echoes.lost == 0) {
        echoes.sent++;
        const int dsfield = send(host.get(), "ping", 4, 0) == 4 ? receive_dsfield(far) : -1;
        echoes.unmarked += dsfield != af21;
        echoes.lost += dsfield < 0 || send(far.get(), "pong", 4, 0) != 4 || receive_dsfield(host) < 0;
    }
}

// An enabled host and what was sent on it.
class SwappingHost {
public:
    // Swaps under a runner and real datagrams; flows of "both" must grow from one look to the next.
    void run(unsigned swaps, std::optional<uint32_t> first, const std::function<void(unsigned)>& swap) {
        {
            const std::jthread runner(
                [&](const std::stop_token& stop) { judge_packets(stop, program.get(), data_path, first, tally); });
            const std::jthread wire([&](const std::stop_token& stop) { exchange_datagrams(stop, test, echoes); });
            const unsigned pause = std::max(swaps / 10, 1u);
            for (unsigned i = 0; i < swaps && !testing::Test::HasFatalFailure(); i++) {
                swap(i);
                if ((i + 1) % pause != 0) continue;
                const uint64_t before = packets_in_flows();
                for (int looks = 0; looks < 100 && packets_in_flows() == before; looks++)
                    look_at_flows();
                EXPECT_GT(packets_in_flows(), before) << "the flows of \"both\" have stopped";
            }
        }
        look_at_flows();
    }

    // True of both modes: where the counters stand after `tally` and `echoes`.
    void expect_complete_policies_only() const {
        const auto stats = test.stats();
        const auto service = [&](const std::string& name, const char* class_, const char* direction = "ingress") {
            return stats.at("services").at(name).at("classes").at(class_).at(direction).at("packets").get<uint64_t>();
        };
        const auto reason = [&](const char* name) {
            return stats.at("reasons").at(name).at("ingress").at("packets").get<uint64_t>();
        };
        EXPECT_EQ(service("both", "control"), tally.sent[0] + echoes.sent) << "an empty policy has judged";
        EXPECT_EQ(service("both", "control", "egress"), echoes.sent);
        EXPECT_GT(echoes.sent, 100u);
        EXPECT_EQ(reason("no_policy") + service("both", "none"), 0u);
        uint64_t rule = service("both", "control"), not_listed = 0, strangers = 0;
        for (unsigned map = 0; map < maps; map++) {
            const std::string own = fmt::format("own-{}", map);
            EXPECT_GT(service(own, "media"), 0u) << own << " was never judged: the swaps were not under traffic";
            EXPECT_LT(service(own, "media"), tally.sent[1 + map]) << own << " was never a stranger";
            EXPECT_EQ(service(own, "none"), 0u) << own << ": its ranges were judged by another map's ports";
            rule += service(own, "media");
            strangers += tally.sent[1 + map] - service(own, "media");
            uint64_t judged = 0;
            for (unsigned of = 0; of < maps; of++) {
                const std::string name = fmt::format("range-{}-of-{}", map, of);
                const uint64_t listed = service(name, "control"), unlisted = service(name, "none");
                EXPECT_EQ(of == map ? unlisted : listed, 0u) << name << " was judged by another map's ports";
                EXPECT_GT(listed + unlisted, 0u) << name << " was never judged";
                rule += listed, not_listed += unlisted, judged += listed + unlisted;
            }
            EXPECT_EQ(judged, tally.sent[1 + maps + map]) << "a range that is in all maps was taken for a stranger's";
        }
        EXPECT_EQ(reason("rule"), rule);
        EXPECT_EQ(reason("port_not_listed"), not_listed);
        EXPECT_GE(reason("stranger"), strangers) << "above it, only the interface's own chatter";
        EXPECT_EQ(packets_in_flows(), tally.sent[0]) << "a flow that is in all maps has lost packets";
        EXPECT_EQ(tally.failed + echoes.lost, 0u);
        EXPECT_EQ(echoes.unmarked, 0u) << "left without the mark that all maps give it, of " << echoes.sent;
    }

    TestHost test = TestHost::build().value();
    [[nodiscard]] std::string file_of(unsigned map, unsigned application) const {
        return test.write_file("map.json", with_serial(map_text(map), 2022050001 + application));
    }
    const DataPath data_path = [this] {
        test.add_far_address(remote_of(0).address + "/32");
        for (const Outcome& outcome :
             {test.apply(file_of(0, 0)), test.agent({"enable", "--region", "ca", "--ingress", "xdp"})})
            if (outcome.status != 0) throw std::runtime_error(outcome.err);
        return DataPath::open(test.instance).value();
    }();
    const Fd program = data_path.pinned_program(Program::Xdp).value();
    Tally tally;
    Echoes echoes;

private:
    void look_at_flows() {
        const auto stats = test.stats();
        std::map<int, uint64_t> now;
        for (const auto& flow : stats.at("flows"))
            if (flow.at("remote") == remote_of(0).address && flow.at("local_port") != wire_port)
                now[flow.at("local_port")] += flow.at("ingress").at("packets").get<uint64_t>();
        for (const auto& [port, packets] : flows_)
            EXPECT_GE(now[port], packets) << "the counter of local port " << port << " has gone back";
        flows_ = std::move(now);
    }
    [[nodiscard]] uint64_t packets_in_flows() const {
        return std::accumulate(flows_.begin(), flows_.end(), uint64_t{0},
                               [](uint64_t sum, const auto& flow) { return sum + flow.second; });
    }
    std::map<int, uint64_t> flows_; // packets of "both" by local port, as last seen
};

class SwapUnderTraffic : public testing::Test {
protected:
    void SetUp() override {
        if (const std::string why = why_no_bpf(); !why.empty()) GTEST_SKIP() << why;
    }
    // Through the library, in enforce mode: the program's answer then tells what was decided.
    static void swap_and_check(SwappingHost& host, unsigned swaps) {
        const Fd lock = lock_folder(host.test.instance.state_dir, std::chrono::seconds(1)).value();
        CompileOptions options;
        options.regions = {"ca"};
        options.mode = KUDO_ENFORCE;
        options.marks = default_marks();
        std::array<CompiledPolicy, maps> policies;
        ServiceSlots slots = read_service_slots(host.data_path.maps()).value();
        for (unsigned map = 0; map < maps; map++) {
            policies[map] = compile(parse_range_map(map_text(map), "map").value(), options, slots).value();
            slots = policies[map].slots;
        }
        const auto first = publish(host.data_path.maps(), policies[0]).value();
        host.run(swaps, first, [&](unsigned i) {
            const auto published = publish(host.data_path.maps(), policies[(i + 1) % maps]);
            ASSERT_TRUE(published) << published.error().message;
            ASSERT_EQ(*published, first + i + 1);
        });
        EXPECT_EQ(host.tally.wrong, 0u) << "judged neither by the generation before nor by the one after";
        host.expect_complete_policies_only();
    }
};

// A swap is mostly the wait for a grace period, which is the same for all: hosts side by side wait together.
TEST_F(SwapUnderTraffic, EveryPacketIsJudgedByTheOldMapOrTheNewOverTenThousandSwaps) {
    constexpr unsigned side_by_side = 4;
    const char* given = std::getenv("KUDO_SWAPS");
    const auto swaps = static_cast<unsigned>(given ? std::strtoul(given, nullptr, 0) : 10000) / side_by_side;
    std::array<SwappingHost, side_by_side> hosts;
    const auto start = std::chrono::steady_clock::now();
    {
        std::vector<std::jthread> threads;
        for (SwappingHost& host : hosts)
            threads.emplace_back([&] { swap_and_check(host, swaps); });
    }
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
    uint64_t judged = 0;
    for (const SwappingHost& host : hosts)
        judged = std::accumulate(host.tally.sent.begin(), host.tally.sent.end(), judged + 2 * host.echoes.sent);
    std::cout << swaps * side_by_side << " swaps in " << seconds.count() << " s, " << seconds.count() * 1000 / swaps
              << " ms each; " << judged << " packets judged\n";
}

TEST_F(SwapUnderTraffic, RangesApplySwapsWholeMaps) {
    SwappingHost host;
    host.run(42, std::nullopt, [&](unsigned i) {
        const Outcome applied = host.test.apply(host.file_of((i + 1) % maps, i + 1));
        ASSERT_EQ(applied.status, 0) << applied.err;
        ASSERT_NE(applied.out.find("applied"), std::string::npos) << applied.out;
    });
    EXPECT_EQ(host.test.status().at("generation"), 43);
    host.expect_complete_policies_only();
}

} // namespace
} // namespace kudo::test
