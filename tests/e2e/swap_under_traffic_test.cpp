// SPDX-License-Identifier: MIT
// Swaps of the policy on an enabled host while packets are judged: by the old or the new, never by a mix or an empty
// one. Run by ctest, label e2e; KUDO_SWAPS sets their number. Invariant: the two maps share the service "both" and the
// addresses of x and y, so that one map's ranges judged by the other's ports would be counted where neither map puts a
// packet.
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

#include "agent/bpf_object.h"
#include "agent/generation.h"
#include "agent/lock.h"
#include "tests/support/packet_builder.h"
#include "tests/support/test_host.h"
#include "tests/support/traffic.h"

namespace kudo::test {
namespace {

// A map of its own services and "both". Its many other ranges make the filling of a table last, and are filled in
// before those of the packets: a table in use while it is filled would be seen.
std::string map_with(const std::string& own_services) {
    std::string others;
    for (int i = 0; i < 250; i++)
        others += (i ? ", \"3.6." : "\"3.6.") + std::to_string(i) + ".0/25\"";
    return R"({"format": "kudo-range-map/1", "serial": 2100000001, "expires": null,
  "issued": "2022-03-01T00:00:00Z", "effective": "2022-03-01T00:00:00Z", "services": [)" +
           own_services + R"(,
  {"name": "others", "class": "media", "regions": ["*"], "ports": ["udp/3478"], "ipv4": [)" +
           others + R"(]},
  {"name": "both", "class": "control", "regions": ["ca"], "ports": ["udp/3000"], "ipv4": ["3.7.3.0/24"]}]})";
}
const std::string map_a = map_with(
    R"({"name": "alpha", "class": "media", "regions": ["*"], "ports": ["udp/1000"], "ipv4": ["3.8.1.0/24"]},
  {"name": "x-of-a", "class": "control", "regions": ["*"], "ports": ["udp/1"], "ipv4": ["3.7.4.0/24"]},
  {"name": "y-of-a", "class": "control", "regions": ["*"], "ports": ["udp/1"], "ipv4": ["3.7.5.0/24"]})");
const std::string map_b = map_with(
    R"({"name": "beta", "class": "media", "regions": ["*"], "ports": ["udp/2000"], "ipv4": ["3.7.2.0/24"]},
  {"name": "x-of-b", "class": "control", "regions": ["*"], "ports": ["udp/2"], "ipv4": ["3.7.4.0/24"]},
  {"name": "y-of-b", "class": "control", "regions": ["*"], "ports": ["udp/2"], "ipv4": ["3.7.5.0/24"]})");

// What is sent: each address with one port only.
enum Kind : std::size_t { Both, A, B, X, Y, Kinds };
struct Sent {
    const char* address;
    uint16_t port;
    bool rule_in_a, rule_in_b;
};
constexpr std::array<Sent, Kinds> kinds = {{{"3.7.3.1", 3000, true, true},
                                            {"3.8.1.1", 1000, true, false},
                                            {"3.7.2.1", 2000, false, true},
                                            {"3.7.4.1", 1, true, false},
                                            {"3.7.5.1", 2, false, true}}};
constexpr uint16_t first_flow_port = 40000, flows = 64, wire_port = 50000;
constexpr int repeat = 50;

struct Tally {
    std::array<uint64_t, Kinds> sent{};
    uint64_t failed = 0, wrong = 0; // wrong: not what the generation says that was active before and after
};

