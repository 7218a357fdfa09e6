// SPDX-License-Identifier: MIT
// The fleet's source on a real server: what it delivers, whom it believes, with which credentials and rights.
#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/socket.h>

#include <algorithm>
#include <optional>
#include <stdexcept>
#include <thread>

#include <nats/nats.h>

#include "agent/fleet/layout.h"
#include "agent/sources/nats/connection.h"
#include "maps/trust/bundle.h"
#include "tests/support/loopback.h"
#include "tests/support/nats_agent.h"
#include "tests/support/nats_server.h"
#include "tests/support/patience.h"
#include "tests/support/process.h"
#include "tests/support/web_server.h"

namespace kudo::test {
namespace {

using namespace std::chrono_literals;

class NatsSourceTest : public testing::Test {
protected:
    void start(const std::string& configuration = "") {
        server_.configure(configuration);
        server_.start();
        operator_ = agent_ = quick_nats_options(server_.url());
        operator_.answer_wait = operator_.connect_wait = 10s;
    }
    std::string problem(NatsAgent& agent) {
        agent.serve_until([&] { return !agent.source.health().problem.empty(); }, 20s);
        return agent.source.health().problem;
    }

    NatsServer server_;
    NatsOptions operator_, agent_;
};

TEST_F(NatsSourceTest, DeliversWhatTheRingHasKeysBeforeMap) {
    start();
    make_buckets(operator_);
    put_document(operator_, "the map", "the signature\n");
    put_value(operator_, "ring.canary.keys", join({"another\n", "the keys"}).value());
    put_value(operator_, "ring.stable.map", join({"", "of another ring"}).value());
    NatsAgent agent(agent_);
    ASSERT_TRUE(agent.serve_until_delivered("the map")) << agent.source.health().problem;
    EXPECT_EQ(agent.documents(), (std::vector<std::string>{"the keys", "the map"}));
    EXPECT_EQ(agent.deliveries[0].signatures, "another\n");
    EXPECT_EQ(agent.deliveries[1].signatures, "the signature\n");
    EXPECT_EQ(agent.deliveries[1].source, server_.url() + " kudo-acme-maps ring.canary.map");
    EXPECT_FALSE(agent.deliveries[1].trust_transport);
    EXPECT_TRUE(agent.serve_until([&] { return agent.source.health().last_read.has_value(); }, 20s));
    EXPECT_EQ(agent.source.health().problem, "");
}

TEST_F(NatsSourceTest, DeliversTheSameAgainOnlyWhenAskedToReadAgain) {
    start();
    make_buckets(operator_);
    put_document(operator_, "one");
    NatsAgent agent(agent_);
    ASSERT_TRUE(agent.serve_until_delivered("one"));
    put_document(operator_, "one");
    agent.serve(2500ms); // two readings of everything, and a ring
    EXPECT_EQ(agent.deliveries.size(), 1U);
    agent.source.read_again([](Delivery) {});
    EXPECT_TRUE(agent.serve_until([&] { return agent.deliveries.size() == 2; }, 20s));
}

TEST_F(NatsSourceTest, IsWokenByTheDoorbell) {
    start();
    make_buckets(operator_);
    put_document(operator_, "one");
    agent_.read_again = 1h;
    agent_.health_check = 1h;
    NatsAgent agent(agent_);
    ASSERT_TRUE(agent.serve_until_delivered("one"));
    for (int i = 0; i < 20; ++i) {
        const std::string document = "after " + std::to_string(i);
        put_document(operator_, document);
        ASSERT_TRUE(agent.serve_until_delivered(document)) << i;
    }
    EXPECT_EQ(agent.deliveries.size(), 21U);
}

TEST_F(NatsSourceTest, NeedsNoDoorbell) {
    // Whoever may not listen reads all the same.
    start("authorization { users: [ {user: op, password: o}, "
          "{user: host, password: h, permissions: { subscribe: { deny: \"kudo-acme-maps-doorbell.>\" } } } ] }");
    operator_.credentials = server_.folder().write("op", "op:o\n");
    agent_.credentials = server_.folder().write("host", "host:h\n");
    make_buckets(operator_);
    put_document(operator_, "one");
    NatsAgent agent(agent_);
    ASSERT_TRUE(agent.serve_until_delivered("one")) << agent.source.health().problem;
    put_document(operator_, "two");
    EXPECT_TRUE(agent.serve_until_delivered("two")) << agent.source.health().problem;
}

TEST_F(NatsSourceTest, SaysWhatIsMissing) {
    start();
    NatsAgent agent(agent_);
    EXPECT_NE(problem(agent).find("kudo-acme-maps: there is no such bucket"), std::string::npos) << problem(agent);
    make_buckets(operator_);
    EXPECT_TRUE(agent.serve_until(
        [&] { return agent.source.health().problem.ends_with("ring.canary.map: nothing has been published there"); },
        20s))
        << agent.source.health().problem;
    put_document(operator_, "one");
    ASSERT_TRUE(agent.serve_until_delivered("one"));
    EXPECT_TRUE(agent.serve_until([&] { return agent.source.health().problem.empty(); }, 20s));
}

TEST_F(NatsSourceTest, DeliversNothingThatIsNoBundleAndGoesOn) {
    start();
    make_buckets(operator_);
    put_value(operator_, "ring.canary.keys", join({"", "the keys"}).value());
    put_value(operator_, "ring.canary.map", "no empty line");
    NatsAgent agent(agent_);
    EXPECT_NE(problem(agent).find("ring.canary.map: no empty line"), std::string::npos) << problem(agent);
    put_value(operator_, "ring.canary.map", "\n" + std::string(range_map_max_bytes + 1, 'x'));
    EXPECT_TRUE(agent.serve_until(
        [&] { return agent.source.health().problem.find("ring.canary.map: the document has") != std::string::npos; },
        20s))
        << agent.source.health().problem;
    agent.serve(1s);
    EXPECT_EQ(agent.documents(), std::vector<std::string>{"the keys"});
    const std::string largest(range_map_max_bytes, 'x');
    put_document(operator_, largest);
    EXPECT_TRUE(agent.serve_until_delivered(largest));
}

TEST_F(NatsSourceTest, StoresTheLatestReport) {
    start();
    make_buckets(operator_);
    NatsAgent agent(agent_);
    for (uint64_t serial = 1; serial <= 100; ++serial)
        agent.report(serial);
    const auto stored = [&] {
        const auto report = parse_host_report(stored_report(operator_), "report");
        return report ? report->serial : 0;
    };
    EXPECT_TRUE(agent.serve_until([&] { return stored() == 100; }, 20s));
}

int64_t replicas_of(const std::string& url, const std::string& stream) {
    natsConnection* connection = nullptr;
    jsCtx* jetstream = nullptr;
    jsStreamInfo* info = nullptr;
    int64_t replicas = 0;
    if (natsConnection_ConnectTo(&connection, url.c_str()) == NATS_OK &&
        natsConnection_JetStream(&jetstream, connection, nullptr) == NATS_OK &&
        js_GetStreamInfo(&info, jetstream, stream.c_str(), nullptr, nullptr) == NATS_OK)
        replicas = info->Config->Replicas;
    jsStreamInfo_Destroy(info);
    jsCtx_Destroy(jetstream);
    natsConnection_Destroy(connection);
    return replicas;
}

TEST(NatsCluster, BucketsHaveThreeReplicasAndThoseThatHadFewerAreRaised) {
    std::vector<std::unique_ptr<NatsServer>> servers;
    std::string routes;
    std::vector<std::string> ports;
    for (int i = 0; i < 3; ++i) {
        servers.push_back(std::make_unique<NatsServer>());
        ports.push_back(std::to_string(free_port()));
        routes += (i == 0 ? "" : ", ") + ("\"nats://127.0.0.1:" + ports.back() + "\"");
    }
    for (std::size_t i = 0; i < 3; ++i) {
        servers[i]->configure("server_name: s" + std::to_string(i) + "\ncluster { name: c, listen: \"127.0.0.1:" +
                              ports[i] + "\", routes: [" + routes + "] }");
        servers[i]->start();
    }
    NatsOptions options = quick_nats_options(servers[0]->url());
    options.answer_wait = options.connect_wait = 10s;
    const auto deadline = std::chrono::steady_clock::now() + patient(30s);
    while (std::chrono::steady_clock::now() < deadline) { // until the cluster has a leader and three members
        auto connection = NatsConnection::open(options);
        if (connection && connection->make_bucket(maps_bucket("acme"), maps_history) &&
            replicas_of(options.url, "KV_kudo-acme-maps") == 3)
            break;
        std::this_thread::sleep_for(500ms);
    }
    EXPECT_EQ(replicas_of(options.url, "KV_kudo-acme-maps"), 3);

    natsConnection* raw = nullptr;
    jsCtx* jetstream = nullptr;
    kvStore* store = nullptr;
    ASSERT_EQ(natsConnection_ConnectTo(&raw, options.url.c_str()), NATS_OK);
    ASSERT_EQ(natsConnection_JetStream(&jetstream, raw, nullptr), NATS_OK);
    kvConfig config;
    kvConfig_Init(&config);
    config.Bucket = "kudo-acme-hosts";
    ASSERT_EQ(js_CreateKeyValue(&store, jetstream, &config), NATS_OK);
    kvStore_Destroy(store);
    jsCtx_Destroy(jetstream);
    natsConnection_Destroy(raw);
    ASSERT_EQ(replicas_of(options.url, "KV_kudo-acme-hosts"), 1);
    auto connection = NatsConnection::open(options);
    const auto hosts = connection->make_bucket(hosts_bucket("acme"), 1);
    ASSERT_TRUE(hosts) << hosts.error().message;
    EXPECT_NE(hosts->note.find("raised from 1 to 3 replicas"), std::string::npos) << hosts->note;
    EXPECT_EQ(replicas_of(options.url, "KV_kudo-acme-hosts"), 3);
}

TEST_F(NatsSourceTest, ANotificationCarriesTheDocument) {
    start();
    make_buckets(operator_);
    agent_.read_again = 1h;
    NatsAgent agent(agent_);
    ASSERT_NE(problem(agent), "") << "nothing is published, so it was read";
    delete_buckets(operator_); // whoever would read finds nothing
    natsConnection* connection = nullptr;
    ASSERT_EQ(natsConnection_ConnectTo(&connection, server_.url().c_str()), NATS_OK);
    const std::string subject = notification_subject(maps_bucket(agent_.fleet), ring_map_key(agent_.ring));
    ASSERT_EQ(natsConnection_PublishString(connection, subject.c_str(), "signature\n\none"), NATS_OK);
    natsConnection_Flush(connection);
    natsConnection_Destroy(connection);
    EXPECT_TRUE(agent.serve_until_delivered("one"));
}

TEST_F(NatsSourceTest, TwoMachinesOfOneNameAreTwoReportsAndBothSayIt) {
    start();
    make_buckets(operator_);
    put_document(operator_, "one");
    for (int round = 0; round < 10; ++round) {
        const std::string number = std::to_string(round);
        NatsAgent first(agent_), second(agent_);
        first.report(7, {"aa" + number, "a1" + number}, health_degraded);
        first.serve_until_delivered("one");
        const auto rows = [&] {
            std::vector<std::string> healths;
            auto connection = NatsConnection::open(operator_);
            auto bucket = connection->bucket(hosts_bucket(operator_.fleet));
            for (const std::string& identity : {"a1" + number, "b1" + number})
                if (const auto entry = bucket->read(host_key("web-1", identity)); entry && *entry)
                    healths.push_back(parse_host_report((*entry)->value, "").value().health);
            return healths;
        };
        first.serve_until([&] { return rows().size() == 1; }, 20s);
        second.report(7, {"bb" + number, "b1" + number});
        second.serve_until([&] { return rows().size() == 2; }, 20s);
        EXPECT_EQ(rows(), (std::vector<std::string>{"degraded", "healthy"}));
        second.serve_until([&] { return !second.source.health().problem.empty(); }, 20s);
        EXPECT_NE(second.source.health().problem.find("another machine reports as host web-1 too"), std::string::npos)
            << second.source.health().problem;
    }
}

TEST_F(NatsSourceTest, TwoThatShareAnIdentityFindOutAndBecomeTwo) {
    start();
    make_buckets(operator_);
    put_document(operator_, "one");
    const Machine machine{"aa", "a1"}; // of one memory snapshot
    NatsAgent first(agent_), second(agent_);
    const auto reports = [&] {
        auto connection = NatsConnection::open(operator_);
        auto bucket = connection->bucket(hosts_bucket(operator_.fleet));
        return bucket->keys(host_key("web-1", "*"), 16).value().size();
    };
    const auto end = std::chrono::steady_clock::now() + patient(30s);
    // Each goes on reporting, as a service does.
    for (uint64_t serial = 1; reports() < 2 && std::chrono::steady_clock::now() < end; serial++) {
        first.report(serial, machine);
        first.serve(700ms);
        second.report(serial, machine, health_degraded);
        second.serve(700ms);
    }
    EXPECT_GE(reports(), 2U);
    for (NatsAgent* agent : {&first, &second})
        EXPECT_TRUE(
            agent->serve_until([&] { return problem(*agent).find("another machine") != std::string::npos; }, 20s))
            << problem(*agent);
}

TEST_F(NatsSourceTest, WhatItWroteBeforeItWasStartedAgainMakesItNotAnother) {
    start();
    make_buckets(operator_);
    put_document(operator_, "one");
    const Machine machine{"aa", "a1"};
    auto connection = NatsConnection::open(operator_);
    auto bucket = connection->bucket(hosts_bucket(operator_.fleet));
    NatsAgent agent(agent_);
    agent.report(7, machine);
    ASSERT_TRUE(agent.serve_until([&] { return bucket->read(host_key("web-1", "a1")).value().has_value(); }, 20s));
    HostReport before = parse_host_report(bucket->read(host_key("web-1", "a1")).value()->value, "").value();
    before.time -= std::chrono::hours(1); // out of a backup of the server
    before.serial = 3;
    ASSERT_TRUE(bucket->put(host_key("web-1", "a1"), to_json(before)));
    const auto stored = [&] { return parse_host_report(bucket->read(host_key("web-1", "a1")).value()->value, ""); };
    EXPECT_TRUE(agent.serve_until([&] { return stored().value().serial == 7; }, 20s));
    EXPECT_EQ(bucket->keys(host_key("web-1", "*"), 16).value().size(), 1U);
}

TEST_F(NatsSourceTest, AMachineRemovesWhatItReportedBeforeItWasBootedAgain) {
    start();
    make_buckets(operator_);
    put_document(operator_, "one");
    auto connection = NatsConnection::open(operator_);
    auto bucket = connection->bucket(hosts_bucket(operator_.fleet));
    HostReport before;
    before.host = "web-1";
    before.fleet = "acme";
    before.ring = "canary";
    before.health = health_good;
    before.machine = "aa";
    before.identity = "a1";
    ASSERT_TRUE(bucket->put(host_key("web-1", "a1"), to_json(before)));
    NatsAgent agent(agent_);
    agent.report(7, {"aa", "a2"});
    EXPECT_TRUE(agent.serve_until([&] { return !bucket->read(host_key("web-1", "a1")).value(); }, 20s));
    EXPECT_TRUE(bucket->read(host_key("web-1", "a2")).value());
}

TEST_F(NatsSourceTest, EndsInTimeWhileTheServerIsSilent) {
    start();
    make_buckets(operator_);
    put_document(operator_, "one");
    agent_.answer_wait = agent_.connect_wait = 4s;
    for (const auto silence : {0ms, 300ms}) {
        std::optional<NatsAgent> agent(std::in_place, agent_);
        ASSERT_TRUE(agent->serve_until_delivered("one"));
        server_.send(SIGSTOP);
        agent->report(1);
        agent->source.read_again([](Delivery) {});
        agent->serve(silence);
        const auto begin = std::chrono::steady_clock::now();
        agent.reset();
        EXPECT_LT(std::chrono::steady_clock::now() - begin, 7500ms) << "silent for " << silence.count() << " ms";
        server_.send(SIGCONT);
    }
}

// Takes connections, and never says a word.
class SilentServer {
public:
    SilentServer() : socket_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
        sockaddr_in address = loopback(0);
        socklen_t size = sizeof address;
        if (bind(socket_.get(), reinterpret_cast<sockaddr*>(&address), size) != 0 || listen(socket_.get(), 16) != 0 ||
            getsockname(socket_.get(), reinterpret_cast<sockaddr*>(&address), &size) != 0)
            throw std::runtime_error("no silent server");
        url_ = "nats://127.0.0.1:" + std::to_string(ntohs(address.sin_port));
    }
    [[nodiscard]] const std::string& url() const { return url_; }

private:
    Fd socket_;
    std::string url_;
};

TEST_F(NatsSourceTest, EndsAfterOneOfManySilentServers) {
    const SilentServer first, second;
    NatsOptions options = quick_nats_options(first.url() + "," + second.url());
    options.answer_wait = options.connect_wait = 4s;
    std::optional<NatsAgent> agent(std::in_place, options);
    agent->serve(300ms);
    const auto begin = std::chrono::steady_clock::now();
    agent.reset();
    EXPECT_LT(std::chrono::steady_clock::now() - begin, 7s);
}

TEST_F(NatsSourceTest, FindsTheOneServerOfManyThatAnswers) {
    start();
    make_buckets(operator_);
    put_document(operator_, "one");
    const SilentServer first, second;
    agent_.url = first.url() + "," + server_.url() + "," + second.url();
    NatsAgent agent(agent_);
    EXPECT_TRUE(agent.serve_until_delivered("one")) << agent.source.health().problem;
}

TEST_F(NatsSourceTest, NamesEveryServerThatDoesNotAnswer) {
    const SilentServer first, second;
    NatsAgent agent(quick_nats_options(first.url() + "," + second.url()));
    EXPECT_NE(problem(agent).find(first.url() + ": cannot connect"), std::string::npos) << problem(agent);
    EXPECT_NE(problem(agent).find(second.url() + ": cannot connect"), std::string::npos) << problem(agent);
}

TEST_F(NatsSourceTest, OfTwoOperatorsAtOnceOneFails) {
    start();
    make_buckets(operator_);
    auto connection = NatsConnection::open(operator_);
    ASSERT_TRUE(connection);
    auto bucket = connection->bucket(maps_bucket("acme"));
    ASSERT_TRUE(bucket);
    ASSERT_TRUE(bucket->put_after("ring.canary.map", "first", 0));
    EXPECT_FALSE(bucket->put_after("ring.canary.map", "second", 0));
    const uint64_t revision = bucket->read("ring.canary.map").value()->revision;
    ASSERT_TRUE(bucket->put_after("ring.canary.map", "third", revision));
    const auto late = bucket->put_after("ring.canary.map", "fourth", revision);
    ASSERT_FALSE(late);
    EXPECT_NE(late.error().message.find("try again"), std::string::npos) << late.error().message;
    EXPECT_EQ(bucket->read("ring.canary.map").value()->value, "third");
}

TEST_F(NatsSourceTest, NeedsNoMoreRightsThanDocumented) {
    // docs/fleet.md has the same.
    start(R"(authorization { users: [
        {user: op, password: o},
        {user: web-1, password: h, permissions: {
            publish: { allow: [
                "$JS.API.STREAM.INFO.KV_kudo-acme-maps", "$JS.API.STREAM.INFO.KV_kudo-acme-hosts",
                "$JS.API.DIRECT.GET.KV_kudo-acme-maps.$KV.kudo-acme-maps.ring.canary.*",
                "$JS.API.DIRECT.GET.KV_kudo-acme-hosts.$KV.kudo-acme-hosts.host.web-1.*",
                "$KV.kudo-acme-hosts.host.web-1.*" ] },
            subscribe: { allow: [ "_INBOX.>", "kudo-acme-maps-doorbell.ring.canary.*" ] } } } ] })");
    operator_.credentials = server_.folder().write("op", "op:o\n");
    agent_.credentials = server_.folder().write("host", "web-1:h\n");
    make_buckets(operator_);
    put_document(operator_, "one");
    NatsAgent agent(agent_);
    agent.report(7, {"aa", "a1"});
    ASSERT_TRUE(agent.serve_until_delivered("one")) << agent.source.health().problem;
    put_document(operator_, "two");
    EXPECT_TRUE(agent.serve_until_delivered("two"));
    auto connection = NatsConnection::open(operator_);
    auto bucket = connection->bucket(hosts_bucket(operator_.fleet));
    EXPECT_TRUE(agent.serve_until([&] { return bucket->read(host_key("web-1", "a1")).value().has_value(); }, 20s));
    EXPECT_TRUE(agent.serve_until([&] { return agent.source.health().problem.empty(); }, 20s));
    EXPECT_THROW(put_document(agent_, "three"), std::runtime_error) << "a host publishes to its ring";
    EXPECT_EQ(server_.log().find("Violation - User \"web-1\", Subject \"$JS"), std::string::npos) << server_.log();
}

