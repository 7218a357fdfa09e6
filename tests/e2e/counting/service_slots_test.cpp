// SPDX-License-Identifier: MIT
// A life of range maps with more service names than the kernel's table has slots.
// Invariant: every packet is counted for the service that its map names, whoever had that slot before.
#include <gtest/gtest.h>

#include <bpf/bpf.h>

#include <map>

#include <fmt/format.h>

#include "agent/datapath/datapath.h"
#include "agent/datapath/slot_names.h"
#include "tests/support/host_test.h"
#include "tests/support/traffic.h"

namespace kudo::test {
namespace {

using namespace std::chrono_literals;

constexpr unsigned names = 210;
const Endpoint media{"3.123.12.129", 3478};

std::string name_of(unsigned i) {
    return fmt::format("service-{}", i);
}
// Each service has its own address, so that its flows stay behind when it is gone.
Endpoint address_of(unsigned i) {
    return {fmt::format("3.7.{}.1", i), 5000};
}

std::string map_text(unsigned i) {
    return fmt::format(R"({{"format": "kudo-range-map/1", "serial": {}, "issued": "2022-03-01T00:00:00Z",
 "effective": "2022-03-01T00:00:00Z", "overrides": ["shrink"], "services": [
 {{"name": "media", "class": "media", "regions": ["ca"], "ports": ["udp/3478"], "ipv4": ["3.123.12.128/28"]}},
 {{"name": "{}", "class": "control", "regions": ["ca"], "ports": ["udp/5000"], "ipv4": ["{}"]}}]}})",
                       2022050001 + i, name_of(i), address_of(i).address);
}

class ServiceSlotsOfAHost : public HostTest {
protected:
    void SetUp() override {
        HostTest::SetUp();
        if (!test_) return;
        test_->in_host({"ip", "route", "add", "3.0.0.0/8", "via", "10.77.0.1"});
        ASSERT_EQ(apply(0).status, 0);
        ASSERT_EQ(test_->agent({"enable", "--region", "ca"}).status, 0);
    }
    [[nodiscard]] Outcome apply(unsigned i) const { return test_->apply(test_->write_file("map.json", map_text(i))); }
    void send(const Endpoint& to, unsigned packets) const {
        const Fd socket = udp_socket(test_->host, {"10.77.0.2", 40000});
        for (unsigned i = 0; i < packets; i++)
            send_datagram(socket.get(), to, std::array<uint8_t, 10>{});
    }
    static uint64_t packets_of(const nlohmann::json& stats, const std::string& service) {
        const auto& services = stats.at("services");
        return services.contains(service) ? services.at(service).at("egress").at("packets").get<uint64_t>() : 0;
    }
    static nlohmann::json flow_to(const nlohmann::json& stats, const Endpoint& remote) {
        for (const auto& flow : stats.at("flows"))
            if (flow.at("remote") == remote.address) return flow;
        return nullptr;
    }
};

TEST_F(ServiceSlotsOfAHost, AreEnoughForAnyNumberOfNamesAndEveryCountIsItsOwn) {
    uint64_t of_media = 0;
    std::map<std::string, uint64_t> sent;
    for (unsigned i = 0; i < names && !HasFailure(); i++) {
        if (i != 0) {
            const Outcome applied = apply(i);
            ASSERT_EQ(applied.status, 0) << i << ": " << applied.err;
        }
        const unsigned packets = 1 + i % 5;
        send(media, 2);
        of_media += 2;
        send(address_of(i), packets);
        sent[name_of(i)] = packets;
        if (i % 10 != 0 && i < 120) continue;
        const auto stats = test_->stats();
        EXPECT_EQ(packets_of(stats, "media"), of_media) << i;
        for (const auto& [name, counters] : stats.at("services").items()) {
            if (name != "media") {
                EXPECT_EQ(packets_of(stats, name), sent[name]) << name << " at " << i;
            }
        }
        EXPECT_TRUE(stats.at("services").contains(name_of(i)));
        EXPECT_LE(stats.at("services").size(), 127U);
        for (const auto& flow : stats.at("flows")) {
            if (flow.at("remote") == media.address) continue;
            const std::string of = flow.at("remote");
            const std::string name = name_of(static_cast<unsigned>(std::stoul(of.substr(4))));
            if (!flow.at("service").is_null()) {
                EXPECT_EQ(flow.at("service"), name) << of << " at " << i;
            }
            EXPECT_EQ(flow.at("egress").at("packets"), sent[name]) << of << " at " << i;
        }
    }
    const auto stats = test_->stats();
    EXPECT_EQ(stats.at("services").size(), 127U);
    EXPECT_FALSE(stats.at("services").contains(name_of(0))) << "the longest unused goes first";
    EXPECT_TRUE(flow_to(stats, address_of(0)).at("service").is_null()) << "its flow stays, and is nobody's";
    EXPECT_EQ(flow_to(stats, address_of(names - 1)).at("service"), name_of(names - 1));
    EXPECT_EQ(test_->agent({"status"}).status, 0) << "whoever compiles the map anew gives the same slots";
}

