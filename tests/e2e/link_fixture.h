// SPDX-License-Identifier: MIT
// A host on a line whose every packet is known, somebody else's programs on it, and how to find a flow in the
// statistics.
// Invariant: what is attached here as somebody else's stays attached until the namespaces end.
#pragma once

#include <gtest/gtest.h>

#include <array>
#include <optional>
#include <string>
#include <vector>

#include "tests/support/capture.h"
#include "tests/support/host_test.h"
#include "tests/support/traffic.h"

namespace kudo::test {

// Addresses of the built-in map, region ca, and one that is in no range.
inline constexpr const char* media_address = "3.123.12.129";
inline constexpr const char* region_address = "3.97.146.187";
inline constexpr const char* stranger_address = "198.51.100.7";
inline constexpr const char* host_address = "10.77.0.2";
inline constexpr const char* host_address6 = "fd77::2";
inline constexpr const char* media_address6 = "2001:db8:77::129"; // of the map with IPv6 ranges
inline constexpr const char* stranger_address6 = "2001:db8:99::1";

// How ingress is to be attached: as enable itself chooses, or by --ingress xdp. There the last two need somebody else's
// XDP program, so that ours cannot be there.
enum class IngressKind { Default, XdpNative, Tcx, Clsact };
std::string ingress_name(IngressKind kind); // as in `status --json`
inline const auto all_ingress_kinds =
    testing::Values(IngressKind::Default, IngressKind::XdpNative, IngressKind::Tcx, IngressKind::Clsact);
std::string name_of_ingress(const testing::TestParamInfo<IngressKind>& kind); // for INSTANTIATE_TEST_SUITE_P

class LineTest : public HostTest {
protected:
    void SetUp() override;
    // With KUDO_STATS_TEXTS=FOLDER: leaves there what `stats` says now, under the test's name.
    void leave_text() const;

    // From here on only UDP of sockets and frames of FrameSender go over the line: no neighbour discovery, ARP, MLD,
    // ICMP or TCP of the two hosts themselves.
    void quieten() const;
    // br0 over eth0, which has the host's address and default route from here on.
    void put_bridge() const;
    // `enable --region ca`, and more; throws if it fails.
    void enable(std::vector<std::string> more = {}) const;
    // So that ingress is attached as said, which it checks. Throws if it fails.
    void enable_as(IngressKind kind, std::vector<std::string> more = {});
    // `ranges apply`: the ranges of the addresses above, and an IPv6 one. Throws if it fails.
    void apply_map_with_ipv6() const;
    // Is somebody else's program the only XDP program on eth0, if one was attached?
    [[nodiscard]] bool somebodys_xdp_stands() const;

    // Programs that are not the agent's, on the host's eth0.
    void attach_somebodys_xdp();
    // enable_as(), and on tc ingress before ours one that sets skb->mark.
    void enable_behind_somebodys_mark(IngressKind kind, std::vector<std::string> more, uint32_t mark);
    void attach_priority_observer(); // tc egress: counts by skb->priority; call after enable
    [[nodiscard]] std::array<uint64_t, 16> priorities_seen() const;

    [[nodiscard]] std::string mac(const std::string& which) const; // "host" or "far", of its eth0

private:
    // Attaches somebody's XDP program if this kind needs it; the options for enable.
    std::vector<std::string> prepare(IngressKind kind, std::vector<std::string> more);
    void attach_somebodys_mark(uint32_t mark);
    [[nodiscard]] Fd attach_tcx(int program, int attach_type) const;

    uint32_t somebodys_xdp_ = 0;
    Fd mark_link_, observer_map_, observer_link_;
};

// tun0, whose far end is the descriptor.
Fd open_tun(const NetworkNamespace& space);
// The next UDP packet that the host sends into it; throws if none comes within five seconds.
Seen next_from_tun(const Fd& tun);
void into_tun(const Fd& tun, const Packet& packet);

// The flow of `stats --json --flows`, or null.
nlohmann::json find_flow(const nlohmann::json& stats, const std::string& protocol, const Endpoint& local,
                         const Endpoint& remote);
// {"packets":, "bytes":}
Count count_of(const nlohmann::json& counter);
// RFC 3339 in UTC as seconds since 1970.
double seconds_of(const std::string& time);
double seconds_now();

} // namespace kudo::test
