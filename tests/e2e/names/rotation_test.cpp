// SPDX-License-Identifier: MIT
// Many addresses for the map's names: rotations (KUDO_ROTATIONS of them, default 50, of 1,000 addresses each) and
// floods of responses (KUDO_DNS_FLOOD, default 10,000). Live flows keep their judgement, and memory is bounded.
// Invariant: nothing is measured by the clock but round trips, and these only against each other.
#include "tests/e2e/names/names_fixture.h"

#include <algorithm>
#include <chrono>

#include "bpf/names.h"

namespace kudo::test {
namespace {

unsigned from_environment(const char* variable, unsigned otherwise) {
    const char* given = std::getenv(variable);
    return given ? static_cast<unsigned>(std::atoi(given)) : otherwise;
}

class ManyAddresses : public Names {
protected:
    static constexpr unsigned flows = 20, in_response = 36; // that fit into 1232 bytes

    std::string next_address() { return address_of_number(next_++); }

    void begin_flows() {
        for (unsigned i = 0; i < flows; i++) {
            live_.push_back(next_address());
            look_up("live.opentok.com", {live_.back()});
        }
        go_on();
    }
    // A packet of each live flow.
    void go_on() {
        for (unsigned i = 0; i < flows; i++)
            send_syn(live_[i], 443, static_cast<uint16_t>(51000 + i));
        sent_ += flows;
    }
    [[nodiscard]] std::size_t known() const {
        return nlohmann::json::parse(test_->agent({"ranges", "show", "--domains", "--json"}).out).size();
    }
    std::vector<std::string> live_;
    unsigned next_ = 0;
    uint64_t sent_ = 0;
};

TEST_F(ManyAddresses, ARotationChangesNoLiveFlow) {
    enable();
    begin_flows();
    const unsigned rotations = from_environment("KUDO_ROTATIONS", 50);
    for (unsigned rotation = 0; rotation < rotations; rotation++) {
        for (unsigned done = 0; done < 1000;) {
            std::vector<std::string> addresses;
            for (; addresses.size() < in_response && done < 1000; done++)
                addresses.push_back(next_address());
            look_up("live.opentok.com", addresses);
        }
        go_on();
    }
    EXPECT_EQ(counted("name"), sent_);
    EXPECT_EQ(stats().at("dns").at("entered"), next_) << "each was learned";
    EXPECT_LE(known(), KUDO_LEARNED4);
    printf("%u rotations, %u addresses, %zu known: %lu packets of %u live flows, all judged by the name\n", rotations,
           next_, known(), sent_, flows);
}

TEST_F(ManyAddresses, AFloodOfResponsesEvictsTheOldestAndNoLiveFlow) {
    enable();
    begin_flows();
    const unsigned flood = from_environment("KUDO_DNS_FLOOD", 10'000);
    for (unsigned i = 0; i < flood; i++) {
        look_up(fmt::format("a{}.tokbox.com", i), {next_address()});
        if (i % 1000 == 0) go_on();
    }
    go_on();
    EXPECT_EQ(counted("name"), sent_);
    const auto dns = stats().at("dns");
    const uint64_t entered = dns.at("entered");
    const std::size_t left = known();
    EXPECT_EQ(entered, flows + flood);
    EXPECT_LE(left, KUDO_LEARNED4);
    // The newest are there.
    send_syn(address_of_number(next_ - 1), 443, 52000);
    EXPECT_EQ(counted("name"), sent_ + 1);
    printf("%u responses: %lu addresses entered, %zu known, %lu evicted\n", flood, entered, left, entered - left);
}

TEST_F(ManyAddresses, ResponsesThatNobodyAskedForEnterNothing) {
    enable();
    begin_flows();
    const unsigned flood = from_environment("KUDO_DNS_FLOOD", 10'000);
    for (unsigned i = 0; i < flood; i++) {
        const auto name = fmt::format("a{}.tokbox.com", i);
        send_datagram(far_.get(), {host_address, 41000}, dns_answer(name, {{name, next_address()}}, 7777));
        receive_datagram(near_.get());
    }
    const auto dns = stats().at("dns");
    EXPECT_EQ(dns.at("unsolicited"), flood);
    EXPECT_EQ(dns.at("entered"), flows);
    EXPECT_EQ(known(), flows);
}

// Medians, of rounds with and without the agent in turn.
TEST_F(ManyAddresses, ALookupTakesNoLongerWithTheAgent) {
    using Clock = std::chrono::steady_clock;
    std::vector<double> with, without;
    const auto measure = [&](std::vector<double>& into) {
        for (unsigned i = 0; i < 300; i++) {
            const auto begin = Clock::now();
            look_up("live.opentok.com", {"25.0.0.1"});
            into.push_back(std::chrono::duration<double, std::micro>(Clock::now() - begin).count());
        }
    };
    for (int round = 0; round < 6; round++) {
        measure(without);
        enable();
        measure(with);
        ASSERT_EQ(test_->agent({"disable"}).status, 0);
    }
    const auto median = [](std::vector<double>& values) {
        std::ranges::nth_element(values, values.begin() + static_cast<long>(values.size() / 2));
        return values[values.size() / 2];
    };
    const double m_with = median(with), m_without = median(without);
    printf("round trip of a lookup, median of %zu: %.1f us with the agent, %.1f us without\n", with.size(), m_with,
           m_without);
    EXPECT_LT(m_with, 2 * m_without);
}

} // namespace
} // namespace kudo::test
