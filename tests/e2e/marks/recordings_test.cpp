// SPDX-License-Identifier: MIT
// Recorded calls through the programs: the DSCP that each packet has when it arrives, out and in, and what `stats` says
// of its stream. Invariant: a recording is a flow of its own; judged by whole frames on the far end.
#include <fmt/format.h>

#include "tests/e2e/link_fixture.h"
#include "tests/support/recordings.h"

namespace kudo::test {
namespace {

constexpr int ef = 46, af41 = 34;
constexpr uint16_t first_port = 51000; // of the first recording

class Recordings : public LineTest {
protected:
    void SetUp() override {
        LineTest::SetUp();
        if (IsSkipped() || HasFatalFailure()) return;
        quieten();
    }
    static Bytes datagram(const RecordedPacket& packet, bool turn) {
        return turn ? in_channel_data(rtp_bytes(packet)) : rtp_bytes(packet);
    }
    // Of each packet of the recording: did it arrive with EF? All others must have AF41.
    std::vector<bool> send(const Recording& recording, uint16_t port, bool turn) {
        const Fd socket = udp_socket(test_->host, {host_address, port});
        Capture capture(test_->far, "eth0", 2048);
        for (const RecordedPacket& packet : recording.packets)
            send_datagram(socket.get(), {media_address, 3478}, datagram(packet, turn));
        std::vector<bool> marks;
        for (const Frame& frame : capture.finish()) {
            const auto seen = see_frame(frame.bytes);
            if (!seen || frame.outgoing || seen->source_port != port) continue;
            const int dscp = seen->dsfield >> 2;
            if (dscp != ef) {
                EXPECT_EQ(dscp, af41) << recording.name;
            }
            marks.push_back(dscp == ef);
        }
        EXPECT_EQ(marks.size(), recording.packets.size()) << recording.name;
        marks.resize(recording.packets.size());
        return marks;
    }
    void expect_right_marks(bool turn) {
        enable();
        DscpMatrix matrix;
        uint16_t port = first_port;
        for (const Recording& recording : recordings())
            matrix.add(recording, send(recording, port++, turn));
        fmt::print("{}", matrix.text());
        EXPECT_EQ(matrix.wrong(), "");
        expect_kinds("egress");
    }
    void receive(const Recording& recording, uint16_t port, bool turn) {
        const Fd from = udp_socket(test_->far, {media_address, 3478}),
                 to = udp_socket(test_->host, {host_address, port});
        for (const RecordedPacket& packet : recording.packets) {
            send_datagram(from.get(), {host_address, port}, datagram(packet, turn));
            receive_datagram(to.get());
        }
    }
    // Of every recording, in one direction: each of its streams is shown once, as what it is, with all its packets.
    void expect_kinds(const std::string& direction) {
        const auto stats = test_->stats();
        uint16_t port = first_port;
        for (const Recording& recording : recordings()) {
            const auto flow = find_flow(stats, "udp", {host_address, port++}, {media_address, 3478});
            ASSERT_FALSE(flow.is_null()) << recording.name;
            std::size_t packets = 0;
            ASSERT_EQ(flow.at("rtp").size(), recording.kinds.size()) << recording.name << " " << flow;
            for (unsigned stream = 0; stream < recording.kinds.size(); stream++) {
                const auto& shown = flow.at("rtp").at(stream);
                EXPECT_EQ(shown.at("direction"), direction) << recording.name;
                EXPECT_EQ(shown.at("kind"), recording.shown[stream]) << recording.name << " " << shown;
                EXPECT_EQ(shown.at("repeats").is_null(), recording.kinds[stream] != "rtx") << shown;
                packets += shown.at("packets").get<std::size_t>() + shown.at("probes").get<std::size_t>();
            }
            EXPECT_EQ(packets, recording.packets.size()) << recording.name;
        }
    }
};

TEST_F(Recordings, AreMarkedRightInChannelData) {
    expect_right_marks(true);
}

TEST_F(Recordings, AreMarkedRightWithoutTurn) {
    expect_right_marks(false);
}

// Without a downlink queue, wherever the packets are counted.
class ReceivedRecordings : public Recordings, public testing::WithParamInterface<IngressKind> {};

TEST_P(ReceivedRecordings, AreShownAsWhatTheyAre) {
    enable_as(GetParam());
    uint16_t port = first_port;
    for (const Recording& recording : recordings())
        receive(recording, port++, true);
    expect_kinds("ingress");
    const Outcome text = test_->agent({"stats", "--flows"});
    EXPECT_NE(text.out.find("  in   rtx"), std::string::npos) << text.out;
}

INSTANTIATE_TEST_SUITE_P(Hooks, ReceivedRecordings,
                         testing::Values(IngressKind::XdpNative, IngressKind::Tcx, IngressKind::Clsact),
                         name_of_ingress); // without tcx two have one hook's name

TEST_F(Recordings, AreCountedOnceWhereTwoProgramsSeeIncomingPackets) {
    enable({"--firewall-mark", "0x4b/0xff", "--downlink", "50mbit"});
    uint16_t port = first_port;
    for (const Recording& recording : recordings())
        receive(recording, port++, true);
    expect_kinds("ingress");
}

TEST_F(Recordings, AreShownInObserveModeUnmarked) {
    enable({"--mode", "observe"});
    const Recording& recording = test::recording("opus-20ms-32k");
    const Fd socket = udp_socket(test_->host, {host_address, first_port});
    for (const RecordedPacket& packet : recording.packets)
        send_datagram(socket.get(), {media_address, 3478}, datagram(packet, true));
    const auto flow = find_flow(test_->stats(), "udp", {host_address, first_port}, {media_address, 3478});
    ASSERT_EQ(flow.at("rtp").size(), 1u) << flow;
    EXPECT_EQ(flow.at("rtp").at(0).at("kind"), "audio");
}

// Whoever can forge packets of a flow can send any SSRC: those of outgoing packets are kept apart.
TEST_F(Recordings, ForgedIncomingStreamsDoNotEvictThoseThatAreSent) {
    enable();
    const Recording& recording = test::recording("opus-20ms-32k");
    const Fd socket = udp_socket(test_->host, {host_address, first_port});
    const auto send_some = [&](std::size_t begin, std::size_t end) {
        for (std::size_t i = begin; i < end; i++)
            send_datagram(socket.get(), {media_address, 3478}, datagram(recording.packets[i], true));
    };
    send_some(0, 20);
    const Fd from = udp_socket(test_->far, {media_address, 3478});
    RecordedPacket forged{.size = 40, .payload_type = 111};
    for (unsigned i = 0; i < 40000; i++) { // more than there is room for
        forged.stream = i + 1;
        send_datagram(from.get(), {host_address, first_port}, datagram(forged, true));
        if (i % 64 == 63)
            for (int drained = 0; drained < 64; drained++)
                receive_datagram(socket.get());
    }
    Capture capture(test_->far, "eth0", 2048);
    send_some(20, 40);
    std::size_t marked = 0;
    for (const Frame& frame : capture.finish()) {
        const auto seen = see_frame(frame.bytes);
        if (seen && !frame.outgoing && seen->source_port == first_port) marked += seen->dsfield >> 2 == ef;
    }
    EXPECT_EQ(marked, 20u);
}

} // namespace
} // namespace kudo::test
