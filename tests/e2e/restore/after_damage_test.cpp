// SPDX-License-Identifier: MIT
// What somebody else broke: pins, links, state file, another version's folder. What status says, what heals it, and
// that instances side by side do not disturb each other.
// R6 (agent/reconcile/reconcile.h): after the damage `disable`, or an `enable` and a `disable`, leave nothing of
// kudo-agent's.
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <thread>

#include "tests/support/host_test.h"

namespace kudo::test {
namespace {

// The kernel raises it a moment after the far end is up; until then the picture of the interface changes by itself.
class RestoreAfterDamage : public HostTest {
protected:
    void SetUp() override {
        HostTest::SetUp();
        if (!test_) return;
        test_->wait_for_carrier();
        before_ = picture();
    }

    void enable(const std::vector<std::string>& options = {}) const {
        std::vector<std::string> arguments = {"enable", "--region", "ca"};
        arguments.insert(arguments.end(), options.begin(), options.end());
        const Outcome enabled = test_->agent(arguments);
        ASSERT_EQ(enabled.status, 0) << enabled.err;
    }
    [[nodiscard]] std::string picture() const {
        return test_->in_host({"ip", "-d", "link", "show"}) + test_->in_host({"tc", "qdisc", "show"}) +
               test_->in_host({"tc", "filter", "show", "dev", "eth0", "ingress"}) +
               test_->in_host({"tc", "filter", "show", "dev", "eth0", "egress"});
    }
    // Ours on egress.
    [[nodiscard]] int our_filters() const {
        const std::string text = test_->in_host({"tc", "filter", "show", "dev", "eth0", "egress"});
        int count = 0;
        for (std::size_t at = 0; (at = text.find(" name kudo_", at)) != std::string::npos; at++)
            count++;
        return count;
    }
    // `status` is 4 and says all of these words.
    void expect_degraded(const std::vector<std::string>& words) const {
        const Outcome status = test_->agent({"status"});
        EXPECT_EQ(status.status, 4) << status.out << status.err;
        EXPECT_EQ(status.err, "");
        for (const std::string& word : words)
            EXPECT_NE(status.out.find(word), std::string::npos) << word << " in " << status.out;
        EXPECT_EQ(test_->status().at("healthy"), false);
    }
    void expect_healthy() const {
        const Outcome status = test_->agent({"status"});
        EXPECT_EQ(status.status, 0) << status.out << status.err;
        EXPECT_EQ(status.err, "");
    }
    void expect_disable_leaves_nothing() const {
        const Outcome disabled = test_->agent({"disable"});
        EXPECT_EQ(disabled.status, 0) << disabled.err;
        EXPECT_EQ(test_->agent({"status"}).status, 3);
        EXPECT_EQ(picture(), before_);
        EXPECT_FALSE(std::filesystem::exists(test_->instance.pins()));
        EXPECT_TRUE(std::filesystem::is_empty(test_->instance.state_dir));
    }
    // One line, this exit status, and all of these words.
    void expect_error(const std::vector<std::string>& arguments, int status,
                      const std::vector<std::string>& words) const {
        const Outcome outcome = test_->agent(arguments);
        const std::string what = testing::PrintToString(arguments) + ": " + outcome.out + outcome.err;
        EXPECT_EQ(outcome.status, status) << what;
        EXPECT_EQ(outcome.out, "") << what;
        EXPECT_EQ(std::count(outcome.err.begin(), outcome.err.end(), '\n'), 1) << what;
        for (const std::string& word : words)
            EXPECT_NE(outcome.err.find(word), std::string::npos) << word << " in " << what;
    }
    [[nodiscard]] std::string link_named(const std::string& suffix) const {
        for (const auto& pin : std::filesystem::directory_iterator(test_->instance.layout() / "links"))
            if (pin.path().string().ends_with(suffix)) return pin.path();
        throw std::runtime_error("no link " + suffix);
    }

    // With the pins goes the memory of who made the clsact, which then stays: where there are no tcx links, it is
    // there from the beginning.
    void keep_a_clsact() {
        if (kernel_has_tcx()) return;
        test_->in_host({"tc", "qdisc", "add", "dev", "eth0", "clsact"});
        before_ = picture();
    }

