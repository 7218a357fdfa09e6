// SPDX-License-Identifier: MIT
// What says that the range map is stale: what `status` and `stats` say after real STUN and DNS between real sockets.
// Invariant: every datagram has arrived before the command is asked.
#include "tests/e2e/link_fixture.h"

#include <arpa/inet.h>
#include <bpf/bpf.h>

#include <chrono>
#include <filesystem>
#include <thread>

#include "tests/support/dns_message.h"
#include "tests/support/stun_message.h"

namespace kudo::test {
namespace {

constexpr const char* near_address = "3.123.12.200"; // in the /24 of a range, in none itself

class DriftTest : public LineTest {
protected:
    void SetUp() override {
        LineTest::SetUp();
        if (IsSkipped() || HasFatalFailure()) return;
        test_->add_far_address(std::string(near_address) + "/32");
        quieten();
    }
    // One datagram to the remote's port, and the reply if there is one.
    void exchange(const std::string& remote, const Bytes& request, const Bytes& reply,
                  const std::string& local = host_address, uint16_t port = 3478) const {
        const Endpoint here{remote.find(':') != std::string::npos ? host_address6 : local, 41000}, there{remote, port};
        const Fd near = udp_socket(test_->host, here), far = udp_socket(test_->far, there);
        send_datagram(near.get(), there, request);
        ASSERT_EQ(receive_datagram(far.get()), request.size());
        if (reply.empty()) return;
        send_datagram(far.get(), here, reply);
        ASSERT_EQ(receive_datagram(near.get()), reply.size());
    }
    void answered(const std::string& remote, uint8_t transaction = 7, const std::string& local = host_address) const {
        exchange(remote, stun_message(binding_request, transaction), stun_message(binding_success, transaction), local);
    }
    // A name server at this address is asked for the name, and says these addresses.
    void resolved(const std::string& server, const std::string& name, const std::vector<std::string>& addresses) const {
        std::vector<DnsRecord> records;
        for (const std::string& address : addresses)
            records.push_back({name, address});
        exchange(server, dns_question(name), dns_answer(name, records), host_address, KUDO_DNS_PORT);
    }
    // "NAME ADDRESS SERVICE" of each name that the commands report, which must agree.
    [[nodiscard]] std::vector<std::string> moved_names() const {
        auto stale = test_->status().at("stale_map"), names = test_->stats().at("moved_names");
        for (auto* list : {&stale.at("names"), &names})
            for (auto& moved : *list)
                moved.erase("last_seen"); // two readings of the clock
        EXPECT_EQ(stale.at("names"), names);
        EXPECT_EQ(stale.at("suspected"), !names.empty() || !stale.at("remotes").empty());
        std::vector<std::string> result;
        for (const auto& moved : names) {
            EXPECT_EQ(moved.at("interface"), "eth0");
            result.push_back(moved.at("name").get<std::string>() + " " + moved.at("address").get<std::string>() + " " +
                             moved.at("service").get<std::string>());
        }
        return result;
    }
    // The addresses that the commands report, which must agree.
    [[nodiscard]] std::vector<std::string> reported() const {
        const auto stale = test_->status().at("stale_map"), strays = test_->stats().at("strays");
        std::vector<std::string> by_status, by_stats;
        for (const auto& stray : stale.at("remotes"))
            by_status.push_back(stray.at("remote"));
        for (const auto& stray : strays)
            by_stats.push_back(stray.at("remote"));
        EXPECT_EQ(by_status, by_stats);
        EXPECT_EQ(stale.at("suspected"), !by_status.empty());
        return by_status;
    }
    void apply(const std::string& ranges) {
        const std::string map = R"({"format": "kudo-range-map/1", "serial": 1,
              "issued": "2022-03-02T00:00:00Z", "effective": "2022-03-02T00:00:00Z", "expires": null,
              "overrides": ["shrink", "special-address"], "services": [
                {"name": "media", "class": "media", "regions": ["*"], "ports": ["udp/3478", "tcp/443"], )" +
                                ranges + R"(},
                {"name": "region-ca", "class": "control", "regions": ["ca"], "ports": ["tcp/443"],
                 "ipv4": ["3.97.146.187"]},
                {"name": "region-us", "class": "control", "regions": ["us"], "ports": ["tcp/443"],
                 "ipv4": ["203.0.113.77"]}]})";
        const Outcome applied = test_->apply(test_->write_file("map.json", with_serial(map, ++serial_)));
        ASSERT_EQ(applied.status, 0) << applied.err;
    }

private:
    uint64_t serial_ = 2022050000;
};

