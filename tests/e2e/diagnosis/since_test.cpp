// SPDX-License-Identifier: MIT
// Looking back by the service's snapshots: `stats --since`.
// Invariant: what is shown was counted since a snapshot; without one there is an error and no number.
#include <filesystem>
#include <fstream>
#include <thread>

#include <fmt/format.h>

#include "tests/e2e/link_fixture.h"
#include "tests/support/running_service.h"

namespace kudo::test {
namespace {

using namespace std::chrono_literals;

const Endpoint here{host_address, 40001}, there{media_address, 3478};

class Since : public LineTest {
protected:
    std::filesystem::path snapshots() const { return test_->instance.snapshots(); }
    void send(unsigned packets) const {
        const Fd from = udp_socket(test_->far, there), to = udp_socket(test_->host, here);
        send_datagrams(from.get(), here, to.get(), packets, 100);
    }
    uint64_t media_since(const std::string& span) const {
        const Outcome outcome = test_->agent({"stats", "--json", "--since", span});
        if (outcome.status != 0) throw std::runtime_error(outcome.err);
        const auto stats = nlohmann::json::parse(outcome.out);
        EXPECT_FALSE(stats.at("since").is_null());
        return stats.at("services").at("media").at("ingress").at("packets");
    }
};

TEST_F(Since, IsAnErrorWithoutTheService) {
    enable();
    send(5);
    const Outcome outcome = test_->agent({"stats", "--since", "10m"});
    EXPECT_EQ(outcome.status, 1);
    EXPECT_NE(outcome.err.find("kudo-agent run"), std::string::npos) << outcome.err;
    EXPECT_EQ(test_->agent({"stats", "--since", "soon"}).status, 2);
}

TEST_F(Since, ShowsWhatWasCountedSinceASnapshot) {
    enable();
    send(50);
    const RunningService service(*test_, {});
    for (int i = 0; i < 100 && !std::filesystem::exists(snapshots()); ++i)
        std::this_thread::sleep_for(100ms);
    ASSERT_TRUE(std::filesystem::exists(snapshots())) << service.log();
    send(20);
    std::this_thread::sleep_for(1100ms);
    EXPECT_EQ(media_since("1s"), 20U);
    EXPECT_EQ(media_since("10m"), 20U) << "the oldest that there is";
    // Damaged and foreign files are passed over.
    const auto leave = [&](const char* name, const char* content) {
        std::ofstream file((snapshots().string() + "/") + name);
        file << content;
    };
    leave("99999999", "no snapshot");
    leave("1", "\xa1\x01");
    leave("notes.txt", "somebody's");
    EXPECT_EQ(media_since("1s"), 20U);
    EXPECT_EQ(media_since("10m"), 20U);
}

TEST_F(Since, DisableRemovesTheSnapshots) {
    enable();
    {
        const RunningService service(*test_, {});
        for (int i = 0; i < 100 && !std::filesystem::exists(snapshots()); ++i)
            std::this_thread::sleep_for(100ms);
        ASSERT_TRUE(std::filesystem::exists(snapshots())) << service.log();
    }
    ASSERT_EQ(test_->agent({"disable"}).status, 0);
    EXPECT_FALSE(std::filesystem::exists(snapshots()));
}

} // namespace
} // namespace kudo::test
