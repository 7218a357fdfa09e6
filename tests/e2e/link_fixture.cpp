// SPDX-License-Identifier: MIT
// The line of the end-to-end tests. Used through link_fixture.h.
// Invariant: the small programs here are written by hand, so that nothing of the product's own is in them.
#include "tests/e2e/link_fixture.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/if_link.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <poll.h>
#include <sys/ioctl.h>

#include <chrono>
#include <cstddef>
#include <cstring>
#include <ctime>
#include <fstream>
#include <iomanip>
#include <span>
#include <sstream>
#include <stdexcept>
#include <system_error>

#include <fmt/format.h>

#include "tests/support/foreign_program.h"

namespace kudo::test {
namespace {

constexpr int tcx_ingress = 46, tcx_egress = 47; // linux/bpf.h >= 6.6, enum bpf_attach_type
constexpr int next_program = -1;                 // TCX_NEXT

constexpr const char* map_with_ipv6 = R"({
  "format": "kudo-range-map/1", "serial": 2022030101,
  "issued": "2022-03-02T00:00:00Z", "effective": "2022-03-02T00:00:00Z", "expires": null,
  "overrides": ["shrink", "special-address"],
  "services": [
    {"name": "media", "class": "media", "regions": ["*"], "ports": ["udp/3478", "tcp/443"],
     "ipv4": ["3.123.12.128/28"], "ipv6": ["2001:db8:77::/48"]},
    {"name": "region-ca", "class": "control", "regions": ["ca"], "ports": ["tcp/443"], "ipv4": ["3.97.146.187"]}
  ]
})";

[[noreturn]] void fail_with_errno(const std::string& what) {
    throw std::system_error(errno, std::generic_category(), what);
}

constexpr bpf_insn move(uint8_t destination, int32_t immediate) {
    return instruction(BPF_ALU64 | BPF_MOV | BPF_K, destination, 0, 0, immediate);
}
constexpr bpf_insn leave() {
    return instruction(BPF_JMP | BPF_EXIT, 0, 0, 0, 0);
}

Fd load(bpf_prog_type type, const char* name, std::span<const bpf_insn> instructions) {
    Fd program(bpf_prog_load(type, name, "GPL", instructions.data(), instructions.size(), nullptr));
    if (!program) fail_with_errno(std::string("load ") + name);
    return program;
}

uint32_t id_of(int program) {
    bpf_prog_info info{};
    uint32_t size = sizeof info;
    if (bpf_obj_get_info_by_fd(program, &info, &size) != 0) fail_with_errno("program id");
    return info.id;
}

} // namespace

std::string ingress_name(IngressKind kind) {
    return kind == IngressKind::XdpNative ? "xdp-native" : kind == IngressKind::Clsact ? "tc" : tc_hook_name();
}

std::string name_of_ingress(const testing::TestParamInfo<IngressKind>& kind) {
    static constexpr const char* names[] = {"ByDefault", "XdpNative", "TcxBesideSomebodysXdp",
                                            "ClsactBesideSomebodysXdp"};
    return names[static_cast<std::size_t>(kind.param)];
}

void LineTest::SetUp() {
    HostTest::SetUp();
    if (!test_) return;
    for (const char* address : {media_address, region_address, stranger_address})
        test_->add_far_address(std::string(address) + "/32");
    for (const char* address : {media_address6, stranger_address6})
        test_->add_far_address(std::string(address) + "/128");
}

std::string LineTest::mac(const std::string& which) const {
    const std::vector<std::string> show{"ip", "-json", "link", "show", "dev", "eth0"};
    return nlohmann::json::parse(which == "host" ? test_->in_host(show) : test_->in_far(show)).at(0).at("address");
}

void LineTest::leave_text() const {
    const char* const folder = getenv("KUDO_STATS_TEXTS");
    if (!folder || !test_) return;
    const auto* const test = testing::UnitTest::GetInstance()->current_test_info();
    std::ofstream(fmt::format("{}/{}.txt", folder, test->name())) << test_->agent({"stats"}).out;
}

void LineTest::quieten() const {
    const std::string only_udp = "add table inet quiet; "
                                 "add chain inet quiet out { type filter hook output priority 0; policy drop; }; "
                                 "add rule inet quiet out meta l4proto udp accept";
    test_->in_host({"nft", only_udp});
    test_->in_far({"nft", only_udp});
    const std::string far_mac = mac("far"), near_mac = mac("host");
    for (const char* address : {"10.77.0.1", "fd77::1"})
        test_->in_host({"ip", "neigh", "replace", address, "lladdr", far_mac, "nud", "permanent", "dev", "eth0"});
    for (const char* address : {host_address, host_address6})
        test_->in_far({"ip", "neigh", "replace", address, "lladdr", near_mac, "nud", "permanent", "dev", "eth0"});
}

