// SPDX-License-Identifier: MIT
// The tracing program's life: attached by enable, missed by status, healed, taken over from another build, removed; and
// what is not counted: other namespaces, normal traffic, kudo-agent's own drops.
#include "tests/e2e/drops/drops_fixture.h"

#include <bpf/bpf.h>
#include <netinet/in.h>
#include <sys/mount.h>
#include <sys/socket.h>

#include <chrono>
#include <filesystem>

#include <fmt/format.h>

#include "agent/attach/in_kernel.h"
#include "agent/datapath/generation.h"
#include "agent/drops/tracing.h"

namespace kudo::test {
namespace {

namespace fs = std::filesystem;
constexpr unsigned many = 20;
constexpr std::size_t payload = 100;

class DropTracing : public DropsTest {
protected:
    // Datagrams for which no socket listens.
    void drop_some() const {
        const Fd far = udp_socket(test_->far, {media_address, 3478});
        flood(far.get(), {host_address, 45000}, many, payload);
    }
    [[nodiscard]] uint64_t dropped() const {
        const DropKey key{"socket", "NO_SOCKET", KUDO_INGRESS};
        const DropSums sums = as_named_here(losses_now(), {{key, {}}});
        const auto found = sums.find(key);
        return found == sums.end() ? 0 : found->second.packets;
    }
    [[nodiscard]] fs::path folder() const { return test_->instance.layout().string() + "/drops"; }
    // Links of this instance on tracepoints, as the kernel has them.
    [[nodiscard]] std::size_t tracing_links(bool counting) const {
        return inside<std::size_t>(test_->host, [&] {
            std::size_t count = 0;
            const auto links = find_own_links(instance_id(test_->instance));
            if (!links) throw std::runtime_error(links.error().message);
            for (const OwnLink& link : *links)
                if (link.interface == 0 && (!counting || counts_unpinned(link.program).value_or(true))) count++;
            return count;
        });
    }
    // The active policy, with which `enable` does not go as far yet.
    void enforce() const {
        inside<int>(test_->host, [&] {
            auto data_path = DataPath::open(test_->instance);
            if (!data_path) throw std::runtime_error(data_path.error().message);
            auto active = read_active(data_path->maps());
            if (!active) throw std::runtime_error(active.error().message);
            active->compiled.policy->mode = KUDO_ENFORCE;
            if (auto done = publish(data_path->maps(), active->compiled); !done)
                throw std::runtime_error(done.error().message);
            return 0;
        });
    }
    void expect_degraded(const std::string& text) const {
        const Outcome status = test_->agent({"status"});
        EXPECT_EQ(status.status, 4) << status.out;
        EXPECT_NE(status.out.find(text), std::string::npos) << status.out;
    }
};

TEST_F(DropTracing, IsHealthyAndEndsWithDisable) {
    const Outcome status = test_->agent({"status"});
    EXPECT_EQ(status.status, 0) << status.out << status.err;
    EXPECT_EQ(tracing_links(true), 1u);
    EXPECT_TRUE(drops().available);
    EXPECT_EQ(test_->agent({"disable"}).status, 0);
    EXPECT_EQ(tracing_links(false), 0u);
}

TEST_F(DropTracing, ALostLinkIsDriftAndHealed) {
    drop_some();
    fs::remove(folder().string() + "/link");
    expect_degraded("host drops are not counted");
    DropReport report = drops();
    EXPECT_FALSE(report.available);
    EXPECT_FALSE(report.why_not.empty());
    EXPECT_EQ(dropped(), many) << "what was counted before is there";
    enable();
    EXPECT_EQ(test_->agent({"status"}).status, 0);
    drop_some();
    EXPECT_EQ(dropped(), 2 * many);
    EXPECT_EQ(tracing_links(true), 1u);
}

TEST_F(DropTracing, AnotherBuildsIsReplacedAndItsCountsAreKept) {
    drop_some();
    for (const auto& entry : fs::directory_iterator(folder()))
        if (entry.path().filename().string().starts_with("program_"))
            fs::rename(entry.path(), folder().string() + "/program_0123456789abcdef");
    expect_degraded("another build");
    enable();
    EXPECT_EQ(test_->agent({"status"}).status, 0);
    drop_some();
    EXPECT_EQ(dropped(), 2 * many) << "counted once";
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(2);
    while (tracing_links(false) != 1 && std::chrono::steady_clock::now() < end) {
    }
    EXPECT_EQ(tracing_links(false), 1u);
}

TEST_F(DropTracing, TablesThatAreLostAreMadeAgain) {
    fs::remove_all(folder());
    expect_degraded("host drops are not counted");
    enable();
    drop_some();
    EXPECT_EQ(dropped(), many);
    EXPECT_EQ(test_->agent({"status"}).status, 0);
}

TEST_F(DropTracing, BelowACoveredMountItIsSwitchedOff) {
    ASSERT_EQ(mount("bpf", test_->instance.bpffs.c_str(), "bpf", 0, nullptr), 0);
    expect_degraded("without a pin");
    const Outcome disabled = test_->agent({"disable"});
    EXPECT_EQ(disabled.status, 0) << disabled.err;
    EXPECT_EQ(tracing_links(true), 0u) << "what a mount of somebody's holds counts nothing";
    umount2(test_->instance.bpffs.c_str(), MNT_DETACH);
}

TEST_F(DropTracing, WithoutPinsDisableLeavesNoLink) {
    fs::remove_all(test_->instance.layout());
    EXPECT_EQ(test_->agent({"disable"}).status, 0);
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(2);
    while (tracing_links(false) != 0 && std::chrono::steady_clock::now() < end) {
    }
    EXPECT_EQ(tracing_links(false), 0u);
}

TEST_F(DropTracing, AnotherNamespacesDropsAreNotCounted) {
    const Fd near = udp_socket(test_->host, {host_address, 40001});
    // The far end has nobody at this port; and a rule there.
    test_->in_far({"nft", "add table inet t; add chain inet t in { type filter hook input priority 0; }; "
                          "add rule inet t in udp dport 3479 drop"});
    flood(near.get(), {media_address, 3479}, many, payload);
    flood(near.get(), {media_address, 3478}, many, payload);
    drop_some();
    EXPECT_EQ(losses_once({{{"socket", "NO_SOCKET", KUDO_INGRESS}, {many, many * (payload + udp_headers)}}}),
              (DropSums{{{"socket", "NO_SOCKET", KUDO_INGRESS}, {many, many * (payload + udp_headers)}}}))
        << text_of(drops());
}

TEST_F(DropTracing, StrangersAreNotCounted) {
    const Fd far = udp_socket(test_->far, {stranger_address, 3478});
    flood(far.get(), {host_address, 45000}, many, payload);
    EXPECT_EQ(losses_now(), DropSums{});
}

// By tc, and by native XDP, which on a veth frees packets as any other does.
TEST_F(DropTracing, ItsOwnDropsAreKnownAsSuch) {
    for (const bool xdp : {false, true}) {
        SCOPED_TRACE(xdp ? "XDP" : "tc");
        ASSERT_EQ(test_->agent({"disable"}).status, 0);
        enable(xdp ? std::vector<std::string>{"--ingress", "xdp"} : std::vector<std::string>{});
        enforce();
        const Fd far = udp_socket(test_->far, {media_address, 9999}); // no rule allows that port
        flood(far.get(), {host_address, 45000}, many, payload);
        const Fd near = udp_socket(test_->host, {host_address, 45001});
        const Bytes data(payload, 1);
        for (unsigned i = 0; i < many; i++)
            try {
                send_datagram(near.get(), {media_address, 9999}, data);
            } catch (const std::system_error&) { // the sender may be told
            }
        const DropReport report = drops();
        EXPECT_EQ(losses(report), DropSums{}) << text_of(report);
        uint64_t ours[KUDO_DIRECTIONS] = {};
        for (const Drop& row : report.rows)
            for (const int direction : {KUDO_INGRESS, KUDO_EGRESS})
                if (row.is_ours) ours[direction] += row.counters[static_cast<std::size_t>(direction)].packets;
        EXPECT_EQ(ours[KUDO_INGRESS], many) << text_of(report);
        EXPECT_EQ(ours[KUDO_EGRESS], many) << text_of(report);
        EXPECT_EQ(test_->stats()["reasons"]["port_not_listed"]["ingress"]["packets"], many);
    }
}

// TCP both ways, with data left unread at its end, datagrams to an application that closes, resets, pings. Once, or as
// many seconds as KUDO_NORMAL_TRAFFIC says.
TEST_F(DropTracing, NormalTrafficLosesNothing) {
    const char* const chosen = std::getenv("KUDO_NORMAL_TRAFFIC");
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(chosen ? std::atoi(chosen) : 0);
    unsigned rounds = 0;
    do {
        for (uint16_t port = 40100; port < 40110; port++) {
            transfer_tcp({test_->host, {host_address, port}, test_->far, {media_address, 443}}, 2 << 20, 2 << 20);
            transfer_tcp({test_->far, {media_address, port}, test_->host, {host_address, 443}}, 1 << 20, 1 << 20);
        }
        for (unsigned i = 0; i < 20; i++) {
            const Fd reader = udp_socket(test_->host, {host_address, 45000}),
                     far = udp_socket(test_->far, {media_address, 3478});
            send_datagrams(far.get(), {host_address, 45000}, reader.get(), 100, 1000);
            flood(far.get(), {host_address, 45000}, 10, 1000); // which it closes without reading
        }
        test_->in_host({"ping", "-c", "3", "-i", "0.2", media_address});
        test_->in_far({"ping", "-c", "3", "-i", "0.2", "-I", media_address, host_address});
        const DropReport report = drops();
        ASSERT_EQ(losses(report), DropSums{}) << "round " << rounds << "\n" << text_of(report);
        ++rounds;
    } while (std::chrono::steady_clock::now() < end);
    if (chosen) fmt::print("{} rounds in {} s: none lost\n", rounds, chosen);
}

} // namespace
} // namespace kudo::test