class Drift : public DriftTest, public testing::WithParamInterface<IngressKind> {};

INSTANTIATE_TEST_SUITE_P(Ingress, Drift, all_ingress_kinds, name_of_ingress);

TEST_P(Drift, AnAnsweredStunOutsideOfTheMapIsReported) {
    enable_as(GetParam());
    EXPECT_EQ(reported(), std::vector<std::string>{});
    const double begun = seconds_now();
    for (const char* remote : {stranger_address, near_address, stranger_address6})
        answered(remote);
    answered(stranger_address, 8);
    exchange(stranger_address, stun_message(binding_request, 9), {});
    const double ended = seconds_now();

    const auto remotes = test_->status().at("stale_map").at("remotes");
    ASSERT_EQ(remotes.size(), 3u) << remotes;
    for (const auto& stray : remotes) {
        const bool twice = stray.at("remote") == stranger_address;
        EXPECT_EQ(stray.at("requests"), twice ? 3 : 1) << stray;
        EXPECT_EQ(stray.at("answers"), twice ? 2 : 1) << stray;
        EXPECT_EQ(stray.at("interface"), "eth0");
        EXPECT_GT(seconds_of(stray.at("first_seen")), begun - 0.1);
        EXPECT_LE(seconds_of(stray.at("first_seen")), seconds_of(stray.at("last_seen")));
        EXPECT_LT(seconds_of(stray.at("last_seen")), ended + 0.1);
    }
    EXPECT_EQ(reported().size(), 3u);
    EXPECT_TRUE(somebodys_xdp_stands());
}

TEST_P(Drift, WhatIsNoAnswerOfTheServerIsNotReported) {
    enable_as(GetParam());
    for (const char* remote : {stranger_address, near_address, stranger_address6}) {
        exchange(remote, stun_message(binding_request), {});
        exchange(remote, stun_message(binding_request), stun_message(binding_success, 8));    // another transaction's
        exchange(remote, stun_message(binding_request), stun_message(binding_indication, 7)); // no response
        exchange(remote, Bytes(172, 0x80), Bytes(172, 0x80));                                 // no STUN
    }
    answered(media_address); // in the map
    EXPECT_EQ(reported(), std::vector<std::string>{});
}

TEST_F(DriftTest, StatusExplainsItAndStaysHealthy) {
    enable();
    EXPECT_EQ(test_->agent({"status"}).out.find("stale"), std::string::npos);
    EXPECT_EQ(test_->agent({"stats"}).out.find("STRAY"), std::string::npos);
    answered(stranger_address);
    const Outcome status = test_->agent({"status"}), stats = test_->agent({"stats"});
    EXPECT_EQ(status.status, 0);
    EXPECT_EQ(test_->status().at("healthy"), true);
    EXPECT_EQ(test_->status().at("drift").size(), 0u);
    for (const std::string text : {"enabled, healthy", "The range map may be stale", stranger_address, "1 of 1",
                                   "kudo-agent ranges show", "ask KUDO for a newer one"})
        EXPECT_NE(status.out.find(text), std::string::npos) << text << "\n" << status.out;
    EXPECT_NE(stats.out.find("STRAY"), std::string::npos) << stats.out;
    EXPECT_NE(stats.out.find(stranger_address), std::string::npos) << stats.out;
}