void LineTest::put_bridge() const {
    test_->in_host({"ip", "link", "add", "br0", "type", "bridge"});
    test_->in_host({"ip", "address", "flush", "dev", "eth0"});
    test_->in_host({"ip", "link", "set", "eth0", "master", "br0"});
    test_->in_host({"ip", "address", "add", std::string(host_address) + "/24", "dev", "br0"});
    test_->in_host({"ip", "link", "set", "br0", "up"});
    test_->in_host({"ip", "route", "replace", "default", "via", "10.77.0.1"});
}

void LineTest::enable(std::vector<std::string> more) const {
    more.insert(more.begin(), {"enable", "--region", "ca"});
    const Outcome enabled = test_->agent(std::move(more));
    if (enabled.status != 0) throw std::runtime_error("enable: " + enabled.err + enabled.out);
}

std::vector<std::string> LineTest::prepare(IngressKind kind, std::vector<std::string> more) {
    if (kind == IngressKind::Default) return more;
    if (kind != IngressKind::XdpNative && somebodys_xdp_ == 0) attach_somebodys_xdp();
    if (kind == IngressKind::Clsact) more.insert(more.end(), {"--tc-hook", "clsact"});
    more.insert(more.end(), {"--ingress", "xdp"});
    return more;
}

void LineTest::enable_as(IngressKind kind, std::vector<std::string> more) {
    enable(prepare(kind, std::move(more)));
    const auto interface = test_->status().at("interfaces").at(0);
    if (interface.at("ingress") != ingress_name(kind) ||
        interface.at("egress") != (kind == IngressKind::Clsact ? "tc" : tc_hook_name()))
        throw std::runtime_error("attached otherwise: " + interface.dump());
}

void LineTest::apply_map_with_ipv6() const {
    const Outcome applied = test_->apply(test_->write_file("map.json", map_with_ipv6));
    if (applied.status != 0) throw std::runtime_error("ranges apply: " + applied.err);
}

void LineTest::attach_somebodys_xdp() {
    const Fd program = foreign_program(BPF_PROG_TYPE_XDP, XDP_PASS);
    const int error = inside<int>(test_->host, [&] {
        return bpf_xdp_attach(static_cast<int>(if_nametoindex("eth0")), program.get(), XDP_FLAGS_DRV_MODE, nullptr);
    });
    if (error != 0) throw std::system_error(-error, std::generic_category(), "attach somebody's XDP program");
    somebodys_xdp_ = id_of(program.get());
}

bool LineTest::somebodys_xdp_stands() const {
    if (somebodys_xdp_ == 0) return true;
    uint32_t now = 0;
    const int error =
        inside<int>(test_->host, [&] { return bpf_xdp_query_id(static_cast<int>(if_nametoindex("eth0")), 0, &now); });
    return error == 0 && now == somebodys_xdp_;
}

Fd LineTest::attach_tcx(int program, int attach_type) const {
    return inside<Fd>(test_->host, [&] {
        if (!kernel_has_tcx()) {
            // A filter after the priorities that ours may have: 1 to 8.
            LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = static_cast<int>(if_nametoindex("eth0")),
                        .attach_point = attach_type == tcx_ingress ? BPF_TC_INGRESS : BPF_TC_EGRESS);
            LIBBPF_OPTS(bpf_tc_opts, options, .prog_fd = program, .priority = 100);
            if (const int error = bpf_tc_hook_create(&hook); error != 0 && error != -EEXIST)
                throw std::system_error(-error, std::generic_category(), "make a clsact");
            if (const int error = bpf_tc_attach(&hook, &options); error != 0)
                throw std::system_error(-error, std::generic_category(), "attach a tc filter");
            return Fd();
        }
        LIBBPF_OPTS(bpf_link_create_opts, in_front);
        if (attach_type == tcx_ingress) in_front.flags = 1U << 3; // BPF_F_BEFORE all others
        Fd link(bpf_link_create(program, static_cast<int>(if_nametoindex("eth0")),
                                static_cast<bpf_attach_type>(attach_type), &in_front));
        if (!link) fail_with_errno("attach to tcx");
        return link;
    });
}

void LineTest::enable_behind_somebodys_mark(IngressKind kind, std::vector<std::string> more, uint32_t mark) {
    if (kernel_has_tcx()) {
        enable_as(kind, std::move(more));
        attach_somebodys_mark(mark);
        return;
    }
    more = prepare(kind, std::move(more));
    attach_somebodys_mark(mark);
    more.insert(more.begin(), {"enable", "--region", "ca"});
    const Outcome enabled = test_->agent(std::move(more));
    if (enabled.status != 4) throw std::runtime_error("the filter in front is not told: " + enabled.out + enabled.err);
}

void LineTest::attach_somebodys_mark(uint32_t mark) {
    if (!kernel_has_tcx()) {
        // Of another kind, so that ours goes to the priority after it.
        test_->in_host({"tc", "qdisc", "add", "dev", "eth0", "clsact"});
        test_->in_host({"tc", "filter", "add", "dev", "eth0", "ingress", "pref", "1", "protocol", "all", "matchall",
                        "action", "skbedit", "mark", std::to_string(mark), "continue"});
        return;
    }
    const bpf_insn set_mark[] = {
        instruction(BPF_ALU | BPF_MOV | BPF_K, BPF_REG_2, 0, 0, static_cast<int32_t>(mark)),
        instruction(BPF_STX | BPF_MEM | BPF_W, BPF_REG_1, BPF_REG_2, offsetof(__sk_buff, mark), 0),
        move(BPF_REG_0, next_program),
        leave(),
    };
    const Fd program = load(BPF_PROG_TYPE_SCHED_CLS, "somebodys_mark", set_mark);
    mark_link_ = attach_tcx(program.get(), tcx_ingress);
}

