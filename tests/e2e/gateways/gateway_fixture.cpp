// SPDX-License-Identifier: MIT
#include "tests/e2e/gateways/gateway_fixture.h"

#include <unistd.h>

#include <stdexcept>

#include <fmt/format.h>

#include "maps/base/text.h"
#include "tests/support/recordings.h"

namespace kudo::test {
namespace {

constexpr int ef = 46, af41 = 34;

std::vector<std::string> words(const std::string& line) {
    const auto parts = split(line, ' ');
    return {parts.begin(), parts.end()};
}

} // namespace

void GatewayTest::SetUp() {
    LineTest::SetUp();
    if (IsSkipped() || HasFatalFailure()) return;
    test_->in_host({"sysctl", "-qw", "net.ipv4.ip_forward=1"});
}

std::string GatewayTest::in_client(const Client& client, const std::vector<std::string>& argv) {
    const Outcome outcome = inside<Outcome>(client.space, [&] { return run_program(argv); });
    if (outcome.status != 0) throw std::runtime_error(argv[0] + ": " + outcome.err);
    return outcome.out;
}

void GatewayTest::add_client(const std::string& port, const std::string& address) {
    auto space = NetworkNamespace::create();
    if (!space) throw std::runtime_error(space.error().message);
    clients_.push_back(std::make_unique<Client>(Client{std::move(*space), address, port}));
    const Client& client = *clients_.back();
    test_->in_host(words(fmt::format("ip link add {} type veth peer name eth0 netns /proc/{}/fd/{}", port, getpid(),
                                     client.space.fd())));
    test_->in_host({"ip", "link", "set", port, "up"});
    in_client(client, words(fmt::format("ip address add {}/24 dev eth0", address)));
    in_client(client, words("ip link set eth0 up"));
}

void GatewayTest::put_clients() {
    for (int number = 0; number < 2; number++) {
        const std::string network = fmt::format("192.168.{}", number + 1), port = fmt::format("lan{}", number);
        add_client(port, network + ".2");
        test_->in_host(words(fmt::format("ip address add {}.1/24 dev {}", network, port)));
        in_client(client(static_cast<std::size_t>(number)),
                  words(fmt::format("ip route add default via {}.1", network)));
        test_->in_far(words(fmt::format("ip route add {}.0/24 via {}", network, host_address)));
    }
}

void GatewayTest::masquerade() const {
    test_->in_host({"nft", "add table ip nat; add chain ip nat out { type nat hook postrouting priority 100; }; "
                           "add rule ip nat out oifname eth0 masquerade"});
    test_->in_far({"ip", "route", "flush", "192.168.1.0/24"});
    test_->in_far({"ip", "route", "flush", "192.168.2.0/24"});
}

void GatewayTest::put_bridged_client() {
    put_bridge();
    add_client("p0", "10.77.0.3");
    test_->in_host(words("ip link set p0 master br0"));
    in_client(client(0), words("ip route add default via 10.77.0.1"));
}

GatewayTest::Bundle GatewayTest::send_bundle(const NetworkNamespace& from, const Endpoint& local,
                                             const std::string& as) const {
    const auto &audio = recording("opus-20ms-32k").packets, &video = recording("vp8-30fps-60k").packets;
    const std::size_t turns = std::min(audio.size(), video.size());
    const Fd socket = udp_socket(from, local), receiver = udp_socket(test_->far, {media_address, 3478});
    const auto send = [&](const RecordedPacket& packet) {
        send_datagram(socket.get(), {media_address, 3478}, rtp_bytes(packet));
        receive_datagram(receiver.get());
    };
    Capture capture(test_->far, "eth0", 64);
    for (std::size_t turn = 0; turn < turns; turn++) {
        send(audio[turn]);
        RecordedPacket picture = video[turn];
        picture.stream = 1; // another SSRC
        send(picture);
    }
    Bundle bundle;
    std::size_t position = 0; // audio and video come in turns
    for (const Frame& frame : capture.finish()) {
        const auto seen = see_frame(frame.bytes);
        if (!seen || frame.outgoing || seen->destination_port != 3478) continue;
        const int dscp = seen->dsfield >> 2;
        const bool is_audio = position++ % 2 == 0;
        EXPECT_EQ(seen->source, as);
        EXPECT_TRUE(seen->checksum_right);
        EXPECT_TRUE(dscp == ef ? is_audio : dscp == af41) << position << ": DSCP " << dscp;
        (dscp == ef ? bundle.ef : bundle.af41)++;
        bundle.port = seen->source_port;
    }
    EXPECT_EQ(bundle.packets(), 2 * turns);
    EXPECT_GE(bundle.ef, turns - 5) << "audio is told after a few packets";
    return bundle;
}

void GatewayTest::expect_sent_by(const std::string& carries, uint64_t packets, const std::string& direction) const {
    uint64_t sent = 0;
    const auto stats = test_->stats();
    for (const auto& queue : stats.at("queues"))
        for (const auto& part : queue.at("classes"))
            if (queue.at("direction") == direction && part.at("carries").at(0) == carries)
                sent += part.at("packets").get<uint64_t>();
    EXPECT_GE(sent, packets) << carries << ": " << stats.at("queues");
    EXPECT_LE(sent, packets + 10) << carries << ": " << stats.at("queues");
}

std::vector<std::string> GatewayTest::watched() const {
    std::vector<std::string> names;
    const auto status = test_->status();
    for (const auto& interface : status.at("interfaces")) {
        EXPECT_TRUE(interface.at("healthy").get<bool>()) << interface;
        names.push_back(interface.at("name"));
    }
    return names;
}

} // namespace kudo::test
