// SPDX-License-Identifier: MIT
// nmap against a host: what it finds where nothing is dropped, and what where mode enforce is on. Prints the table of
// docs/enforce.md.
// Invariant: a scan that finds nothing at the enforcing host has found something at the same host without it, or says
// so in the table; sources are addresses of the far end, so that answers reach it.
#include <future>
#include <set>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "tests/e2e/link_fixture.h"

namespace kudo::test {
namespace {

constexpr const char* admin_address = "203.0.113.5";
constexpr const char* admin_address6 = "2001:db8:9::5";
constexpr uint16_t spoken_port = 40000; // from where this host has sent to the media address, port 3478

// Ports as nmap writes them: "22/tcp". Of those that answer, whatever they say.
using Reachable = std::set<std::string>;

struct Source {
    const char* name;
    const char* address;
    const char* address6;
    Reachable allowed; // at most these
};
const Source admin{"the administrator", admin_address, admin_address6, {"22/tcp"}};
const Source stranger{"a stranger", stranger_address, stranger_address6, {}};
const Source media{"a KUDO range", media_address, media_address6, {}};

struct Scan {
    const char* name;
    std::vector<std::string> arguments;
    bool ipv6 = false;
    Reachable besides{}; // reachable from the media address too
    bool is_udp() const { return arguments.front() == "-sU"; }
};
const std::vector<Scan> scans = {
    {"SYN", {"-sS"}},
    {"ACK", {"-sA"}},
    {"FIN", {"-sF"}},
    {"UDP", {"-sU"}},
    {"SYN, from port 3478", {"-sS", "-g", "3478"}},
    {"SYN, from port 443", {"-sS", "-g", "443"}},
    {"ACK, from port 443", {"-sA", "-g", "443"}},
    {"UDP, from port 3478", {"-sU", "-g", "3478"}, false, {"40000/udp"}},
    {"UDP, from port 443", {"-sU", "-g", "443"}},
    {"SYN, fragments of 8 bytes", {"-sS", "-f"}},
    {"SYN, fragments of 24 bytes", {"-sS", "--mtu", "24"}},
    {"UDP, fragments of 8 bytes, from port 3478",
     {"-sU", "-f", "-g", "3478", "--data-length", "40"},
     false,
     {"40000/udp"}},
    {"SYN, record route", {"-sS", "--ip-options", "R"}},
    {"SYN, timestamps", {"-sS", "--ip-options", "T"}},
    {"SYN, loose source route", {"-sS", "--ip-options", "\\x83\\x07\\x04\\x0a\\x4d\\x00\\x02\\x00"}},
    {"SYN, strict source route", {"-sS", "--ip-options", "\\x89\\x07\\x04\\x0a\\x4d\\x00\\x02\\x00"}},
    {"SYN, decoys", {"-sS", "-D", "203.0.113.77,3.123.12.130,10.77.0.2,ME"}},
    {"SYN, bad checksum", {"-sS", "--badsum"}},
    {"IPv6: SYN", {"-sS"}, true},
    {"IPv6: ACK, from port 443", {"-sA", "-g", "443"}, true},
    {"IPv6: SYN, from port 3478", {"-sS", "-g", "3478"}, true},
    {"IPv6: UDP, from port 3478", {"-sU", "-g", "3478"}, true, {"40000/udp"}},
    {"IPv6: SYN, bad checksum", {"-sS", "--badsum"}, true},
};

// Of nmap's greppable output: "Ports: 22/open/tcp//ssh///, 80/filtered/tcp//http///".
Reachable parse(const std::string& output) {
    Reachable reachable;
    const std::size_t begin = output.find("Ports: ");
    if (begin == std::string::npos) throw std::runtime_error("nmap tells of no ports: " + output);
    std::istringstream ports(output.substr(begin + 7, output.find_first_of("\t\n", begin) - begin - 7));
    for (std::string entry; std::getline(ports >> std::ws, entry, ',');) {
        std::istringstream fields(entry);
        std::string port, state, protocol;
        std::getline(std::getline(std::getline(fields, port, '/'), state, '/'), protocol, '/');
        if (state == "open" || state == "closed" || state == "unfiltered") reachable.insert(port + "/" + protocol);
    }
    return reachable;
}

class ScannedHost : public LineTest {
protected:
    void SetUp() override {
        LineTest::SetUp();
        if (!test_) return;
        test_->add_far_address(std::string(admin_address) + "/32");
        test_->add_far_address(std::string(admin_address6) + "/128");
        // Neither router nor filter: all that an answer needs.
        for (const uint16_t port : std::initializer_list<uint16_t>{22, 80, 443, 3478})
            listeners_.push_back(listen_at(port));
    }

