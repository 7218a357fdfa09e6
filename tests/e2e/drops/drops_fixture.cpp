// SPDX-License-Identifier: MIT
#include "tests/e2e/drops/drops_fixture.h"

#include <bpf/bpf.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <ostream>
#include <stdexcept>
#include <thread>

#include <fmt/format.h>

#include "agent/drops/reasons.h"
#include "tests/support/foreign_program.h"
#include "tests/support/patience.h"

namespace kudo::test {
namespace {

std::array<uint8_t, 6> mac_bytes(const std::string& text) {
    std::array<unsigned, 6> parts{};
    std::array<uint8_t, 6> bytes{};
    if (sscanf(text.c_str(), "%x:%x:%x:%x:%x:%x", &parts[0], &parts[1], &parts[2], &parts[3], &parts[4], &parts[5]) !=
        6)
        throw std::invalid_argument(text);
    std::ranges::transform(parts, bytes.begin(), [](unsigned part) { return static_cast<uint8_t>(part); });
    return bytes;
}

// RFC 1624: a word of the header goes from one value to another.
void change_word(Bytes& frame, std::size_t offset, uint16_t value) {
    constexpr std::size_t header = 14, checksum = header + 10;
    const auto load = [&](std::size_t at) { return static_cast<uint32_t>(frame[at] << 8 | frame[at + 1]); };
    const auto store = [&](std::size_t at, uint32_t word) {
        frame[at] = static_cast<uint8_t>(word >> 8);
        frame[at + 1] = static_cast<uint8_t>(word);
    };
    uint32_t sum = (~load(checksum) & 0xffff) + (~load(header + offset) & 0xffff) + value;
    sum = (sum & 0xffff) + (sum >> 16);
    sum = (sum & 0xffff) + (sum >> 16);
    store(header + offset, value);
    store(checksum, ~sum & 0xffff);
}

} // namespace

void set_ttl(Bytes& frame, uint8_t ttl) {
    change_word(frame, 8, static_cast<uint16_t>(ttl << 8 | frame[14 + 9]));
}

void dont_fragment(Bytes& frame) {
    change_word(frame, 6, static_cast<uint16_t>(0x4000 | frame[14 + 6] << 8 | frame[14 + 7]));
}

void PrintTo(const DropSums& sums, std::ostream* out) {
    if (sums.empty()) *out << "none";
    for (const auto& [key, count] : sums)
        *out << "\n  " << std::get<0>(key) << " " << std::get<1>(key) << (std::get<2>(key) ? " out: " : " in: ")
             << count.packets << " packets, " << count.bytes << " bytes";
}

void DropsTest::SetUp() {
    LineTest::SetUp();
    if (!test_) return;
    test_->wait_for_carrier();
    test_->in_far({"ip", "neigh", "replace", host_address, "lladdr", mac("host"), "dev", "eth0"});
    test_->in_host({"ip", "neigh", "replace", "10.77.0.1", "lladdr", mac("far"), "dev", "eth0"});
    enable();
}

DropReport DropsTest::drops() const {
    return inside<DropReport>(test_->host, [&] {
        auto data_path = DataPath::open(test_->instance);
        if (!data_path) throw std::runtime_error(data_path.error().message);
        auto report = read_drops(*data_path);
        if (!report) throw std::runtime_error(report.error().message);
        return std::move(*report);
    });
}

DropSums DropsTest::losses(const DropReport& report) {
    DropSums sums;
    for (const Drop& drop : report.rows) {
        if (!drop.is_loss || drop.is_ours || !drop.namespace_known) continue;
        for (const kudo_direction direction : {KUDO_INGRESS, KUDO_EGRESS}) {
            if (drop.counters[direction].packets == 0) continue;
            Count& sum = sums[{std::string(layer_name(drop.layer)), drop.reason, direction}];
            sum.packets += drop.counters[direction].packets;
            sum.bytes += drop.counters[direction].bytes;
        }
    }
    return sums;
}

std::string DropsTest::text_of(const DropReport& report) {
    std::string text = "\n";
    for (const Drop& row : report.rows)
        if (row.namespace_known)
            text += fmt::format("{} {} at {}: {} {} > {}:{}, interface {}, class {:#x}, {} in, {} out{}{}\n",
                                layer_name(row.layer), row.reason, row.place, row.flow->protocol, row.flow->local_port,
                                row.flow->remote.text(), row.flow->remote_port, row.flow->interface_index,
                                row.queue_class, row.counters[KUDO_INGRESS].packets, row.counters[KUDO_EGRESS].packets,
                                row.is_loss ? "" : ", no loss", row.is_ours ? ", ours" : "");
    return text;
}

DropSums DropsTest::as_named_here(const DropSums& losses, const DropSums& expected) {
    const auto reasons = DropReasons::of_running_kernel();
    const unsigned arguments = reasons ? (*reasons)->tracepoint_arguments() : 0;
    DropSums named;
    for (const auto& [key, count] : losses) {
        const auto fits = [&loss = key, arguments](const auto& entry) {
            const DropKey& there = entry.first;
            return std::get<2>(there) == std::get<2>(loss) &&
                   (arguments < 3 || std::get<0>(there) == std::get<0>(loss));
        };
        const std::string& reason = std::get<1>(key);
        const bool unnamed = !expected.contains(key) && (reason.empty() || reason == "NOT_SPECIFIED");
        const auto like = unnamed ? std::ranges::find_if(expected, fits) : expected.end();
        Count& sum = named[like == expected.end() ? key : like->first];
        sum.packets += count.packets;
        sum.bytes += count.bytes;
    }
    return named;
}

DropSums DropsTest::losses_once(const DropSums& expected) const {
    const auto deadline = std::chrono::steady_clock::now() + patient(std::chrono::seconds(10));
    DropSums now;
    do {
        now = as_named_here(losses_now(), expected);
        if (now == expected) break;
        std::this_thread::sleep_for(std::chrono::milliseconds(50));
    } while (std::chrono::steady_clock::now() < deadline);
    return now;
}

void DropsTest::flood(int socket, const Endpoint& to, unsigned count, std::size_t size) {
    const Bytes payload(size, 0x6b);
    for (unsigned i = 0; i < count; i++)
        send_datagram(socket, to, payload);
}

unsigned DropsTest::take_all(int socket) {
    unsigned count = 0;
    for (uint8_t byte = 0; recv(socket, &byte, sizeof byte, MSG_DONTWAIT) >= 0;)
        count++;
    return count;
}

Bytes DropsTest::towards(const Packet& packet, const std::string& destination, const std::string& source) const {
    Bytes frame = packet.bytes();
    const auto to = mac_bytes(destination), from = mac_bytes(source);
    std::ranges::copy(to, frame.begin());
    std::ranges::copy(from, frame.begin() + 6);
    return frame;
}

Bytes DropsTest::towards_host(const Packet& packet) const {
    return towards(packet, mac("host"), mac("far"));
}

void DropsTest::from_far(const Packet& packet, unsigned count) const {
    const Bytes frame = towards_host(packet);
    const FrameSender sender(test_->far, "eth0");
    for (unsigned i = 0; i < count; i++)
        sender.send(frame);
}

void DropsTest::sysctl(const std::string& name, const std::string& value) const {
    inside<int>(test_->host, [&] {
        std::ofstream file("/proc/sys/" + name);
        if (!(file << value << std::flush)) throw std::runtime_error(name + ": cannot be set");
        return 0;
    });
}

void DropsTest::nft(const std::string& rules) const {
    test_->in_host({"nft", rules});
}

void DropsTest::add_second_interface() const {
    test_->in_far({"ip", "link", "add", "lan1", "type", "veth", "peer", "name", "lan0"});
    test_->in_far({"ip", "link", "set", "lan0", "netns",
                   "/proc/" + std::to_string(getpid()) + "/fd/" + std::to_string(test_->host.fd()), "name", "eth1"});
    test_->in_far({"ip", "link", "set", "lan1", "up"});
    test_->in_host({"ip", "address", "add", "10.78.0.1/24", "dev", "eth1"});
    test_->in_host({"ip", "link", "set", "eth1", "up"});
}

Fd length_dropper(bpf_prog_type type, uint32_t length) {
    std::vector<bpf_insn> code;
    const bool xdp = type == BPF_PROG_TYPE_XDP;
    if (xdp) { // data_end - data
        code = {instruction(BPF_LDX | BPF_MEM | BPF_W, 2, 1, 4, 0), instruction(BPF_LDX | BPF_MEM | BPF_W, 3, 1, 0, 0),
                instruction(BPF_ALU64 | BPF_SUB | BPF_X, 2, 3, 0, 0)};
    } else { // __sk_buff.len
        code = {instruction(BPF_LDX | BPF_MEM | BPF_W, 2, 1, 0, 0)};
    }
    code.push_back(instruction(BPF_ALU64 | BPF_MOV | BPF_K, 0, 0, 0, xdp ? XDP_PASS : -1));
    code.push_back(instruction(BPF_JMP | BPF_JNE | BPF_K, 2, 0, 1, static_cast<int32_t>(length)));
    code.push_back(instruction(BPF_ALU64 | BPF_MOV | BPF_K, 0, 0, 0, xdp ? XDP_DROP : 2));
    code.push_back(instruction(BPF_JMP | BPF_EXIT, 0, 0, 0, 0));
    LIBBPF_OPTS(bpf_prog_load_opts, options);
    Fd program(bpf_prog_load(type, "length_dropper", "GPL", code.data(), code.size(), &options));
    if (!program) throw std::runtime_error(std::string("length_dropper: ") + strerror(errno));
    return program;
}

} // namespace kudo::test