TEST_F(NatsSourceTest, WorksThroughALeafNode) {
    start(server_.hub_configuration());
    make_buckets(operator_);
    const auto leaf = NatsServer::leaf_of(server_);
    leaf->start();
    agent_.url = leaf->url();
    agent_.read_again = 1h; // from the leaf come the doorbell, the document, and the way for the report
    NatsAgent agent(agent_);
    agent.report(7);
    agent.serve_until([&] { return agent.source.health().problem.ends_with("nothing has been published there"); }, 20s);
    put_document(operator_, "one");
    EXPECT_TRUE(agent.serve_until_delivered("one")) << agent.source.health().problem;
    put_document(operator_, "two");
    EXPECT_TRUE(agent.serve_until_delivered("two")) << agent.source.health().problem;
    EXPECT_TRUE(agent.serve_until([&] { return !stored_report(operator_).empty(); }, 20s));
}

TEST_F(NatsSourceTest, SaysThatItsCredentialsAreNoneAndPicksUpBetterOnes) {
    start("authorization { user: host, password: secret }");
    operator_.credentials = server_.folder().write("op", "host:secret\n");
    make_buckets(operator_);
    put_document(operator_, "one");
    agent_.credentials = server_.folder().write("credentials", "me");
    NatsAgent agent(agent_);
    EXPECT_NE(problem(agent).find("not a credentials file"), std::string::npos) << problem(agent);
    server_.folder().write("credentials", "SUACSSL3UAHUDXKFSNVUZRF5UHPMWZ6BFDTJ7M6USDXIEDNPPQYYYCU3VY\n");
    EXPECT_TRUE(agent.serve_until(
        [&] { return agent.source.health().problem.find("bare NKey seed") != std::string::npos; }, 5s));
    server_.folder().write("credentials", "host:secret\n");
    EXPECT_TRUE(agent.serve_until_delivered("one")) << agent.source.health().problem;
}

