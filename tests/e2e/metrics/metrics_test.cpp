// SPDX-License-Identifier: MIT
// The service's metrics: what is served is what stats says, in Prometheus' format, and there is no more of it with more
// flows.
#include <gtest/gtest.h>

#include <arpa/inet.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <sstream>
#include <thread>

#include <fmt/format.h>

#include "agent/system/fd.h"
#include "tests/support/host_test.h"
#include "tests/support/running_service.h"

namespace kudo::test {
namespace {

constexpr const char* address = "127.0.0.1:9475";

// "name{labels}" and its value.
using Samples = std::map<std::string, double>;

Samples samples_of(const std::string& text) {
    Samples samples;
    std::istringstream lines(text);
    for (std::string line; std::getline(lines, line);)
        if (const auto space = line.rfind(' '); !line.starts_with('#') && space != std::string::npos)
            samples[line.substr(0, space)] = std::stod(line.substr(space + 1));
    return samples;
}

std::vector<std::string> names_of(const Samples& samples) {
    std::vector<std::string> names;
    for (const auto& [name, value] : samples)
        names.push_back(name);
    return names;
}

class Metrics : public HostTest {
protected:
    void SetUp() override {
        HostTest::SetUp();
        if (!test_) return;
        test_->in_host({"ip", "link", "set", "lo", "up"});
        test_->add_far_address("52.200.60.17/32");
        file_ = test_->folder + "/textfile/kudo-agent.prom";
        std::filesystem::create_directory(test_->folder + "/textfile");
        ASSERT_EQ(test_->agent({"enable", "--region", "ca"}).status, 0);
    }
    [[nodiscard]] std::vector<std::string> arguments() const {
        return {"--reconcile-every", "1s", "--metrics", address, "--metrics-file", file_};
    }
    [[nodiscard]] std::string scrape(const std::string& path = "/metrics") const {
        return inside<std::string>(test_->host, [&] { return body_of(exchange("GET " + path + " HTTP/1.1\r\n\r\n")); });
    }
    // A connection to the service; in the host's namespace.
    static Fd connection() {
        sockaddr_in to{.sin_family = AF_INET, .sin_port = htons(9475), .sin_addr = {}, .sin_zero = {}};
        inet_pton(AF_INET, "127.0.0.1", &to.sin_addr);
        Fd fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
        return connect(fd.get(), reinterpret_cast<const sockaddr*>(&to), sizeof to) == 0 ? std::move(fd) : Fd();
    }
    static std::string exchange(const std::string& request) {
        const Fd fd = connection();
        std::string answer;
        if (!fd || send(fd.get(), request.data(), request.size(), MSG_NOSIGNAL) < 0) return answer;
        char buffer[65536];
        for (ssize_t got = 0; (got = recv(fd.get(), buffer, sizeof buffer, 0)) > 0;)
            answer.append(buffer, static_cast<std::size_t>(got));
        return answer;
    }
    // Of an answer that is no success: nothing.
    static std::string body_of(const std::string& answer) {
        const auto head = answer.find("\r\n\r\n");
        return answer.starts_with("HTTP/1.1 200 ") && head != std::string::npos ? answer.substr(head + 4) : "";
    }
    // From so many ports and two addresses of the host, a datagram each.
    void send_from_many(int flows) const {
        test_->in_host({"ip", "address", "add", "10.77.0.3/24", "dev", "eth0"});
        inside<int>(test_->host, [&] {
            sockaddr_in to{.sin_family = AF_INET, .sin_port = htons(3478), .sin_addr = {}, .sin_zero = {}};
            inet_pton(AF_INET, "52.200.60.17", &to.sin_addr);
            for (int flow = 0; flow < flows; flow++) {
                const Fd fd(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
                sockaddr_in from{.sin_family = AF_INET,
                                 .sin_port = htons(static_cast<uint16_t>(2000 + flow / 2)),
                                 .sin_addr = {},
                                 .sin_zero = {}};
                inet_pton(AF_INET, flow % 2 == 0 ? "10.77.0.2" : "10.77.0.3", &from.sin_addr);
                if (bind(fd.get(), reinterpret_cast<const sockaddr*>(&from), sizeof from) == 0)
                    sendto(fd.get(), "x", 1, 0, reinterpret_cast<const sockaddr*>(&to), sizeof to);
            }
            return 0;
        });
    }
    static double value(const Samples& samples, const std::string& name) {
        const auto found = samples.find(name);
        return found == samples.end() ? -1 : found->second;
    }
    std::string file_;
};

constexpr const char* media_out =
    R"(kudo_service_packets_total{service="media",state="current",class="media",direction="egress"})";

TEST_F(Metrics, AreWhatPromtoolAccepts) {
    const RunningService service(*test_, arguments());
    const std::string served = test_->write_file("metrics", scrape());
    ASSERT_GT(std::filesystem::file_size(served), 1000U) << service.log();
    if (std::system("command -v promtool >/dev/null") != 0) GTEST_SKIP() << "promtool is not installed";
    for (const std::string& text : {served, file_}) {
        const Outcome checked = run_program({"sh", "-c", "promtool check metrics <" + text});
        EXPECT_EQ(checked.status, 0) << checked.out << checked.err;
        EXPECT_EQ(checked.out + checked.err, "");
    }
    const std::string wrong = test_->write_file("wrong", "# TYPE kudo_x counter\nkudo_x 1\n");
    EXPECT_NE(run_program({"sh", "-c", "promtool check metrics <" + wrong}).status, 0) << "the check cannot fail";
}

TEST_F(Metrics, SayWhatStatsSays) {
    const RunningService service(*test_, arguments());
    send_from_many(10);
    const Samples samples = samples_of(scrape());
    EXPECT_EQ(value(samples, media_out), 10);
    EXPECT_EQ(value(samples, "kudo_healthy"), 1) << service.log();
    EXPECT_EQ(value(samples, "kudo_range_map_serial"), 2022030100);
    const auto stats = test_->stats();
    for (const auto& [reason, counters] : stats.at("reasons").items()) {
        if (reason == "not_ip" || reason == "stranger") continue; // the neighbour's go on
        EXPECT_EQ(value(samples, fmt::format("kudo_packets_total{{reason=\"{}\",direction=\"egress\"}}", reason)),
                  counters.at("egress").at("packets").get<double>())
            << reason;
    }
    EXPECT_EQ(scrape("/"), "");
}

// Answers to a ping are freed once the program has its copy: what stats does not count as lost is not lost here.
TEST_F(Metrics, WhatIsNoLossIsNone) {
    const RunningService service(*test_, {"--metrics", address});
    test_->in_host({"ping", "-q", "-c", "20", "-i", "0.02", "52.200.60.17"});
    const auto drops = nlohmann::json::parse(test_->agent({"stats", "--drops", "--json"}).out).dump();
    EXPECT_TRUE(eventually([&] {
        return value(samples_of(scrape()), "kudo_drops_timestamp_seconds") >= static_cast<double>(time(nullptr));
    })) << "once more after the ping";
    for (const auto& [name, packets] : samples_of(scrape()))
        if (name.starts_with("kudo_host_dropped_packets_total")) EXPECT_EQ(packets, 0) << name << drops;
}

TEST_F(Metrics, AStateThatCannotBeReadIsSaid) {
    const RunningService service(*test_, arguments());
    EXPECT_TRUE(eventually([&] { return value(samples_of(scrape()), "kudo_status_read") == 1; })) << service.log();
    std::ofstream(test_->instance.state_dir / "state.json") << "{";
    EXPECT_TRUE(eventually([&] { return value(samples_of(scrape()), "kudo_status_read") == 0; })) << service.log();
    EXPECT_EQ(value(samples_of(scrape()), "kudo_healthy"), -1);
}

TEST_F(Metrics, AHundredThousandFlowsMakeNoMoreOfThem) {
    const RunningService service(*test_, arguments());
    const Samples before = samples_of(scrape());
    send_from_many(100'000);
    const Samples after = samples_of(scrape());
    EXPECT_GT(value(after, media_out), 99'000) << "the flows have been seen";
    EXPECT_EQ(names_of(before), names_of(after));
    const double cpu_before = cpu_seconds(service.pid());
    const auto times = inside<std::vector<std::chrono::microseconds>>(test_->host, [] {
        std::vector<std::chrono::microseconds> taken;
        for (int i = 0; i < 200; i++) {
            const auto began = std::chrono::steady_clock::now();
            if (body_of(exchange("GET /metrics HTTP/1.1\r\n\r\n")).empty()) break;
            taken.push_back(
                std::chrono::duration_cast<std::chrono::microseconds>(std::chrono::steady_clock::now() - began));
        }
        std::ranges::sort(taken);
        return taken;
    });
    ASSERT_EQ(times.size(), 200U);
    fmt::print("{} series; scrape p50 {} us, p99 {} us\n", after.size(), times[99].count(), times[197].count());
    // Of the service's own time: how long it waits for a CPU is the machine's.
    EXPECT_LE((cpu_seconds(service.pid()) - cpu_before) / 200, 0.020);
}

TEST_F(Metrics, CountersGoOnOverARestartOfTheServiceAndANewGeneration) {
    {
        const RunningService service(*test_, arguments());
        send_from_many(10);
        EXPECT_EQ(value(samples_of(scrape()), media_out), 10);
    }
    ASSERT_EQ(test_->agent({"enable", "--region", "ca,us"}).status, 0);
    const RunningService service(*test_, arguments());
    EXPECT_EQ(value(samples_of(scrape()), media_out), 10);
    // From zero: what a counter reset looks like.
    ASSERT_EQ(test_->agent({"disable"}).status, 0);
    EXPECT_EQ(value(samples_of(scrape()), media_out), -1);
    ASSERT_EQ(test_->agent({"enable", "--region", "ca"}).status, 0);
    EXPECT_EQ(value(samples_of(scrape()), media_out), 0);
}

TEST_F(Metrics, TheFileIsWholeAndEverybodyMayReadIt) {
    const RunningService service(*test_, arguments());
    struct stat about {};
    ASSERT_EQ(stat(file_.c_str(), &about), 0) << service.log();
    EXPECT_EQ(about.st_mode & 0777, 0644u);
    std::ostringstream text;
    text << std::ifstream(file_).rdbuf();
    EXPECT_EQ(names_of(samples_of(text.str())), names_of(samples_of(scrape())));
}

TEST_F(Metrics, SlowAndWrongClientsStopNobody) {
    RunningService service(*test_, arguments());
    const auto slow = [&] {
        return inside<std::unique_ptr<Fd>>(test_->host, [] { return std::make_unique<Fd>(connection()); });
    };
    std::vector<std::unique_ptr<Fd>> silent;
    for (int i = 0; i < 50; i++) {
        silent.emplace_back(slow());
        ASSERT_TRUE(*silent.back());
        if (i % 2 == 0) {
            ASSERT_EQ(send(silent.back()->get(), "GET /met", 8, MSG_NOSIGNAL), 8);
        }
    }
    EXPECT_NE(scrape(), "");
    const auto status_line_of = [&](const std::string& request) {
        return inside<std::string>(test_->host, [&] {
            const std::string answer = exchange(request);
            return answer.substr(0, answer.find('\r'));
        });
    };
    EXPECT_EQ(status_line_of("POST /metrics HTTP/1.1\r\n\r\n"), "HTTP/1.1 405 Method Not Allowed");
    EXPECT_EQ(status_line_of("GET /etc/passwd HTTP/1.1\r\n\r\n"), "HTTP/1.1 404 Not Found");
    EXPECT_EQ(status_line_of("\r\n\r\n"), "HTTP/1.1 400 Bad Request");
    EXPECT_EQ(status_line_of(std::string(9000, 'x')), "") << "closed";
    EXPECT_EQ(status_line_of("GET /metrics HTTP/1.1\r\n\r\n"), "HTTP/1.1 200 OK");
    EXPECT_TRUE(service.is_running());
}

TEST_F(Metrics, APortThatIsTakenIsToldAndTriedAgain) {
    Fd taken(inside<int>(test_->host, [] {
        sockaddr_in at{.sin_family = AF_INET, .sin_port = htons(9475), .sin_addr = {}, .sin_zero = {}};
        inet_pton(AF_INET, "127.0.0.1", &at.sin_addr);
        const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        return bind(fd, reinterpret_cast<const sockaddr*>(&at), sizeof at) == 0 && listen(fd, 1) == 0 ? fd : -1;
    }));
    ASSERT_TRUE(taken);
    const RunningService service(*test_, arguments());
    EXPECT_NE(service.log().find("no metrics: 127.0.0.1:9475: cannot listen: Address already in use"),
              std::string::npos)
        << service.log();
    taken = Fd();
    EXPECT_TRUE(eventually([&] { return !scrape().empty(); })) << service.log();
    EXPECT_TRUE(eventually([&] {
        return service.log().find("no longer: no metrics: 127.0.0.1:9475") != std::string::npos;
    })) << service.log();
}

TEST_F(Metrics, WithoutADescriptorLeftItWaitsAndDoesNotSpin) {
    const RunningService service(*test_, arguments());
    ASSERT_FALSE(scrape().empty());
    // As the service's user: of another's process only CAP_SYS_RESOURCE may set it.
    struct stat owner {};
    ASSERT_EQ(stat((test_->folder + "/state").c_str(), &owner), 0);
    const auto limit = [&](const std::string& files) {
        test_->in_host({"setpriv", "--reuid", std::to_string(owner.st_uid), "--regid", std::to_string(owner.st_gid),
                        "--clear-groups", "prlimit", "--pid", std::to_string(service.pid()),
                        "--nofile=" + files + ":"});
    };
    limit("3"); // fewer than it has: there is none for a new connection
    const Fd waiting = inside<Fd>(test_->host, [] { return connection(); });
    ASSERT_TRUE(waiting);
    std::this_thread::sleep_for(std::chrono::milliseconds(500));
    const double before = cpu_seconds(service.pid());
    std::this_thread::sleep_for(std::chrono::seconds(2));
    EXPECT_LE(cpu_seconds(service.pid()) - before, 1) << "of two"; // 1 s reconciles cost some
    limit("1024");
    EXPECT_TRUE(eventually([&] { return !scrape().empty(); })) << service.log();
    EXPECT_TRUE(service.is_running());
}

TEST_F(Metrics, WhatIsNoAddressOrNotThisHostsIsRefused) {
    const auto status = [&](const std::vector<std::string>& options) {
        std::vector<std::string> command = {"run", "--check"};
        command.insert(command.end(), options.begin(), options.end());
        return test_->agent(command).status;
    };
    EXPECT_EQ(status({"--metrics", "127.0.0.1:9475"}), 0);
    EXPECT_EQ(status({"--metrics", "[::1]:9475"}), 0);
    for (const char* wrong : {"9475", "localhost:9475", "127.0.0.1", "127.0.0.1:0", "127.0.0.1:65536", "::1:9475",
                              "unix:x", "unix:/", "0.0.0.0:9475", "[::]:9475", "10.77.0.2:9475", ""})
        EXPECT_EQ(status({"--metrics", wrong}), 2) << wrong;
    EXPECT_EQ(status({"--metrics", "0.0.0.0:9475", "--metrics-to-network"}), 0);
    EXPECT_EQ(status({"--metrics-file", test_->folder + "/textfile/x"}), 2) << "node_exporter reads *.prom";
}

} // namespace
} // namespace kudo::test
