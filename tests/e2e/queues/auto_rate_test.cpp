// SPDX-License-Identifier: MIT
// A queue whose rate follows the line, as the program and its service show it: what is refused, what is told with and
// without the service, and that a rate which was adjusted is no drift. How well it follows: tests/unit, and the
// benchmark's part autorate.
// Invariant: the rate is read back with tc, not from the program alone.
#include <gtest/gtest.h>

#include <net/if.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>

#include <array>
#include <atomic>
#include <fstream>
#include <iterator>
#include <optional>
#include <regex>
#include <stdexcept>
#include <thread>

#include "agent/netlink/interfaces.h"
#include "agent/netlink/tc_object.h"
#include "agent/queues/downlink.h"
#include "agent/queues/leaf_room.h"
#include "agent/queues/shaped_rate.h"
#include "tests/support/host_test.h"
#include "tests/support/running_service.h"
#include "tests/support/traffic.h"

namespace kudo::test {
namespace {

constexpr const char* server_address = "52.200.60.17";

class AutoRate : public HostTest {
protected:
    void SetUp() override {
        HostTest::SetUp();
        if (test_) test_->wait_for_carrier();
    }
    [[nodiscard]] Outcome enable(const std::string& uplink, std::vector<std::string> more = {"--queue", "htb"}) const {
        std::vector<std::string> arguments = {"enable", "--region", "ca", "--uplink", uplink};
        arguments.insert(arguments.end(), more.begin(), more.end());
        return test_->agent(arguments);
    }
    [[nodiscard]] nlohmann::json uplink() const { return test_->status().at("interfaces").at(0).at("uplink"); }
    [[nodiscard]] std::string why() const { return uplink().at("why"); }
    [[nodiscard]] std::string ceiling() const { // of the whole line, as tc says it: "50Mbit"
        const std::string shown = test_->in_host({"tc", "class", "show", "dev", "eth0", "classid", "4b55:1"});
        std::smatch found;
        return std::regex_search(shown, found, std::regex("ceil ([0-9A-Za-z]+)")) ? found[1].str() : shown;
    }
    // As the service does.
    void adjust(uint64_t mbit, QueueKind kind = QueueKind::Htb) const {
        inside<int>(test_->host, [&] {
            const auto changed =
                change_rate(if_nametoindex("eth0"), kind, {.bits_per_second = mbit * 1'000'000, .mtu = 1500});
            if (!changed) throw std::runtime_error(changed.error().message);
            return 0;
        });
    }
    void adjust_room(uint64_t mbit) const {
        inside<int>(test_->host, [mbit] {
            const uint32_t eth0 = if_nametoindex("eth0");
            const auto changed = change_leaf_room(eth0, list_tc_objects(eth0).value(), QueueKind::Htb,
                                                  {.bits_per_second = mbit * 1'000'000, .mtu = 1500});
            if (!changed) throw std::runtime_error(changed.error().message);
            return 0;
        });
    }
    void change_class(const std::string& rate) const { // somebody else, one class
        test_->in_host({"tc", "class", "change", "dev", "eth0", "parent", "4b55:1", "classid", "4b55:4", "htb", "rate",
                        rate, "ceil", rate});
    }
    // By the service, whatever it is told.
    [[nodiscard]] std::string states() const {
        std::ifstream file(test_->instance.line_rates());
        return {std::istreambuf_iterator<char>(file), {}};
    }
};

// A media flow to a server that answers what it is asked, while it lives.
class Meeting {
public:
    Meeting(const TestHost& test, bool answers, bool speaks = false)
        : server_(udp_socket(test.far, {server_address, 3478})), host_(udp_socket(test.host, {"10.77.0.2", 40000})),
          answers_(answers), speaks_(speaks), running_([this](const std::stop_token& stop) { run(stop); }) {}
    [[nodiscard]] unsigned requests() const { return requests_; }

private:
    void run(const std::stop_token& stop) {
        std::array<uint8_t, 172> media{0x80, 111};
        while (!stop.stop_requested()) {
            send_datagram(host_.get(), {server_address, 3478}, media);
            if (speaks_) speak(media);
            pollfd wait{server_.get(), POLLIN, 0};
            if (poll(&wait, 1, 20) <= 0) continue;
            std::array<uint8_t, 2048> bytes{};
            sockaddr_storage from{};
            socklen_t length = sizeof from;
            auto* const sender = reinterpret_cast<sockaddr*>(&from);
            ssize_t size = 0;
            while ((size = recvfrom(server_.get(), bytes.data(), bytes.size(), MSG_DONTWAIT, sender, &length)) > 0) {
                if (size != 20) continue;
                requests_++;
                bytes[0] = 1; // Binding success
                if (answers_) sendto(server_.get(), bytes.data(), 20, MSG_DONTWAIT, sender, length);
            }
        }
    }
    // Twenty milliseconds of audio at 48 kHz (RFC 3550 section 5.1), or what this thread has slept.
    void speak(std::array<uint8_t, 172>& media) {
        const auto now = std::chrono::steady_clock::now();
        if (now - spoken_ < std::chrono::milliseconds(18)) return;
        spoken_ = now;
        const auto ticks =
            static_cast<uint32_t>(std::chrono::duration<double>(now.time_since_epoch()).count() * 50) * 960;
        number_++;
        for (unsigned i = 0; i < 4; i++) {
            if (i < 2) media[2 + i] = static_cast<uint8_t>(number_ >> (8 - 8 * i));
            media[4 + i] = static_cast<uint8_t>(ticks >> (24 - 8 * i));
        }
        send_datagram(server_.get(), {"10.77.0.2", 40000}, media);
    }
    Fd server_, host_;
    bool answers_, speaks_;
    uint16_t number_ = 0;
    std::chrono::steady_clock::time_point spoken_{};
    std::atomic<unsigned> requests_ = 0;
    std::jthread running_; // last: it ends first
};

TEST_F(AutoRate, WhatIsNotPossibleIsRefusedAndChangesNothing) {
    const std::pair<std::vector<std::string>, const char*> cases[] = {
        {{"--uplink", "auto-rate"}, "auto-rate:2mbit-50mbit"},
        {{"--uplink", "auto-rate:"}, "auto-rate:2mbit-50mbit"},
        {{"--uplink", "auto-rate:2mbit"}, "auto-rate:2mbit-50mbit"},
        {{"--uplink", "auto-rate:50mbit-2mbit"}, "the first rate must be below the second"},
        {{"--uplink", "auto-rate:2mbit-2mbit"}, "the first rate must be below the second"},
        {{"--uplink", "auto-rate:10kbit-2mbit"}, "a rate from 64kbit to 100gbit is expected"},
        {{"--uplink", "auto-rate:2mbit-50"}, "a rate from 64kbit to 100gbit is expected"},
        {{"--uplink", "auto-rate:2mbit-50mbit", "--queue", "prio"}, "cake or htb is expected"},
        {{"--downlink", "auto-rate:2mbit"}, "auto-rate:2mbit-50mbit"},
        {{"--downlink", "auto-rate:2mbit-50mbit", "--queue", "prio"}, "cake or htb is expected"},
    };
    const std::string before = test_->in_host({"tc", "qdisc", "show"});
    for (const auto& [options, said] : cases) {
        std::vector<std::string> arguments = {"enable", "--region", "ca"};
        arguments.insert(arguments.end(), options.begin(), options.end());
        const Outcome outcome = test_->agent(arguments);
        EXPECT_EQ(outcome.status, 2) << options.at(1);
        EXPECT_NE(outcome.err.find(said), std::string::npos) << options.at(1) << ": " << outcome.err;
    }
    EXPECT_EQ(test_->in_host({"tc", "qdisc", "show"}), before);
}

TEST_F(AutoRate, BeginsAtTheMostAndSaysThatNothingFollowsWithoutTheService) {
    const std::string before = test_->in_host({"tc", "qdisc", "show"});
    const Outcome enabled = enable("auto-rate:2mbit-50mbit");
    ASSERT_EQ(enabled.status, 0) << enabled.err;
    EXPECT_NE((enabled.out + enabled.err).find("does not follow the line"), std::string::npos) << enabled.out;
    EXPECT_EQ(ceiling(), "50Mbit");
    EXPECT_EQ(uplink().at("rate"), 50'000'000);
    EXPECT_EQ(uplink().at("follows").at("min"), 2'000'000);
    EXPECT_NE(why().find("the service, kudo-agent run, does not run"), std::string::npos) << why();
    const Outcome disabled = test_->agent({"disable"});
    ASSERT_EQ(disabled.status, 0) << disabled.err;
    EXPECT_EQ(test_->in_host({"tc", "qdisc", "show"}), before);
}

TEST_F(AutoRate, AnAdjustedRateIsNoDriftButOneOutsideTheBoundsIs) {
    ASSERT_EQ(enable("auto-rate:2mbit-50mbit").status, 0);
    adjust(7);
    EXPECT_EQ(test_->status().at("healthy"), true) << test_->status();
    EXPECT_EQ(uplink().at("rate"), 7'000'000);
    const Outcome again = enable("auto-rate:2mbit-50mbit");
    EXPECT_NE(again.out.find("nothing changed"), std::string::npos) << again.out;
    EXPECT_EQ(ceiling(), "7Mbit");
    adjust(1);
    EXPECT_EQ(test_->status().at("healthy"), false);
    ASSERT_EQ(enable("auto-rate:2mbit-50mbit").status, 0);
    EXPECT_EQ(ceiling(), "50Mbit");
    adjust(7);
    ASSERT_EQ(enable("auto-rate:3mbit-50mbit").status, 0); // other bounds
    EXPECT_EQ(ceiling(), "50Mbit");
    change_class("3mbit"); // within them, and yet not of that rate
    EXPECT_EQ(test_->status().at("healthy"), false);
}

TEST_F(AutoRate, EachKindIsAdjustedInPlace) {
    for (const auto& [name, kind] : {std::pair("htb", QueueKind::Htb), {"cake", QueueKind::Cake}}) {
        const Outcome enabled = enable("auto-rate:2mbit-50mbit", {"--queue", name});
        if (enabled.status == 2 && kind == QueueKind::Cake) continue; // this kernel has no cake
        ASSERT_EQ(enabled.status, 0) << name << ": " << enabled.err;
        const std::string before = test_->in_host({"tc", "qdisc", "show", "dev", "eth0"});
        adjust(7, kind);
        EXPECT_EQ(uplink().at("rate"), 7'000'000) << name;
        EXPECT_EQ(test_->status().at("healthy"), true) << name;
        EXPECT_NE(enable("auto-rate:2mbit-50mbit", {"--queue", name}).out.find("nothing changed"), std::string::npos);
        adjust(50, kind);
        EXPECT_EQ(test_->in_host({"tc", "qdisc", "show", "dev", "eth0"}), before) << name << ": all else stays";
        adjust(1, kind);
        EXPECT_EQ(test_->status().at("healthy"), false) << name;
        ASSERT_EQ(test_->agent({"disable"}).status, 0);
    }
}

TEST_F(AutoRate, ARoomOfLeavesWithinTheBoundsIsNoDrift) {
    ASSERT_EQ(enable("auto-rate:2mbit-50mbit").status, 0);
    const auto leaves = [&] { return test_->in_host({"tc", "qdisc", "show", "dev", "eth0"}); };
    const std::string before = leaves();
    adjust_room(5);
    if (before.find("fq_codel") == std::string::npos) { // else its limit does not go with the rate
        EXPECT_NE(leaves(), before);
    }
    EXPECT_EQ(test_->status().at("healthy"), true) << test_->status();
    adjust_room(50);
    EXPECT_EQ(leaves(), before);
    adjust_room(100);
    if (before.find("fq_codel") == std::string::npos) {
        EXPECT_EQ(test_->status().at("healthy"), false);
    }
}

TEST_F(AutoRate, WhatACommandMakesOfItIsNotOverwritten) {
    test_->add_far_address(std::string(server_address) + "/32");
    ASSERT_EQ(enable("auto-rate:2mbit-50mbit").status, 0);
    adjust(7);
    const RunningService service(*test_, {"--reconcile-every", "1h"}); // it looks at nothing meanwhile
    const Meeting meeting(*test_, true);
    ASSERT_TRUE(eventually([&] { return meeting.requests() >= 3; })) << why();
    // Other bounds are taken up without waiting for the next look.
    ASSERT_EQ(enable("auto-rate:3mbit-15mbit").status, 0);
    std::this_thread::sleep_for(std::chrono::seconds(3)); // until it has found that it is another
    EXPECT_TRUE(eventually([&] { return uplink().at("follows").at("state") == "following"; })) << uplink();
    const Outcome fixed = enable("20mbit");
    EXPECT_EQ(fixed.status, 0) << fixed.err << fixed.out;
    std::this_thread::sleep_for(std::chrono::seconds(3));
    EXPECT_EQ(ceiling(), "20Mbit");
    EXPECT_EQ(test_->status().at("healthy"), true);
    // Nor is anything made again, left, or asked after a disable.
    ASSERT_EQ(enable("auto-rate:2mbit-50mbit").status, 0);
    ASSERT_EQ(test_->agent({"disable"}).status, 0);
    std::this_thread::sleep_for(std::chrono::seconds(3));
    const unsigned asked = meeting.requests();
    std::this_thread::sleep_for(std::chrono::seconds(2));
    EXPECT_EQ(meeting.requests(), asked);
    EXPECT_EQ(test_->in_host({"tc", "qdisc", "show", "dev", "eth0"}).find("4b55:"), std::string::npos);
    EXPECT_EQ(states(), "");
}

TEST_F(AutoRate, AsksOnlyTheServerOfAMeeting) {
    test_->add_far_address(std::string(server_address) + "/32");
    ASSERT_EQ(enable("auto-rate:2mbit-50mbit").status, 0);
    adjust(7);
    RunningService service(*test_, {"--reconcile-every", "1s"});
    ASSERT_TRUE(eventually([&] { return why().find("no media flow") != std::string::npos; })) << why();
    EXPECT_EQ(uplink().at("follows").at("state"), "no_media");
    EXPECT_EQ(ceiling(), "7Mbit") << "the rate of before is taken over";
    {
        const Meeting meeting(*test_, true);
        ASSERT_TRUE(eventually([&] {
            return why().find("by the round trips to " + std::string(server_address)) != std::string::npos;
        })) << why();
        ASSERT_TRUE(eventually([&] { return meeting.requests() >= 3; }));
        // Removed by hand: made again, and followed again.
        test_->in_host({"tc", "qdisc", "del", "dev", "eth0", "root"});
        ASSERT_TRUE(eventually([&] { return uplink().at("healthy") == true && !uplink().at("rate").is_null(); }));
        const unsigned before = meeting.requests();
        EXPECT_TRUE(eventually([&] { return meeting.requests() > before; }));
        EXPECT_EQ(test_->status().at("healthy"), true);
    }
    EXPECT_TRUE(eventually([&] { return why().find("no media flow") != std::string::npos; })) << why();
    // Its own requests keep nothing alive.
    for (int i = 0; i < 9; i++) {
        std::this_thread::sleep_for(std::chrono::seconds(1));
        EXPECT_NE(why().find("no media flow"), std::string::npos) << why();
    }
    service.signal(SIGKILL);
    service.wait();
    EXPECT_NE(why().find("the service, kudo-agent run, does not run"), std::string::npos) << why();
    EXPECT_EQ(uplink().at("follows").at("state"), "no_service");
}

TEST_F(AutoRate, TheDownlinkFollowsTheAudioThatComesIn) {
    const std::string before = test_->in_host({"tc", "qdisc", "show"});
    test_->add_far_address(std::string(server_address) + "/32");
    const Outcome enabled = test_->agent(
        {"enable", "--region", "ca", "--uplink", "off", "--downlink", "auto-rate:2mbit-50mbit", "--queue", "htb"});
    ASSERT_EQ(enabled.status, 0) << enabled.err << enabled.out;
    const auto downlink = [&] { return test_->status().at("interfaces").at(0).at("downlink"); };
    const auto follows = [&] { return downlink().at("why").get<std::string>(); };
    EXPECT_EQ(downlink().at("rate"), 50'000'000);
    EXPECT_EQ(downlink().at("follows").at("max"), 50'000'000);
    EXPECT_NE(follows().find("the service, kudo-agent run, does not run"), std::string::npos) << follows();
    const auto bulk_room = [&] { // packets
        for (const auto& qdisc : nlohmann::json::parse(test_->in_host({"tc", "-j", "qdisc", "show"})))
            if (qdisc.at("dev").get<std::string>().starts_with("kudo-ifb") && qdisc.value("parent", "").ends_with(":2"))
                return qdisc.at("options").at("limit").get<int>();
        return 0;
    };
    constexpr int ms_60 = 247, ms_200 = 825; // of 50 Mbit/s, in full frames
    EXPECT_EQ(bulk_room(), ms_200);
    const std::string address = server_address;
    {
        RunningService service(*test_, {"--reconcile-every", "1s"});
        ASSERT_TRUE(eventually([&] { return follows().find("no media flow") != std::string::npos; })) << follows();
        {
            const Meeting silent(*test_, true);
            ASSERT_TRUE(eventually([&] {
                return follows().find("no audio comes from " + address) != std::string::npos;
            })) << follows();
        }
        const Meeting meeting(*test_, true, true);
        EXPECT_TRUE(eventually([&] { return follows().find("by the audio from " + address) != std::string::npos; }))
            << follows();
        EXPECT_EQ(test_->status().at("healthy"), true) << test_->status();
        EXPECT_EQ(bulk_room(), ms_60);
        // As the service leaves it on a line near the lower bound.
        inside<int>(test_->host, [] {
            const auto devices = list_interfaces().value();
            for (const Interface& device : devices)
                if (downlink_interface(device.name) &&
                    !change_leaf_room(
                        device.index, list_tc_objects(device.index).value(), QueueKind::Htb,
                        {.bits_per_second = 3'000'000, .incoming = true, .bulk_room = followed_bulk_room}))
                    throw std::runtime_error(device.name);
            return 0;
        });
        EXPECT_EQ(bulk_room(), 20);
        EXPECT_EQ(test_->status().at("healthy"), true) << test_->status();
        service.signal(SIGTERM);
        EXPECT_EQ(service.wait(), 0);
        EXPECT_EQ(bulk_room(), ms_200) << "nobody follows the line any more";
    }
    const Outcome disabled = test_->agent({"disable"});
    EXPECT_EQ(disabled.status, 0) << disabled.err;
    EXPECT_EQ(test_->in_host({"tc", "qdisc", "show"}), before);
}

TEST_F(AutoRate, AServerThatDoesNotAnswerIsTold) {
    test_->add_far_address(std::string(server_address) + "/32");
    ASSERT_EQ(enable("auto-rate:2mbit-50mbit").status, 0);
    const RunningService service(*test_, {"--reconcile-every", "1s"});
    const Meeting meeting(*test_, false);
    EXPECT_TRUE(eventually([&] {
        return why().find(std::string(server_address) + " does not answer STUN") != std::string::npos;
    })) << why();
    EXPECT_EQ(ceiling(), "50Mbit");
}

} // namespace
} // namespace kudo::test