void LineTest::attach_priority_observer() {
    observer_map_ =
        Fd(bpf_map_create(BPF_MAP_TYPE_ARRAY, "priorities", sizeof(uint32_t), sizeof(uint64_t), 16, nullptr));
    if (!observer_map_) fail_with_errno("make a map");
    const bpf_insn observe[] = {
        instruction(BPF_LDX | BPF_MEM | BPF_W, BPF_REG_2, BPF_REG_1, offsetof(__sk_buff, priority), 0),
        instruction(BPF_STX | BPF_MEM | BPF_W, BPF_REG_10, BPF_REG_2, -4, 0),
        instruction(BPF_ALU64 | BPF_MOV | BPF_X, BPF_REG_2, BPF_REG_10, 0, 0),
        instruction(BPF_ALU64 | BPF_ADD | BPF_K, BPF_REG_2, 0, 0, -4),
        instruction(BPF_LD | BPF_DW | BPF_IMM, BPF_REG_1, BPF_PSEUDO_MAP_FD, 0, observer_map_.get()),
        instruction(0, 0, 0, 0, 0), // the upper half of the descriptor
        instruction(BPF_JMP | BPF_CALL, 0, 0, 0, BPF_FUNC_map_lookup_elem),
        instruction(BPF_JMP | BPF_JEQ | BPF_K, BPF_REG_0, 0, 2, 0), // above 15: not counted
        move(BPF_REG_1, 1),
        instruction(BPF_STX | BPF_ATOMIC | BPF_DW, BPF_REG_0, BPF_REG_1, 0, BPF_ADD),
        move(BPF_REG_0, next_program),
        leave(),
    };
    const Fd program = load(BPF_PROG_TYPE_SCHED_CLS, "observer", observe);
    observer_link_ = attach_tcx(program.get(), tcx_egress);
}

std::array<uint64_t, 16> LineTest::priorities_seen() const {
    std::array<uint64_t, 16> seen{};
    for (uint32_t i = 0; i < seen.size(); i++)
        if (bpf_map_lookup_elem(observer_map_.get(), &i, &seen[i]) != 0) fail_with_errno("read a map");
    return seen;
}

Fd open_tun(const NetworkNamespace& space) {
    return inside<Fd>(space, [] {
        Fd fd(open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK));
        ifreq request{};
        request.ifr_flags = IFF_TUN | IFF_NO_PI;
        std::strcpy(request.ifr_name, "tun0");
        if (!fd || ioctl(fd.get(), TUNSETIFF, &request) != 0)
            throw std::system_error(errno, std::generic_category(), "tun0");
        return fd;
    });
}

Seen next_from_tun(const Fd& tun) {
    while (true) {
        pollfd waiting{tun.get(), POLLIN, 0};
        if (poll(&waiting, 1, 5000) != 1) throw std::runtime_error("nothing came out of the tunnel");
        Bytes packet(2048);
        const ssize_t size = read(tun.get(), packet.data(), packet.size());
        if (size < 0) fail_with_errno("read from tun0");
        packet.resize(static_cast<std::size_t>(size));
        if (auto seen = see_ip(packet); seen && seen->protocol == KUDO_PROTOCOL_UDP) return std::move(*seen);
    }
}

void into_tun(const Fd& tun, const Packet& packet) {
    const Bytes bytes = packet.bytes();
    if (write(tun.get(), bytes.data(), bytes.size()) != static_cast<ssize_t>(bytes.size()))
        fail_with_errno("write to tun0");
}

nlohmann::json find_flow(const nlohmann::json& stats, const std::string& protocol, const Endpoint& local,
                         const Endpoint& remote) {
    for (const auto& flow : stats.at("flows"))
        if (flow.at("protocol") == protocol && flow.at("local") == local.address &&
            flow.at("local_port") == local.port && flow.at("remote") == remote.address &&
            flow.at("remote_port") == remote.port)
            return flow;
    return nullptr;
}

Count count_of(const nlohmann::json& counter) {
    return {counter.at("packets").get<uint64_t>(), counter.at("bytes").get<uint64_t>()};
}

double seconds_of(const std::string& time) {
    std::tm parts{};
    double fraction = 0;
    std::istringstream text(time);
    text >> std::get_time(&parts, "%Y-%m-%dT%H:%M:%S");
    if (text.peek() == '.') text >> fraction;
    if (!text || text.get() != 'Z') throw std::invalid_argument("not a time: " + time);
    return static_cast<double>(timegm(&parts)) + fraction;
}

double seconds_now() {
    return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

} // namespace kudo::test