    Fd listen_at(uint16_t port) const {
        return inside<Fd>(test_->host, [port] {
            Fd socket(::socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0));
            sockaddr_in6 address{};
            address.sin6_family = AF_INET6;
            address.sin6_port = htons(port);
            if (!socket || bind(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 ||
                listen(socket.get(), 64) != 0)
                throw std::system_error(errno, std::generic_category(), "listen");
            return socket;
        });
    }

    std::vector<Fd> listeners_;
};

class NmapTest : public ScannedHost {
protected:
    void SetUp() override {
        if (run_program({"nmap", "--version"}).status != 0) GTEST_SKIP() << "there is no nmap here";
        ScannedHost::SetUp();
    }

    Reachable run(const Scan& scan, const Source& source) const {
        std::vector<std::string> argv{"nmap",
                                      "-n",
                                      "-Pn",
                                      "--disable-arp-ping",
                                      "--max-retries",
                                      "1",
                                      "-T4",
                                      "--max-rtt-timeout",
                                      "300ms",
                                      "--host-timeout",
                                      "60s",
                                      "-e",
                                      "eth0",
                                      "-oG",
                                      "-"};
        argv.insert(argv.end(), scan.arguments.begin(), scan.arguments.end());
        argv.insert(argv.end(), {"-S", scan.ipv6 ? source.address6 : source.address, "-p",
                                 scan.is_udp() ? "53,500,3478,40000" : "22,80,443,3478,8080"});
        if (scan.ipv6) argv.emplace_back("-6");
        argv.emplace_back(scan.ipv6 ? host_address6 : host_address);
        return parse(test_->in_far(argv));
    }

    // Some at once: they wait more than they work.
    std::vector<Reachable> run_all(const Source& source) const {
        std::vector<Reachable> results(scans.size());
        std::atomic<std::size_t> next = 0;
        const auto work = [&] {
            for (std::size_t i = next++; i < scans.size(); i = next++)
                results[i] = run(scans[i], source);
        };
        std::vector<std::future<void>> workers;
        for (int i = 0; i < 6; ++i)
            workers.push_back(std::async(std::launch::async, work));
        for (auto& worker : workers)
            worker.get();
        return results;
    }

