// SPDX-License-Identifier: MIT
// Swaps of the range map on a host whose default-deny rules refer to the sets: no packet is lost, no element stays.
// KUDO_FIREWALL_SWAPS sets the number of swaps.
// Invariant: the sets are compared address by address with what the test itself put into the maps.
#include "tests/e2e/firewall/fixture.h"

#include <cstdlib>
#include <iostream>
#include <random>
#include <thread>

#include <arpa/inet.h>
#include <fmt/format.h>

#include "agent/datapath/bpf_object.h"
#include "agent/datapath/datapath.h"

namespace kudo::test {
namespace {

unsigned number_of_swaps(unsigned usual) {
    const char* given = std::getenv("KUDO_FIREWALL_SWAPS");
    return given ? static_cast<unsigned>(std::strtoul(given, nullptr, 0)) : usual;
}

std::string map_of(const std::string& services, uint64_t serial) {
    return fmt::format(R"({{"format": "kudo-range-map/1", "serial": {}, "issued": "2022-03-01T00:00:00Z",
        "expires": null, "overrides": ["shrink"], "effective": "2022-03-01T00:00:00Z", "services": [{}]}})",
                       serial, services);
}
std::string service_of(const std::string& name, const std::string& ports, const std::string& ranges) {
    return fmt::format(R"({{"name": "{}", "class": "media", "regions": ["ca"], "ports": [{}], "ipv4": [{}]}})", name,
                       ports, ranges);
}

class FirewallSwaps : public FirewallTest {
protected:
    void apply(const std::string& services) {
        const Outcome applied = test_->apply(test_->write_file("map.json", map_of(services, 2022040000 + ++applied_)));
        ASSERT_EQ(applied.status, 0) << applied.err;
    }
    unsigned applied_ = 0;
};

// Around the address the ranges are cut in a different way each time, so that its element must be replaced.
TEST_F(FirewallSwaps, LoseNoPacketOfARangeThatStays) {
    const std::array<const char*, 4> cuts{R"("3.123.12.0/24")", R"("3.123.12.128/28")",
                                          R"("3.123.12.0/25", "3.123.12.128/25")",
                                          R"("3.123.12.129", "3.123.12.132/30")"};
    apply(service_of("media", R"("udp/3478")", cuts[0]));
    enable();
    sync();
    deny_by_default();
    uint64_t sent = 0, lost = 0;
    {
        const std::jthread call([&](const std::stop_token& stop) {
            const Endpoint here{host_address, 50001}, there{media_address, 3478};
            const Fd near = udp_socket(test_->host, here), far = udp_socket(test_->far, there);
            while (!stop.stop_requested()) {
                sent++;
                try {
                    send_datagram(near.get(), there, std::vector<uint8_t>(100));
                    receive_datagram(far.get());
                    send_datagram(far.get(), here, std::vector<uint8_t>(100));
                    receive_datagram(near.get());
                } catch (const std::exception&) {
                    lost++;
                }
            }
        });
        for (unsigned swap = 1; swap <= number_of_swaps(80) && !HasFatalFailure(); swap++)
            apply(service_of("media", R"("udp/3478")", cuts[swap % cuts.size()]));
    }
    EXPECT_EQ(lost, 0u) << "of " << sent;
    EXPECT_GT(sent, 1000u);
    std::cout << applied_ - 1 << " swaps, " << sent << " datagrams and answers, " << lost << " lost\n";
    expect_healthy();
}

// What is judged by a generation passes the rules as long as that generation is active.
TEST_F(FirewallSwaps, AddBeforeTheNewGenerationAndRemoveAfterTheOld) {
    const std::array<std::string, 2> remotes{"3.10.0.1", "3.20.0.1"};
    const auto service = [&](unsigned map) { return service_of("media", R"("udp/3478")", '"' + remotes[map] + '"'); };
    for (const std::string& remote : remotes)
        test_->add_far_address(remote + "/32");
    apply(service(0));
    enable();
    sync();
    deny_by_default();
    const DataPath data_path = DataPath::open(test_->instance).value();
    auto active = Mapped<uint32_t>::map(data_path.maps().active.get(), "the active generation").value();
    const auto generation = [&] { return std::atomic_ref(*active).load(std::memory_order_acquire); };
    const uint32_t first = generation(); // of map 0
    uint64_t sent = 0, wrong = 0, refused = 0;
    {
        const std::jthread sender([&](const std::stop_token& stop) {
            const Fd near = udp_socket(test_->host, {host_address, 50001});
            while (!stop.stop_requested())
                for (unsigned map = 0; map < 2; map++) {
                    const uint32_t before = generation();
                    bool passed = true;
                    try {
                        send_datagram(near.get(), {remotes[map], 3478}, std::vector<uint8_t>(100));
                    } catch (const std::exception&) {
                        passed = false;
                    }
                    sent++;
                    refused += !passed;
                    wrong += !passed && before == generation() && (before - first) % 2 == map;
                }
        });
        for (unsigned swap = 1; swap <= number_of_swaps(80) && !HasFatalFailure(); swap++)
            apply(service(swap % 2));
    }
    EXPECT_EQ(wrong, 0u) << "of " << sent;
    EXPECT_GT(refused, 0u) << "the other map's address was never refused: the test saw nothing";
    std::cout << applied_ - 1 << " swaps, " << sent << " datagrams, " << refused << " refused, " << wrong
              << " of them wrongly\n";
}

