// SPDX-License-Identifier: MIT
// What befalls a message server, its store, its network and our credentials: each heals without anybody's help.
// Waits are shorter than in earnest; the logic is the same. e2e/fleet/faults_test.cpp has the same for the whole agent.
#include <gtest/gtest.h>
#include <signal.h>

#include <algorithm>
#include <thread>

#include <fmt/format.h>

#include "tests/support/nats_agent.h"
#include "tests/support/nats_faults.h"
#include "tests/support/nats_server.h"
#include "tests/support/private_network.h"

namespace kudo::test {
namespace {

using namespace std::chrono_literals;

class NatsFault : public testing::Test {
protected:
    void SetUp() override {
        if (!network_.why_not().empty()) GTEST_SKIP() << network_.why_not();
        server_.emplace("", "0.0.0.0"); // of a namespace without any other host
        server_->start();
        operator_ = quick_nats_options(server_->url());
        operator_.answer_wait = operator_.connect_wait = 5s;
        options_ = quick_nats_options("nats://127.0.0.2:" + server_->port());
    }
    void begin() {
        make_buckets(operator_);
        publish();
        agent_.emplace(options_);
        ASSERT_TRUE(agent_->serve_until_delivered(published_.back())) << agent_->source.health().problem;
        report();
        ASSERT_TRUE(agent_->serve_until([&] { return report_is_stored(); }, fault_limit));
    }
    // A new document for the ring.
    void publish() {
        published_.push_back(fmt::format("document {}", published_.size() + 1));
        put_document(operator_, published_.back());
    }
    // A new report of the host.
    void report() { agent_->report(++reported_); }
    bool report_is_stored() {
        const auto report = parse_host_report(stored_report(operator_), "report");
        return report && report->serial == reported_;
    }
    // From now on all must become right by itself.
    void expect_healed() {
        const auto begin = std::chrono::steady_clock::now();
        ASSERT_TRUE(agent_->serve_until_delivered(published_.back(), fault_limit))
            << "the last delivery: " << agent_->documents().back() << ", wanted: " << published_.back() << "; "
            << agent_->source.health().problem;
        healed_.add(std::chrono::steady_clock::now() - begin);
        ASSERT_TRUE(agent_->serve_until([&] { return report_is_stored(); }, fault_limit))
            << agent_->source.health().problem;
        ASSERT_TRUE(agent_->serve_until([&] { return agent_->source.health().problem.empty(); }, fault_limit))
            << agent_->source.health().problem;
    }
    // Nothing but what was published was ever delivered, each once and in its order. A rolled-back store may repeat.
    void expect_nothing_else() {
        std::vector<std::string> delivered = agent_->documents();
        if (repeats_)
            for (const std::string& document : delivered)
                EXPECT_NE(std::ranges::find(published_, document), published_.end()) << document;
        else
            EXPECT_EQ(delivered, published_);
        EXPECT_EQ(delivered.back(), published_.back());
    }
    void TearDown() override { healed_.print(); }

    PrivateNetwork network_;
    std::optional<NatsServer> server_;
    NatsOptions operator_, options_;
    std::optional<NatsAgent> agent_;
    std::vector<std::string> published_;
    uint64_t reported_ = 0;
    bool repeats_ = false;
    HealingTimes healed_;
};

TEST_F(NatsFault, AServerThatIsKilledAndRestarted) {
    ASSERT_NO_FATAL_FAILURE(begin());
    for (int round = 0; round < fault_rounds(); ++round) {
        server_->end(SIGKILL);
        report();
        agent_->serve(1s);
        server_->start();
        publish();
        ASSERT_NO_FATAL_FAILURE(expect_healed()) << round;
    }
    expect_nothing_else();
}

TEST_F(NatsFault, AServerThatIsStopped) {
    ASSERT_NO_FATAL_FAILURE(begin());
    for (int round = 0; round < fault_rounds(); ++round) {
        server_->send(SIGSTOP);
        report();
        agent_->serve(fault_silence());
        EXPECT_NE(agent_->source.health().problem, "");
        server_->send(SIGCONT);
        publish();
        ASSERT_NO_FATAL_FAILURE(expect_healed()) << round;
    }
    expect_nothing_else();
}

TEST_F(NatsFault, AConnectionThatIsBlackholed) {
    ASSERT_NO_FATAL_FAILURE(begin());
    for (int round = 0; round < fault_rounds(); ++round) {
        network_.swallow("127.0.0.2");
        report();
        publish(); // on the other way: nothing rings
        agent_->serve(fault_silence());
        EXPECT_NE(agent_->source.health().problem, "");
        EXPECT_NE(agent_->documents().back(), published_.back());
        network_.swallow_nothing();
        ASSERT_NO_FATAL_FAILURE(expect_healed()) << round;
    }
    expect_nothing_else();
}

TEST_F(NatsFault, ABucketThatIsDeletedAndMadeAnew) {
    ASSERT_NO_FATAL_FAILURE(begin());
    for (int round = 0; round < fault_rounds(); ++round) {
        delete_buckets(operator_);
        if (round % 2 == 0) agent_->serve(1500ms); // noticed, or not
        make_buckets(operator_);
        publish();
        ASSERT_NO_FATAL_FAILURE(expect_healed()) << round; // the report too, though there is no new one
    }
    expect_nothing_else();
}

TEST_F(NatsFault, AStoreThatIsRolledBack) {
    repeats_ = true;
    ASSERT_NO_FATAL_FAILURE(begin());
    for (int round = 0; round < fault_rounds(); ++round) {
        server_->end(SIGTERM);
        server_->save_store();
        server_->start();
        publish();
        ASSERT_TRUE(agent_->serve_until_delivered(published_.back(), fault_limit));
        report();
        ASSERT_TRUE(agent_->serve_until([&] { return report_is_stored(); }, fault_limit));
        server_->end(SIGKILL);
        server_->restore_store();
        server_->start();
        // Before and after it was noticed; the revision is one that we have seen with other content.
        if (round % 2 == 0) {
            ASSERT_TRUE(agent_->serve_until_delivered(published_[published_.size() - 2], fault_limit));
        }
        publish();
        ASSERT_NO_FATAL_FAILURE(expect_healed()) << round;
    }
    expect_nothing_else();
}

TEST_F(NatsFault, CredentialsThatAreRefusedAndThenRestored) {
    const FaultyAccess access(*server_);
    operator_.credentials = access.operator_credentials();
    options_.credentials = access.host_credentials();
    access.admit_hosts();
    std::this_thread::sleep_for(500ms);
    ASSERT_NO_FATAL_FAILURE(begin());
    for (int round = 0; round < fault_rounds(); ++round) {
        access.refuse_hosts();
        report();
        agent_->serve(2s); // refused again and again
        EXPECT_NE(agent_->source.health().problem.find("uthorization"), std::string::npos)
            << agent_->source.health().problem;
        publish();
        access.admit_hosts();
        ASSERT_NO_FATAL_FAILURE(expect_healed()) << round;
    }
    expect_nothing_else();
}

TEST_F(NatsFault, AServerThatIsAbsentAtTheStart) {
    make_buckets(operator_);
    publish();
    for (int round = 0; round < fault_rounds(); ++round) {
        server_->end(SIGKILL);
        agent_.emplace(options_);
        report();
        agent_->serve(1s);
        EXPECT_TRUE(agent_->deliveries.empty());
        EXPECT_NE(agent_->source.health().problem, "");
        server_->start();
        ASSERT_NO_FATAL_FAILURE(expect_healed()) << round;
        EXPECT_EQ(agent_->documents(), published_);
    }
}

} // namespace
} // namespace kudo::test
