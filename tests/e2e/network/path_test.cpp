// SPDX-License-Identifier: MIT
// What is known of the path from real traffic over a veth pair: round trips, jitter, frame rate, loss.
// Invariant: what the sender did and when is written down by itself; what is read must agree with that.
#include "tests/e2e/link_fixture.h"

#include <netinet/in.h>
#include <netinet/udp.h>

#include <cmath>
#include <cstring>
#include <ctime>
#include <iostream>
#include <random>
#include <thread>

#include "agent/datapath/probes.h"
#include "agent/datapath/rtp_streams.h"
#include "tests/support/media_message.h"
#include "tests/support/rtp_oracle.h"
#include "tests/support/stun_message.h"

namespace kudo::test {
namespace {

using namespace std::chrono_literals;
using Steady = std::chrono::steady_clock;

const Endpoint here{host_address, 50100}, server{media_address, 3478};

// When the kernel took in the next datagram of a socket with SO_TIMESTAMPNS, by CLOCK_REALTIME.
timespec arrival_of_next(const Fd& socket) {
    char payload[2048], control[CMSG_SPACE(sizeof(timespec))];
    iovec piece{payload, sizeof payload};
    msghdr message{};
    message.msg_iov = &piece;
    message.msg_iovlen = 1;
    message.msg_control = control;
    message.msg_controllen = sizeof control;
    if (recvmsg(socket.get(), &message, 0) < 0) throw std::runtime_error("recvmsg");
    timespec time{};
    for (const cmsghdr* one = CMSG_FIRSTHDR(&message); one; one = CMSG_NXTHDR(&message, const_cast<cmsghdr*>(one)))
        if (one->cmsg_level == SOL_SOCKET && one->cmsg_type == SO_TIMESTAMPNS)
            std::memcpy(&time, CMSG_DATA(one), sizeof time);
    return time;
}

class Path : public LineTest {
protected:
    void SetUp() override {
        LineTest::SetUp();
        if (IsSkipped() || HasFatalFailure()) return;
        enable();
        ours_ = udp_socket(test_->host, here);
        theirs_ = udp_socket(test_->far, server);
    }
    [[nodiscard]] std::optional<RtpQuality> quality(uint32_t ssrc) const {
        const auto data_path = DataPath::open(test_->instance);
        const auto known = read_rtp_streams(data_path.value().maps()).value();
        for (const auto& [flow, list] : known)
            for (const RtpStream& stream : list)
                if (stream.ssrc == ssrc) return stream.quality;
        return std::nullopt;
    }
    [[nodiscard]] FlowProbe probe() const {
        const auto data_path = DataPath::open(test_->instance);
        const FlowProbes all = read_probes(data_path.value().maps()).value();
        EXPECT_EQ(all.size(), 1u);
        return all.empty() ? FlowProbe{} : all.begin()->second;
    }
    // What `ping` measures without anybody who waits.
    [[nodiscard]] double ping_ms() const {
        const std::string text = test_->in_host({"ping", "-n", "-q", "-c", "5", "-i", "0.05", media_address});
        const auto found = text.find("min/avg/max/mdev = ");
        EXPECT_NE(found, std::string::npos) << text;
        return std::stod(text.substr(text.find('/', found + 19) + 1)); // the average
    }
    Fd ours_, theirs_;
};

TEST_F(Path, RoundTripsAreThePingsAndWhatTheFarSideWaits) {
    const double ping = ping_ms();
    const int on = 1;
    ASSERT_EQ(setsockopt(theirs_.get(), SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof on), 0);
    uint8_t transaction = 0;
    for (const auto delay : {0ms, 20ms, 50ms}) {
        // A thread that loses its processor between the clock and the call is tried again.
        double apart = 1000;
        for (int attempt = 0; attempt < 10 && apart > 1; attempt++) {
            transaction++;
            double waited = 0; // from the kernel's arrival there, or how soon the thread runs would be in it
            std::thread responder([&] {
                const timespec came = arrival_of_next(theirs_);
                std::this_thread::sleep_for(delay);
                timespec now{};
                clock_gettime(CLOCK_REALTIME, &now);
                waited = static_cast<double>(now.tv_sec - came.tv_sec) * 1e3 +
                         static_cast<double>(now.tv_nsec - came.tv_nsec) / 1e6;
                send_datagram(theirs_.get(), here, stun_message(binding_success, transaction));
            });
            send_datagram(ours_.get(), server, stun_message(binding_request, transaction));
            receive_datagram(ours_.get());
            responder.join();
            const FlowProbe is = probe();
            ASSERT_TRUE(is.rtt.has_value());
            apart = std::abs(is.rtt->last - (waited + ping));
            std::cout << delay.count() << " ms: " << is.rtt->last << ", waited " << waited << ", ping " << ping << '\n';
        }
        EXPECT_LE(apart, 1) << delay.count() << " ms";
    }
    EXPECT_EQ(probe().requests, transaction);
    EXPECT_EQ(probe().responses, transaction);
}

TEST_F(Path, JitterAndFrameRateAreTheSenders) {
    std::mt19937 random(5);
    std::vector<ArrivingRtp> sent;
    std::vector<std::chrono::system_clock::time_point> frames;
    const auto begin = Steady::now();
    uint16_t sequence = 65500;
    for (uint32_t frame = 0; frame < 240; frame++) { // 8 s
        std::this_thread::sleep_until(begin + frame * 33333us + std::chrono::microseconds(random() % 12000));
        frames.push_back(std::chrono::system_clock::now());
        for (int part = 0; part < 3; part++) {
            const auto now = static_cast<uint64_t>(Steady::now().time_since_epoch().count());
            send_datagram(theirs_.get(), here,
                          channel_data(rtp_packet({.ssrc = 7,
                                                   .timestamp = frame * 3000,
                                                   .sequence = sequence,
                                                   .payload_type = 96,
                                                   .size = 900,
                                                   .marker = part == 2})));
            sent.push_back({now, sequence++, frame * 3000, false});
            receive_datagram(ours_.get());
        }
    }
    const RtpQuality is = quality(7).value();
    EXPECT_EQ(is.unique, 720u);
    EXPECT_EQ(is.lost + is.pending, 0u);
    EXPECT_EQ(is.clock_rate, 90000u);
    const double truth = truth_of(sent, 90000).jitter_ms;
    EXPECT_NEAR(is.jitter_ms.value(), truth, 1);
    EXPECT_GT(truth, 0.5);
    unsigned right = 0;
    for (const RtpSecond& second : is.seconds) {
        const auto shown = std::ranges::count_if(
            frames, [&](const auto& time) { return time >= second.begin && time < second.begin + 1s; });
        right += std::abs(static_cast<long>(second.frames) - static_cast<long>(shown)) <= 2;
    }
    EXPECT_GE(right, 0.95 * static_cast<double>(is.seconds.size()));
    std::cout << "jitter " << *is.jitter_ms << " ms, the sender's " << truth << "; " << right << " of "
              << is.seconds.size() << " seconds within 2 frames\n";
}

// What is removed before this host is what is missing, number by number.
TEST_F(Path, TheNumbersThatAreMissingAreThoseThatWereRemoved) {
    std::mt19937 random(11);
    std::vector<uint16_t> removed;
    for (uint16_t sequence = 100; sequence < 500; sequence++) {
        if (sequence > 100 && sequence < 499 && random() % 10 == 0) {
            removed.push_back(sequence);
            continue;
        }
        send_datagram(theirs_.get(), here, rtp_packet({.ssrc = 8, .timestamp = sequence * 960u, .sequence = sequence}));
        receive_datagram(ours_.get());
    }
    const RtpQuality is = quality(8).value();
    EXPECT_EQ(is.pending_numbers, removed);
    EXPECT_EQ(is.unique, 400 - removed.size());
}

// Segmented by the kernel behind our egress, and joined again before our ingress.
TEST_F(Path, SegmentsOfSuperPacketsAreCountedEach) {
    constexpr uint16_t size = 200;
    for (const auto& [from, to, space] : {std::tuple{&ours_, server, &theirs_}, std::tuple{&theirs_, here, &ours_}}) {
        const int segment = size;
        ASSERT_EQ(setsockopt(from->get(), SOL_UDP, 103 /* UDP_SEGMENT */, &segment, sizeof segment), 0);
        uint16_t sequence = 0;
        for (int round = 0; round < 5; round++) {
            Bytes payload;
            for (int i = 0; i < 30; i++, sequence++) {
                const Bytes one = rtp_packet({.ssrc = from == &ours_ ? 1u : 2u,
                                              .timestamp = sequence * 960u,
                                              .sequence = sequence,
                                              .size = size});
                payload.insert(payload.end(), one.begin(), one.end());
            }
            send_datagram(from->get(), to, payload);
            for (int i = 0; i < 30; i++)
                receive_datagram(space->get());
        }
        const RtpQuality is = quality(from == &ours_ ? 1 : 2).value();
        EXPECT_EQ(is.unique, 150u);
        EXPECT_EQ(is.lost + is.pending + is.duplicate + is.reordered, 0u);
    }
}

} // namespace
} // namespace kudo::test
