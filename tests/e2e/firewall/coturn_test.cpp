// SPDX-License-Identifier: MIT
// A call through coturn from a host that denies by default.
// Invariant: server and client are coturn's own programs; the client counts what it sends and gets back.
#include "tests/e2e/firewall/fixture.h"

#include <csignal>
#include <regex>
#include <sys/wait.h>
#include <unistd.h>

#include <fmt/format.h>

#include "tests/support/running_service.h"

namespace kudo::test {
namespace {

class FirewallCoturn : public FirewallTest {
protected:
    void SetUp() override {
        FirewallTest::SetUp();
        if (IsSkipped()) return;
        if (access("/usr/bin/turnserver", X_OK) != 0) GTEST_SKIP() << "there is no turnserver here";
        server_ = inside<int>(test_->far, [&] {
            return start_program({"turnserver", "-n", "--listening-ip", media_address, "--relay-ip", media_address,
                                  "--no-tls", "--no-dtls", "--no-auth", "--allow-loopback-peers", "--no-cli",
                                  "--no-stdout-log", "--log-file", test_->folder + "/turn.log", "--simple-log",
                                  "--pidfile", test_->folder + "/turn.pid", "--userdb", test_->folder + "/turn.db"});
        });
        ASSERT_TRUE(eventually([&] {
            return test_->in_far({"ss", "-Hulnp"}).find(std::string(media_address) + ":3478") != std::string::npos;
        }));
    }
    void TearDown() override {
        if (server_ <= 0) return;
        kill(server_, SIGKILL);
        waitpid(server_, nullptr, 0);
    }
    // Two clients talk through the server: "total lost" of the one that reports.
    Outcome call(unsigned messages) const {
        return inside<Outcome>(test_->host, [&] {
            return run_program({"turnutils_uclient", "-y", "-c", "-n", std::to_string(messages), "-z", "5", "-l", "160",
                                "-L", host_address, media_address});
        });
    }
    int server_ = -1;
};

TEST_F(FirewallCoturn, ACallPassesWhileTheRangeMapIsSwapped) {
    enable();
    deny_by_default();
    const Outcome refused = call(10);
    EXPECT_EQ(refused.out.find("Total lost packets 0 "), std::string::npos) << "the sets are empty: " << refused.out;
    sync();
    const int before = test_->status().at("generation");
    std::jthread swaps([&](const std::stop_token& stop) {
        for (unsigned serial = 2022030101; !stop.stop_requested(); serial++)
            EXPECT_EQ(
                test_
                    ->apply(test_->write_file(
                        "map.json",
                        fmt::format(R"({{"format": "kudo-range-map/1", "serial": {}, "issued": "2022-03-01T00:00:00Z",
                    "expires": null, "overrides": ["shrink"], "effective": "2022-03-01T00:00:00Z",
                    "services": [{{"name": "media", "class": "media", "regions": ["ca"], "ports": ["udp/3478"],
                    "ipv4": ["{}"]}}]}})",
                                    serial, serial % 2 ? "3.123.12.128/28" : "3.123.12.0/24")))
                    .status,
                0);
    });
    const Outcome talked = call(400);
    swaps.request_stop();
    swaps.join();
    std::smatch sent, got;
    ASSERT_TRUE(std::regex_search(talked.out, sent, std::regex("tot_send_msgs=([0-9]+)"))) << talked.out << talked.err;
    EXPECT_NE(talked.out.find("Total lost packets 0 "), std::string::npos) << talked.out;
    EXPECT_GT(test_->status().at("generation"), before + 1); // how many more depends on the machine
}

} // namespace
} // namespace kudo::test