// Runs frames through the pinned XDP program, each many times in one call, which answers for the last. `a_parity`:
// generations of this parity are A's; -1: not known.
void judge_packets(const std::stop_token& stop, int program, const DataPath& data_path, int a_parity, Tally& tally) {
    setpriority(PRIO_PROCESS, 0, 10); // this thread only: the swaps are not to wait for it
    auto active = Mapped<uint32_t>::map(data_path.maps().active.get(), "the active generation").value();
    const auto generation = [&] { return std::atomic_ref(*active).load(std::memory_order_acquire); };
    const auto frame = [](const Sent& kind, unsigned flow) {
        const auto local_port = static_cast<uint16_t>(first_flow_port + flow);
        return (Ethernet{} / IPv4{.source = kind.address, .destination = "10.77.0.2"} /
                Udp{.source_port = kind.port, .destination_port = local_port} / Payload(20))
            .bytes();
    };
    std::array<std::vector<Bytes>, Kinds> frames;
    for (std::size_t kind = 0; kind < Kinds; kind++)
        for (unsigned flow = 0; flow < flows; flow++)
            frames[kind].push_back(frame(kinds[kind], flow));
    for (std::size_t i = 0; !stop.stop_requested(); i++) {
        for (std::size_t kind = 0; kind < Kinds; kind++) {
            LIBBPF_OPTS(bpf_test_run_opts, options);
            options.data_in = frames[kind][i % flows].data();
            options.data_size_in = static_cast<uint32_t>(frames[kind][i % flows].size());
            options.repeat = repeat;
            const uint32_t before = generation();
            tally.failed += bpf_prog_test_run_opts(program, &options) != 0;
            const bool pass = options.retval == XDP_PASS;
            const uint32_t after = generation();
            tally.sent[kind] += repeat;
            if (a_parity < 0 || before != after) continue;
            const bool by_a = static_cast<int>(before & 1) == a_parity;
            tally.wrong += pass != (by_a ? kinds[kind].rule_in_a : kinds[kind].rule_in_b);
        }
    }
}

// A UDP socket from `local` to `remote`, which hears the DS field of what comes.
Fd connected(const NetworkNamespace& space, const Endpoint& local, const Endpoint& remote) {
    Fd fd = udp_socket(space, local);
    const int on = 1;
    const timeval patience{10, 0};
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = htons(remote.port);
    inet_pton(AF_INET, remote.address.c_str(), &to.sin_addr);
    if (setsockopt(fd.get(), IPPROTO_IP, IP_RECVTOS, &on, sizeof on) != 0 ||
        setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience) != 0 ||
        connect(fd.get(), reinterpret_cast<const sockaddr*>(&to), sizeof to) != 0)
        throw std::runtime_error("udp to " + remote.address + ": " + strerror(errno));
    return fd;
}

// The DS field of the datagram that came; -1: none came.
int receive(const Fd& socket) {
    char data[64], control[64];
    iovec part{data, sizeof data};
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    message.msg_control = control;
    message.msg_controllen = sizeof control;
    if (recvmsg(socket.get(), &message, 0) <= 0) return -1;
    const cmsghdr* item = CMSG_FIRSTHDR(&message);
    return item && item->cmsg_level == IPPROTO_IP && item->cmsg_type == IP_TOS ? *CMSG_DATA(item) : -1;
}

struct Echoes {
    uint64_t sent = 0, unmarked = 0, lost = 0;
};

// One real datagram at a time to "both" and back.
void exchange_datagrams(const std::stop_token& stop, const TestHost& test, Echoes& echoes) {
    setpriority(PRIO_PROCESS, 0, 10);
    constexpr int af21 = 18 << 2;
    const Endpoint near{"10.77.0.2", wire_port}, both{kinds[Both].address, kinds[Both].port};
    const Fd host = connected(test.host, near, both), far = connected(test.far, both, near);
    while (!stop.stop_requested() && echoes.lost == 0) {
        echoes.sent++;
        const int dsfield = send(host.get(), "ping", 4, 0) == 4 ? receive(far) : -1;
        echoes.unmarked += dsfield != af21;
        echoes.lost += dsfield < 0 || send(far.get(), "pong", 4, 0) != 4 || receive(host) < 0;
    }
}

// An enabled host and what was sent on it.
class SwappingHost {
public:
    // Swaps under a runner and real datagrams; flows of "both" must grow from one look to the next.
    void run(unsigned swaps, int a_parity, const std::function<void(unsigned)>& swap) {
        {
            const std::jthread runner(
                [&](const std::stop_token& stop) { judge_packets(stop, program.get(), data_path, a_parity, tally); });
            const std::jthread wire([&](const std::stop_token& stop) { exchange_datagrams(stop, test, echoes); });
            const unsigned pause = std::max(swaps / 10, 1u);
            for (unsigned i = 0; i < swaps && !testing::Test::HasFatalFailure(); i++) {
                swap(i);
                if ((i + 1) % pause != 0) continue;
                const uint64_t before = packets_in_flows();
                look_at_flows();
                EXPECT_GT(packets_in_flows(), before) << "the flows of \"both\" have stopped";
            }
        }
        look_at_flows();
    }

