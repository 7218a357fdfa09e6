// SPDX-License-Identifier: MIT
// What routes, names and NAT64 prefixes mean for the program that runs: tests/component/wanted_interfaces_test.cpp has
// the cases, here is what becomes of them.
#include "tests/e2e/link_fixture.h"

#include <fmt/format.h>

#include "tests/support/patience.h"
#include "tests/support/running_service.h"

namespace kudo::test {
namespace {

class Routed : public LineTest {
protected:
    using Names = std::vector<std::string>;
    Names watched() const {
        Names names;
        const auto status = test_->status();
        for (const auto& interface : status.at("interfaces"))
            if (interface.at("healthy")) names.push_back(interface.at("name"));
        return names;
    }
    // As the kernel has told `status`.
    Names way_to(const std::string& service) const {
        const auto status = test_->status();
        for (const auto& route : status.at("routes"))
            if (route.at("service") == service) return route.at("interfaces");
        return {};
    }
    std::string add_second_line() const {
        test_->in_host({"ip", "link", "add", "v2", "type", "veth", "peer", "name", "v3"});
        for (const char* name : {"v2", "v3"})
            test_->in_host({"ip", "link", "set", "dev", name, "up"});
        test_->in_host({"ip", "address", "add", "10.2.0.2/24", "dev", "v2"});
        return "v2";
    }
    // Before Linux 6.2 none that is up is renamed.
    void rename(const std::string& from, const std::string& to) const {
        const std::vector<std::string> live{"ip", "link", "set", "dev", from, "name", to};
        if (inside<Outcome>(test_->host, [&] { return run_program(live); }).status == 0) return;
        test_->in_host({"ip", "link", "set", "dev", from, "down"});
        test_->in_host(live);
        test_->in_host({"ip", "link", "set", "dev", to, "up"});
    }
};

TEST_F(Routed, AnUnknownEncapsulationKeepsNoCommandFromWorking) {
    test_->in_host(
        {"ip", "-6", "route", "add", "fd99::/64", "encap", "seg6", "mode", "encap", "segs", "fd77::1", "dev", "eth0"});
    enable();
    EXPECT_EQ(watched(), Names{"eth0"});
    EXPECT_EQ(test_->agent({"status"}).status, 0);
}

TEST_F(Routed, TheServiceFollowsARouteToAnotherInterface) {
    add_second_line();
    enable();
    const RunningService service(*test_, {"--reconcile-every", "1h"});
    EXPECT_EQ(watched(), Names{"eth0"});
    test_->in_host({"ip", "route", "add", "0.0.0.0/1", "via", "10.2.0.1"});
    EXPECT_TRUE(eventually([&] { return watched() == Names{"eth0", "v2"}; })) << service.log();
    EXPECT_EQ(way_to("media"), (Names{"eth0", "v2"})) << "ranges of both halves";
    test_->in_host({"ip", "route", "del", "0.0.0.0/1"});
    EXPECT_TRUE(eventually([&] { return watched() == Names{"eth0"}; })) << service.log();
}

TEST_F(Routed, ForeignRoutesWakeNobody) {
    enable();
    RunningService service(*test_, {"--reconcile-every", "1h"});
    ASSERT_TRUE(eventually([&] { return !service.notifications().empty(); }));
    std::string lines;
    for (int route = 0; route < 100'000; route++)
        lines +=
            fmt::format("route add 11.{}.{}.{}/30 via 10.77.0.1\n", route >> 14, (route >> 6) & 255, (route & 63) * 4);
    const std::string file = test_->write_file("routes", lines);
    std::this_thread::sleep_for(std::chrono::seconds(1)); // what enable and the start have caused is over
    // Whoever looks would heal this.
    if (kernel_has_tcx()) {
        for (const auto& pin : std::filesystem::directory_iterator(test_->instance.layout().string() + "/links"))
            std::filesystem::remove(pin.path());
    } else {
        test_->in_host({"tc", "filter", "del", "dev", "eth0", "ingress"});
    }
    const double before = cpu_seconds(service.pid());
    test_->in_host({"ip", "-batch", file});
    std::this_thread::sleep_for(std::chrono::seconds(1)); // five times what the service waits before it looks
    EXPECT_EQ(test_->agent({"status"}).status, 4) << "it has looked";
    const double seconds = cpu_seconds(service.pid()) - before;
    RecordProperty("cpu_seconds", fmt::format("{:.2f}", seconds));
    EXPECT_LT(seconds, patient(2.0));
    test_->in_host({"ip", "route", "add", "3.123.12.128/28", "via", "10.77.0.1"});
    EXPECT_TRUE(eventually([&] { return test_->agent({"status"}).status == 0; })) << "this one matters";
}

TEST_F(Routed, ARenamedInterfaceStaysAttached) {
    add_second_line();
    enable({"--interface", "v2", "--interface", "eth0"});
    const RunningService service(*test_, {"--reconcile-every", "1h"});
    rename("v2", "w2");
    EXPECT_TRUE(eventually([&] { return service.log().find("v2 is now called w2") != std::string::npos; }))
        << service.log();
    EXPECT_EQ(watched(), (Names{"eth0", "w2"}));
    EXPECT_EQ(test_->agent({"status"}).status, 0) << test_->agent({"status"}).out;
    ASSERT_EQ(test_->agent({"disable"}).status, 0);
    EXPECT_FALSE(std::filesystem::exists(test_->instance.pins()));
}

TEST_F(Routed, AWayThatNoOptionNamesIsNotCalledHealthy) {
    add_second_line();
    enable({"--interface", "eth0"});
    test_->in_host({"ip", "route", "add", "3.123.12.128/28", "via", "10.2.0.1", "dev", "v2", "onlink"});
    const Outcome status = test_->agent({"status"});
    EXPECT_EQ(status.status, 4) << status.out;
    EXPECT_NE(status.out.find("--interface v2"), std::string::npos) << status.out;
}

TEST_F(Routed, AnAlternativeNameIsAName) {
    test_->in_host({"ip", "link", "property", "add", "dev", "eth0", "altname", "to-the-world"});
    enable({"--interface", "to-the-world"});
    EXPECT_EQ(watched(), Names{"eth0"});
}

TEST_F(Routed, PacketsToAMediaAddressBehindANat64AreMarkedAndCounted) {
    constexpr const char* well_known = "64:ff9b::37b:c81"; // media_address
    constexpr const char* own = "2001:db8:122:37b:c:8100::";
    for (const char* address : {well_known, own})
        test_->add_far_address(std::string(address) + "/128");
    enable({"--nat64", "2001:db8:122::/48"});
    for (const auto& [remote, port] : {std::pair(well_known, uint16_t{50001}), {own, uint16_t{50002}}}) {
        const Endpoint local{host_address6, port}, media{remote, 3478};
        const Fd near = udp_socket(test_->host, local);
        const Fd far = udp_socket(test_->far, media);
        send_datagrams(near.get(), media, far.get(), 1, 100);
        const auto flow = find_flow(test_->stats(), "udp", local, media);
        ASSERT_TRUE(flow.is_object()) << remote;
        EXPECT_EQ(flow.at("service"), "media");
        EXPECT_EQ(flow.at("verdict"), "prioritise");
        EXPECT_EQ(count_of(flow.at("egress")), (Count{1, 148}));
    }
    const auto prefixes = test_->status().at("map").at("prefixes");
    EXPECT_EQ(prefixes, nlohmann::json::parse(R"({"ipv4": 45, "ipv6": 0, "nat64": 90})"));
    EXPECT_EQ(test_->agent({"status"}).status, 0);
}

} // namespace
} // namespace kudo::test