TEST_P(Drift, ANameThatDnsNowHasOutsideOfTheMapIsReported) {
    enable_as(GetParam());
    resolved(stranger_address, "live.kudoway.ca", {"3.97.146.187"}); // where the map has it
    EXPECT_EQ(moved_names(), std::vector<std::string>{});
    const double begun = seconds_now();
    resolved(stranger_address, "live.kudoway.ca", {"3.97.146.187", "18.156.200.9"});
    resolved(stranger_address6, "api.kudoway.ca", {"2a05:d018::9"});
    resolved(stranger_address, "live.kudoway.com", {"18.156.200.10"}); // of region us, which was not chosen
    resolved(stranger_address, "api.opentok.com", {"18.156.200.11"});  // the map does not say where that is
    resolved(stranger_address, "www.kudoway.ca", {"18.156.200.12"});   // nor where all below a wildcard is
    resolved(stranger_address, "www.example.com", {"18.156.200.12"});
    auto names = moved_names();
    std::ranges::sort(names);
    EXPECT_EQ(names, (std::vector<std::string>{"api.kudoway.ca 2a05:d018::9 region-ca",
                                               "live.kudoway.ca 18.156.200.9 region-ca"}));
    for (const auto& moved : test_->stats().at("moved_names")) {
        EXPECT_GT(seconds_of(moved.at("last_seen")), begun - 0.1);
        EXPECT_LT(seconds_of(moved.at("last_seen")), seconds_now() + 0.1);
    }
    // The last answer counts.
    resolved(stranger_address, "live.kudoway.ca", {"3.97.146.187"});
    EXPECT_EQ(moved_names(), std::vector<std::string>{"api.kudoway.ca 2a05:d018::9 region-ca"});
    EXPECT_TRUE(somebodys_xdp_stands());
}

TEST_F(DriftTest, AnAnswerThatNobodyAskedForMovesNoName) {
    enable();
    const Bytes forged = dns_answer("live.kudoway.ca", {{"live.kudoway.ca", "18.156.200.9"}}, 8);
    exchange(stranger_address, dns_question("live.kudoway.ca", 7), forged, host_address, KUDO_DNS_PORT);
    exchange(stranger_address, dns_question("www.example.com", 8), forged, host_address, KUDO_DNS_PORT);
    exchange(stranger_address, dns_question("x.kudoway.ca", 8), forged, host_address, KUDO_DNS_PORT); // of another name
    EXPECT_EQ(moved_names(), std::vector<std::string>{});
}

TEST_F(DriftTest, AMediaServerThatDnsHasANameForIsSaidByName) {
    enable();
    resolved(stranger_address, "mantis-7.tokbox.com", {stranger_address6});
    answered(stranger_address6);
    answered(stranger_address);
    const auto strays = test_->status().at("stale_map").at("remotes");
    ASSERT_EQ(strays.size(), 2u) << strays;
    for (const auto& stray : strays)
        EXPECT_EQ(stray.at("name"), stray.at("remote") == stranger_address6 ? nlohmann::json("mantis-7.tokbox.com")
                                                                            : nlohmann::json(nullptr))
            << stray;
    EXPECT_EQ(moved_names(), std::vector<std::string>{});
    EXPECT_NE(test_->agent({"status"}).out.find("mantis-7.tokbox.com"), std::string::npos);
}

TEST_F(DriftTest, AMapThatHasTheAddressTakesTheNameAway) {
    enable();
    resolved(stranger_address, "live.kudoway.ca", {"18.156.200.9"});
    const Outcome status = test_->agent({"status"});
    EXPECT_EQ(status.status, 0);
    for (const std::string text : {"enabled, healthy", "The range map may be stale", "live.kudoway.ca", "18.156.200.9",
                                   "kudo-agent ranges show", "ask KUDO for a newer one"})
        EXPECT_NE(status.out.find(text), std::string::npos) << text << "\n" << status.out;
    EXPECT_NE(test_->agent({"stats"}).out.find("live.kudoway.ca  18.156.200.9"), std::string::npos);
    apply(R"("domains": ["live.kudoway.ca"], "ipv4": ["3.123.12.128/28", "18.156.200.0/24"])");
    EXPECT_EQ(moved_names(), std::vector<std::string>{});
}

TEST_F(DriftTest, ObserveModeSeesItToo) {
    enable({"--mode", "observe"});
    answered(stranger_address);
    EXPECT_EQ(reported(), std::vector<std::string>{stranger_address});
}

