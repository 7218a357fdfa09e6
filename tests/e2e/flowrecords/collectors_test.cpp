// SPDX-License-Identifier: MIT
// Flow records at real collectors: what they have read of each flow is what `stats --json` says, also when a collector
// is killed and started again in the middle.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <csignal>
#include <regex>

#include <fmt/format.h>

#include "tests/e2e/diagnosis/path_fixture.h"
#include "tests/e2e/flowrecords/fixture.h"
#include "tests/support/ipfix_reader.h"

namespace kudo::test {
namespace {

bool is_installed(const char* program) {
    return std::system(fmt::format("command -v {} >/dev/null", program).c_str()) == 0;
}

// Wherever a message is that says so; the service reconciles every second and tells then.
bool logs(const RunningService& service, const std::string& text) {
    return eventually([&] { return service.log().find(text) != std::string::npos; });
}

class Collectors : public FlowRecordTest {
protected:
    // Until what was read is what stats says; else both are shown.
    template <typename Read> void expect_equal(const RunningService& service, Read read) const {
        const FlowSums expected = sums_of_stats();
        EXPECT_GE(expected.size(), 3U);
        FlowSums last;
        EXPECT_TRUE(eventually([&] { return (last = read()) == expected; }, std::chrono::seconds(15)))
            << "read:\n"
            << text_of(last) << "stats:\n"
            << text_of(expected) << service.log();
    }
    // All that a storing collector has got.
    [[nodiscard]] static FlowSums sums_in(const std::filesystem::path& folder) {
        FlowSums sums;
        for (const auto& file : std::filesystem::directory_iterator(folder))
            for (const auto& [key, counted] : sums_of_ipfix(file.path()))
                for (std::size_t i = 0; i < counted.size(); i++)
                    sums[key][i] += counted[i];
        return sums;
    }
    void stop_and_start_again(const std::string& destination, const TestAuthority::Pair* tls,
                              const std::vector<std::string>& options) const {
        if (!is_installed("ipfixDump")) GTEST_SKIP() << "ipfixDump (libfixbuf-tools) is not installed";
        const std::filesystem::path folder = test_->folder + "/collector";
        const auto argv = storing_collector(folder, 4739, tls);
        auto collector = run_there(argv);
        std::vector<std::string> arguments = {"--flow-records", destination};
        arguments.insert(arguments.end(), options.begin(), options.end());
        const auto service = start(arguments);
        talk(40000, tls ? 6 : 210, 3); // 210: more than a batch
        expect_equal(*service, [&] { return sums_in(folder); });
        collector.reset();
        talk(40000, 6, 20);
        EXPECT_TRUE(logs(*service, "flow records are not handed over: " + destination)) << service->log();
        EXPECT_TRUE(eventually([&] {
            return test_->agent({"status", "--json"}).out.find("flow records are not handed over") != std::string::npos;
        })) << "an alarm";
        collector = run_there(argv);
        expect_equal(*service, [&] { return sums_in(folder); });
        EXPECT_TRUE(logs(*service, "no longer: flow records are not handed over")) << service->log();
    }
};

TEST_F(Collectors, NfdumpReadsByUdpWhatStatsSays) {
    if (!is_installed("nfcapd")) GTEST_SKIP() << "nfdump is not installed";
    const std::filesystem::path folder = test_->folder + "/nfdump";
    std::filesystem::create_directory(folder);
    const std::vector<std::string> argv = {"nfcapd", "-p", "9995", "-b", "127.0.0.1", "-t", "2", "-w", folder};
    auto collector = run_there(argv);
    const auto service = start({"--flow-records", "ipfix:udp:127.0.0.1:9995"});
    talk(40000, 6, 20);
    expect_equal(*service, [&] { return sums_of_nfdump(folder); });
    collector.reset();
    talk(40000, 6, 20);
    EXPECT_TRUE(logs(*service, "ipfix:udp:127.0.0.1:9995: nobody receives there")) << service->log();
    collector = run_there(argv); // which knows no template any more
    expect_equal(*service, [&] { return sums_of_nfdump(folder); });
}

TEST_F(Collectors, PmacctReadsByUdpWhatStatsSays) {
    if (!is_installed("nfacctd")) GTEST_SKIP() << "pmacct is not installed";
    const std::string out = test_->folder + "/pmacct.json";
    const std::string primitives =
        test_->write_file("primitives", "name=revbytes field_type=29305:1 len=8 semantics=u_int\n"
                                        "name=revpackets field_type=29305:2 len=8 semantics=u_int\n");
    const std::string configuration = test_->write_file(
        "nfacctd.conf", "nfacctd_port: 2100\nnfacctd_ip: 127.0.0.1\naggregate_primitives: " + primitives +
                            "\nplugins: print[p]\naggregate[p]: src_host,dst_host,src_port,dst_port,"
                            "proto,flows,revbytes,revpackets\nprint_output[p]: json\n"
                            "print_output_file[p]: " +
                            out +
                            "\nprint_output_file_append[p]: true\nprint_refresh_time[p]: 1\n"
                            "nfacctd_time_new: true\n");
    const auto collector = run_there({"nfacctd", "-f", configuration});
    const auto service = start({"--flow-records", "ipfix:udp:[::ffff:127.0.0.1]:2100"});
    talk(40000, 6, 20);
    talk(40000, 6, 20);
    expect_equal(*service, [&] { return sums_of_pmacct(out); });
}

TEST_F(Collectors, ByTcpNothingIsLostOrTwiceWhileTheCollectorIsAway) {
    stop_and_start_again("ipfix:tcp:localhost:4739", nullptr, {});
}

TEST_F(Collectors, ByTlsNothingIsLostOrTwiceWhileTheCollectorIsAway) {
    const TestAuthority authority(test_->folder, "authority");
    const auto pair = authority.sign("collector", "IP:127.0.0.1");
    stop_and_start_again("ipfix:tls:127.0.0.1:4739", &pair, {"--flow-records-ca", authority.certificate()});
}

TEST_F(Collectors, ACertificateOfAnotherNameIsRefused) {
    const TestAuthority authority(test_->folder, "authority");
    const auto pair = authority.sign("other", "DNS:other.example.com");
    const auto collector = run_there(storing_collector(test_->folder + "/collector", 4739, &pair));
    const auto service =
        start({"--flow-records", "ipfix:tls:127.0.0.1:4739", "--flow-records-ca", authority.certificate()});
    talk(40000, 3, 5);
    EXPECT_TRUE(logs(*service, "flow records are not handed over: ipfix:tls:127.0.0.1:4739: SSL: no alternative "
                               "certificate subject name"))
        << service->log();
    EXPECT_TRUE(sums_in(test_->folder + "/collector").empty());
}

// It accepts, and never reads, or does not even accept: the service goes on as without it.
TEST_F(Collectors, OneThatReadsNothingStopsNobody) {
    const auto collector = run_there({"python3", "-c",
                                      "import socket, time\n"
                                      "listener = socket.socket()\n"
                                      "listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)\n"
                                      "listener.bind(('127.0.0.1', 4739))\n"
                                      "listener.listen(1)\n"
                                      "full = socket.socket()\n" // from now on a SYN is dropped
                                      "full.bind(('127.0.0.1', 4740))\n"
                                      "full.listen(0)\n"
                                      "clients = [socket.socket() for _ in range(3)]\n"
                                      "for client in clients:\n"
                                      "    client.setblocking(False)\n"
                                      "    client.connect_ex(('127.0.0.1', 4740))\n"
                                      "time.sleep(1000)\n"});
    const std::string lines = test_->folder + "/flows.json";
    const auto service = start({"--flow-records", "ipfix:tcp:127.0.0.1:4739", "--flow-records",
                                "ipfix:tcp:127.0.0.1:4740", "--flow-records", "json:" + lines});
    talk(40000, 300, 4);
    expect_equal(*service, [&] { return sums_of_lines(content_of(lines)); });
    EXPECT_TRUE(logs(*service, "ipfix:tcp:127.0.0.1:4739: the collector")) << service->log();
    EXPECT_TRUE(logs(*service, "ipfix:tcp:127.0.0.1:4740: ")) << service->log();
    static const std::regex how_long(" after [0-9]+ m");
    EXPECT_FALSE(std::regex_search(service->log(), how_long)) << "each attempt is another problem: " << service->log();
    EXPECT_EQ(test_->agent({"status"}).status, 0);
    EXPECT_TRUE(service->is_running());
}

TEST_F(Collectors, WhatIsOwedOutlivesTheProcessTheServiceAndTheTable) {
    if (!is_installed("ipfixDump")) GTEST_SKIP() << "ipfixDump (libfixbuf-tools) is not installed";
    const std::filesystem::path folder = test_->folder + "/collector";
    auto collector = run_there(storing_collector(folder, 4739));
    auto service = start({"--flow-records", "ipfix:tcp:127.0.0.1:4739"});
    const auto child = [&] {
        return content_of(fmt::format("/proc/{}/task/{}/children", service->pid(), service->pid()));
    };
    talk(40000, 3, 5);
    expect_equal(*service, [&] { return sums_in(folder); });
    const int before = std::stoi(child());
    EXPECT_NE(content_of(fmt::format("/proc/{}/status", before)).find("CapEff:\t0000000000000000"), std::string::npos);
    ASSERT_EQ(kill(before, SIGKILL), 0);
    talk(40000, 3, 5);
    expect_equal(*service, [&] { return sums_in(folder); });
    EXPECT_NE(std::stoi(child()), before);
    // What came last is in no record and, as after a reboot, in no table when the service comes back.
    collector.reset();
    talk(40000, 6, 5);
    const FlowSums owed = sums_of_stats();
    service->signal(SIGTERM);
    EXPECT_EQ(service->wait(), 0);
    std::filesystem::remove_all(test_->instance.pins());
    collector = run_there(storing_collector(folder, 4739));
    service = start({"--flow-records", "ipfix:tcp:127.0.0.1:4739"});
    EXPECT_TRUE(sums_of_stats().empty());
    FlowSums read;
    EXPECT_TRUE(eventually([&] { return (read = sums_in(folder)) == owed; }, std::chrono::seconds(15)))
        << "read:\n"
        << text_of(read) << "owed:\n"
        << text_of(owed) << service->log();
}

// Of a call that loses packets on its way and in this host.
class CollectedCall : public PathTest {
protected:
    // What `stats --json` says of the one flow, by the numbers of kudo-agent's own elements (docs/flow-records.md).
    using OwnElements = std::map<uint64_t, std::string>;
    [[nodiscard]] OwnElements expected() const {
        const auto stats = test_->stats();
        const auto& flow = stats.at("flows").at(0);
        uint64_t upstream = 0, host = 0;
        double jitter = 0;
        for (const auto& stream : flow.at("network").at("streams")) {
            if (stream.at("direction") != "ingress") continue;
            upstream += stream.at("lost").get<uint64_t>();
            if (stream.at("jitter_ms").is_number()) jitter = std::max(jitter, stream.at("jitter_ms").get<double>());
        }
        for (const auto& drop : stats.at("drops"))
            if (drop.at("loss") == true && drop.at("flow").is_object())
                host += drop.at("ingress").at("packets").get<uint64_t>();
        const auto microseconds = [](double milliseconds) { return std::to_string(std::llround(milliseconds * 1000)); };
        return {{1, flow.at("service")},
                {2, flow.at("class")},
                {3, flow.at("reason")},
                {4, std::to_string(upstream)},
                {5, "0"},
                {16384 + 5, std::to_string(host)},
                {6, "0"},
                {7, microseconds(jitter)},
                {8, microseconds(flow.at("network").at("rtt_ms").at("p50"))}};
    }
    // The same of the last record that is in the file.
    static OwnElements collected(const std::filesystem::path& file, const OwnElements& wanted) {
        IpfixReader reader;
        reader.read_stream(FlowRecordTest::content_of(file));
        OwnElements result;
        if (reader.records().empty()) return result;
        for (const auto& [element, value] : wanted) {
            const std::string& bytes = reader.records().back().at({32473, element});
            result[element] = element <= 3 ? bytes : std::to_string(ipfix_number(bytes, 0, bytes.size()));
        }
        return result;
    }
};

TEST_F(CollectedCall, LossJitterAndRoundTripAreThoseOfStats) {
    enable();
    const std::filesystem::path folder = test_->folder + "/collector";
    const auto collector = run_in(test_->host, storing_collector(folder, 4739));
    const RunningService service(*test_, {"--flow-records", "ipfix:tcp:127.0.0.1:4739", "--flow-records-every", "1s",
                                          "--reconcile-every", "1s"});
    Call lossy = call();
    lossy.settings.stun_delay = std::chrono::milliseconds(20);
    lossy.run(std::chrono::seconds(2));
    nft_in_middlebox("add table ip box\nadd chain ip box forward { type filter hook forward priority 0; }");
    nft_in_middlebox("add rule ip box forward udp sport 3478 numgen inc mod 25 0 drop");
    nft_in_host("add table ip box\nadd chain ip box input { type filter hook input priority 0; }");
    nft_in_host("add rule ip box input udp sport 3478 numgen inc mod 40 0 drop");
    lossy.run(std::chrono::seconds(3));
    nft_in_middlebox("flush chain ip box forward");
    lossy.run(std::chrono::seconds(3));

    OwnElements stats, read;
    EXPECT_TRUE(eventually(
        [&] {
            stats = expected();
            return (read = collected(folder.string() + "/0.ipfix", stats)) == stats;
        },
        std::chrono::seconds(15)))
        << "read: " << nlohmann::json(read) << "\nstats: " << nlohmann::json(stats) << service.log();
    for (const uint64_t element : {4, 16384 + 5, 7})
        EXPECT_NE(stats[element], "0") << element;
    EXPECT_GE(std::stoi(stats[8]), 20'000);
}

} // namespace
} // namespace kudo::test
