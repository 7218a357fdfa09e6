// SPDX-License-Identifier: MIT
// Many live flows of KUDO's while mode enforce begins, the service is restarted and killed, and kudo-agent is upgraded.
// Invariant: every datagram is waited for at the other end, and every byte of every connection. KUDO_LIVE_FLOWS=10000
// chooses how many, 1,000 else; a tenth of them are TCP connections.
#include <poll.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include <atomic>
#include <filesystem>
#include <thread>

#include <arpa/inet.h>
#include <fmt/format.h>

#include "tests/e2e/enforce/enforce_fixture.h"

namespace kudo::test {
namespace {

const Endpoint media{media_address, 3478}, region{region_address, 443};
constexpr uint16_t first_port = 20000;
constexpr std::size_t batch = 64;
constexpr int wait_milliseconds = 5000;

struct Exchanged {
    std::atomic<uint64_t> rounds = 0, datagrams = 0, lost = 0, bytes = 0, resets = 0;
};

bool wait_for(const Fd& socket) {
    pollfd waiting{socket.get(), POLLIN, 0};
    return poll(&waiting, 1, wait_milliseconds) == 1;
}

class LiveFlows : public EnforceTest {
protected:
    void SetUp() override {
        EnforceTest::SetUp();
        if (!test_) return;
        const char* const chosen = std::getenv("KUDO_LIVE_FLOWS");
        const std::size_t flows = chosen ? static_cast<std::size_t>(std::atoi(chosen)) : 1000;
        rlimit limit{};
        ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &limit), 0);
        limit.rlim_cur = flows + flows / 5 + 200; // a connection has two ends here
        ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &limit), 0) << "KUDO_LIVE_FLOWS takes ulimit -n " << limit.rlim_cur;
        far_ = udp_socket(test_->far, media);
        const std::size_t connections = flows / 10;
        for (std::size_t i = 0; i + connections < flows; ++i) {
            Fd socket = udp_socket(test_->host, {host_address, static_cast<uint16_t>(first_port + i)});
            sockaddr_in to{.sin_family = AF_INET, .sin_port = htons(media.port), .sin_addr = {}, .sin_zero = {}};
            inet_pton(AF_INET, media_address, &to.sin_addr);
            ASSERT_EQ(connect(socket.get(), reinterpret_cast<const sockaddr*>(&to), sizeof to), 0);
            near_.push_back(std::move(socket));
        }
        for (std::size_t i = 0; i < connections; ++i)
            connections_.push_back(connect_out(region));
    }

    // One datagram of each flow there and back, then one that only the far end sends.
    void exchange_datagrams(const std::stop_token& stop, Exchanged& seen) const {
        for (std::size_t begin = 0; begin < near_.size() && !stop.stop_requested(); begin += batch) {
            const std::span flows(near_.data() + begin, std::min(batch, near_.size() - begin));
            std::size_t sent = 0;
            for (const Fd& near : flows)
                sent += send(near.get(), "out", 3, 0) == 3;
            seen.lost += flows.size() - sent;
            std::vector<sockaddr_in> peers;
            for (; peers.size() < sent && wait_for(far_);) {
                char text[8];
                socklen_t size = sizeof(sockaddr_in);
                recvfrom(far_.get(), text, sizeof text, 0, reinterpret_cast<sockaddr*>(&peers.emplace_back()), &size);
            }
            seen.lost += sent - peers.size();
            for (const char* const text : {"answer", "more"}) {
                for (const sockaddr_in& peer : peers)
                    sendto(far_.get(), text, strlen(text), 0, reinterpret_cast<const sockaddr*>(&peer), sizeof peer);
                for (const Fd& near : flows) {
                    char got[8];
                    if (!wait_for(near) || recv(near.get(), got, sizeof got, 0) <= 0) ++seen.lost;
                }
            }
            seen.datagrams += 3 * flows.size();
        }
    }
    void exchange_bytes(const std::stop_token& stop, Exchanged& seen) const {
        const auto pass = [&](const Fd& from, const Fd& to) {
            char byte = 0;
            if (send(from.get(), "x", 1, MSG_NOSIGNAL) != 1 || !wait_for(to) || recv(to.get(), &byte, 1, 0) != 1)
                ++seen.resets;
            ++seen.bytes;
        };
        for (const Connection& connection : connections_) {
            if (stop.stop_requested()) return;
            pass(connection.far, connection.near);
            pass(connection.near, connection.far);
        }
    }
    // Loads the same programs again, as another build's would be: the links get them one after the other.
    void upgrade() const {
        for (const auto& entry : std::filesystem::directory_iterator(test_->instance.layout()))
            if (entry.path().filename().string().starts_with("programs_")) std::filesystem::remove_all(entry.path());
        enforce({"--no-confirm"});
    }

    std::vector<Fd> near_;
    std::vector<Connection> connections_;
    Fd far_;
};

TEST_F(LiveFlows, LoseNothingAsItBeginsAndWhateverBecomesOfKudoAgent) {
    enable();
    Exchanged seen;
    std::optional<std::jthread> traffic(std::in_place, [&](const std::stop_token& stop) {
        while (!stop.stop_requested()) {
            exchange_datagrams(stop, seen);
            exchange_bytes(stop, seen);
            ++seen.rounds;
        }
    });
    const auto go_on = [&](const char* what) {
        const uint64_t before = seen.rounds;
        EXPECT_TRUE(eventually([&] { return seen.rounds >= before + 2; }, std::chrono::minutes(2))) << what;
        EXPECT_EQ(seen.lost, 0U) << "datagrams, until after: " << what;
        EXPECT_EQ(seen.resets, 0U) << "connections, until after: " << what;
    };
    go_on("the flows began");
    enforce({"--no-confirm"});
    go_on("mode enforce began");
    {
        RunningService service(*test_, {"--reconcile-every", "1s"});
        go_on("the service began");
        service.signal(SIGTERM);
        EXPECT_EQ(service.wait(), 0);
        go_on("the service ended");
    }
    std::optional<RunningService> service(std::in_place, *test_, std::vector<std::string>{"--reconcile-every", "1s"});
    go_on("the service began again");
    service->signal(SIGKILL);
    service->wait();
    service.emplace(*test_, std::vector<std::string>{"--reconcile-every", "1s"});
    go_on("the service was killed and began again");
    for (int i = 0; i < 3; ++i)
        upgrade();
    go_on("an upgrade beside the service");
    enforce({"--no-confirm", "--mark", "control=none", "--allow", "icmp"});
    go_on("another policy");
    apply_map_with_ipv6();
    go_on("another range map");
    service.reset();
    upgrade();
    go_on("an upgrade without the service");
    traffic.reset();

    const auto stats = test_->stats();
    for (const char* reason : {"unsolicited", "port_not_listed", "other_protocol"}) {
        const auto& counts = stats.at("reasons").at(reason);
        EXPECT_EQ(counts.at("ingress").at("packets"), 0) << reason;
        EXPECT_EQ(counts.at("egress").at("packets"), 0) << reason;
    }
    // Strangers are counted before mode enforce, too; these are not.
    EXPECT_TRUE(stats.at("denied").at("flows").empty()) << stats.at("denied").dump(1);
    EXPECT_EQ(stats.at("denied").at("untracked_packets"), 0);
    fmt::print("{} UDP flows, {} connections: {} datagrams and {} bytes, {} lost, {} resets\n", near_.size(),
               connections_.size(), seen.datagrams.load(), seen.bytes.load(), seen.lost.load(), seen.resets.load());
}

} // namespace
} // namespace kudo::test
