// SPDX-License-Identifier: MIT
// The queues: which one is made, that disable puts back what stood there, also after a kill, and that an admin's queue
// is left alone.
// Invariant: what tc shows before enable and after disable is compared whole.
#include <gtest/gtest.h>

#include <signal.h>
#include <sys/wait.h>

#include <random>
#include <regex>
#include <thread>

#include "tests/support/host_test.h"

namespace kudo::test {
namespace {

using Lines = std::vector<std::vector<std::string>>; // arguments of tc

class Queues : public HostTest {
protected:
    // A device whose default queue is the kernel's usual one, which a veth pair's is not.
    static constexpr const char* device = "spare0";

    void SetUp() override {
        HostTest::SetUp();
        if (!test_) return;
        test_->wait_for_carrier();
    }
    void add_device(const std::string& transmit_queues = "1") const {
        test_->in_host({"ip", "link", "add", device, "numtxqueues", transmit_queues, "type", "ifb"});
        test_->in_host({"ip", "link", "set", device, "up"});
    }
    // False: the kernel does not have the queue.
    [[nodiscard]] bool make(const Lines& lines) const {
        for (const std::vector<std::string>& line : lines) {
            std::vector<std::string> argv = {"tc"};
            argv.insert(argv.end(), line.begin(), line.end());
            const auto outcome = inside<Outcome>(test_->host, [&] { return run_program(argv); });
            if (outcome.status == 0) continue;
            EXPECT_NE(outcome.err.find("Specified qdisc kind is unknown"), std::string::npos) << outcome.err;
            return false;
        }
        return true;
    }
    // All that is neither a count nor one of the classes that fair queues show while a flow is active.
    [[nodiscard]] std::string picture() const {
        static const std::regex count("direct_packets_stat [0-9]+|class (cake|fq_codel|sfq) [^\\n]*\\n");
        const std::string all = test_->in_host({"tc", "qdisc", "show"}) +
                                test_->in_host({"tc", "class", "show", "dev", "eth0"}) +
                                test_->in_host({"tc", "filter", "show", "dev", "eth0", "ingress"}) +
                                test_->in_host({"ip", "-d", "link", "show"});
        return std::regex_replace(all, count, "");
    }
    [[nodiscard]] nlohmann::json interface(const std::string& name) const {
        const auto status = test_->status();
        for (const auto& one : status.at("interfaces"))
            if (one.at("name") == name) return one;
        throw std::runtime_error("status has no " + name);
    }
    // enable with these options and disable: the picture changes and comes back.
    void expect_restored(std::vector<std::string> options, const std::string& what) {
        const std::string before = picture();
        options.insert(options.begin(), {"enable", "--region", "ca"});
        const Outcome enabled = test_->agent(options);
        ASSERT_EQ(enabled.status, 0) << what << ": " << enabled.err;
        EXPECT_EQ(test_->status().at("healthy"), true) << what << ": " << test_->status();
        EXPECT_NE(picture(), before) << what << ": enable cannot be seen";
        const Outcome again = test_->agent(options);
        EXPECT_NE(again.out.find("nothing changed"), std::string::npos) << what << ": " << again.out << again.err;
        const Outcome disabled = test_->agent({"disable"});
        ASSERT_EQ(disabled.status, 0) << what << ": " << disabled.err;
        EXPECT_EQ(picture(), before) << what;
    }
};

// Everything that tc can make at a root and that we promise to put back.
const std::vector<std::pair<std::string, Lines>>& starting_queues() {
    const auto line = [](const std::string& text) {
        std::vector<std::string> words;
        for (std::size_t begin = 0; begin < text.size();) {
            const std::size_t end = std::min(text.find(' ', begin), text.size());
            words.push_back(text.substr(begin, end - begin));
            begin = end + 1;
        }
        return words;
    };
    const auto lines = [&](std::vector<std::string> texts) {
        Lines result;
        for (const std::string& text : texts)
            result.push_back(line(text));
        return result;
    };
    static const std::vector<std::pair<std::string, Lines>> queues = {
        {"pfifo", lines({"qdisc add dev eth0 root handle 1: pfifo limit 77"})},
        {"bfifo", lines({"qdisc add dev eth0 root handle 1: bfifo limit 77000"})},
        {"pfifo_head_drop", lines({"qdisc add dev eth0 root handle 1: pfifo_head_drop limit 9"})},
        {"pfifo_fast", lines({"qdisc add dev eth0 root handle 1: pfifo_fast"})},
        {"tbf", lines({"qdisc add dev eth0 root handle 1: tbf rate 17mbit burst 5kb latency 70ms"})},
        {"tbf with a peak",
         lines({"qdisc add dev eth0 root handle 1: tbf rate 3mbit burst 10kb limit 33333 peakrate 4mbit "
                "minburst 1540"})},
        {"tbf over pfifo", lines({"qdisc add dev eth0 root handle 1: tbf rate 90kbit burst 1541 latency 1ms",
                                  "qdisc add dev eth0 parent 1:1 handle 8: pfifo limit 5"})},
        {"htb", lines({"qdisc add dev eth0 root handle 1: htb default 30 r2q 5",
                       "class add dev eth0 parent 1: classid 1:1 htb rate 9mbit ceil 9mbit burst 15k",
                       "class add dev eth0 parent 1:1 classid 1:10 htb rate 5mbit ceil 7mbit prio 1 quantum 2000",
                       "class add dev eth0 parent 1:10 classid 1:30 htb rate 777kbit ceil 3mbit prio 2",
                       "class add dev eth0 parent 1: classid 1:7 htb rate 1kbit",
                       "qdisc add dev eth0 parent 1:30 handle 30: pfifo limit 33",
                       "qdisc add dev eth0 parent 1:7 handle 7: tbf rate 1mbit burst 4kb latency 9ms"})},
        {"an empty htb", lines({"qdisc add dev eth0 root handle 2: htb"})},
        {"prio", lines({"qdisc add dev eth0 root handle 1: prio bands 4 priomap 3 3 3 3 2 2 2 2 1 1 1 1 0 0 0 0",
                        "qdisc add dev eth0 parent 1:2 handle 20: pfifo limit 6"})},
        {"fq_codel",
         lines({"qdisc add dev eth0 root handle 1: fq_codel limit 999 flows 512 target 7ms interval 90ms noecn"})},
        {"fq", lines({"qdisc add dev eth0 root handle 1: fq limit 5000 flow_limit 50 quantum 4000"})},
        {"codel", lines({"qdisc add dev eth0 root handle 1: codel limit 500 target 3ms"})},
        {"sfq", lines({"qdisc add dev eth0 root handle 1: sfq perturb 10 limit 100"})},
        {"cake", lines({"qdisc add dev eth0 root handle 1: cake bandwidth 7mbit diffserv8 nat wash rtt 50ms overhead "
                        "22 mpu 64"})},
        {"cake without a rate", lines({"qdisc add dev eth0 root handle 1: cake"})},
    };
    return queues;
}

TEST_F(Queues, TheKernelsDefaultComesBack) {
    for (const char* kind : {"auto", "htb", "pfifo_fast"})
        expect_restored({"--uplink", "20mbit", "--downlink", "30mbit", "--queue", kind}, kind);
    add_device();
    expect_restored({"--interface", "eth0", "--interface", device, "--uplink", "20mbit"},
                    "a device with pfifo_fast or fq_codel");
}

TEST_F(Queues, AMultiQueueDevicesMqComesBack) {
    add_device("4");
    const std::string before = test_->in_host({"tc", "qdisc", "show", "dev", device});
    ASSERT_EQ(before.find("qdisc mq 0:"), 0u) << before;
    expect_restored({"--interface", "eth0", "--interface", device, "--uplink", "20mbit"}, "with a rate");
    // Without a rate the root stays an mq.
    ASSERT_EQ(
        test_
            ->agent({"enable", "--region", "ca", "--interface", "eth0", "--interface", device, "--queue", "pfifo_fast"})
            .status,
        0);
    const std::string during = test_->in_host({"tc", "qdisc", "show", "dev", device});
    EXPECT_NE(during.find("qdisc mq 4b55:"), std::string::npos) << during;
    for (const char* parent : {"4b55:1", "4b55:2", "4b55:3", "4b55:4"})
        EXPECT_NE(during.find(std::string("parent ") + parent), std::string::npos) << during;
    EXPECT_TRUE(interface(device).at("healthy"));
    ASSERT_EQ(test_->agent({"disable"}).status, 0);
    EXPECT_EQ(test_->in_host({"tc", "qdisc", "show", "dev", device}), before);
}

TEST_F(Queues, AnAdminsQueueComesBackExactly) {
    unsigned tried = 0;
    for (const auto& [name, lines] : starting_queues()) {
        if (!make(lines)) continue;
        tried++;
        expect_restored({"--uplink", "20mbit", "--downlink", "30mbit", "--replace-qdisc"}, name);
        test_->in_host({"tc", "qdisc", "del", "dev", "eth0", "root"});
    }
    EXPECT_GE(tried, 9u);
}

TEST_F(Queues, AnAdminsQueueIsNotReplacedWithoutBeingAsked) {
    test_->in_host({"tc", "qdisc", "add", "dev", "eth0", "root", "handle", "1:", "pfifo", "limit", "50"});
    const std::string before = picture();
    const Outcome refused = test_->agent({"enable", "--region", "ca", "--uplink", "20mbit"});
    EXPECT_EQ(refused.status, 2);
    EXPECT_NE(refused.err.find("eth0: its qdisc, pfifo, was configured by the administrator; --replace-qdisc"),
              std::string::npos)
        << refused.err;
    EXPECT_EQ(picture(), before);
    // Without a rate it is simply left alone.
    ASSERT_EQ(test_->agent({"enable", "--region", "ca"}).status, 0);
    EXPECT_NE(test_->in_host({"tc", "qdisc", "show", "dev", "eth0"}).find("pfifo 1:"), std::string::npos);
    EXPECT_EQ(interface("eth0").at("uplink").at("why"), "configured by the administrator; left in place");
}

TEST_F(Queues, WhatCouldNotBePutBackExactlyIsNotReplacedAtAll) {
    ASSERT_TRUE(make({{"qdisc", "add", "dev", "eth0", "root", "handle", "1:", "htb", "default", "1"},
                      {"class", "add", "dev", "eth0", "parent", "1:", "classid", "1:1", "htb", "rate", "9mbit"},
                      {"filter", "add", "dev", "eth0", "parent", "1:", "protocol", "ip", "u32", "match", "u32", "0",
                       "0", "flowid", "1:1"}}));
    const std::string before = picture();
    const Outcome refused = test_->agent({"enable", "--region", "ca", "--uplink", "20mbit", "--replace-qdisc"});
    EXPECT_EQ(refused.status, 2);
    EXPECT_NE(refused.err.find("filters"), std::string::npos) << refused.err;
    EXPECT_EQ(picture(), before);
}

TEST_F(Queues, AKindThatTheKernelDoesNotHaveIsRefusedBeforeAnythingChanges) {
    const std::string before = picture();
    for (const char* kind : {"cake", "prio", "htb"}) {
        const bool present = make({{"qdisc", "add", "dev", "eth0", "root", "handle", "1:", kind}});
        if (present) test_->in_host({"tc", "qdisc", "del", "dev", "eth0", "root"});
        const Outcome outcome = test_->agent({"enable", "--region", "ca", "--uplink", "20mbit", "--queue", kind});
        if (present) {
            EXPECT_EQ(test_->agent({"disable"}).status, 0);
        } else {
            EXPECT_EQ(outcome.status, 2) << kind << outcome.err;
            EXPECT_EQ(outcome.err, std::string("kudo-agent: --queue ") + kind + ": not available in this kernel\n");
        }
        EXPECT_EQ(picture(), before) << kind;
    }
}

TEST_F(Queues, AnotherRateOrKindReplacesOursAndNotTheMemory) {
    ASSERT_TRUE(make({{"qdisc", "add", "dev", "eth0", "root", "handle", "1:", "pfifo", "limit", "50"}}));
    const std::string before = picture();
    for (const std::vector<std::string>& options :
         {std::vector<std::string>{"--uplink", "20mbit"},
          {"--uplink", "10mbit", "--downlink", "11mbit"},
          {"--uplink", "10mbit", "--queue", "pfifo_fast"},
          {"--uplink", "10mbit", "--downlink", "12mbit", "--queue", "pfifo_fast"}}) {
        std::vector<std::string> arguments = {"enable", "--region", "ca", "--replace-qdisc"};
        arguments.insert(arguments.end(), options.begin(), options.end());
        ASSERT_EQ(test_->agent(arguments).status, 0) << testing::PrintToString(options);
        EXPECT_TRUE(interface("eth0").at("healthy"));
        EXPECT_EQ(interface("eth0").at("uplink").at("found"), "pfifo (configured by the administrator)");
    }
    // Switched off, the admin's is back at once; the rest goes on.
    ASSERT_EQ(test_->agent({"enable", "--region", "ca", "--uplink", "off"}).status, 0);
    EXPECT_NE(test_->in_host({"tc", "qdisc", "show", "dev", "eth0"}).find("pfifo 1:"), std::string::npos);
    EXPECT_EQ(test_->in_host({"ip", "link", "show"}).find("kudo-ifb"), std::string::npos);
    ASSERT_EQ(test_->agent({"disable"}).status, 0);
    EXPECT_EQ(picture(), before);
}

TEST_F(Queues, StatusSeesAQueueThatSomebodyReplaced) {
    ASSERT_EQ(test_->agent({"enable", "--region", "ca", "--uplink", "20mbit"}).status, 0);
    test_->in_host({"tc", "qdisc", "replace", "dev", "eth0", "root", "handle", "9:", "pfifo", "limit", "5"});
    EXPECT_EQ(test_->agent({"status"}).status, 4);
    EXPECT_FALSE(interface("eth0").at("uplink").at("healthy"));
    // It is that admin's now: neither enable nor disable takes it away.
    EXPECT_EQ(test_->agent({"enable", "--region", "ca", "--uplink", "20mbit"}).status, 2);
    EXPECT_EQ(test_->agent({"disable"}).status, 0);
    EXPECT_NE(test_->in_host({"tc", "qdisc", "show", "dev", "eth0"}).find("pfifo 9:"), std::string::npos);
}

TEST_F(Queues, StatusSeesAChangedClass) {
    ASSERT_EQ(test_->agent({"enable", "--region", "ca", "--uplink", "20mbit", "--queue", "htb"}).status, 0);
    test_->in_host(
        {"tc", "class", "change", "dev", "eth0", "parent", "4b55:1", "classid", "4b55:2", "htb", "rate", "1kbit"});
    EXPECT_EQ(test_->agent({"status"}).status, 4);
    EXPECT_EQ(test_->agent({"enable", "--region", "ca", "--uplink", "20mbit", "--queue", "htb"}).status, 0);
    EXPECT_EQ(test_->agent({"status"}).status, 0);
}

TEST_F(Queues, PinsDeletedByHandLeaveNoQueueBehind) {
    const std::string before = picture();
    ASSERT_EQ(test_->agent({"enable", "--region", "ca", "--uplink", "20mbit", "--downlink", "20mbit"}).status, 0);
    std::filesystem::remove_all(test_->instance.pins());
    ASSERT_EQ(test_->agent({"disable"}).status, 0);
    EXPECT_EQ(test_->in_host({"tc", "qdisc", "show"}).find("4b55"), std::string::npos);
    EXPECT_EQ(test_->in_host({"ip", "link", "show"}).find("kudo-ifb"), std::string::npos);
    EXPECT_EQ(test_->in_host({"tc", "filter", "show", "dev", "eth0", "ingress"}), "");
}

TEST_F(Queues, TrafficPassesBothWaysThroughThem) {
    ASSERT_EQ(test_->agent({"enable", "--region", "ca", "--uplink", "20mbit", "--downlink", "20mbit"}).status, 0);
    test_->in_host({"ping", "-c", "3", "-i", "0.1", "-W", "2", "10.77.0.1"});
    test_->in_host({"ping", "-6", "-c", "3", "-i", "0.1", "-W", "2", "fd77::1"});
    const auto queues = test_->stats().at("queues");
    ASSERT_EQ(queues.size(), 2u) << queues;
    for (const auto& queue : queues) {
        uint64_t packets = 0;
        for (const auto& part : queue.at("classes"))
            packets += part.at("packets").get<uint64_t>();
        EXPECT_GE(packets, 6u) << queue;
    }
}

TEST_F(Queues, ADownlinkDeviceThatIsGoneOrDownIsSeenAndMendedAndNeverOutlivesDisable) {
    const std::string before = picture();
    const std::string ifb = "kudo-ifb2"; // the first interface of the namespace but lo
    const auto reaches = [&] {
        const auto ping = inside<Outcome>(test_->host, [] {
            return run_program({"ping", "-c", "2", "-i", "0.1", "-W", "1", "10.77.0.1"});
        });
        return ping.status == 0;
    };
    const std::vector<std::string> enable = {"enable", "--region", "ca", "--downlink", "20mbit"};
    ASSERT_EQ(test_->agent(enable).status, 0);
    ASSERT_TRUE(reaches());
    for (const std::vector<std::string>& damage :
         {std::vector<std::string>{"ip", "link", "set", ifb, "down"}, {"ip", "link", "del", ifb}}) {
        test_->in_host(damage);
        EXPECT_FALSE(reaches()) << "the damage does nothing";
        EXPECT_EQ(test_->agent({"status"}).status, 4) << damage[3];
        ASSERT_EQ(test_->agent(enable).status, 0);
        EXPECT_TRUE(reaches()) << damage[3];
        EXPECT_EQ(test_->agent({"status"}).status, 0);
    }
    test_->in_host({"ip", "link", "del", ifb});
    ASSERT_EQ(test_->agent({"disable"}).status, 0);
    EXPECT_TRUE(reaches());
    EXPECT_EQ(picture(), before);
}

TEST_F(Queues, AnothersFilterAtTheRedirectsPreferenceStays) {
    const std::vector<std::string> filters = {"tc", "filter", "show", "dev", "eth0", "ingress"};
    const auto add = [&](std::vector<std::string> what) {
        std::vector<std::string> argv = {"tc",   "filter",     "add",        "dev", "eth0", "ingress",
                                         "pref", "65520",      "protocol",   "all", "u32",  "match",
                                         "u32",  "0x7f000001", "0xffffffff", "at",  "16"};
        argv.insert(argv.end(), what.begin(), what.end());
        test_->in_host(argv);
    };
    const std::vector<std::string> enable = {"enable", "--region", "ca", "--downlink", "20mbit"};
    test_->in_host({"tc", "qdisc", "add", "dev", "eth0", "clsact"});
    add({"action", "mirred", "egress", "redirect", "dev", "lo"});
    const std::string before = test_->in_host(filters);
    ASSERT_EQ(test_->agent(enable).status, 0);
    EXPECT_EQ(test_->agent({"status"}).status, 0);
    EXPECT_NE(test_->in_host(filters).find("(Egress Redirect to device lo)"), std::string::npos);
    test_->in_host({"ping", "-c", "2", "-i", "0.1", "-W", "1", "10.77.0.1"});
    ASSERT_EQ(test_->agent({"disable"}).status, 0);
    EXPECT_EQ(test_->in_host(filters), before);

    // Another's that comes to ours later, at the same preference, is neither taken for ours nor removed with it.
    test_->in_host({"tc", "filter", "del", "dev", "eth0", "ingress"});
    ASSERT_EQ(test_->agent(enable).status, 0);
    add({"action", "mirred", "egress", "mirror", "dev", "lo"});
    EXPECT_EQ(test_->agent({"status"}).status, 0);
    EXPECT_NE(test_->agent(enable).out.find("nothing changed"), std::string::npos);
    ASSERT_EQ(test_->agent({"disable"}).status, 0);
    EXPECT_NE(test_->in_host(filters).find("(Egress Mirror to device lo)"), std::string::npos);
    EXPECT_EQ(test_->in_host(filters).find("kudo"), std::string::npos);
}

TEST_F(Queues, AnothersDeadRedirectIsNotOurs) {
    const std::vector<std::string> filters = {"tc", "filter", "show", "dev", "eth0", "ingress"};
    test_->in_host({"ip", "link", "add", "gone0", "type", "ifb"});
    test_->in_host({"tc", "qdisc", "add", "dev", "eth0", "clsact"});
    test_->in_host({"tc",    "filter",   "add",    "dev",    "eth0",     "ingress", "pref",
                    "65521", "protocol", "all",    "u32",    "match",    "u32",     "0",
                    "0",     "action",   "mirred", "egress", "redirect", "dev",     "gone0"});
    test_->in_host({"ip", "link", "del", "gone0"});
    const std::string before = test_->in_host(filters);
    ASSERT_EQ(test_->agent({"enable", "--region", "ca", "--downlink", "20mbit"}).status, 0);
    ASSERT_EQ(test_->agent({"disable"}).status, 0);
    EXPECT_EQ(test_->in_host(filters), before);
}

TEST_F(Queues, TheDownlinksDeviceSaysWhoseItIs) {
    const std::string ifb = "kudo-ifb2"; // the first interface of the namespace but lo
    ASSERT_EQ(test_->agent({"enable", "--region", "ca", "--downlink", "20mbit"}).status, 0);
    EXPECT_NE(test_->in_host({"ip", "link", "show", ifb}).find("alias kudo-agent "), std::string::npos);
    // What is lost of it is found again by that; one of another's that has the name is not.
    std::filesystem::remove_all(test_->instance.pins());
    test_->in_host({"ip", "link", "set", ifb, "alias", "somebody's"});
    ASSERT_EQ(test_->agent({"disable"}).status, 0);
    EXPECT_NE(test_->in_host({"ip", "link", "show"}).find(ifb), std::string::npos);
}

TEST_F(Queues, ARedirectWithoutPinsAndDeviceLosesNoPacketsAfterDisable) {
    ASSERT_EQ(test_->agent({"enable", "--region", "ca", "--downlink", "20mbit"}).status, 0);
    std::filesystem::remove_all(test_->instance.pins());
    test_->in_host({"ip", "link", "del", "kudo-ifb2"});
    ASSERT_EQ(test_->agent({"disable"}).status, 0);
    test_->in_host({"ping", "-c", "2", "-i", "0.1", "-W", "1", "10.77.0.1"});
    EXPECT_EQ(test_->in_host({"tc", "filter", "show", "dev", "eth0", "ingress"}), "");
}

TEST_F(Queues, ATightTokenBucketStillPassesWholeFramesWhenItComesBack) {
    ASSERT_TRUE(make({{"qdisc", "add", "dev", "eth0", "root", "handle", "1:", "tbf", "rate", "20mbit", "burst", "1514",
                       "latency", "50ms"}}));
    const std::vector<std::string> ping = {"ping", "-c", "2", "-i", "0.1", "-W", "1", "-s", "1472", "10.77.0.1"};
    test_->in_host(ping);
    ASSERT_EQ(test_->agent({"enable", "--region", "ca", "--uplink", "20mbit", "--replace-qdisc"}).status, 0);
    test_->in_host(ping);
    ASSERT_EQ(test_->agent({"disable"}).status, 0);
    test_->in_host(ping);
}

TEST_F(Queues, LargeFramesPassThroughEveryKind) {
    for (const NetworkNamespace* space : {&test_->host, &test_->far})
        inside<int>(*space, [] { return run_program({"ip", "link", "set", "eth0", "mtu", "9000"}).status; });
    for (const char* kind : {"auto", "htb", "pfifo_fast", "prio", "cake"}) {
        const Outcome enabled =
            test_->agent({"enable", "--region", "ca", "--uplink", "20mbit", "--downlink", "20mbit", "--queue", kind});
        if (enabled.status == 2) continue; // not on this kernel
        ASSERT_EQ(enabled.status, 0) << kind << enabled.err;
        EXPECT_NO_THROW(test_->in_host({"ping", "-c", "2", "-i", "0.2", "-W", "2", "-s", "8972", "10.77.0.1"})) << kind;
    }
}

TEST_F(Queues, TheSlowestAndTheFastestRateCarryWholeFrames) {
    for (const char* rate : {"64kbit", "100gbit"})
        for (const char* kind : {"htb", "pfifo_fast", "prio", "cake"}) {
            const Outcome enabled =
                test_->agent({"enable", "--region", "ca", "--uplink", rate, "--downlink", rate, "--queue", kind});
            if (enabled.status == 2) continue; // not on this kernel
            ASSERT_EQ(enabled.status, 0) << rate << kind << enabled.err;
            EXPECT_EQ(test_->status().at("healthy"), true) << rate << kind;
            EXPECT_NO_THROW(test_->in_host({"ping", "-c", "2", "-i", "0.5", "-W", "3", "-s", "1472", "10.77.0.1"}))
                << rate << kind;
        }
}

TEST_F(Queues, EnableAndStatusSayWhereAudioLosesWithVideo) {
    for (const char* kind : {"htb", "pfifo_fast", "prio", "cake"}) {
        const std::vector<std::string> enable = {"enable", "--region", "ca", "--uplink", "20mbit", "--queue", kind};
        const Outcome enabled = test_->agent(enable);
        if (enabled.status == 2) continue; // not on this kernel
        ASSERT_EQ(enabled.status, 0) << kind << enabled.err;
        const bool weak = std::string(kind) == "pfifo_fast";
        const std::string why = interface("eth0").at("uplink").at("why");
        EXPECT_EQ(why.find("media alone exceeds the line") != std::string::npos, weak) << why;
        EXPECT_NE(enabled.out.find(why), std::string::npos) << enabled.out;
        EXPECT_NE(test_->agent(enable).out.find("nothing changed"), std::string::npos);
        EXPECT_NE(test_->agent({"status"}).out.find(why), std::string::npos);
    }
}

TEST_F(Queues, AnotherInstancesQueueIsNotOurs) {
    ASSERT_TRUE(make({{"qdisc", "add", "dev", "eth0", "root", "handle", "1:", "pfifo", "limit", "50"}}));
    const std::string before = picture();
    ASSERT_EQ(
        test_->agent({"enable", "--region", "ca", "--uplink", "20mbit", "--downlink", "20mbit", "--replace-qdisc"})
            .status,
        0);
    const std::string during = picture();
    const auto other = [&](std::vector<std::string> arguments) {
        std::vector<std::string> argv = {KUDO_AGENT_PROGRAM, "--bpffs", test_->instance.bpffs.string() + "/other",
                                         "--state-dir", test_->folder + "/other-state"};
        argv.insert(argv.end(), arguments.begin(), arguments.end());
        return inside<Outcome>(test_->host, [&] { return run_program(argv); });
    };
    EXPECT_EQ(other({"enable", "--region", "ca", "--uplink", "10mbit", "--tc-hook", "tcx"}).status, 2);
    EXPECT_EQ(other({"enable", "--region", "ca", "--downlink", "10mbit", "--tc-hook", "tcx"}).status, 2);
    EXPECT_EQ(picture(), during);
    EXPECT_EQ(other({"disable"}).status, 0);
    EXPECT_EQ(picture(), during);
    ASSERT_EQ(test_->agent({"disable"}).status, 0);
    EXPECT_EQ(picture(), before);
}

TEST_F(Queues, SizeTablesAndFiltersOnClassesAreNotReplaced) {
    const auto refused = [&](const Lines& lines, const char* word) {
        if (!make(lines)) return; // no size tables in this kernel
        const std::string before = picture();
        const Outcome outcome = test_->agent({"enable", "--region", "ca", "--uplink", "20mbit", "--replace-qdisc"});
        EXPECT_EQ(outcome.status, 2);
        EXPECT_NE(outcome.err.find(word), std::string::npos) << outcome.err;
        EXPECT_EQ(picture(), before);
        test_->in_host({"tc", "qdisc", "del", "dev", "eth0", "root"});
    };
    refused({{"qdisc", "add", "dev", "eth0", "root", "handle", "1:", "stab", "overhead", "40", "linklayer", "atm",
              "tbf", "rate", "20mbit", "burst", "5kb", "latency", "50ms"}},
            "size table");
    refused({{"qdisc", "add", "dev", "eth0", "root", "handle", "1:", "htb", "default", "2"},
             {"class", "add", "dev", "eth0", "parent", "1:", "classid", "1:1", "htb", "rate", "9mbit"},
             {"class", "add", "dev", "eth0", "parent", "1:1", "classid", "1:2", "htb", "rate", "1mbit"},
             {"filter", "add", "dev", "eth0", "parent", "1:1", "protocol", "ip", "u32", "match", "u32", "0", "0",
              "flowid", "1:2"}},
            "filters");
}

TEST_F(Queues, AKindBesideADownlinksRateIsTheDownlinks) {
    ASSERT_TRUE(make({{"qdisc", "add", "dev", "eth0", "root", "handle", "1:", "pfifo", "limit", "50"}}));
    ASSERT_EQ(test_->agent({"enable", "--region", "ca", "--downlink", "20mbit", "--queue", "htb"}).status, 0);
    EXPECT_NE(test_->in_host({"tc", "qdisc", "show", "dev", "eth0"}).find("pfifo 1:"), std::string::npos);
    EXPECT_EQ(interface("eth0").at("downlink").at("queue"), "htb");
}

TEST_F(Queues, AnAdminsQueueStaysReplacedOnlyWhileThatIsAskedFor) {
    ASSERT_TRUE(make({{"qdisc", "add", "dev", "eth0", "root", "handle", "1:", "pfifo", "limit", "50"}}));
    ASSERT_EQ(test_->agent({"enable", "--region", "ca", "--uplink", "20mbit", "--replace-qdisc"}).status, 0);
    EXPECT_EQ(test_->agent({"enable", "--region", "ca", "--uplink", "10mbit"}).status, 2);
    EXPECT_EQ(test_->agent({"status"}).status, 0) << "a refused command changes nothing";
}

// A started enable is killed some time after; how long it takes is measured first.
TEST_F(Queues, AKilledEnableNeverKeepsDisableFromPuttingThingsBack) {
    ASSERT_TRUE(make({{"qdisc", "add", "dev", "eth0", "root", "handle", "1:", "htb", "default", "3"},
                      {"class", "add", "dev", "eth0", "parent", "1:", "classid", "1:3", "htb", "rate", "9mbit"},
                      {"class", "add", "dev", "eth0", "parent", "1:3", "classid", "1:4", "htb", "rate", "1mbit"},
                      {"qdisc", "add", "dev", "eth0", "parent", "1:4", "handle", "4:", "pfifo", "limit", "44"}}));
    const std::string before = picture();
    const auto command = test_->agent_argv(
        {"enable", "--region", "ca", "--uplink", "20mbit", "--downlink", "30mbit", "--replace-qdisc"});
    const auto undo = test_->agent_argv({"disable"});
    const auto in_host = [&](const std::vector<std::string>& argv) {
        return inside<Outcome>(test_->host, [&] { return run_program(argv); });
    };
    const auto duration_of = [&](const std::vector<std::string>& argv) {
        const auto begin = std::chrono::steady_clock::now();
        EXPECT_EQ(in_host(argv).status, 0);
        return std::chrono::steady_clock::now() - begin;
    };
    const auto enabling = duration_of(command), disabling = duration_of(undo);
    const uint64_t seed = std::random_device()();
    std::mt19937_64 random(seed);
    const char* wanted = std::getenv("KUDO_KILLS");
    const unsigned kills = wanted ? static_cast<unsigned>(std::stoul(wanted)) : 80;
    const auto start_and_kill = [&](const std::vector<std::string>& argv, std::chrono::nanoseconds duration) {
        const int process = inside<int>(test_->host, [&] { return start_program(argv); });
        std::this_thread::sleep_for(duration * static_cast<int>(random() % 1100) / 1000);
        ::kill(process, SIGKILL);
        int status = 0;
        ::waitpid(process, &status, 0);
        return WIFSIGNALED(status);
    };
    const auto another_rate = test_->agent_argv(
        {"enable", "--region", "ca", "--uplink", "10mbit", "--downlink", "11mbit", "--replace-qdisc"});
    unsigned hits = 0, changed = 0;
    for (unsigned i = 0; i < kills && !HasFailure(); i++) {
        // Every second time ours stands already and is being replaced by another of ours.
        if (i % 2 == 0) {
            EXPECT_EQ(in_host(another_rate).status, 0);
        }
        hits += start_and_kill(command, enabling);
        changed += picture() != before;
        // Every third time disable is killed too, and every seventh enable comes again.
        if (i % 3 == 0) hits += start_and_kill(undo, disabling);
        if (i % 7 == 0) {
            EXPECT_EQ(in_host(command).status, 0);
        }
        const Outcome disabled = in_host(undo);
        EXPECT_EQ(disabled.status, 0) << disabled.err << "\nseed " << seed << " kill " << i;
        ASSERT_EQ(picture(), before) << "seed " << seed << " kill " << i;
    }
    std::cout << hits << " of " << kills << " and more were hit, " << changed << " after something had changed\n";
    EXPECT_GT(hits, kills / 3);
    EXPECT_GT(changed, kills / 10);
}

} // namespace
} // namespace kudo::test
