// SPDX-License-Identifier: MIT
// The map's names with real servers: nsd has the zones, unbound and dnsmasq resolve them, curl speaks TLS with a server
// of these names. What the kernel sees it learns; what it cannot see (a resolver on this host that has the name in its
// cache, a response over TCP) the service enters.
#include "tests/e2e/link_fixture.h"

#include <sys/mount.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <memory>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "tests/support/private_network.h"
#include "tests/support/running_service.h"
#include "tests/support/web_server.h"

namespace kudo::test {
namespace {

constexpr const char* nsd_address = "25.9.9.9"; // authoritative; unbound asks it
constexpr const char* tls_address = "25.1.1.1"; // of all names, in no range of the map
constexpr const char* far_resolver = "10.77.0.1";
const std::vector<std::string> resolving{"--reconcile-every", "1s", RunningService::resolves_names};
constexpr const char* zones[] = {"kudoway.ca", "tokbox.com", "opentok.com", "kudoway.com"};

class NameServers : public HostTest {
protected:
    void SetUp() override {
        for (const char* program : {"/usr/sbin/nsd", "/usr/sbin/unbound", "/usr/sbin/dnsmasq", "/usr/bin/curl"})
            if (access(program, X_OK) != 0) GTEST_SKIP() << "there is no " << program;
        HostTest::SetUp();
        if (IsSkipped()) return;
        test_->in_host({"ip", "link", "set", "lo", "up"});
        test_->in_far({"ip", "link", "set", "lo", "up"});
        for (const char* address : {nsd_address, tls_address})
            test_->add_far_address(fmt::format("{}/32", address));
        const std::string file = test_->write_file("resolv.conf", "");
        ASSERT_EQ(mount(file.c_str(), "/etc/resolv.conf", nullptr, MS_BIND, nullptr), 0) << strerror(errno);
        mounted_ = true;
    }
    void TearDown() override {
        host_server_.reset();
        far_servers_.clear();
        if (mounted_) umount2("/etc/resolv.conf", MNT_DETACH);
    }