    // This host speaks to the media addresses, by sockets that it closes: its answer to what comes later is an error.
    void speak() const {
        send_datagram(udp_socket(test_->host, {host_address, spoken_port}).get(), {media_address, 3478}, Bytes(20));
        send_datagram(udp_socket(test_->host, {host_address6, spoken_port}).get(), {media_address6, 3478}, Bytes(20));
    }
};

std::string text_of_ports(const Reachable& ports) {
    return ports.empty() ? "nothing" : fmt::format("{}", fmt::join(ports, " "));
}

TEST_F(NmapTest, OnlyWhatIsAllowedIsReachable) {
    // A host answers with few ICMP errors a second (icmp_ratelimit), which would hide closed ports.
    for (const char* limit :
         {"net.ipv4.icmp_ratelimit=0", "net.ipv6.icmp.ratelimit=0", "net.ipv4.icmp_msgs_per_sec=100000"})
        test_->in_host({"sysctl", "-qw", limit});
    const std::vector<Reachable> before = run_all(stranger);
    enable({"--mode", "enforce", "--no-confirm", "--allow", "tcp/22 from 203.0.113.0/24,2001:db8:9::/48"});
    apply_map_with_ipv6();
    speak();
    fmt::print(
        "| scan | without mode enforce | a stranger | a KUDO range | the administrator |\n|---|---|---|---|---|\n");
    std::vector<std::vector<Reachable>> found;
    for (const Source* source : {&stranger, &media, &admin})
        found.push_back(run_all(*source));
    for (std::size_t i = 0; i < scans.size(); ++i) {
        fmt::print("| {} | {} | {} | {} | {} |\n", scans[i].name, text_of_ports(before[i]), text_of_ports(found[0][i]),
                   text_of_ports(found[1][i]), text_of_ports(found[2][i]));
        EXPECT_EQ(found[0][i], Reachable{}) << scans[i].name;
        EXPECT_EQ(found[1][i], scans[i].besides) << scans[i].name;
        for (const std::string& port : found[2][i])
            EXPECT_TRUE(admin.allowed.contains(port)) << scans[i].name << ": " << port;
    }
    EXPECT_EQ(before[0], (Reachable{"22/tcp", "80/tcp", "443/tcp", "3478/tcp", "8080/tcp"}));
    EXPECT_EQ(before[3], (Reachable{"53/udp", "500/udp", "3478/udp", "40000/udp"}));
    EXPECT_EQ(found[2][0], (Reachable{"22/tcp"}));
    EXPECT_EQ(found[2][18], (Reachable{"22/tcp"}));
}

// A SYN for port 22 behind extension headers, from each source; nmap has no option for them.
TEST_F(ScannedHost, IPv6ExtensionHeadersOpenNothing) {
    enable({"--mode", "enforce", "--no-confirm", "--allow", "tcp/22 from 203.0.113.0/24,2001:db8:9::/48"});
    apply_map_with_ipv6();
    const FrameSender sender(test_->far, "eth0");
    const std::string to = mac("host");
    const auto behind = [&](const char* source, uint16_t port, const std::function<Packet(Packet)>& headers) {
        Packet packet = headers(Ethernet{} / IPv6{.source = source, .destination = host_address6});
        Bytes frame = (packet / Tcp{.source_port = port, .destination_port = 22, .flags = KUDO_TCP_SYN}).bytes();
        std::sscanf(to.c_str(), "%hhx:%hhx:%hhx:%hhx:%hhx:%hhx", &frame[0], &frame[1], &frame[2], &frame[3], &frame[4],
                    &frame[5]);
        return frame;
    };
    const std::vector<std::pair<const char*, std::function<Packet(Packet)>>> tricks = {
        {"none", [](Packet packet) { return packet; }},
        {"hop-by-hop", [](Packet packet) { return std::move(packet) / Extension{}; }},
        {"destination options",
         [](Packet packet) { return std::move(packet) / Extension{.protocol = KUDO_PROTOCOL_DESTINATION_OPTIONS}; }},
        {"atomic fragment", [](Packet packet) { return std::move(packet) / Fragment{}; }},
        {"hop-by-hop and 6 destination options",
         [](Packet packet) {
             packet.add(Extension{});
             for (int i = 0; i < 6; ++i)
                 packet.add(Extension{.protocol = KUDO_PROTOCOL_DESTINATION_OPTIONS});
             return packet;
         }},
        {"routing",
         [](Packet packet) { return std::move(packet) / Extension{.protocol = KUDO_PROTOCOL_ROUTING, .size = 24}; }},
    };
    fmt::print("| SYN to port 22 behind | a stranger | a KUDO range | the administrator |\n|---|---|---|---|\n");
    for (const auto& [name, headers] : tricks) {
        std::vector<std::string> answers;
        for (const Source* source : {&stranger, &media, &admin}) {
            Capture capture(test_->far, "eth0");
            for (const uint16_t port : {uint16_t{443}, uint16_t{3478}, uint16_t{50000}})
                sender.send(behind(source->address6, port, headers));
            uint64_t answered = 0;
            const auto frames = capture.finish();
            for (const uint16_t port : {uint16_t{443}, uint16_t{3478}, uint16_t{50000}})
                answered += count_between(frames, IPPROTO_TCP, {host_address6, 22}, {source->address6, port}).packets;
            answers.emplace_back(answered ? "answered" : "nothing");
            if (source != &admin) EXPECT_EQ(answered, 0u) << name << ", " << source->name;
        }
        fmt::print("| {} | {} |\n", name, fmt::join(answers, " | "));
        if (std::string_view(name) == "none") EXPECT_EQ(answers.back(), "answered");
        if (std::string_view(name) == "routing") EXPECT_EQ(answers.back(), "nothing");
    }
}

} // namespace
} // namespace kudo::test