// Ranges of one random map, as numbers.
struct Wanted {
    uint32_t first, last;
    uint16_t port;
};

std::string random_services(std::mt19937& random, std::vector<Wanted>& wanted) {
    wanted.clear();
    std::string services;
    for (unsigned number = 0; number < 3; number++) {
        const auto port = static_cast<uint16_t>(number == 2 ? 443 : 3478 + number);
        std::string ranges;
        for (unsigned i = 0; i < 1 + random() % 12; i++) {
            const unsigned length = 22 + random() % 11;
            const uint32_t size = 1u << (32 - length), first = (0x030b0000u + random() % 0x4000u) & ~(size - 1);
            wanted.push_back({first, first + size - 1, port});
            ranges += fmt::format("{}\"{}.{}.{}.{}/{}\"", ranges.empty() ? "" : ", ", first >> 24, first >> 16 & 255,
                                  first >> 8 & 255, first & 255, length);
        }
        services += (services.empty() ? "" : ", ") +
                    service_of(fmt::format("s{}", number), fmt::format("\"udp/{}\"", port), ranges);
    }
    return services;
}

uint32_t number(const std::string& address) {
    return ntohl(inet_addr(address.c_str()));
}

// An element of `nft -j`: an address, a prefix or a range; with its port in a concatenation.
Wanted element_of(const nlohmann::json& json) {
    if (json.is_object() && json.contains("concat")) {
        Wanted element = element_of(json.at("concat").at(0));
        element.port = json.at("concat").back();
        if (json.at("concat").size() == 3) EXPECT_EQ(json.at("concat").at(1), "udp");
        return element;
    }
    if (json.is_string()) return {number(json), number(json), 0};
    if (json.contains("range")) return {number(json.at("range").at(0)), number(json.at("range").at(1)), 0};
    const uint32_t first = number(json.at("prefix").at("addr"));
    return {first, first + (1u << (32 - json.at("prefix").at("len").get<unsigned>())) - 1, 0};
}

// Every address of the block that the maps are from.
using Block = std::vector<bool>;
Block block_of(const std::vector<Wanted>& ranges, uint16_t port) {
    Block block(0x4000u + 0x400u);
    for (const Wanted& range : ranges)
        for (uint32_t address = range.first; (port == 0 || range.port == port) && address <= range.last; address++)
            block.at(address - 0x030b0000u) = true;
    return block;
}

TEST_F(FirewallSwaps, LeaveNoStaleElement) {
    std::mt19937 random(20221128);
    std::vector<Wanted> wanted;
    apply(random_services(random, wanted));
    enable();
    sync();
    const auto began = std::chrono::steady_clock::now();
    std::size_t most = 0;
    for (unsigned swap = 0; swap < number_of_swaps(150) && !HasFailure(); swap++) {
        apply(random_services(random, wanted));
        std::vector<Wanted> addresses, services, udp;
        for (auto [set, elements] :
             {std::pair{"kudo4", &addresses}, {"kudo4_services", &services}, {"kudo4_udp", &udp}}) {
            const auto listed =
                nlohmann::json::parse(test_->in_host({"nft", "-j", "list", "set", "inet", "kudo_agent", set}))
                    .at("nftables");
            for (const auto& element : listed.at(1).at("set").at("elem"))
                elements->push_back(element_of(element));
        }
        EXPECT_EQ(block_of(addresses, 0), block_of(wanted, 0));
        for (const uint16_t port : std::array<uint16_t, 3>{443, 3478, 3479}) {
            EXPECT_EQ(block_of(services, port), block_of(wanted, port)) << port;
            EXPECT_EQ(block_of(udp, port), block_of(wanted, port)) << port;
        }
        EXPECT_EQ(udp.size(), services.size());
        EXPECT_EQ(services.size(), static_cast<std::size_t>(std::ranges::count_if(services, [](const Wanted& one) {
                      return one.port == 443 || one.port == 3478 || one.port == 3479;
                  })));
        most = std::max(most, services.size());
    }
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - began;
    std::cout << applied_ - 1 << " swaps in " << seconds.count() << " s; at most " << most << " elements\n";
    expect_healthy();
}

} // namespace
} // namespace kudo::test
