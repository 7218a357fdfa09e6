// SPDX-License-Identifier: MIT
// Wrong rules, given by somebody who is far away, over a live TCP session, and what else may go wrong at the same time.
// Invariant: the host can be reached again within the deadline and a second, and nothing of kudo-agent is needed for
// it. KUDO_LOCKOUT=100 and KUDO_TEST_SEED choose.
#include <poll.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/socket.h>

#include <algorithm>
#include <fstream>
#include <random>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "tests/e2e/enforce/enforce_fixture.h"
#include "tests/support/test_clock.h"

namespace kudo::test {
namespace {

using Clock = std::chrono::steady_clock;
using namespace std::chrono_literals;

constexpr auto deadline = 2s;
const Endpoint login{host_address, 22};

// None of these lets 198.51.100.7 in to port 22.
const std::vector<std::vector<std::string>> wrong_rules = {
    {"--lifeline", "ssh=off"},
    {"--lifeline", "ssh=off", "--lifeline", "arp=off", "--lifeline", "neighbour-discovery=off", "--lifeline",
     "icmp-errors=off", "--lifeline", "dhcp=off", "--lifeline", "dns=off", "--lifeline", "ntp=off", "--lifeline",
     "gateway=off", "--lifeline", "map-sources=off"},
    {"--lifeline", "ssh=off", "--allow", "tcp/22 from 203.0.113.0/24"},
    {"--lifeline", "ssh=off", "--allow", "tcp/2222 from any"},
    {"--lifeline", "ssh=off", "--allow", "tcp/22 to any"},
    {"--lifeline", "ssh=off", "--allow", "udp/22 from any"},
    {"--lifeline", "ssh=off", "--allow", "tcp/22 from ::/0"},
    {"--lifeline", "ssh=off", "--allow", "tcp/22 from 198.51.100.8/32,198.51.100.0/30"},
    {"--lifeline", "ssh=off", "--allow", "icmp"},
    {"--lifeline", "ssh=192.0.2.0/24"},
};

class Lockout : public EnforceTest {
protected:
    void SetUp() override {
        EnforceTest::SetUp();
        if (!test_) return;
        const auto& folder = test_->instance.state_dir;
        std::filesystem::create_directories(folder);
        ASSERT_EQ(mount("tmpfs", folder.c_str(), "tmpfs", 0, "size=1m"), 0);
    }
    void TearDown() override {
        if (test_) umount2(test_->instance.state_dir.c_str(), MNT_DETACH);
    }
    void fill_disk() const {
        std::ofstream filler(filler_file());
        while (filler << std::string(4096, 'x') << std::flush) {
        }
    }
    void empty_disk() const { std::filesystem::remove(filler_file()); }
    [[nodiscard]] std::string filler_file() const { return test_->instance.state_dir.string() + "/filler"; }

    [[nodiscard]] static bool arrives(const Fd& from, const Fd& at, std::chrono::milliseconds within) {
        if (send(from.get(), "x", 1, MSG_NOSIGNAL) != 1) return false;
        pollfd waiting{at.get(), POLLIN, 0};
        char byte = 0;
        return poll(&waiting, 1, static_cast<int>(within.count())) == 1 && recv(at.get(), &byte, 1, 0) == 1;
    }
};

TEST_F(Lockout, EndsWithinTheDeadlineWhateverHappens) {
    const char* const chosen = std::getenv("KUDO_LOCKOUT");
    const int tries = chosen ? std::atoi(chosen) : 3;
    const char* const seed_text = std::getenv("KUDO_TEST_SEED");
    const auto seed = seed_text ? static_cast<unsigned>(std::atoi(seed_text)) : std::random_device{}();
    std::mt19937 random(seed);
    const std::vector<std::string> events = {"nothing",    "service killed", "service stopped",      "disk full",
                                             "state lost", "clock stepped",  "clock of the command", "command killed"};
    std::map<std::string, int> counts;
    std::vector<double> late; // s after the deadline
    int back = 0;
    for (int i = 0; i < tries; ++i) {
        const auto pick = [&](std::size_t size) { return (chosen ? static_cast<std::size_t>(i) : random()) % size; };
        const auto& rules = wrong_rules[static_cast<std::size_t>(random()) % wrong_rules.size()];
        const std::string& event = events[pick(events.size())];
        SCOPED_TRACE(fmt::format("try {}, {}, {}, KUDO_TEST_SEED={}", i, event, fmt::join(rules, " "), seed));
        empty_disk();
        std::filesystem::remove_all(test_->instance.snapshots().string());
        enable();
        TestClock clock(test_->folder);
        clock.stop_at("2030-01-01 00:00:00");
        std::optional<RunningService> service;
        service.emplace(*test_, std::vector<std::string>{"--reconcile-every", "1s"},
                        event == "clock stepped" ? clock.environment() : std::vector<std::string>{});
        const Connection session = connect_in(login, stranger_address);
        ASSERT_TRUE(arrives(session.far, session.near, 3s));

        std::vector<std::string> argv = {
            "enable", "--region", "ca", "--mode", "enforce", "--confirm-within", fmt::format("{}s", deadline.count())};
        argv.insert(argv.end(), rules.begin(), rules.end());
        argv = test_->agent_argv(argv);
        argv.insert(argv.begin(), {"env", std::string("SSH_CONNECTION=") + asking_connection});
        if (event == "clock of the command") // a container's, far ahead
            argv.insert(argv.begin(), {"unshare", "--time", "--boottime", "86400", "--monotonic", "3600", "--fork"});
        if (event == "command killed")
            argv.insert(argv.begin(), {"timeout", "-s", "KILL", fmt::format("0.{:02}", 15 + random() % 60)});
        const Outcome enabled = inside<Outcome>(test_->host, [&] { return run_program(argv); });
        const auto latest = Clock::now() + deadline;
        if (event != "command killed") {
            ASSERT_TRUE(enabled.status == 0) << enabled.err << enabled.out;
            EXPECT_FALSE(arrives(session.far, session.near, 200ms)) << "the rules are not wrong";
        }
        if (event == "service killed") {
            service->signal(SIGKILL);
            service->wait();
        }
        if (event == "service stopped") service->signal(SIGSTOP);
        if (event == "disk full") fill_disk();
        if (event == "state lost") std::filesystem::remove(state_file());
        if (event == "clock stepped") clock.stop_at("2012-01-01 00:00:00");

        const auto dropped = std::max(latest, blocked_until(latest + patient(20s)));
        const double after = std::chrono::duration<double>(dropped - latest).count();
        EXPECT_LE(after, patient(1.0));
        back += after <= patient(1.0);
        late.push_back(after);
        ++counts[event];
        EXPECT_TRUE(arrives(session.far, session.near, 20s)) << "the live session";
        EXPECT_TRUE(connects(test_->far, stranger_address, test_->host, {host_address, 23})) << "a new one";
        service->signal(SIGCONT);
        service.reset();
    }
    std::ranges::sort(late);
    fmt::print("{} of {} tries back within {} s and a second ({}); at the latest {:.2f} s after the deadline\n", back,
               tries, deadline.count(), counts, late.empty() ? 0 : late.back());
}

} // namespace
} // namespace kudo::test