// The slots of the services that go are free only once the generation that counts for them is gone.
TEST_F(ServiceSlotsOfAHost, AMapThatRenamesMostServicesKeepsTheGracePeriod) {
    constexpr unsigned renamed = 55, kept = 7;
    const auto map = [&](unsigned serial, const std::string& letter) {
        std::string services;
        for (unsigned i = 0; i < renamed + kept; i++)
            services += fmt::format(R"({}{{"name": "{}{}", "class": "control", "regions": ["ca"], "ports": ["udp/5000"],
                                      "ipv4": ["3.{}.{}.1"]}})",
                                    i == 0 ? "" : ", ", i < renamed ? letter : "kept-", i,
                                    i < renamed && letter == "b" ? 9 : 7, i);
        return test_->write_file("map.json", fmt::format(R"({{"format": "kudo-range-map/1", "serial": {},
            "issued": "2022-03-01T00:00:00Z", "effective": "2022-03-01T00:00:00Z", "overrides": ["shrink"],
            "services": [{}]}})",
                                                         serial, services));
    };
    for (const auto& [serial, letter] : {std::pair{2022051000U, "a"}, {2022051001U, "b"}}) {
        const Outcome applied = test_->agent({"ranges", "apply", map(serial, letter), "--allow-unsigned"});
        ASSERT_EQ(applied.status, 0) << applied.err;
        EXPECT_EQ(applied.out.find("not honoured"), std::string::npos) << applied.out;
    }
    const auto status = test_->status();
    EXPECT_EQ(status.at("healthy"), true) << status.dump(1);
    // Both maps' ranges, and that of the media of the map before.
    EXPECT_EQ(status.at("map").at("prefixes").at("ipv4"), 2 * renamed + kept + 1);
}

// As a writer leaves it that is killed between the two names.
TEST_F(ServiceSlotsOfAHost, OneThatWasBeingEmptiedIsEmptiedBeforeItIsGiven) {
    send(address_of(0), 3);
    ASSERT_EQ(apply(1).status, 0);
    const auto data_path = DataPath::open(test_->instance).value();
    const uint32_t slot = read_service_slots(data_path.maps()).value().at(name_of(0));
    const kudo_service_name being_emptied{"~", 0};
    ASSERT_EQ(bpf_map_update_elem(data_path.maps().services.get(), &slot, &being_emptied, BPF_ANY), 0);
    EXPECT_FALSE(test_->stats().at("services").contains("~"));
    ASSERT_EQ(apply(2).status, 0);
    EXPECT_EQ(read_service_slots(data_path.maps()).value().at(name_of(2)), slot);
    const auto stats = test_->stats();
    EXPECT_EQ(packets_of(stats, name_of(2)), 0U);
    EXPECT_TRUE(flow_to(stats, address_of(0)).at("service").is_null());
    EXPECT_EQ(flow_to(stats, address_of(0)).at("egress").at("packets"), 3);
}

} // namespace
} // namespace kudo::test