TEST_F(NatsSourceTest, ATlsUrlIsNeverSpokenInTheClear) {
    start();
    make_buckets(operator_);
    put_document(operator_, "one");
    agent_.url = "tls://127.0.0.1:" + server_.port();
    {
        NatsAgent agent(agent_);
        EXPECT_NE(problem(agent), "");
        agent.serve(1s);
        EXPECT_TRUE(agent.deliveries.empty());
    }
    agent_.url = "tls://127.0.0.1:1," + server_.url(); // one wants it: so do all
    NatsAgent agent(agent_);
    EXPECT_NE(problem(agent), "");
    agent.serve(1s);
    EXPECT_TRUE(agent.deliveries.empty());
}

class NatsTls : public NatsSourceTest {
protected:
    void SetUp() override {
        const TestAuthority authority(server_.folder().path(), "ca"), other(server_.folder().path(), "other");
        const auto server = authority.sign("server", "DNS:localhost"), host = authority.sign("host", "DNS:localhost");
        stranger_ = other.sign("stranger", "DNS:localhost");
        other_authority_ = other.certificate();
        start("tls { cert_file: \"" + server.certificate.string() + "\", key_file: \"" + server.key.string() +
              "\", ca_file: \"" + authority.certificate().string() + "\", verify: true }");
        operator_.url = agent_.url = "tls://localhost:" + server_.port();
        operator_.ca_file = agent_.ca_file = authority.certificate();
        operator_.certificate = agent_.certificate = host.certificate;
        operator_.key = agent_.key = host.key;
        make_buckets(operator_);
        put_document(operator_, "one");
    }
    // It never connects: of a refused certificate TLS 1.3 tells only after the handshake.
    void expect_refused(const std::string& words) {
        NatsAgent agent(agent_);
        agent.serve(1500ms);
        EXPECT_TRUE(agent.deliveries.empty());
        EXPECT_NE(agent.source.health().problem.find(words), std::string::npos) << agent.source.health().problem;
    }
    TestAuthority::Pair stranger_;
    std::string other_authority_;
};

TEST_F(NatsTls, WorksWithTheRightCertificates) {
    NatsAgent agent(agent_);
    EXPECT_TRUE(agent.serve_until_delivered("one")) << agent.source.health().problem;
}

TEST_F(NatsTls, BelievesNoServerOfAnotherAuthority) {
    agent_.ca_file = other_authority_;
    expect_refused("certificate");
}

TEST_F(NatsTls, BelievesNoServerOfTheSystemsListUnlessItIsThere) {
    agent_.ca_file.clear();
    expect_refused("certificate");
}

TEST_F(NatsTls, BelievesNoServerOfAnotherName) {
    agent_.url = "tls://127.0.0.1:" + server_.port();
    expect_refused("");
}

TEST_F(NatsTls, IsRefusedWithoutACertificate) {
    agent_.certificate.clear();
    agent_.key.clear();
    expect_refused("");
}

TEST_F(NatsTls, IsRefusedWithACertificateOfAnotherAuthority) {
    agent_.certificate = stranger_.certificate;
    agent_.key = stranger_.key;
    expect_refused("");
}

} // namespace
} // namespace kudo::test
