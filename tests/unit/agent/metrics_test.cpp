// SPDX-License-Identifier: MIT
// Metrics as text, the addresses where they are served, and what is answered to requests.
#ifdef KUDO_METRICS
#include <gtest/gtest.h>

#include <string>

#include "agent/metrics/address.h"
#include "agent/metrics/families.h"
#include "agent/metrics/server.h"

namespace kudo {
namespace {

bool has_line(const std::string& text, const std::string& line) {
    return ("\n" + text).find("\n" + line + "\n") != std::string::npos;
}

TEST(MetricsText, WhatWasNotReadHasNoSeries) {
    const std::string text = metrics_text({});
    EXPECT_TRUE(has_line(text, std::string("kudo_build_info{version=\"") + KUDO_VERSION + "\"} 1")) << text;
    for (const char* absent : {"kudo_healthy", "kudo_packets_total", "kudo_host_dropped_packets_total"})
        EXPECT_EQ(text.find(absent), std::string::npos) << absent;
    EXPECT_EQ(metrics_text({.status = StatusFacts{}}).find("kudo_enforce_deadline"), std::string::npos)
        << "no deadline";
}

TEST(MetricsText, PartsOfAServiceThatRetireAreOne) {
    Statistics counters;
    counters.services["media"].classes[KUDO_CLASS_MEDIA][KUDO_EGRESS] = {7, 700};
    counters.services["media~retiring"].classes[KUDO_CLASS_MEDIA][KUDO_EGRESS] = {1, 100};
    counters.services["media~retiring2"].classes[KUDO_CLASS_MEDIA][KUDO_EGRESS] = {2, 200};
    const std::string text = metrics_text({.counters = counters});
    const std::string labels = "class=\"media\",direction=\"egress\"} ";
    EXPECT_TRUE(has_line(text, "kudo_service_packets_total{service=\"media\",state=\"current\"," + labels + "7"))
        << text;
    EXPECT_TRUE(has_line(text, "kudo_service_packets_total{service=\"media\",state=\"retiring\"," + labels + "3"));
    EXPECT_TRUE(has_line(text, "kudo_service_bytes_total{service=\"media\",state=\"retiring\"," + labels + "300"));
}

TEST(MetricsText, ANameThatIsNoUtf8LeavesItUtf8) {
    Statistics counters;
    counters.queues.push_back(
        {.interface = "v\xff\"0", .direction = "egress", .kind = "htb", .classes = {{.packets = 7}}});
    const std::string text = metrics_text({.counters = counters});
    EXPECT_TRUE(has_line(text, "kudo_queue_packets_total{interface=\"v\xef\xbf\xbd\\\"0\",direction=\"egress\","
                               "carries=\"all\"} 7"))
        << text;
}

FlowRecord flow_with(uint16_t port, kudo_direction direction, uint32_t ssrc, uint64_t received, uint64_t missing) {
    FlowRecord flow;
    flow.local_port = port;
    RtpStream stream{.ssrc = ssrc, .direction = direction};
    stream.quality.emplace();
    stream.quality->unique = received;
    stream.quality->lost = missing;
    flow.streams = {stream};
    return flow;
}

TEST(MediaLoss, CountsWhatGrowsAndNeverGoesDown) {
    MediaLoss media;
    EXPECT_EQ(metrics_text({}).find("kudo_rtp_missing_packets_total"), std::string::npos);
    media.look({flow_with(1, KUDO_INGRESS, 7, 1000, 50)});
    EXPECT_EQ(media.sum().missing, 0U) << "what was before the service";
    media.look({flow_with(1, KUDO_INGRESS, 7, 1100, 53), flow_with(2, KUDO_INGRESS, 7, 20, 1),
                flow_with(3, KUDO_EGRESS, 7, 900, 90)});
    EXPECT_EQ(media.sum().received, 120U) << "the other flow is new; what goes out is not this";
    EXPECT_EQ(media.sum().missing, 4U);
    media.look({});
    media.look({flow_with(2, KUDO_INGRESS, 7, 30, 2)});
    EXPECT_EQ(media.sum().received, 130U) << "it was not there for a moment";
    EXPECT_EQ(media.sum().missing, 5U);
    media.look({flow_with(2, KUDO_INGRESS, 7, 5, 3)});
    EXPECT_EQ(media.sum().received, 135U) << "its row was given to another one of that name";
    EXPECT_EQ(media.sum().missing, 8U);
    const std::string text = metrics_text({.media = media.sum()});
    EXPECT_TRUE(has_line(text, "kudo_rtp_received_packets_total 135")) << text;
    EXPECT_TRUE(has_line(text, "kudo_rtp_missing_packets_total 8")) << text;
}

TEST(MetricsText, OnlyLossesOfTheHostAreDrops) {
    DropReport report{.available = true};
    const auto add = [&](DropLayer layer, const char* reason, bool is_loss, bool is_ours, uint64_t packets) {
        Drop drop;
        drop.layer = layer;
        drop.reason = reason;
        drop.is_loss = is_loss;
        drop.is_ours = is_ours;
        drop.counters[KUDO_INGRESS].packets = packets;
        report.totals.push_back(drop);
    };
    add(DropLayer::Socket, "SOCKET_RCVBUFF", true, false, 3);
    add(DropLayer::Socket, "SOCKET_FILTER", true, false, 4);
    add(DropLayer::Socket, "NO_SOCKET", false, false, 100);
    add(DropLayer::Tc, "TC_INGRESS", true, true, 100);
    add(DropLayer::Other, "NOT_SPECIFIED", false, false, 50);
    MetricsInput input;
    input.drops = facts_of(report);
    const std::string text = metrics_text(input);
    EXPECT_TRUE(has_line(text, "kudo_host_dropped_packets_total{layer=\"socket\",direction=\"ingress\"} 7")) << text;
    EXPECT_TRUE(has_line(text, "kudo_host_dropped_packets_total{layer=\"tc\",direction=\"ingress\"} 0"));
    EXPECT_TRUE(has_line(text, "kudo_host_untold_packets_total{direction=\"ingress\"} 50"));
    input.drops->measured = false;
    EXPECT_EQ(metrics_text(input).find("kudo_host_dropped_packets_total"), std::string::npos) << "not measured";
}

TEST(MetricsText, LossesDoNotGoDownWhileTheTablesLive) {
    DropFacts before, now;
    before.all = now.all = {100, 0};
    before.lost[0] = {10, 0};
    now.lost[0] = {9, 0};
    keep_up(now, before);
    EXPECT_EQ(now.lost[0][KUDO_INGRESS], 10U);
    now.lost[0] = {1, 0};
    now.all = {1, 0}; // enabled anew
    keep_up(now, before);
    EXPECT_EQ(now.lost[0][KUDO_INGRESS], 1U);
}

TEST(MetricsText, AStateThatCannotBeReadIsSaid) {
    EXPECT_TRUE(has_line(metrics_text({.looked = true}), "kudo_status_read 0"));
    EXPECT_EQ(metrics_text({.looked = true}).find("kudo_healthy"), std::string::npos);
    EXPECT_TRUE(has_line(metrics_text({.looked = true, .status = StatusFacts{}}), "kudo_status_read 1"));
    EXPECT_TRUE(has_line(metrics_text({.ring = "canary"}),
                         std::string("kudo_build_info{version=\"") + KUDO_VERSION + "\",ring=\"canary\"} 1"));
}

TEST(MetricsAddress, IsAnAddressAndNoName) {
    EXPECT_TRUE(parse_metrics_address("127.0.0.1:9475").value().is_loopback());
    EXPECT_TRUE(parse_metrics_address("127.3.2.1:1").value().is_loopback());
    EXPECT_TRUE(parse_metrics_address("[::1]:9475").value().is_loopback());
    EXPECT_TRUE(parse_metrics_address("unix:/run/x.sock").value().is_loopback());
    for (const char* others : {"0.0.0.0:9475", "[::]:9475", "10.0.0.1:9475", "[fd00::1]:9475"})
        EXPECT_FALSE(parse_metrics_address(others).value().is_loopback()) << others;
    for (const char* wrong : {"", ":", "9475", "localhost:9475", "127.0.0.1", "127.0.0.1:", "127.0.0.1:0",
                              "127.0.0.1:65536", "127.0.0.1:1x", "::1:9475", "[::1]", "unix:", "unix:x", "unix:/x/"})
        EXPECT_FALSE(parse_metrics_address(wrong).has_value()) << wrong;
}

TEST(MetricsHttp, OneTargetAndTwoMethods) {
    const auto status_of = [](const std::string& request) {
        const std::string answer = http_answer(request, [] { return std::string("text\n"); });
        return answer.substr(0, answer.find('\r'));
    };
    EXPECT_EQ(status_of("GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"), "HTTP/1.1 200 OK");
    EXPECT_EQ(status_of("GET /metrics?name=x HTTP/1.0\r\n\r\n"), "HTTP/1.1 200 OK");
    EXPECT_EQ(status_of("GET / HTTP/1.1\r\n\r\n"), "HTTP/1.1 404 Not Found");
    EXPECT_EQ(status_of("DELETE /metrics HTTP/1.1\r\n\r\n"), "HTTP/1.1 405 Method Not Allowed");
    for (const char* wrong : {"\r\n\r\n", "GET\r\n\r\n", "GET /metrics\r\n\r\n", "GET /metrics SPDY/3\r\n\r\n"})
        EXPECT_EQ(status_of(wrong), "HTTP/1.1 400 Bad Request") << wrong;
    const std::string head = http_answer("HEAD /metrics HTTP/1.1\r\n\r\n", [] { return std::string("text\n"); });
    EXPECT_TRUE(head.ends_with("\r\n\r\n")) << head;
    EXPECT_NE(head.find("Content-Length: 5\r\n"), std::string::npos) << head;
}

} // namespace
} // namespace kudo
#endif
