// SPDX-License-Identifier: MIT
// --mark-fallback: a router on the way begins to drop what has a mark, in the middle of a call.
#include <chrono>
#include <fstream>
#include <set>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "maps/net/prefix.h"
#include "tests/e2e/doctor/fixture.h"
#include "tests/support/patience.h"
#include "tests/support/running_service.h"

namespace kudo::test {
namespace {

using Clock = std::chrono::steady_clock;

// What a browser sends: STUN every 2.5 seconds, and audio in between. Of each answer a line goes into a file.
constexpr const char* call = R"(
import os, socket, struct, sys, time
server, log = (sys.argv[1], 3478), open(sys.argv[2], "w")
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sock.setblocking(False)
sequence = 0
while True:
    if sequence % 125 == 0:
        sock.sendto(struct.pack("!HHI", 1, 0, 0x2112A442) + os.urandom(12), server)
    sock.sendto(struct.pack("!BBHII", 0x80, 111, sequence % 65536, sequence * 960, 77) + b"x" * 80, server)
    sequence += 1
    try:
        while sock.recv(2048):
            print("answer", file=log, flush=True)
    except BlockingIOError:
        pass
    time.sleep(0.02)
)";

class LostMarks : public DoctorTest {
protected:
    void SetUp() override {
        DoctorTest::SetUp();
        if (!test_ || IsSkipped() || HasFatalFailure()) return;
        router_shell("nft add table ip t; nft 'add chain ip t c { type filter hook forward priority 0; }'; "
                     "nft 'add chain ip t counts { type filter hook postrouting priority 0; }'; "
                     "nft 'add rule ip t counts oifname eth1 udp dport 3478 ip dscp ef counter'; "
                     "nft 'add rule ip t counts oifname eth1 udp dport 3478 ip dscp cs0 ip length 120 counter'");
        enable();
        service_ = std::make_unique<RunningService>(*test_, std::vector<std::string>{"--reconcile-every", "2s"});
    }
    void TearDown() override {
        call_.reset();
        service_.reset();
        DoctorTest::TearDown();
    }
    void enable(std::vector<std::string> more = {"--mark-fallback"}) {
        more.insert(more.begin(), {"enable", "--region", "ca", "--interface", "eth0"});
        const Outcome enabled = test_->agent(more);
        ASSERT_EQ(enabled.status, 0) << enabled.err << enabled.out;
    }
    void begin_call() {
        call_ = std::make_unique<ServerProcess>(std::vector<std::string>{
            "nsenter", fmt::format("--net=/proc/{}/fd/{}", getpid(), test_->host.fd()), "python3",
            test_->write_file("call.py", call), media[0], test_->folder + "/answers"});
        ASSERT_TRUE(eventually([&] { return answers() > 0; }));
    }
    [[nodiscard]] std::size_t answers() const {
        std::ifstream log(test_->folder + "/answers");
        std::size_t lines = 0;
        for (std::string line; std::getline(log, line);)
            lines++;
        return lines;
    }
    // Until the call has an answer more than now.
    [[nodiscard]] bool is_answered() const {
        const std::size_t before = answers();
        return eventually([&] { return answers() > before; });
    }
    void router_drops(const std::string& what) { router_shell(fmt::format("nft 'add rule ip t c {} drop'", what)); }
    void router_lets_through() { router_shell("nft flush chain ip t c"); }
    [[nodiscard]] nlohmann::json status() const {
        return nlohmann::json::parse(test_->agent({"status", "--json"}).out);
    }
    // "AF41 EF": by name, for which is found first is chance.
    [[nodiscard]] std::string lost() const {
        std::set<std::string> names;
        const auto now = status();
        for (const auto& mark : now.at("lost_marks"))
            names.insert(mark.at("dscp").get<std::string>());
        return fmt::format("{}", fmt::join(names, " "));
    }
    // Audio that has left the router with this mark.
    [[nodiscard]] uint64_t passed(const std::string& dscp) const {
        const auto rules = nlohmann::json::parse(router_shell("nft -j list chain ip t counts")).at("nftables");
        uint64_t packets = 0;
        for (const auto& rule : rules)
            if (rule.contains("rule") && rule.dump().find('"' + dscp + '"') != std::string::npos)
                for (const auto& part : rule.at("rule").at("expr"))
                    if (part.contains("counter")) packets += part.at("counter").at("packets").get<uint64_t>();
        return packets;
    }
    std::unique_ptr<RunningService> service_;
    std::unique_ptr<ServerProcess> call_;
};

TEST_F(LostMarks, ACallRecoversWithinTenSeconds) {
    begin_call();
    EXPECT_TRUE(eventually([&] { return passed("ef") > 0; }));
    EXPECT_EQ(lost(), "");
    router_drops("udp dport 3478 ip dscp ef");
    const auto begin = Clock::now();
    std::this_thread::sleep_for(std::chrono::milliseconds(500)); // answers that were under way
    ASSERT_TRUE(is_answered()) << service_->log();
    const auto taken = Clock::now() - begin;
    EXPECT_LE(taken, patient(std::chrono::seconds(10)));
    RecordProperty("seconds", std::to_string(std::chrono::duration<double>(taken).count()));
    EXPECT_EQ(lost(), "EF");
    const auto now = status();
    EXPECT_EQ(now.at("lost_marks").at(0).at("classes"), nlohmann::json({"audio"}));
    const auto server = now.at("lost_marks").at(0).at("server").get<std::string>();
    EXPECT_EQ(now.at("healthy"), true) << now.at("drift");
    const std::string text = test_->agent({"status"}).out;
    EXPECT_NE(text.find("lost mark   EF: found at "), std::string::npos) << text;
    EXPECT_NE(text.find(", asking " + server + ";"), std::string::npos) << text;
    EXPECT_TRUE(Address::parse(server).has_value()) << server;
    EXPECT_NE(text.find("audio       priority 6"), std::string::npos) << text;
    const uint64_t before = passed("cs0");
    EXPECT_TRUE(eventually([&] { return passed("cs0") > before + 20; })) << "audio goes on without a mark";

    // Requests of kudo-agent's own are no call's: all of this one's flows answer again.
    const auto stats = test_->stats();
    std::size_t asking = 0;
    for (const auto& flow : stats.at("flows"))
        if (flow.at("network").is_object() && flow.at("network").at("stun").is_object()) asking++;
    EXPECT_EQ(asking, 1u) << stats.at("flows").dump(1);

    // The network is another one: asked again at once, and the marks are back.
    router_lets_through();
    host_shell("ip route add 3.123.12.128/28 via 10.77.0.1");
    EXPECT_TRUE(eventually([&] { return lost().empty(); })) << service_->log();
    const uint64_t marked = passed("ef");
    EXPECT_TRUE(eventually([&] { return passed("ef") > marked + 20; }));
    EXPECT_TRUE(is_answered());
}

TEST_F(LostMarks, AllOfThemAtOnce) {
    begin_call();
    router_drops("udp dport 3478 ip dscp != cs0");
    EXPECT_TRUE(eventually([&] { return lost() == "AF21 AF41 EF"; })) << lost() << service_->log();
    EXPECT_TRUE(is_answered());
}

TEST_F(LostMarks, NothingIsSaidOfThemWhereUnmarkedPacketsAreLostToo) {
    begin_call();
    router_drops("udp dport 3478");
    std::this_thread::sleep_for(std::chrono::seconds(8));
    EXPECT_EQ(lost(), "");
    router_lets_through();
    EXPECT_TRUE(is_answered());
    EXPECT_EQ(lost(), "");
}

TEST_F(LostMarks, OutliveTheServiceAndEndWithTheOption) {
    begin_call();
    router_drops("udp dport 3478 ip dscp ef");
    ASSERT_TRUE(eventually([&] { return lost() == "EF"; })) << service_->log();
    service_.reset(); // killed
    EXPECT_EQ(lost(), "EF");
    enable();
    EXPECT_EQ(lost(), "EF") << "the same options change nothing";
    service_ = std::make_unique<RunningService>(*test_, std::vector<std::string>{"--reconcile-every", "2s"});
    EXPECT_TRUE(is_answered());
    EXPECT_EQ(lost(), "EF");
    enable({});
    EXPECT_EQ(lost(), "");
    EXPECT_EQ(status().at("mark_fallback"), false);
    const uint64_t dropped = passed("cs0");
    std::this_thread::sleep_for(std::chrono::seconds(4));
    EXPECT_LE(passed("cs0"), dropped + 20) << "audio is marked again, as it is desired, and lost";
    EXPECT_EQ(lost(), "");
}

TEST_F(LostMarks, AreNotLookedForByThoseWhoSendNone) {
    EXPECT_EQ(test_->agent({"enable", "--region", "ca", "--mark-fallback", "--mode", "observe"}).status, 2);
    EXPECT_EQ(test_
                  ->agent({"enable", "--region", "ca", "--mark-fallback", "--mark", "media=none", "--mark",
                           "fallback=none", "--mark", "control=none"})
                  .status,
              2);
    service_.reset();
    const Outcome alone = test_->agent({"enable", "--region", "ca", "--mark-fallback", "--interface", "eth0"});
    EXPECT_NE((alone.out + alone.err).find("does not run"), std::string::npos) << alone.out << alone.err;
}

} // namespace
} // namespace kudo::test
