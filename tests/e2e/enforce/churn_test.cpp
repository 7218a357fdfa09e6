// SPDX-License-Identifier: MIT
// Interfaces that are deleted, made again, renamed, moved to another namespace and back, put into a bridge or a bond,
// or under a VLAN or macvlan while the service enforces: how long until the new one is enforced, and what is left
// behind. Invariant: each step begins and ends with the uplink as a plain interface that leads to a KUDO range.
// KUDO_CHURN=1000 and KUDO_TEST_SEED choose; what the kernel does not know is left out, and said.
#include <gtest/gtest.h>

#include <net/if.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <random>
#include <set>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "agent/attach/in_kernel.h"
#include "tests/e2e/link_fixture.h"
#include "tests/support/running_service.h"

namespace kudo::test {
namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

constexpr const char* far_side = "10.81.0.1";
constexpr const char* near_side = "10.81.0.2/24";
constexpr const char* range = "3.7.161.0/26"; // of the built-in map, reached by the uplink alone

unsigned churn_steps() {
    const char* text = std::getenv("KUDO_CHURN");
    return text ? static_cast<unsigned>(std::strtoul(text, nullptr, 10)) : 14;
}

class Churn : public LineTest {
protected:
    void SetUp() override {
        LineTest::SetUp();
        if (!test_) return;
        make();
        enable({"--mode", "enforce", "--no-confirm", "--allow", "icmp from 10.77.0.1"});
        service_.emplace(*test_, std::vector<std::string>{});
    }
    void TearDown() override { service_.reset(); }

    static std::string path_of(const NetworkNamespace& space) {
        return fmt::format("/proc/{}/fd/{}", getpid(), space.fd());
    }
    void host(std::vector<std::string> argv) const { test_->in_host(std::move(argv)); }
    [[nodiscard]] uint32_t index(const std::string& name) const {
        return inside<uint32_t>(test_->host, [&] { return if_nametoindex(name.c_str()); });
    }

    // The uplink as it is at first.
    void make() {
        name_ = "up1";
        host({"ip", "link", "add", name_, "type", "veth", "peer", "name", "far1", "netns", path_of(test_->far)});
        test_->in_far({"ip", "address", "add", std::string(far_side) + "/24", "dev", "far1"});
        test_->in_far({"ip", "link", "set", "far1", "up"});
        address(name_);
    }
    void address(const std::string& name) {
        host({"ip", "address", "replace", near_side, "dev", name});
        host({"ip", "link", "set", name, "up"});
        lead_by(name);
    }
    // From here on the range is reached by this interface: the time until it is enforced begins.
    void lead_by(const std::string& name) {
        host({"ip", "route", "replace", range, "via", far_side, "dev", name});
        if (service_) wait_until_enforced(name);
    }

