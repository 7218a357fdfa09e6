// SPDX-License-Identifier: MIT
// The live view without a terminal: readings become rates, keys change what is seen, and that becomes lines.
#include <gtest/gtest.h>
#include <netinet/in.h>

#include <algorithm>
#include <chrono>
#include <cmath>

#include <fmt/format.h>

#include "cli/top/flow_columns.h"
#include "cli/top/keys.h"
#include "cli/top/layout.h"
#include "cli/top/order.h"
#include "cli/top/rates.h"
#include "cli/top/reader.h"
#include "cli/top/reading.h"
#include "cli/top/sparkline.h"
#include "cli/top/state.h"

namespace kudo {
namespace {

using namespace std::chrono_literals;

const auto noon = std::chrono::sys_days{std::chrono::year{2022} / 3 / 1} + 12h;

FlowRecord flow_to(const std::string& remote, uint16_t local_port, uint64_t bytes, std::chrono::nanoseconds age = 1h) {
    FlowRecord flow;
    flow.protocol = IPPROTO_UDP;
    flow.local = Address::parse("10.0.0.1").value();
    flow.local_port = local_port;
    flow.remote = Address::parse(remote).value();
    flow.remote_port = 3478;
    flow.interface = "eth0";
    flow.service = "media";
    flow.class_ = KUDO_CLASS_MEDIA;
    flow.reason = KUDO_REASON_RULE;
    flow.counters[KUDO_EGRESS] = {bytes / 100, bytes};
    flow.first_seen = std::chrono::time_point_cast<std::chrono::system_clock::duration>(noon - age);
    flow.last_seen = noon;
    return flow;
}

Statistics reading_of(std::vector<FlowRecord> flows) {
    Statistics statistics;
    statistics.read_at = noon;
    for (const FlowRecord& flow : flows)
        statistics.services["media"].classes[KUDO_CLASS_MEDIA][KUDO_EGRESS].bytes += flow.counters[KUDO_EGRESS].bytes;
    statistics.flows = std::move(flows);
    return statistics;
}

Diagnosis diagnosis_of(std::vector<FlowRecord> flows) {
    Diagnosis diagnosis{.statistics = reading_of(std::move(flows))};
    diagnosis.drops_measured = true;
    diagnosis.verdict.summary = "No loss was seen.";
    return diagnosis;
}

// --- rates

TEST(Rates, AreOfWhatWasCountedBetweenTwoReadings) {
    Rates rates;
    rates.add(reading_of({flow_to("3.0.0.1", 1, 1000)}), 0s);
    EXPECT_FALSE(rates.rate(0)); // a rate needs two
    rates.add(reading_of({flow_to("3.0.0.1", 1, 3000)}), 2s);
    ASSERT_TRUE(rates.rate(0));
    EXPECT_DOUBLE_EQ(rates.rate(0)->out, 8000);
    EXPECT_DOUBLE_EQ(rates.rate(0)->in, 0);
}

TEST(Rates, FollowAFlowToAnotherPlace) {
    Rates rates;
    rates.add(reading_of({flow_to("3.0.0.1", 1, 1000), flow_to("3.0.0.2", 2, 500)}), 0s);
    rates.add(reading_of({flow_to("3.0.0.2", 2, 4500), flow_to("3.0.0.1", 1, 1000)}), 1s);
    EXPECT_DOUBLE_EQ(rates.rate(0).value().out, 32000);
    EXPECT_DOUBLE_EQ(rates.rate(1).value().out, 0);
}

TEST(Rates, OfAFlowThatBeganMeanwhileAreOfAllItHas) {
    Rates rates;
    rates.add(reading_of({}), 0s);
    rates.add(reading_of({flow_to("3.0.0.1", 1, 1000, 500ms)}), 1s);
    EXPECT_DOUBLE_EQ(rates.rate(0).value().out, 8000);
}

TEST(Rates, AreNotInventedForAFlowThatAppearsWithAPast) {
    Rates rates;
    rates.add(reading_of({}), 0s);
    rates.add(reading_of({flow_to("3.0.0.1", 1, 1'000'000, 1h)}), 1s);
    EXPECT_FALSE(rates.rate(0));
    rates.add(reading_of({flow_to("3.0.0.1", 1, 1'001'000, 1h)}), 1s);
    EXPECT_DOUBLE_EQ(rates.rate(0).value().out, 8000);
}

TEST(Rates, AreNotMeasuredWhereCountersWentBack) {
    Rates rates;
    rates.add(reading_of({flow_to("3.0.0.1", 1, 9000)}), 0s);
    rates.add(reading_of({flow_to("3.0.0.1", 1, 1000)}), 1s);
    EXPECT_FALSE(rates.rate(0));
    // The same addresses and ports again, as a flow of its own.
    rates.add(reading_of({flow_to("3.0.0.1", 1, 2000, 100ms)}), 1s);
    EXPECT_DOUBLE_EQ(rates.rate(0).value().out, 16000);
}

TEST(Rates, KeepATrendOfBoundedLength) {
    Rates rates;
    uint64_t bytes = 0;
    for (std::size_t i = 0; i <= Rates::history + 5; ++i)
        rates.add(reading_of({flow_to("3.0.0.1", 1, bytes += i * 100)}), 1s);
    const auto trend = rates.trend(0, 1000);
    ASSERT_EQ(trend.size(), Rates::history);
    EXPECT_FLOAT_EQ(trend.back().value(), 800.0F * (Rates::history + 5));
    EXPECT_FLOAT_EQ(trend.front().value(), 800.0F * 6);
    EXPECT_EQ(rates.trend(0, 3).size(), 3U);
    EXPECT_TRUE(rates.trend(7, 3).empty());
}

TEST(Rates, ForgetFlowsThatAreGone) {
    Rates rates;
    rates.add(reading_of({flow_to("3.0.0.1", 1, 1000)}), 0s);
    rates.add(reading_of({}), 1s);
    rates.add(reading_of({flow_to("3.0.0.1", 1, 2000)}), 1s);
    EXPECT_FALSE(rates.rate(0));
}

// --- sparkline

TEST(Sparkline, IsScaledToItsLargestAndRightAligned) {
    using Values = std::vector<std::optional<float>>;
    EXPECT_EQ(sparkline(Values{0.0F, 50.0F, 100.0F}, 5), "  ▁▅█");
    EXPECT_EQ(sparkline(Values{0.0F, std::nullopt, 0.0F}, 3), "▁ ▁");
    EXPECT_EQ(sparkline(Values{1.0F, 1e9F}, 2), "▂█"); // above zero is above the lowest
    EXPECT_EQ(sparkline(Values{1.0F, 2.0F, 3.0F, 4.0F}, 2), "▇█");
    EXPECT_EQ(sparkline(Values{}, 3), "   ");
    EXPECT_EQ(sparkline(Values{1.0F}, 0), "");
}

// --- order and filter

Reading some_reading() {
    Reading reading;
    const auto begin = std::chrono::steady_clock::now();
    reading.take(diagnosis_of({flow_to("3.0.0.3", 1, 9000), flow_to("3.0.0.1", 2, 5000), flow_to("3.0.0.2", 3, 1000)}),
                 begin);
    Diagnosis now =
        diagnosis_of({flow_to("3.0.0.3", 1, 9000), flow_to("3.0.0.1", 2, 8000), flow_to("3.0.0.2", 3, 2000)});
    now.flows[0].processes = {{.pid = 7, .name = "zoom"}};
    now.flows[2].processes = {{.pid = 8, .name = "Chrome", .unit = "app.scope"}};
    now.flows[1].tcp = TcpState{.rtt = 20ms};
    now.flows[2].dropped[KUDO_INGRESS].packets = 5;
    reading.take(std::move(now), begin + 1s);
    return reading;
}

std::vector<uint16_t> ports(const TopState& state) {
    const Reading reading = some_reading();
    std::vector<uint16_t> result;
    for (const std::size_t flow : chosen_flows(reading, state))
        result.push_back(reading.diagnosis()->statistics.flows[flow].local_port);
    return result;
}

TEST(FlowOrder, IsByTheChosenColumn) {
    using Ports = std::vector<uint16_t>;
    EXPECT_EQ(ports({}), (Ports{2, 3, 1}));
    EXPECT_EQ(ports({.reverse = true}), (Ports{1, 3, 2}));
    EXPECT_EQ(ports({.sort = SortBy::Remote}), (Ports{2, 3, 1}));
    EXPECT_EQ(ports({.sort = SortBy::Process}), (Ports{3, 1, 2}));
    EXPECT_EQ(ports({.sort = SortBy::Loss}), (Ports{3, 1, 2}));
}

TEST(FlowOrder, HasWhatWasNotMeasuredLastEitherWay) {
    EXPECT_EQ(ports({.sort = SortBy::RoundTrip}).front(), 2);
    EXPECT_EQ(ports({.sort = SortBy::RoundTrip, .reverse = true}).front(), 2);
    EXPECT_EQ(ports({.sort = SortBy::Process, .reverse = true}), (std::vector<uint16_t>{1, 3, 2}));
    EXPECT_EQ(ports({.sort = SortBy::Jitter}), (std::vector<uint16_t>{1, 2, 3})); // none: as in the statistics
}

TEST(FlowFilter, LooksIntoEachColumnWhateverTheCase) {
    EXPECT_EQ(ports({.filter = "chrome"}), (std::vector<uint16_t>{3}));
    EXPECT_EQ(ports({.filter = "APP.SCOPE"}), (std::vector<uint16_t>{3}));
    EXPECT_EQ(ports({.filter = "3.0.0.1:"}), (std::vector<uint16_t>{2}));
    EXPECT_EQ(ports({.filter = "udp"}).size(), 3U);
    EXPECT_TRUE(ports({.filter = "nobody"}).empty());
}

// --- keys

std::vector<FlowKey> some_keys(std::size_t count) {
    std::vector<FlowKey> keys(count);
    for (std::size_t i = 0; i < count; ++i)
        keys[i].local_port = static_cast<uint16_t>(i + 1);
    return keys;
}

TEST(TopKeys, HaveEachAMeaningOfTheirOwn) {
    std::string seen;
    for (const KeyBinding& binding : key_bindings()) {
        EXPECT_TRUE(binding.key == 0 || seen.find(binding.key) == std::string::npos) << binding.name;
        seen += binding.key;
        EXPECT_NE(keys_text().find(std::string(binding.text)), std::string::npos);
    }
}

TEST(TopKeys, EndWithQ) {
    TopState state;
    EXPECT_TRUE(press(state, {.character = 'x'}, {}));
    EXPECT_FALSE(press(state, {.character = 'q'}, {}));
}

TEST(TopKeys, AreTextWhileAFilterIsTyped) {
    TopState state;
    for (const char key : std::string("/q?"))
        EXPECT_TRUE(press(state, {.character = key}, {}));
    EXPECT_EQ(state.typed, "q?");
    press(state, {.backspace = true}, {});
    press(state, {.action = Action::Open}, {});
    EXPECT_EQ(state.filter, "q");
    EXPECT_FALSE(state.typed);
    press(state, {.character = '/'}, {});
    press(state, {.action = Action::Back}, {});
    EXPECT_EQ(state.filter, "q"); // as it was
    press(state, {.character = '/'}, {});
    for (int i = 0; i < 1000; ++i)
        press(state, {.character = 'a'}, {});
    EXPECT_EQ(state.typed->size(), max_filter);
}

TEST(TopKeys, KeepTheSelectedFlowWhileItsRowMoves) {
    auto keys = some_keys(50);
    TopState state;
    press(state, {.action = Action::Down}, {.flows = keys, .rows = 10});
    EXPECT_EQ(selected_row(state, {.flows = keys, .rows = 10}), 1U);
    std::ranges::reverse(keys);
    EXPECT_EQ(selected_row(state, {.flows = keys, .rows = 10}), 48U);
    EXPECT_EQ(state.first_row, 39U); // it is on the screen
    keys.erase(keys.begin() + 48);
    EXPECT_EQ(selected_row(state, {.flows = keys, .rows = 10}), 0U); // it is gone
}

TEST(TopKeys, StayWithinTheRows) {
    const auto keys = some_keys(3);
    TopState state;
    for (const Action action :
         {Action::Up, Action::PageUp, Action::First, Action::Last, Action::PageDown, Action::Down}) {
        press(state, {.action = action}, {.flows = keys, .rows = 10});
        EXPECT_LT(selected_row(state, {.flows = keys, .rows = 10}), 3U);
        press(state, {.action = action}, {.flows = {}, .rows = 0});
    }
    EXPECT_EQ(selected_row(state, {.flows = keys, .rows = 10}), 2U);
    press(state, {.action = Action::Open}, {.flows = {}, .rows = 0});
    EXPECT_EQ(state.page, Page::Flows); // there is none to open
}

TEST(TopKeys, OpenAndLeavePages) {
    const auto keys = some_keys(3);
    TopState state;
    press(state, {.action = Action::Open}, {.flows = keys, .rows = 10});
    EXPECT_EQ(state.page, Page::Flow);
    EXPECT_EQ(state.selected, keys[0]);
    press(state, {.action = Action::Back}, {.flows = keys, .rows = 10});
    EXPECT_EQ(state.page, Page::Flows);
    press(state, {.character = '?'}, {.flows = keys, .rows = 10});
    EXPECT_EQ(state.page, Page::Help);
    press(state, {.character = '?'}, {.flows = keys, .rows = 10});
    EXPECT_EQ(state.page, Page::Flows);
}

// --- layout

std::string text_of(const Lines& lines) {
    std::string text;
    for (const Line& line : lines) {
        for (const Span& span : line.spans)
            text += span.text;
        text += '\n';
    }
    return text;
}

Lines laid_out(const Reading& reading, ScreenSize size, TopState state = {}, const Pace& pace = {}) {
    std::size_t rows = 0;
    return layout(reading, chosen_flows(reading, state), pace, size, state, rows);
}

TEST(TopLayout, FitsEverySize) {
    const Reading reading = some_reading();
    for (const Page page : {Page::Flows, Page::Flow, Page::Verdict, Page::Help})
        for (const std::size_t width : {1, 2, 10, 39, 40, 41, 60, 79, 80, 81, 120, 200, 400})
            for (const std::size_t height : {1, 2, 7, 8, 9, 23, 24, 50}) {
                const TopState state{.page = page, .selected = key_of(reading.diagnosis()->statistics.flows[0])};
                const Lines lines = laid_out(reading, {width, height}, state);
                EXPECT_EQ(lines.size(), height);
                for (const Line& line : lines) {
                    std::size_t columns = 0;
                    for (const Span& span : line.spans)
                        columns += characters(span.text);
                    EXPECT_LE(columns, width) << width << "x" << height;
                }
            }
}

TEST(TopLayout, HasVerdictAndFlowsByRateIn80Columns) {
    const Lines lines = laid_out(some_reading(), {80, 24});
    const std::string text = text_of(lines);
    EXPECT_NE(text.find("No loss was seen."), std::string::npos);
    for (const char* title : {"FLOW", "REMOTE", "RATE↓", "TREND", "LOST", "HERE", "RTT", "PROCESS"})
        EXPECT_NE(text.find(title), std::string::npos) << title;
    EXPECT_EQ(text.find("INTERFACE"), std::string::npos);
    EXPECT_LT(text.find("3.0.0.1:3478"), text.find("3.0.0.2:3478"));
    EXPECT_LT(text.find("3.0.0.2:3478"), text.find("3.0.0.3:3478"));
    EXPECT_NE(text.find("24.0 kbit/s"), std::string::npos) << text;
    EXPECT_TRUE(lines[4].selected);
    EXPECT_NE(text_of({lines.back()}).find("q quit"), std::string::npos);
}

TEST(TopLayout, HasMoreColumnsWhereThereIsRoom) {
    const std::string text = text_of(laid_out(some_reading(), {200, 50}));
    for (const char* title : {"LOCAL", "SERVICE", "CLASS", "JITTER", "INTERFACE", "SEEN"})
        EXPECT_NE(text.find(title), std::string::npos) << title;
}

TEST(TopLayout, SaysNothingThatWasNotMeasured) {
    Reading reading;
    Diagnosis first = diagnosis_of({flow_to("3.0.0.1", 1, 1000)});
    first.drops_measured = false;
    first.drops_why_not = "no tracing here";
    reading.take(std::move(first), std::chrono::steady_clock::now());
    const std::string text = text_of(laid_out(reading, {80, 24}));
    EXPECT_EQ(text.find("bit/s"), std::string::npos) << text; // one reading has no rate
    EXPECT_NE(text.find("?"), std::string::npos);
    EXPECT_NE(text.find("drops are not measured: no tracing here"), std::string::npos);
}

TEST(TopLayout, SaysThatItIsNotEnabledAndThatItWasBefore) {
    Reading reading = some_reading();
    reading.take(fail(Error{ErrorKind::NotEnabled, "kudo-agent is not enabled", 0}), std::chrono::steady_clock::now());
    const std::string text = text_of(laid_out(reading, {80, 24}));
    EXPECT_NE(text.find("Not enabled"), std::string::npos);
    EXPECT_EQ(text.find("3.0.0.1"), std::string::npos);
}

TEST(TopLayout, SaysThatWhatItShowsIsOlder) {
    Reading reading = some_reading();
    reading.take(fail("the disk is gone"), std::chrono::steady_clock::now());
    const std::string text = text_of(laid_out(reading, {80, 24}, {}, {.read_at = "12:00:00"}));
    EXPECT_NE(text.find("Cannot be read now; this is of 12:00:00: the disk is gone"), std::string::npos) << text;
    EXPECT_NE(text.find("3.0.0.1"), std::string::npos);
}

TEST(TopLayout, ShowsBytesOfHostileNames) {
    Diagnosis diagnosis = diagnosis_of({flow_to("3.0.0.1", 1, 1000)});
    diagnosis.statistics.flows[0].interface = "\x1b]0;x\x07";
    diagnosis.verdict.summary = "Dropped by \x1b[2J\xc2\x9bzrule.";
    diagnosis.verdict.evidence = {"\x1b[31m"};
    diagnosis.flows[0].processes = {{.pid = 1, .name = "\xff\xfe", .unit = "\x1b[5m"}};
    diagnosis.flows[0].verdict.summary = "\x1b[6m";
    diagnosis.gaps = {"\r\x1b[7m"};
    Reading reading;
    reading.take(std::move(diagnosis), std::chrono::steady_clock::now());
    for (const Page page : {Page::Flows, Page::Flow, Page::Verdict}) {
        const TopState state{.page = page, .selected = key_of(reading.diagnosis()->statistics.flows[0])};
        for (const char byte : text_of(laid_out(reading, {200, 50}, state)))
            EXPECT_TRUE(byte == '\n' || static_cast<unsigned char>(byte) >= ' ') << static_cast<int>(byte);
        EXPECT_EQ(text_of(laid_out(reading, {200, 50}, state)).find("\xc2\x9b"), std::string::npos);
    }
}

TEST(TopLayout, OpensAFlow) {
    const Reading reading = some_reading();
    const TopState state{.page = Page::Flow, .selected = key_of(reading.diagnosis()->statistics.flows[2])};
    const std::string text = text_of(laid_out(reading, {80, 24}, state));
    EXPECT_NE(text.find("10.0.0.1:3 to 3.0.0.2:3478"), std::string::npos) << text;
    EXPECT_NE(text.find("Chrome (pid 8), app.scope"), std::string::npos) << text;
    const TopState gone{.page = Page::Flow, .selected = FlowKey{.local_port = 9}};
    EXPECT_NE(text_of(laid_out(reading, {80, 24}, gone)).find("not in the flow table any more"), std::string::npos);
}

TEST(TopLayout, SaysInOneSentenceThatAScreenIsTooSmall) {
    EXPECT_NE(text_of(laid_out(some_reading(), {39, 24})).find("too small"), std::string::npos);
    EXPECT_NE(text_of(laid_out(some_reading(), {80, 7})).find("too small"), std::string::npos);
}

TEST(TopInterval, KeepsTopBelowItsShareOfACore) {
    EXPECT_EQ(interval_for(5ms), 1s);
    EXPECT_EQ(interval_for(30ms), 2s);
    EXPECT_EQ(interval_for(10s), 60s);
}

} // namespace
} // namespace kudo