    void name_server(const std::string& address) const {
        std::ofstream("/etc/resolv.conf") << "nameserver " << address << "\noptions timeout:1 attempts:2\n";
    }
    // `records`: lines of the zones, "live 60 IN A 25.1.1.1".
    void start_nsd(const std::vector<std::string>& records) {
        std::string config = fmt::format("server:\n ip-address: {}\n username: \"\"\n chroot: \"\"\n zonesdir: \"{}\"\n"
                                         " pidfile: \"\"\n database: \"\"\n zonelistfile: \"{}/zone.list\"\n"
                                         " xfrdfile: \"{}/xfrd.state\"\n xfrdir: \"{}\"\n server-count: 1\n"
                                         "remote-control:\n control-enable: no\n",
                                         nsd_address, test_->folder, test_->folder, test_->folder, test_->folder);
        std::string zone = "$TTL 60\n@ IN SOA ns hostmaster 1 3600 600 86400 60\n@ IN NS ns\nns IN A " +
                           std::string(nsd_address) + "\n";
        for (const std::string& record : records)
            zone += record + "\n";
        const std::string file = test_->write_file("zone", zone);
        for (const char* name : zones)
            config += fmt::format("zone:\n name: {}\n zonefile: \"{}\"\n", name, file);
        nsd_ = start_far({"/usr/sbin/nsd", "-d", "-c", test_->write_file("nsd.conf", config)});
    }
    [[nodiscard]] std::vector<std::string> unbound(const std::string& address) const {
        std::string config = fmt::format("server:\n interface: {}\n username: \"\"\n chroot: \"\"\n pidfile: \"\"\n"
                                         " directory: \"{}\"\n use-syslog: no\n do-daemonize: no\n num-threads: 1\n"
                                         " module-config: \"iterator\"\n access-control: 0.0.0.0/0 allow\n"
                                         " do-not-query-localhost: no\n do-ip6: no\n"
                                         "remote-control:\n control-enable: no\n",
                                         address, test_->folder);
        for (const char* name : zones)
            config += fmt::format("stub-zone:\n name: {}\n stub-addr: {}\n", name, nsd_address);
        return {"/usr/sbin/unbound", "-d", "-c", test_->write_file("unbound-" + address, config)};
    }
    static std::vector<std::string> dnsmasq(const std::string& address) {
        return {"/usr/sbin/dnsmasq",
                "-k",
                "--no-resolv",
                "--no-hosts",
                "--conf-file=/dev/null",
                "--user=root",
                "--pid-file=",
                "--bind-interfaces",
                "--except-interface=none",
                "--listen-address=" + address,
                fmt::format("--server={}", nsd_address)};
    }
    ServerProcess* start_far(const std::vector<std::string>& argv) {
        far_servers_.push_back(start(test_->far, argv));
        return far_servers_.back().get();
    }
    static std::unique_ptr<ServerProcess> start(const NetworkNamespace& space, const std::vector<std::string>& argv) {
        const PrivateNetwork inside_it(space); // by this thread: they end with the one that has started them
        return std::make_unique<ServerProcess>(argv);
    }
    void start_tls() {
        const TestAuthority authority(test_->folder, "authority");
        const auto pair = authority.sign("kudo", "DNS:*.tokbox.com,DNS:*.kudoway.ca");
        for (const char* port : {"443", "8445"})
            start_far({"openssl", "s_server", "-quiet", "-www", "-accept", port, "-cert", pair.certificate.string(),
                       "-key", pair.key.string()});
    }
    [[nodiscard]] std::string addresses_of(const std::string& name) const {
        return inside<std::string>(test_->host, [&] { return run_program({"getent", "ahostsv4", name}).out; });
    }
    void wait_for(const std::string& name) const {
        ASSERT_TRUE(eventually([&] { return !addresses_of(name).empty(); })) << name;
    }
    [[nodiscard]] Outcome curl(const std::string& url) const {
        return inside<Outcome>(test_->host, [&] {
            return run_program({"curl", "-sk", "--noproxy", "*", "--max-time", "20", "-o", "/dev/null", url});
        });
    }
    // What is known of names: `ranges show --domains`.
    [[nodiscard]] nlohmann::json known(const std::string& name) const {
        nlohmann::json result = nlohmann::json::array();
        for (const auto& row : nlohmann::json::parse(test_->agent({"ranges", "show", "--domains", "--json"}).out))
            if (row.at("name") == name) result.push_back(row);
        return result;
    }
    void enable(std::vector<std::string> more = {}) const {
        more.insert(more.begin(), {"enable", "--region", "ca"});
        const Outcome outcome = test_->agent(more);
        ASSERT_EQ(outcome.status, 0) << outcome.err;
    }
    // Counts, on its own, what the host sends to the servers.
    void count_sent() const {
        test_->in_host(
            {"nft", fmt::format("add table ip t; add chain ip t o {{ type filter hook output priority 0; }}; "
                                "add rule ip t o ip daddr {} counter",
                                tls_address)});
    }
    [[nodiscard]] uint64_t sent() const {
        const std::string rules = test_->in_host({"nft", "list", "chain", "ip", "t", "o"});
        return std::stoull(rules.substr(rules.find("counter packets ") + 16));
    }
    // All that was sent to the servers was judged by the name.
    void expect_all_by_name(const std::string& service) const {
        uint64_t packets = 0;
        const auto stats = test_->stats();
        for (const auto& flow : stats.at("flows")) {
            if (flow.at("remote") != tls_address) continue;
            EXPECT_EQ(flow.at("reason"), "name");
            EXPECT_EQ(flow.at("service"), service);
            packets += flow.at("egress").at("packets").get<uint64_t>();
        }
        EXPECT_GE(packets, 5u) << stats.at("flows");
        EXPECT_EQ(packets, sent());
    }

