// SPDX-License-Identifier: MIT
// Sends KUDO's traffic over a Wi-Fi interface and reads from hwsim0, which shows every frame of mac80211_hwsim's
// radios, with which user priority (802.11's TID) it went; and from the interface's qdiscs, in which class. Called by
// wifi, which says where to.
//
//   kudo_wifi_probe INTERFACE NAME [judge]
//
// Prints a row of the table; with "judge" wrong values are exit status 1, with the reasons.
#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/pkt_sched.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstring>
#include <map>
#include <set>
#include <system_error>
#include <thread>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "agent/queues/tree.h"
#include "agent/system/fd.h"
#include "tests/support/ipv4_address.h"
#include "tests/support/recordings.h"

namespace kudo::test {
namespace {

using Clock = std::chrono::steady_clock;

constexpr const char *media = "3.123.12.130", *region = "3.97.146.187", *stranger = "198.51.100.7";
constexpr uint16_t audio_port = 51001, video_port = 51002, unmarked_port = 51003, own_mark_port = 51004;
constexpr unsigned media_packets = 60, other_packets = 20, connections = 5;
constexpr unsigned undecided = 8; // packets of a stream, at most, that are not yet known to be audio
constexpr int ef = 46;

[[noreturn]] void fail_with_errno(const std::string& what) {
    throw std::system_error(errno, std::generic_category(), what);
}

Fd udp_socket(uint16_t port, int dscp = 0) {
    Fd fd(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    const sockaddr_in local = ipv4_address("0.0.0.0", port);
    const int tos = dscp << 2;
    if (!fd || bind(fd.get(), reinterpret_cast<const sockaddr*>(&local), sizeof local) != 0 ||
        setsockopt(fd.get(), IPPROTO_IP, IP_TOS, &tos, sizeof tos) != 0)
        fail_with_errno("UDP socket");
    return fd;
}

void send_to(const Fd& socket, const char* address, uint16_t port, const Bytes& payload) {
    const sockaddr_in to = ipv4_address(address, port);
    if (sendto(socket.get(), payload.data(), payload.size(), 0, reinterpret_cast<const sockaddr*>(&to), sizeof to) < 0)
        fail_with_errno(fmt::format("send to {}", address));
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
}

void send_stream(const std::string& name, uint16_t port) {
    const Fd socket = udp_socket(port);
    const auto& packets = recording(name).packets;
    for (std::size_t i = 0; i < media_packets; i++)
        send_to(socket, media, 3478, rtp_bytes(packets.at(i)));
}

// The far end refuses: one segment each.
void connect_to(const char* address) {
    for (unsigned i = 0; i < connections; i++) {
        const Fd fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
        const sockaddr_in to = ipv4_address(address, 443);
        if (connect(fd.get(), reinterpret_cast<const sockaddr*>(&to), sizeof to) == 0 || errno != ECONNREFUSED)
            fail_with_errno(fmt::format("connection to {}, which should be refused", address));
    }
}

struct WifiFrame {
    int tid = -1; // -1: without QoS
    std::string destination;
    uint16_t source_port = 0;
    uint8_t protocol = 0, dscp = 0;
};

// IEEE 802.11-2020 section 9.3.2.1: a data frame from a station to its access point that carries IPv4, without
// security.
std::optional<WifiFrame> parse(std::span<const uint8_t> bytes) {
    constexpr std::size_t mac_header = 24, snap = 8, ip = 20;
    if (bytes.size() < 4) return std::nullopt;
    const std::size_t radiotap = bytes[2] | bytes[3] << 8;
    if (bytes.size() < radiotap + mac_header) return std::nullopt;
    bytes = bytes.subspan(radiotap);
    const bool is_data = (bytes[0] & 0x0c) == 0x08, is_qos = (bytes[0] & 0x80) != 0;
    const bool has_body = (bytes[0] & 0x40) == 0, to_access_point = (bytes[1] & 0x03) == 0x01;
    if (!is_data || !has_body || !to_access_point) return std::nullopt;
    WifiFrame frame;
    if (is_qos && bytes.size() > mac_header) frame.tid = bytes[mac_header] & 0x0f;
    const std::size_t body = mac_header + (is_qos ? 2 : 0);
    if (bytes.size() < body + snap + ip + 4) return std::nullopt;
    if (bytes[body + 6] != 0x08 || bytes[body + 7] != 0x00) return std::nullopt; // IPv4's EtherType
    const auto packet = bytes.subspan(body + snap);
    frame.dscp = packet[1] >> 2;
    frame.protocol = packet[9];
    frame.destination = fmt::format("{}.{}.{}.{}", packet[16], packet[17], packet[18], packet[19]);
    frame.source_port = static_cast<uint16_t>(packet[ip] << 8 | packet[ip + 1]);
    return frame;
}

Fd open_capture() {
    Fd fd(socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, htons(ETH_P_ALL)));
    sockaddr_ll where{};
    where.sll_family = AF_PACKET;
    where.sll_protocol = htons(ETH_P_ALL);
    where.sll_ifindex = static_cast<int>(if_nametoindex("hwsim0"));
    const int buffer = 16 << 20;
    if (!fd || where.sll_ifindex == 0 ||
        setsockopt(fd.get(), SOL_SOCKET, SO_RCVBUFFORCE, &buffer, sizeof buffer) != 0 ||
        bind(fd.get(), reinterpret_cast<const sockaddr*>(&where), sizeof where) != 0)
        fail_with_errno("capture on hwsim0");
    return fd;
}

// Until `wanted` frames of ours are there, and no longer than five seconds.
std::vector<WifiFrame> read_frames(const Fd& capture, std::size_t wanted) {
    std::vector<WifiFrame> frames;
    const auto end = Clock::now() + std::chrono::seconds(5);
    Bytes buffer(4096);
    while (frames.size() < wanted && Clock::now() < end) {
        pollfd one{capture.get(), POLLIN, 0};
        if (poll(&one, 1, 100) <= 0) continue;
        const ssize_t size = recv(capture.get(), buffer.data(), buffer.size(), 0);
        if (size <= 0) continue;
        const auto frame = parse({buffer.data(), static_cast<std::size_t>(size)});
        if (frame && (frame->destination == media || frame->destination == region || frame->destination == stranger))
            frames.push_back(*frame);
    }
    return frames;
}

// What the classes of kudo-agent's qdisc have sent: audio, video and fallback, control; nothing: it has none.
using Classes = std::array<uint64_t, 3>;
std::optional<Classes> read_classes(uint32_t interface) {
    auto objects = list_tc_objects(interface);
    if (!objects) throw std::runtime_error(objects.error().message);
    Classes sent{};
    bool below_mq = false;
    for (const TcObject& root : *objects)
        if (root.kind == "mq" && root.handle == queue_handle) below_mq = true;
    if (below_mq) {
        bool any = false;
        for (const TcObject& prio : *objects)
            for (const TcObject& leaf : *objects) {
                const uint32_t band = leaf.parent & TC_H_MIN_MASK;
                if (prio.kind != "prio" || leaf.is_class || (leaf.parent & TC_H_MAJ_MASK) != prio.handle) continue;
                any = true;
                if (band >= 1 && band <= sent.size()) sent[band - 1] += leaf.statistics.packets;
            }
        return any ? std::optional(sent) : std::nullopt;
    }
    const auto classes = queue_classes(*objects);
    if (classes.size() < 4) return std::nullopt;
    for (const QueueClass& one : classes)
        for (std::size_t i = 0; i < sent.size(); i++)
            if (std::ranges::find(one.carries, std::array{"audio", "video", "control"}[i]) != one.carries.end())
                sent[i] += one.packets;
    return sent;
}

struct Kind {
    const char* name;
    std::set<int> right; // user priorities, see RFC 8325 section 4
    std::vector<int> seen;
    [[nodiscard]] std::string text() const {
        const std::set<int> different(seen.begin(), seen.end());
        return different.empty() ? "none" : fmt::format("{}", fmt::join(different, ","));
    }
    [[nodiscard]] bool is_right() const {
        return !seen.empty() && std::ranges::all_of(seen, [&](int tid) { return right.contains(tid); });
    }
};

int run(const char* interface, const char* name, bool judge) {
    const uint32_t index = if_nametoindex(interface);
    const auto before = read_classes(index);
    const Fd capture = open_capture();
    send_stream("opus-20ms-32k", audio_port);
    send_stream("h264-15fps-500k", video_port);
    {
        const Fd plain = udp_socket(unmarked_port), own_mark = udp_socket(own_mark_port, ef);
        for (unsigned i = 0; i < other_packets; i++) {
            send_to(plain, stranger, 9, Bytes(200));
            send_to(own_mark, stranger, 9, Bytes(200));
        }
    }
    connect_to(media);
    connect_to(region);
    constexpr std::size_t sent = 2 * media_packets + 2 * other_packets + 2 * connections;
    const auto frames = read_frames(capture, sent);
    const auto after = read_classes(index);

    Kind audio{"audio", {6}, {}}, video{"video", {4, 5}, {}}, fallback{"fallback", {4, 5}, {}},
        control{"control", {0, 3}, {}}, unmarked{"unmarked", {0}, {}}, own_mark{"own EF", {5, 6}, {}};
    std::map<uint16_t, unsigned> streams;
    uint64_t media_as_audio = 0;
    for (const WifiFrame& frame : frames) {
        const bool udp = frame.protocol == IPPROTO_UDP;
        if (frame.destination == media && udp && frame.dscp == ef) media_as_audio++;
        if (frame.destination == region) {
            control.seen.push_back(frame.tid);
        } else if (frame.destination == media && !udp) {
            fallback.seen.push_back(frame.tid);
        } else if (frame.source_port == audio_port) {
            if (++streams[audio_port] > undecided) audio.seen.push_back(frame.tid);
        } else if (frame.source_port == video_port) {
            video.seen.push_back(frame.tid);
        } else {
            (frame.source_port == own_mark_port ? own_mark : unmarked).seen.push_back(frame.tid);
        }
    }
    std::string classes = "-", wrong;
    if (frames.size() != sent) wrong += fmt::format("  {} frames of {} were seen\n", frames.size(), sent);
    const std::array kinds{&audio, &video, &fallback, &control, &unmarked, &own_mark};
    for (const Kind* kind : kinds)
        if (!kind->is_right()) wrong += fmt::format("  {} went as {}\n", kind->name, kind->text());
    if (before && after) {
        Classes carried{};
        for (std::size_t i = 0; i < carried.size(); i++)
            carried[i] = (*after)[i] - (*before)[i];
        classes = fmt::format("{}", fmt::join(carried, "/"));
        Classes expected{media_as_audio, 2 * media_packets - media_as_audio + connections, connections};
        bool by_dscp = false; // cake, which has control in the tin of video
        for (const QueueClass& one : queue_classes(list_tc_objects(index).value()))
            by_dscp |= one.carries.size() == 3;
        if (by_dscp) expected = {expected[0] + other_packets, expected[1] + expected[2], expected[1] + expected[2]};
        if (carried != expected)
            wrong += fmt::format("  the classes carried {} packets, not {}\n", classes, fmt::join(expected, "/"));
    }
    fmt::print("{:<34}", name);
    for (const Kind* kind : kinds)
        fmt::print(" {:>8}", kind->text());
    fmt::print("  {}\n", classes);
    if (!judge || wrong.empty()) return 0;
    fmt::print("{}", wrong);
    return 1;
}

} // namespace
} // namespace kudo::test

int main(int count, char** arguments) {
    if (count < 3) {
        fmt::print(stderr, "Usage: kudo_wifi_probe INTERFACE NAME [judge]\n");
        return 2;
    }
    try {
        return kudo::test::run(arguments[1], arguments[2], count > 3);
    } catch (const std::exception& exception) {
        fmt::print(stderr, "kudo_wifi_probe: {}\n", exception.what());
        return 1;
    }
}