TEST_F(DriftTest, AMapThatHasTheAddressTakesItAway) {
    enable();
    answered(stranger_address);
    std::this_thread::sleep_for(std::chrono::milliseconds(50)); // some ticks
    answered(stranger_address6);
    EXPECT_EQ(reported(), (std::vector<std::string>{stranger_address6, stranger_address})) << "not the newest first";
    apply(R"("ipv4": ["3.123.12.128/28", "198.51.100.0/29"])");
    EXPECT_EQ(reported(), std::vector<std::string>{stranger_address6});
    apply(R"("ipv4": ["3.123.12.128/28"], "ipv6": ["2001:db8:99::/48"])");
    EXPECT_EQ(reported(), std::vector<std::string>{stranger_address});
}

// What judges the packets is what counts; the file of the map may be gone.
TEST_F(DriftTest, AMapWhoseFileIsLostStillTakesItsAddressesAway) {
    enable();
    answered(stranger_address);
    apply(R"("ipv4": ["3.123.12.128/28", "198.51.100.0/29"])");
    std::size_t lost = 0;
    for (const auto& file : std::filesystem::directory_iterator(test_->instance.state_dir.string() + "/range-maps"))
        lost += std::filesystem::remove(file.path()) ? 1 : 0;
    ASSERT_EQ(lost, 1u);
    EXPECT_EQ(reported(), std::vector<std::string>{});
}

TEST_F(DriftTest, AnAddressOfARegionThatWasNotChosenIsNoFaultOfTheMap) {
    test_->add_far_address("203.0.113.77/32");
    enable();
    answered("203.0.113.77");
    EXPECT_EQ(reported(), std::vector<std::string>{"203.0.113.77"});
    apply(R"("ipv4": ["3.123.12.128/28"])"); // has it as a server of region us
    EXPECT_EQ(reported(), std::vector<std::string>{});
}

TEST_F(DriftTest, WhatWasLastHeardOfMoreThanAWeekAgoIsForgotten) {
    enable();
    answered(stranger_address);
    const Fd map(bpf_obj_get((test_->instance.layout().string() + "/maps/kudo_strays4").c_str()));
    kudo_stray4_key key{};
    ASSERT_EQ(inet_pton(AF_INET, stranger_address, &key.remote), 1);
    const auto grow_older = [&](uint64_t ticks) {
        kudo_stray stray{};
        ASSERT_EQ(bpf_map_lookup_elem(map.get(), &key, &stray), 0);
        stray.last_response -= ticks;
        ASSERT_EQ(bpf_map_update_elem(map.get(), &key, &stray, BPF_ANY), 0);
    };
    constexpr uint64_t day = 24 * 3600;
    grow_older(6 * day * 24); // 24 ticks a second are the least that a kernel has
    EXPECT_EQ(reported(), std::vector<std::string>{stranger_address});
    grow_older(8 * day * 1000); // and 1024 the most
    EXPECT_EQ(reported(), std::vector<std::string>{});
}

TEST_F(DriftTest, VlanTagsAreSeenThrough) {
    enable();
    const Capture near_end(test_->host, "eth0"), far_end(test_->far, "eth0");
    const auto tagged = [](const Packet& tags, const std::string& remote, bool out) {
        const std::string source = out ? host_address : remote, destination = out ? remote : host_address;
        const Raw payload{.bytes = stun_message(out ? binding_request : binding_success)};
        const Udp udp{.source_port = static_cast<uint16_t>(out ? 41000 : 3478),
                      .destination_port = static_cast<uint16_t>(out ? 3478 : 41000)};
        return (tags / IPv4{.source = source, .destination = destination} / udp / payload).bytes();
    };
    const Packet vlan = Ethernet{} / Vlan{.id = 7};
    const Packet qinq = Ethernet{} / Vlan{.id = 100, .tag = KUDO_ETHERTYPE_QINQ} / Vlan{.id = 7};
    for (const auto& [tags, remote] : {std::pair{vlan, stranger_address}, {qinq, near_address}}) {
        FrameSender(test_->host, "eth0").send_many(tagged(tags, remote, true), 1, far_end);
        FrameSender(test_->far, "eth0").send_many(tagged(tags, remote, false), 1, near_end);
    }
    EXPECT_EQ(reported().size(), 2u);
}

} // namespace
} // namespace kudo::test