    // Is a program of this instance on both directions?
    [[nodiscard]] bool is_enforced(uint32_t interface) const {
        const auto look = [&] {
            bool ingress = false, egress = false;
            for (const HookProgram& program : programs_on(interface)) {
                if (program_text(program.id).find("kudo_") == std::string::npos) continue;
                (program.hook == "tcx egress" ? egress : ingress) = true;
            }
            return ingress && egress;
        };
        if (kernel_has_tcx()) return inside<bool>(test_->host, look);
        for (const auto& one : test_->status().at("interfaces")) // filters of clsact
            if (one.at("name") == index_name(interface) && one.at("healthy")) return true;
        return false;
    }
    [[nodiscard]] std::string index_name(uint32_t interface) const {
        return inside<std::string>(test_->host, [&] {
            char name[IF_NAMESIZE] = {};
            return std::string(if_indextoname(interface, name) ? name : "");
        });
    }
    void wait_until_enforced(const std::string& name) {
        const auto began = Clock::now();
        const uint32_t interface = index(name);
        while (!is_enforced(interface)) {
            if (Clock::now() - began > patient(std::chrono::milliseconds(20'000)))
                throw std::runtime_error(fmt::format("{} is not enforced after 20 s\n{}", name, service_->log()));
            std::this_thread::sleep_for(2ms);
        }
        times_.push_back(std::chrono::duration<double>(Clock::now() - began).count());
    }

    void remove_and_make() {
        host({"ip", "link", "del", name_});
        make();
    }
    void rename() {
        const std::string other = name_ == "up1" ? "other1" : "up1";
        host({"ip", "link", "set", name_, "down"});
        host({"ip", "link", "set", name_, "name", other});
        name_ = other;
        address(name_);
    }
    void move() {
        host({"ip", "link", "set", name_, "netns", path_of(test_->far)});
        test_->in_far({"ip", "link", "set", name_, "netns", path_of(test_->host)});
        address(name_);
    }
    // An interface above the uplink takes its place, and goes again.
    void put_above(const std::string& kind) {
        host({"ip", "address", "flush", "dev", name_});
        if (kind == "bridge" || kind == "bond") {
            host({"ip", "link", "add", "above1", "type", kind});
            if (kind == "bond") host({"ip", "link", "set", name_, "down"});
            host({"ip", "link", "set", name_, "master", "above1"});
        } else if (kind == "vlan") {
            host({"ip", "link", "add", "link", name_, "name", "above1", "type", "vlan", "id", "7"});
        } else {
            host({"ip", "link", "add", "link", name_, "name", "above1", "type", kind});
        }
        address("above1");
        host({"ip", "link", "del", "above1"});
        address(name_);
    }
    [[nodiscard]] bool knows(const std::string& kind) const {
        std::vector<std::string> argv{"ip", "link", "add"};
        if (kind == "vlan" || kind == "macvlan") argv.insert(argv.end(), {"link", "eth0"});
        argv.insert(argv.end(), {"name", "probe1", "type", kind});
        if (kind == "vlan") argv.insert(argv.end(), {"id", "9"});
        const auto run = [&](const std::vector<std::string>& words) {
            return inside<Outcome>(test_->host, [&] { return run_program(words); }).status == 0;
        };
        return run(argv) && run({"ip", "link", "del", "probe1"});
    }

    struct Left {
        std::size_t links = 0, pins = 0;
        std::string stale; // links on interfaces that are not there
        bool operator==(const Left&) const = default;
    };
    [[nodiscard]] Left left() const {
        Left result;
        const auto links = find_own_links(instance_id(test_->instance)).value();
        for (const OwnLink& link : links) {
            if (link.interface == 0 || index_name(link.interface).empty())
                result.stale += fmt::format(" {} on {}", link.id, link.interface);
        }
        result.links = links.size();
        for (const auto& entry : fs::recursive_directory_iterator(test_->instance.pins()))
            result.pins += entry.is_regular_file();
        return result;
    }
    [[nodiscard]] std::size_t descriptors() const {
        const fs::directory_iterator open(fmt::format("/proc/{}/fd", service_->pid()));
        return static_cast<std::size_t>(std::distance(open, fs::directory_iterator()));
    }
    [[nodiscard]] bool is_answered(const char* from) const {
        return inside<Outcome>(test_->far, [&] {
                   return run_program({"ping", "-n", "-c", "1", "-W", "1", "-I", from, host_address});
               }).status == 0;
    }

    std::string name_;
    std::optional<RunningService> service_;
    std::vector<double> times_; // until each new interface was enforced, s
};

TEST_F(Churn, EachNewInterfaceIsEnforcedWithinASecondAndNothingIsLeftBehind) {
    std::vector<std::pair<std::string, std::function<void()>>> kinds = {
        {"deleted and made", [this] { remove_and_make(); }},
        {"renamed", [this] { rename(); }},
        {"moved", [this] { move(); }},
    };
    std::vector<std::string> unknown;
    for (const char* kind : {"bridge", "bond", "vlan", "macvlan"}) {
        if (knows(kind))
            kinds.emplace_back(kind, [this, kind] { put_above(kind); });
        else
            unknown.emplace_back(kind);
    }
    wait_until_enforced(name_);
    remove_and_make(); // what is made at the first time only is there
    ASSERT_TRUE(eventually([this] { return left().stale.empty(); })) << left().stale;
    const Left before = left();
    const std::size_t descriptors_before = descriptors();
    times_.clear();
    const char* const chosen = std::getenv("KUDO_TEST_SEED");
    const unsigned seed = chosen ? static_cast<unsigned>(std::strtoul(chosen, nullptr, 10)) : std::random_device{}();
    std::mt19937 random(seed);
    std::map<std::string, unsigned> counts;
    for (unsigned step = 0; step < churn_steps(); ++step) {
        const auto& [kind, change] = kinds[step < kinds.size() ? step : random() % kinds.size()];
        SCOPED_TRACE(fmt::format("step {}, {}, KUDO_TEST_SEED={}", step, kind, seed));
        ASSERT_NO_THROW(change());
        ++counts[kind];
        ASSERT_TRUE(service_->is_running()) << service_->log();
    }
    if (name_ != "up1") rename();
    EXPECT_TRUE(eventually([&] { return left() == before; }))
        << left().links << " links, " << left().pins << " pins, before " << before.links << ", " << before.pins
        << "; stale:" << left().stale;
    EXPECT_TRUE(eventually([&] { return descriptors() <= descriptors_before + 1; }))
        << descriptors() << " descriptors, before " << descriptors_before;
    EXPECT_TRUE(is_answered("10.77.0.1"));
    EXPECT_FALSE(is_answered(stranger_address));
    EXPECT_EQ(test_->agent({"status"}).status, 0) << test_->agent({"status"}).out;

    std::ranges::sort(times_);
    const auto at = [this](double part) { return times_[static_cast<std::size_t>(part * double(times_.size() - 1))]; };
    fmt::print(
        "{} steps ({}), {} new interfaces: enforced after p50 {:.3f} s, p99 {:.3f} s, at most {:.3f} s; unknown to "
        "this kernel: {}\n",
        churn_steps(), counts, times_.size(), at(0.5), at(0.99), times_.back(), unknown);
    // Beside other tests only a fault takes that long; the long run, alone, is a measurement.
    EXPECT_LE(at(0.99), patient(std::getenv("KUDO_CHURN") ? 1.0 : 10.0));

    service_.reset();
    ASSERT_EQ(test_->agent({"disable"}).status, 0);
    EXPECT_TRUE(find_own_links(instance_id(test_->instance)).value().empty());
    EXPECT_FALSE(fs::exists(test_->instance.pins()));
    EXPECT_EQ(test_->in_host({"tc", "qdisc", "show"}).find("clsact"), std::string::npos);
}

} // namespace
} // namespace kudo::test