    std::string before_;
};

TEST_F(RestoreAfterDamage, PinsDeletedByHandAreDegradedAndEnableHeals) {
    keep_a_clsact();
    enable();
    std::filesystem::remove_all(test_->instance.layout());
    expect_degraded({"no data path is loaded", "enable"});
    enable();
    expect_healthy();
    expect_disable_leaves_nothing();
}

// The memory of who made the clsact went with the pins: only the filters must be right.
TEST_F(RestoreAfterDamage, PinsDeletedByHandUnderAClsactFilterAreHealedToo) {
    enable({"--tc-hook", "clsact"});
    std::filesystem::remove_all(test_->instance.layout());
    expect_degraded({"no data path is loaded", "enable"});
    enable({"--tc-hook", "clsact"});
    expect_healthy();
    EXPECT_EQ(our_filters(), 1) << "marked twice, or not at all";
    EXPECT_EQ(test_->agent({"disable"}).status, 0);
    EXPECT_EQ(our_filters(), 0);
}

TEST_F(RestoreAfterDamage, DisableFindsItsClsactFilterWithoutPins) {
    enable({"--tc-hook", "clsact"});
    EXPECT_EQ(our_filters(), 1);
    std::filesystem::remove_all(test_->instance.layout());
    EXPECT_EQ(test_->agent({"disable"}).status, 0);
    EXPECT_EQ(our_filters(), 0) << "a program of ours still handles every packet";
}

TEST_F(RestoreAfterDamage, DisableWorksWithoutPins) {
    keep_a_clsact();
    enable();
    std::filesystem::remove_all(test_->instance.pins());
    expect_disable_leaves_nothing();
}

TEST_F(RestoreAfterDamage, EveryPinnedMapThatIsRemovedByHandIsHealed) {
    enable();
    std::vector<std::filesystem::path> pins;
    for (const auto& pin : std::filesystem::directory_iterator(test_->instance.layout() / "maps"))
        pins.push_back(pin.path());
    ASSERT_GE(pins.size(), 10u);
    for (const auto& pin : {pins.front(), pins[pins.size() / 2], pins.back()}) {
        std::filesystem::remove(pin);
        expect_degraded({"the data path is damaged"});
        enable();
        expect_healthy();
    }
    expect_disable_leaves_nothing();
}

TEST_F(RestoreAfterDamage, ALinkRemovedByHandIsDegradedAndEnableHeals) {
    for (const auto& [suffix, problem, ingress] : {std::tuple{"_xdp_native", "no program on ingress", "xdp"},
                                                   {"_tcx_ingress", "no program on ingress", "tc"},
                                                   {"_tcx_egress", "no program on egress", "auto"}}) {
        if (std::string(suffix).starts_with("_tcx_") && !kernel_has_tcx()) continue;
        enable({"--ingress", ingress});
        const auto generation = test_->status().at("generation");
        std::filesystem::remove(link_named(suffix));
        expect_degraded({problem, "eth0"});
        enable({"--ingress", ingress});
        expect_healthy();
        EXPECT_EQ(test_->status().at("generation"), generation) << "only what differs is changed";
    }
    expect_disable_leaves_nothing();
}

TEST_F(RestoreAfterDamage, AFilterRemovedByHandIsDegradedAndEnableHeals) {
    enable({"--tc-hook", "clsact"});
    test_->in_host({"tc", "qdisc", "del", "dev", "eth0", "clsact"});
    expect_degraded({"no program on egress"});
    enable({"--tc-hook", "clsact"});
    expect_healthy();
    expect_disable_leaves_nothing();
}

TEST_F(RestoreAfterDamage, PinnedProgramsRemovedByHandAreHealed) {
    enable();
    for (const auto& entry : std::filesystem::directory_iterator(test_->instance.layout()))
        if (entry.path().filename().string().starts_with("programs_")) std::filesystem::remove_all(entry.path());
    expect_degraded({"eth0"});
    enable();
    expect_healthy();
    expect_disable_leaves_nothing();
}

TEST_F(RestoreAfterDamage, AnInterfaceThatWentAwayIsDegradedAndLeavesNothing) {
    test_->in_host({"ip", "link", "add", "dummy7", "type", "veth", "peer", "name", "dummy8"});
    enable({"--interface", "eth0", "--interface", "dummy7"});
    expect_healthy();
    test_->in_host({"ip", "link", "delete", "dummy7"});
    expect_degraded({"dummy7", "no such interface"});
    expect_disable_leaves_nothing();
}

TEST_F(RestoreAfterDamage, ABrokenStateFileIsNamedAndDisableStillWorks) {
    for (const char* content : {"garbage", "", "{}", "{\"format\": \"kudo-agent-state/9\"}", "[1, 2"}) {
        enable();
        const std::string file = test_->instance.state_dir / "state.json";
        std::ofstream(file, std::ios::trunc) << content;
        expect_error({"status"}, 1, {file, "state file"});
        expect_error({"enable", "--region", "ca"}, 1, {file, "state file"});
        EXPECT_EQ(test_->agent({"stats"}).status, 0) << "the data path runs on";
        expect_disable_leaves_nothing();
    }
}

TEST_F(RestoreAfterDamage, AStoredRangeMapThatWasChangedIsNamedAndDisableStillWorks) {
    const std::string map =
        test_->write_file("map.json", with_serial(test_->agent({"ranges", "show", "--json"}).out, 2022050001));
    ASSERT_EQ(test_->apply(map).status, 0);
    enable();
    const auto stored = std::filesystem::directory_iterator(test_->instance.state_dir / "range-maps")->path();
    std::ofstream(stored, std::ios::app) << "\n";
    for (const std::vector<std::string>& arguments :
         {std::vector<std::string>{"status"}, {"enable", "--region", "ca"}}) {
        const Outcome outcome = test_->agent(arguments);
        EXPECT_EQ(outcome.status, 0) << "the kernel goes on with it: " << outcome.err;
        for (const std::string& word : {stored.string(), std::string("apply the range map again")})
            EXPECT_NE(outcome.out.find(word), std::string::npos) << outcome.out;
    }
    EXPECT_EQ(test_->agent({"disable"}).status, 0);
    EXPECT_EQ(picture(), before_);
}

TEST_F(RestoreAfterDamage, ApplyHealsAStoredRangeMapThatWasChanged) {
    const std::string map =
        test_->write_file("map.json", with_serial(test_->agent({"ranges", "show", "--json"}).out, 2022050001));
    ASSERT_EQ(test_->apply(map).status, 0);
    enable();
    const auto stored = std::filesystem::directory_iterator(test_->instance.state_dir / "range-maps")->path();
    std::ofstream(stored, std::ios::app) << "\n";
    const Outcome applied = test_->apply(map);
    EXPECT_EQ(applied.status, 0) << "what the message tells one to do does not work: " << applied.err;
}

// R3: as a `ranges apply` leaves it that is killed between storing the map and saving the state.
TEST_F(RestoreAfterDamage, DisableRemovesARangeMapThatNothingNames) {
    enable();
    std::filesystem::create_directory(test_->instance.state_dir / "range-maps");
    std::ofstream(test_->instance.state_dir / "range-maps" / (std::string(64, 'a') + ".json")) << "{}";
    expect_disable_leaves_nothing();
}

// R3: as an `enable` leaves it that is killed while it takes over what a damaged or older data path has attached.
TEST_F(RestoreAfterDamage, AKillWhileALayoutIsTakenOverForgetsNoQueue) {
    namespace fs = std::filesystem;
    test_->in_host({"tc", "qdisc", "add", "dev", "eth0", "root", "handle", "1:", "pfifo", "limit", "77"});
    before_ = picture();
    const fs::path layout = test_->instance.layout(), staging = layout.string() + "_new";
    const std::vector<std::string> options = {"--uplink", "20mbit", "--replace-qdisc", "--tc-hook", "clsact"};
    for (const bool all_is_moved : {false, true})
        for (const bool enabled_again : {false, true}) {
            enable(options);
            if (all_is_moved) {
                fs::rename(layout, staging);
            } else {
                fs::create_directory(staging);
                for (const char* part : {"queues", "filters"}) {
                    fs::create_directory(staging / part);
                    for (const auto& entry : fs::directory_iterator(layout / part))
                        fs::rename(entry.path(), staging / part / entry.path().filename());
                }
            }
            if (enabled_again) {
                enable(options);
                EXPECT_EQ(our_filters(), 1);
                EXPECT_EQ(test_->agent({"status"}).status, 0);
            }
            expect_disable_leaves_nothing();
            EXPECT_EQ(picture(), before_) << all_is_moved << enabled_again;
        }
}

TEST_F(RestoreAfterDamage, InstancesSideBySideDoNotDisturbEachOther) {
    auto second = TestHost::build();
    ASSERT_TRUE(second) << second.error().message;
    second->wait_for_carrier();
    const std::string second_before = second->in_host({"ip", "-d", "link", "show"});
    enable();
    ASSERT_EQ(second->agent({"enable", "--region", "us", "--mode", "observe"}).status, 0);
    ASSERT_EQ(second->agent({"enable", "--region", "eu", "--mode", "observe"}).status, 0);
    EXPECT_EQ(test_->status().at("generation"), 1);
    EXPECT_EQ(second->status().at("generation"), 2);

    second->add_far_address("3.123.12.129/32");
    second->in_host({"bash", "-c", "for i in 1 2 3; do echo hello > /dev/udp/3.123.12.129/3478; done"});
    const auto of_media = [](const TestHost& host) {
        return host.stats().at("services").at("media").at("egress").at("packets").get<int>();
    };
    for (int wait = 0; wait < 100 && of_media(*second) < 3; wait++) // the far end's link address must be found first
        std::this_thread::sleep_for(std::chrono::milliseconds(50));
    EXPECT_EQ(of_media(*test_), 0) << "one has counted the other's packets";
    EXPECT_EQ(of_media(*second), 3);

    expect_disable_leaves_nothing();
    EXPECT_EQ(second->agent({"status"}).status, 0) << "one's disable has harmed the other";
    EXPECT_EQ(second->agent({"disable"}).status, 0);
    EXPECT_EQ(second->in_host({"ip", "-d", "link", "show"}), second_before);
}

} // namespace
} // namespace kudo::test