    // True of both modes: where the counters stand after `tally` and `echoes`.
    void expect_complete_policies_only() const {
        const auto stats = test.stats();
        const auto service = [&](const char* name, const char* class_, const char* direction = "ingress") {
            return stats.at("services").at(name).at("classes").at(class_).at(direction).at("packets").get<uint64_t>();
        };
        const auto reason = [&](const char* name) {
            return stats.at("reasons").at(name).at("ingress").at("packets").get<uint64_t>();
        };
        EXPECT_EQ(service("both", "control"), tally.sent[Both] + echoes.sent) << "an empty policy has judged";
        EXPECT_EQ(service("both", "control", "egress"), echoes.sent);
        EXPECT_EQ(reason("no_policy"), 0u);
        for (const char* name : {"both", "alpha", "beta", "x-of-a", "y-of-b"})
            EXPECT_EQ(service(name, "none"), 0u) << name << ": one map's ranges were judged by the other's ports";
        EXPECT_EQ(service("x-of-b", "control") + service("y-of-a", "control"), 0u);
        EXPECT_EQ(service("x-of-a", "control") + service("x-of-b", "none"), tally.sent[X]);
        EXPECT_EQ(service("y-of-a", "none") + service("y-of-b", "control"), tally.sent[Y]);
        const std::pair<const char*, const char*> seen[] = {{"alpha", "media"},    {"beta", "media"},
                                                            {"x-of-a", "control"}, {"x-of-b", "none"},
                                                            {"y-of-a", "none"},    {"y-of-b", "control"}};
        for (const auto& [name, class_] : seen)
            EXPECT_GT(service(name, class_), 0u) << name << " never judged: the swaps were not under traffic";
        EXPECT_LT(service("alpha", "media") + service("beta", "media"), tally.sent[A] + tally.sent[B]);
        EXPECT_EQ(reason("port_not_listed"), service("x-of-b", "none") + service("y-of-a", "none"));
        EXPECT_EQ(reason("rule"), service("both", "control") + service("alpha", "media") + service("beta", "media") +
                                      service("x-of-a", "control") + service("y-of-b", "control"));
        const uint64_t strangers = tally.sent[A] - service("alpha", "media") + tally.sent[B] - service("beta", "media");
        EXPECT_GE(reason("stranger"), strangers) << "above it, only the interface's own chatter";
        EXPECT_EQ(packets_in_flows(), tally.sent[Both]) << "a flow that is in both maps has lost packets";
        EXPECT_EQ(tally.failed + echoes.lost, 0u);
        EXPECT_EQ(echoes.unmarked, 0u) << "left without the mark that both maps give it";
        EXPECT_GT(echoes.sent, 100u);
    }

    TestHost test = [] {
        auto built = TestHost::build().value();
        built.add_far_address(std::string(kinds[Both].address) + "/32");
        return built;
    }();
    const std::array<std::string, 2> files{test.write_file("a.json", map_a), test.write_file("b.json", map_b)};
    const DataPath data_path = [this] {
        for (const Outcome& outcome :
             {test.agent({"ranges", "apply", files[0]}), test.agent({"enable", "--region", "ca"})})
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
            if (flow.at("remote") == kinds[Both].address && flow.at("local_port") != wire_port)
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
        const Lock lock = Lock::take(host.test.instance, std::chrono::seconds(1)).value();
        CompileOptions options;
        options.regions = {"ca"};
        options.mode = KUDO_ENFORCE;
        options.marks = default_marks();
        const RangeMap a = parse_range_map(map_a, "a").value(), b = parse_range_map(map_b, "b").value();
        const auto taken = compile(b, options, read_service_slots(host.data_path).value()).value().slots;
        const CompiledPolicy policies[] = {compile(a, options, taken).value(), compile(b, options, taken).value()};
        const auto first = publish(host.data_path, policies[0]).value();
        host.run(swaps, static_cast<int>(first & 1), [&](unsigned i) {
            const auto published = publish(host.data_path, policies[(i + 1) % 2]);
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
    host.run(40, -1, [&](unsigned i) {
        const Outcome applied = host.test.agent({"ranges", "apply", host.files[(i + 1) % 2]});
        ASSERT_EQ(applied.status, 0) << applied.err;
        ASSERT_NE(applied.out.find("applied"), std::string::npos) << applied.out;
    });
    EXPECT_EQ(host.test.status().at("generation"), 41);
    host.expect_complete_policies_only();
}

} // namespace
} // namespace kudo::test