    std::vector<std::unique_ptr<ServerProcess>> far_servers_;
    std::unique_ptr<ServerProcess> host_server_;
    ServerProcess* nsd_ = nullptr;
    bool mounted_ = false;
};

TEST_F(NameServers, EveryPacketOfAConnectionIsJudgedByItsNameFromTheFirstOn) {
    start_nsd({fmt::format("anvil 60 IN CNAME elb.opentok.com.\nelb 60 IN A {}", tls_address),
               fmt::format("teams-bot 60 IN A {}", tls_address)});
    start_far(unbound(far_resolver));
    start_tls();
    name_server(far_resolver);
    wait_for("anvil.tokbox.com");
    enable({"--teams"});
    count_sent();
    ASSERT_EQ(curl("https://anvil.tokbox.com/").status, 0);
    expect_all_by_name("opentok");
    EXPECT_EQ(known("anvil.tokbox.com").at(0).at("server"), far_resolver);
    EXPECT_EQ(known("anvil.tokbox.com").at(0).at("source"), "kernel");
    test_->in_host({"nft", "flush chain ip t o"});
}

TEST_F(NameServers, PortsOfTeamsCountWithTeamsAlone) {
    start_nsd({fmt::format("teams-bot 60 IN A {}", tls_address)});
    start_tls();
    name_server(nsd_address);
    wait_for("teams-bot.kudoway.com");
    const auto reasons = [&] {
        std::string all;
        const auto stats = test_->stats();
        for (const auto& flow : stats.at("flows"))
            all += fmt::format("{} {} {} ", flow.at("remote_port").get<int>(), flow.at("reason").get<std::string>(),
                               flow.at("verdict").get<std::string>());
        return all;
    };
    enable();
    ASSERT_EQ(curl("https://teams-bot.kudoway.com:8445/").status, 0);
    EXPECT_EQ(reasons(), "") << "a stranger";
    enable({"--teams"});
    ASSERT_EQ(curl("https://teams-bot.kudoway.com:8445/").status, 0);
    EXPECT_EQ(reasons(), "8445 name prioritise ");
}

TEST_F(NameServers, AnAnswerFromAResolversCacheRenews) {
    start_nsd({fmt::format("anvil 86400 IN A {}", tls_address)});
    start_far(unbound(far_resolver));
    name_server(far_resolver);
    enable();
    wait_for("anvil.tokbox.com");
    const auto before = known("anvil.tokbox.com");
    ASSERT_EQ(before.size(), 1u);
    far_servers_.front().reset(); // the cache alone answers now
    // From a TTL that goes down a time that does not get shorter follows: what is known stays so.
    std::this_thread::sleep_for(std::chrono::milliseconds(1100));
    EXPECT_FALSE(addresses_of("anvil.tokbox.com").empty());
    const auto after = known("anvil.tokbox.com");
    ASSERT_EQ(after.size(), 1u);
    EXPECT_GE(after.at(0).at("until").get<std::string>(), before.at(0).at("until").get<std::string>());
    EXPECT_GE(test_->stats().at("dns").at("learned").get<int>(), 2);
}

class ResolverOnThisHost : public NameServers, public testing::WithParamInterface<const char*> {
protected:
    void start_resolver() {
        const bool is_unbound = std::string(GetParam()) == "unbound";
        host_server_ = start(test_->host, is_unbound ? unbound("127.0.0.1") : dnsmasq("127.0.0.1"));
        name_server("127.0.0.1");
    }
};

TEST_P(ResolverOnThisHost, WhatItHasInItsCacheIsEnteredByTheService) {
    start_nsd({fmt::format("live 3600 IN A {}\nlive 3600 IN AAAA 2a00:1450::7", tls_address)});
    start_tls();
    start_resolver();
    wait_for("live.kudoway.ca"); // it is in the cache
    ASSERT_TRUE(eventually([&] {
        return inside<Outcome>(test_->host, [] {
                   return run_program({"getent", "ahostsv6", "live.kudoway.ca"});
               }).out.find("2a00:1450::7") != std::string::npos;
    }));
    enable();
    EXPECT_TRUE(known("live.kudoway.ca").empty());
    far_servers_.front().reset(); // nobody else can answer
    const RunningService service(*test_, resolving);
    ASSERT_TRUE(eventually([&] { return !known("live.kudoway.ca").empty(); })) << service.log();
    EXPECT_TRUE(eventually([&] { return known("live.kudoway.ca").size() == 2; })) << service.log();
    EXPECT_EQ(known("live.kudoway.ca").at(1).at("address"), "2a00:1450::7");
    EXPECT_EQ(known("live.kudoway.ca").at(1).at("source"), "service");
    const auto row = known("live.kudoway.ca").at(0);
    EXPECT_EQ(row.at("address"), tls_address);
    EXPECT_EQ(row.at("server"), "127.0.0.1");
    EXPECT_EQ(row.at("source"), "service");
    EXPECT_EQ(row.at("services").at(0), "region-ca");
    count_sent();
    ASSERT_EQ(curl("https://live.kudoway.ca/").status, 0);
    expect_all_by_name("region-ca");
    EXPECT_NE(test_->agent({"explain", "live.kudoway.ca", "tcp/443"}).out.find("127.0.0.1 (asked by the service)"),
              std::string::npos);
}

TEST_P(ResolverOnThisHost, ItsOwnQueriesAreSeenByTheKernel) {
    start_nsd({fmt::format("anvil 60 IN A {}", tls_address)});
    start_tls();
    start_resolver();
    enable();
    count_sent();
    wait_for("anvil.tokbox.com");
    ASSERT_EQ(curl("https://anvil.tokbox.com/").status, 0);
    expect_all_by_name("opentok");
}

INSTANTIATE_TEST_SUITE_P(Names, ResolverOnThisHost, testing::Values("unbound", "dnsmasq"),
                         [](const auto& info) { return std::string(info.param); });

TEST_F(NameServers, ATruncatedAnswerIsFetchedOverTcpByTheService) {
    std::vector<std::string> records;
    for (int i = 0; i < 300; i++)
        records.push_back(fmt::format("live 3600 IN A 25.2.{}.{}", i / 250, i % 250 + 1));
    records.emplace_back("live 3600 IN A 192.168.7.7"); // nobody's
    start_nsd(records);
    name_server(nsd_address);
    enable();
    const RunningService service(*test_, resolving);
    ASSERT_TRUE(eventually([&] { return known("live.kudoway.ca").size() == 300; }))
        << known("live.kudoway.ca").size() << service.log();
    EXPECT_EQ(known("live.kudoway.ca").at(0).at("source"), "service");
    EXPECT_EQ(test_->stats().at("dns").at("learned"), 0);
}

TEST_F(NameServers, WhatTheKernelHasSeenTheServiceDoesNotEnter) {
    start_nsd({fmt::format("live 3600 IN A {}", tls_address)});
    name_server(nsd_address);
    enable();
    const RunningService service(*test_, resolving);
    ASSERT_TRUE(eventually([&] { return !known("live.kudoway.ca").empty(); })) << service.log();
    EXPECT_EQ(known("live.kudoway.ca").at(0).at("source"), "kernel");
}

TEST_F(NameServers, ANameThatAFilterAnswersIsNamed) {
    start_nsd({"live 3600 IN A 0.0.0.0"});
    name_server(nsd_address);
    enable();
    const RunningService service(*test_, resolving);
    EXPECT_TRUE(eventually([&] {
        return service.log().find("live.kudoway.ca of the range map cannot be resolved: ") != std::string::npos &&
               service.log().find("gives 0.0.0.0, which no service can have") != std::string::npos;
    })) << service.log();
    EXPECT_TRUE(known("live.kudoway.ca").empty());
}

TEST_F(NameServers, ANameThatCannotBeResolvedIsNamedAndIsAskedOnceThereIsAServer) {
    start_nsd({fmt::format("live 3600 IN A {}", tls_address)});
    name_server("10.77.0.99"); // nobody
    enable();
    const RunningService service(*test_, resolving);
    ASSERT_TRUE(eventually([&] {
        return service.log().find("live.kudoway.ca of the range map cannot be resolved: 10.77.0.99") !=
               std::string::npos;
    })) << service.log();
    EXPECT_EQ(test_->agent({"status"}).status, 0);
    name_server(nsd_address);
    EXPECT_TRUE(eventually([&] { return !known("live.kudoway.ca").empty(); })) << service.log();
    EXPECT_TRUE(eventually([&] {
        return service.log().find("no longer: live.kudoway.ca of the range map cannot be resolved") !=
               std::string::npos;
    })) << service.log();
}

TEST_F(NameServers, NothingIsAskedWhereThatIsTurnedOff) {
    start_nsd({fmt::format("live 3600 IN A {}", tls_address)});
    name_server(nsd_address);
    enable();
    test_->in_host({"nft", "add table ip t; add chain ip t o { type filter hook output priority 0; }; "
                           "add rule ip t o udp dport 53 counter"});
    RunningService service(*test_, {"--reconcile-every", "1s"}, {RunningService::tells_of_its_rounds});
    ASSERT_TRUE(service.has_looked(3));
    EXPECT_EQ(sent(), 0u);
    EXPECT_TRUE(known("live.kudoway.ca").empty());
}

TEST_F(NameServers, AfterDisableAndEnableTheyAreAskedAgain) {
    start_nsd({fmt::format("live 86400 IN A {}", tls_address)});
    name_server(nsd_address);
    enable();
    const RunningService service(*test_, resolving);
    ASSERT_TRUE(eventually([&] { return !known("live.kudoway.ca").empty(); })) << service.log();
    ASSERT_EQ(test_->agent({"disable"}).status, 0);
    enable();
    EXPECT_TRUE(eventually([&] { return !known("live.kudoway.ca").empty(); })) << service.log();
}

TEST_F(NameServers, TheServiceAsksUnderTheUnitsRestrictionsToo) {
    std::filesystem::create_directory(test_->instance.state_dir);
    const std::vector<std::string> as_unit{KUDO_AS_UNIT, KUDO_UNIT,
                                           test_->instance.state_dir.string() + ":" + test_->instance.bpffs.string()};
    const Outcome tried = inside<Outcome>(test_->host, [&] {
        std::vector<std::string> argv = as_unit;
        argv.emplace_back("true");
        return run_program(argv);
    });
    if (tried.status != 0) GTEST_SKIP() << "the unit's restrictions cannot be had here: " << tried.err;
    std::vector<std::string> records;
    for (int i = 0; i < 100; i++) // more than UDP takes
        records.push_back(fmt::format("live 3600 IN A 25.2.0.{}", i + 1));
    start_nsd(records);
    name_server(nsd_address);
    enable();
    const RunningService service(*test_, resolving, {}, as_unit);
    ASSERT_TRUE(eventually([&] { return known("live.kudoway.ca").size() == 100; })) << service.log();
    EXPECT_EQ(known("live.kudoway.ca").at(0).at("source"), "service");
}

TEST_F(NameServers, ADomainThatANewerMapWithdrawsIsHonouredAsRetiring) {
    start_nsd({fmt::format("anvil 60 IN A {}", tls_address)});
    start_tls();
    name_server(nsd_address);
    enable();
    auto map = nlohmann::json::parse(test_->agent({"ranges", "show", "--json"}).out);
    map["serial"] = map.at("serial").get<uint64_t>() + 1;
    for (auto& service : map["services"])
        if (service.at("name") == "opentok") service["domains"] = {"*.opentok.com"};
    const Outcome applied =
        test_->agent({"ranges", "apply", test_->write_file("map.json", map.dump()), "--allow-unsigned"});
    ASSERT_EQ(applied.status, 0) << applied.err;
    EXPECT_EQ(test_->status().at("retiring").at(0).at("domains"), 1);
    wait_for("anvil.tokbox.com");
    count_sent();
    ASSERT_EQ(curl("https://anvil.tokbox.com/").status, 0);
    expect_all_by_name("opentok~retiring");
    EXPECT_EQ(known("anvil.tokbox.com").at(0).at("services"), nlohmann::json::array({"opentok~retiring"}));
    const auto explained = nlohmann::json::parse(test_->agent({"explain", "anvil.tokbox.com", "--json"}).out);
    EXPECT_EQ(explained.at("domains").at(0).at("state"), "retiring");
}

TEST_F(NameServers, OfExactDomainsAloneOnlyTheExactNamesCount) {
    start_nsd({fmt::format("live 60 IN A {}\nanvil 60 IN A 25.3.3.3", tls_address)});
    start_far(unbound(far_resolver));
    name_server(far_resolver);
    enable({"--exact-domains"});
    wait_for("live.kudoway.ca");
    wait_for("anvil.tokbox.com");
    EXPECT_EQ(known("live.kudoway.ca").size(), 1u);
    EXPECT_TRUE(known("anvil.tokbox.com").empty());
    EXPECT_EQ(test_->status().at("exact_domains"), true);
    const auto explained = nlohmann::json::parse(test_->agent({"explain", "anvil.tokbox.com", "--json"}).out);
    EXPECT_EQ(explained.at("domains").at(0).at("domain"), "*.tokbox.com");
    EXPECT_EQ(explained.at("domains").at(0).at("counts"), false);
}

} // namespace
} // namespace kudo::test
