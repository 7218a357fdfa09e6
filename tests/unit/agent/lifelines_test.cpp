// SPDX-License-Identifier: MIT
// Lifelines: what they admit, and how they are left out or restricted.
// Invariant: nothing here asks the machine that runs the tests.
#include <gtest/gtest.h>
#include <netinet/in.h>

#include <algorithm>
#include <map>
#include <random>
#include <set>

#include <fmt/format.h>

#include "agent/lifelines/host_facts.h"
#include "agent/lifelines/map_sources.h"

namespace kudo {
namespace {

Address address(const char* text) {
    return Address::parse(text).value();
}

LifelineFacts facts() {
    return {
        .resolvers = {address("10.0.0.53"), address("2001:db8::53")},
        .gateways = {address("10.0.0.1")},
        .ssh = "203.0.113.9 50022 10.0.0.2 2222",
        .sources = {{"ranges.example.com:443", 443, {address("198.51.100.80")}}, {"nats.example.com:4222", 4222, {}}},
        .sources_known = true};
}

std::vector<LifelineSetting> settings(const std::vector<std::string>& specs) {
    auto read = parse_lifelines(specs);
    EXPECT_TRUE(read) << (read ? "" : read.error().message);
    return read ? *read : std::vector<LifelineSetting>{};
}

Lifeline lifeline(const char* name, const LifelineFacts& of, const std::vector<std::string>& specs = {}) {
    for (Lifeline& made : make_lifelines(of, settings(specs)))
        if (made.name == name) return made;
    ADD_FAILURE() << "no lifeline " << name;
    return {};
}

std::vector<std::string> rules(const Lifeline& made) {
    std::vector<std::string> texts;
    for (const AllowRule& rule : made.rules) {
        EXPECT_EQ(rule.lifeline, made.name);
        EXPECT_FALSE(rule.remotes.empty());
        texts.push_back(rule.text);
    }
    return texts;
}

using Texts = std::vector<std::string>;

TEST(Lifelines, AreListedInTheirOrderAlsoThoseThatAreOff) {
    const auto made = make_lifelines(facts(), settings({"ntp=off"}));
    ASSERT_EQ(made.size(), lifeline_names().size());
    for (std::size_t i = 0; i < made.size(); ++i) {
        EXPECT_EQ(made[i].name, lifeline_names()[i]);
        EXPECT_EQ(made[i].off, made[i].name == "ntp");
        EXPECT_EQ(made[i].rules.empty(), made[i].name == "ntp") << made[i].name;
    }
}

TEST(Lifelines, DnsGoesToTheResolversOnly) {
    const Lifeline dns = lifeline("dns", facts());
    EXPECT_EQ(rules(dns), (Texts{"udp/53 to 10.0.0.53,2001:db8::53", "tcp/53 to 10.0.0.53,2001:db8::53",
                                 "tcp/853 to 10.0.0.53,2001:db8::53"}));
    EXPECT_EQ(dns.rules[0].rule.protocol, IPPROTO_UDP);
    EXPECT_EQ(dns.rules[0].rule.flags, KUDO_ALLOW_TO);
    EXPECT_EQ(lifeline("dns", {}).note, "no resolver is configured");
}

TEST(Lifelines, OfAResolverOnThisHostTheAdministratorNamesTheServers) {
    LifelineFacts of{.only_stub = true, .resolvers_unread = "/run/systemd/resolve/resolv.conf: cannot open"};
    const Lifeline unknown = lifeline("dns", of);
    EXPECT_NE(unknown.note.find("which servers it asks is not known: its queries are dropped"), std::string::npos);
    EXPECT_TRUE(unknown.unknown);
    EXPECT_TRUE(unknown.rules.empty());
    of.queries_allowed = true;
    EXPECT_FALSE(lifeline("dns", of).unknown);
    of.queries_allowed = false;
    for (const bool has_those_of_before : {false, true}) {
        if (has_those_of_before) of.resolvers = facts().resolvers;
        const Lifeline dns = lifeline("dns", of, {"dns=192.0.2.53"});
        EXPECT_EQ(rules(dns), (Texts{"udp/53 to 192.0.2.53", "tcp/53 to 192.0.2.53", "tcp/853 to 192.0.2.53"}));
        EXPECT_EQ(dns.note, "");
        EXPECT_FALSE(dns.unknown);
    }
}

TEST(Lifelines, TellsRulesThatAdmitQueries) {
    const std::map<std::string, bool> cases{{"udp/53 to 192.0.2.53", true},
                                            {"udp to any", true},
                                            {"any to any", true},
                                            {"udp/50-60 to any", true},
                                            {"udp/53 from 192.0.2.53", false},
                                            {"tcp/53 to any", false},
                                            {"udp/54 to any", false},
                                            {"icmp", false}};
    for (const auto& [text, admits] : cases)
        EXPECT_EQ(admits_queries(parse_allow_rule(text).value().rule), admits) << text;
}

TEST(Lifelines, OfNameServersThatCannotBeReadThoseOfBeforeAreKept) {
    LifelineFacts of = facts();
    of.resolvers_unread = "/etc/resolv.conf: cannot open";
    const Lifeline kept = lifeline("dns", of);
    EXPECT_EQ(rules(kept).size(), 3U);
    EXPECT_EQ(kept.note, "the name servers of before are kept: /etc/resolv.conf: cannot open");
    EXPECT_TRUE(kept.stale);
    of.resolvers.clear();
    const Lifeline none = lifeline("dns", of);
    EXPECT_EQ(none.note, "which name servers there are is not known: /etc/resolv.conf: cannot open");
    EXPECT_FALSE(none.stale);
}

TEST(Lifelines, MoreThanFitAreNamed) {
    LifelineFacts of = facts();
    of.more_resolvers = 2;
    of.more_gateways = 1;
    EXPECT_EQ(lifeline("dns", of).note, "2 name servers beyond the first 16 left out");
    EXPECT_EQ(lifeline("gateway", of).note, "1 gateway beyond the first 32 left out");
    EXPECT_TRUE(lifeline("dns", of).reduced);
    EXPECT_FALSE(lifeline("dns", facts()).reduced);
    of.gateways_unread = "no netlink";
    EXPECT_NE(lifeline("gateway", of).note.find("are not known: no netlink; 1 gateway"), std::string::npos);
}

TEST(Lifelines, SshLetsTheClientOfTheSessionInAgain) {
    const Lifeline ssh = lifeline("ssh", facts());
    EXPECT_EQ(rules(ssh), Texts{"tcp/2222 from 203.0.113.9"});
    EXPECT_EQ(ssh.rules[0].rule.flags, KUDO_ALLOW_FROM);
    EXPECT_EQ(lifeline("ssh", {}).note, "the command was not given over SSH");
}

TEST(Lifelines, SourcesThatCouldNotBeResolvedAreNamed) {
    const Lifeline sources = lifeline("map-sources", facts());
    EXPECT_EQ(rules(sources), Texts{"tcp/443 to 198.51.100.80"});
    EXPECT_EQ(sources.note, "nats.example.com:4222 could not be resolved yet");
    EXPECT_NE(lifeline("map-sources", {}).note.find("has not told"), std::string::npos);
}

TEST(Lifelines, SourcesOfOnePortAreOneRuleToldShort) {
    LifelineFacts of = facts();
    of.sources = {{"a:443", 443, {address("198.51.100.80"), address("198.51.100.83")}},
                  {"b:443", 443, {address("198.51.100.80"), address("198.51.100.81"), address("198.51.100.82")}},
                  {"c:443", 443, {address("198.51.100.84"), address("2001:db8::1"), address("2001:db8::2")}},
                  {"d:80", 80, {address("198.51.100.80")}}};
    EXPECT_EQ(rules(lifeline("map-sources", of)),
              (Texts{"tcp/80 to 198.51.100.80", "tcp/443 to 198.51.100.80/30,198.51.100.84,2001:db8::1,2001:db8::2"}));
    EXPECT_EQ(rules(lifeline("map-sources", of, {"map-sources=198.51.100.80/31"})),
              (Texts{"tcp/80 to 198.51.100.80", "tcp/443 to 198.51.100.80/31"}));
}

// An address in each of many, not one more.
TEST(Lifelines, ToldShortTheSameAddressesAreAdmitted) {
    std::mt19937 random(16);
    for (int round = 0; round < 200; ++round) {
        LifelineFacts of = facts();
        std::set<uint8_t> taken;
        for (int i = 0; i < 40; ++i)
            taken.insert(static_cast<uint8_t>(random() % 64));
        of.sources = {{"a:443", 443, {}}};
        for (const uint8_t each : taken)
            of.sources[0].addresses.push_back(address(fmt::format("198.51.100.{}", each).c_str()));
        const auto made = lifeline("map-sources", of);
        ASSERT_EQ(made.rules.size(), 1U);
        for (unsigned each = 0; each < 256; ++each) {
            const Address asked = address(fmt::format("198.51.100.{}", each).c_str());
            EXPECT_EQ(std::ranges::count_if(made.rules[0].remotes, [&](const Prefix& p) { return p.contains(asked); }),
                      taken.contains(static_cast<uint8_t>(each)))
                << each;
        }
    }
}

TEST(Lifelines, AddressesOfASourceBeyondTheMostAreNamed) {
    LifelineFacts of = facts();
    of.sources = {{"a:443", 443, {address("198.51.100.80")}, {address("192.0.2.1")}}};
    EXPECT_EQ(lifeline("map-sources", of).note, "1 beyond the first 64 addresses of a:443 left out: 192.0.2.1");
    EXPECT_TRUE(lifeline("map-sources", of).reduced);
    for (const char* more : {"192.0.2.2", "192.0.2.3", "192.0.2.4", "192.0.2.5", "192.0.2.6"})
        of.sources[0].left_out.push_back(address(more));
    EXPECT_EQ(lifeline("map-sources", of).note,
              "6 beyond the first 64 addresses of a:443 left out: 192.0.2.1, 192.0.2.2, "
              "192.0.2.3, 192.0.2.4, 2 more");
}

TEST(Lifelines, ARestrictionLeavesWhatIsInBoth) {
    EXPECT_EQ(rules(lifeline("ntp", facts(), {"ntp=10.0.0.0/8"})), Texts{"udp/123 to 10.0.0.0/8"});
    EXPECT_EQ(rules(lifeline("dns", facts(), {"dns=10.0.0.0/8"})).front(), "udp/53 to 10.0.0.53");
    const Lifeline none = lifeline("ssh", facts(), {"ssh=192.0.2.0/24"});
    EXPECT_TRUE(none.rules.empty());
    EXPECT_EQ(none.note, "none of its remotes is in the prefixes that it is restricted to");
    EXPECT_TRUE(lifeline("arp", facts(), {"arp=2001:db8::/32"}).rules.empty());
}

TEST(Lifelines, SettingsAddUpAndAreWrittenAsTheyAreRead) {
    const auto both = settings({"ntp=10.0.0.0/8", "dns=off", "ntp=2001:db8::/32"});
    ASSERT_EQ(both.size(), 2U);
    EXPECT_EQ(lifeline_text(both[0]), "dns=off");
    EXPECT_EQ(lifeline_text(both[1]), "ntp=10.0.0.0/8,2001:db8::/32");
    EXPECT_EQ(settings({lifeline_text(both[1])}).front(), both[1]);
}

TEST(Lifelines, WrongSettingsAreRefused) {
    for (const auto& [spec, part] : {std::pair{"dsn=off", "there is no lifeline \"dsn\""},
                                     {"dns", "dns=off"},
                                     {"dns=", "dns=off"},
                                     {"dns=on", "\"on\""},
                                     {"dns=10.0.0.9/8", "10.0.0.0/8"}}) {
        const auto read = parse_lifelines({spec});
        ASSERT_FALSE(read) << spec;
        EXPECT_EQ(read.error().kind, ErrorKind::BadInput);
        EXPECT_NE(read.error().message.find(part), std::string::npos) << read.error().message;
    }
    EXPECT_FALSE(parse_lifelines({"dns=off", "dns=10.0.0.0/8"}));
}

TEST(Lifelines, NameServersAreReadAsTheResolverReadsThem) {
    EXPECT_EQ(
        name_servers("# nameserver 1.1.1.1\nsearch example.com\nnameserver 10.0.0.53\nnameserver\t127.0.0.53 # x\n"
                     "nameserver fe80::1%eth0\nnameservers 9.9.9.9\nnameserver nope\noptions edns0\n"),
        (std::vector{address("10.0.0.53"), address("127.0.0.53"), address("fe80::1")}));
}

TEST(MapSources, AreTheServersOfUrls) {
    const auto name = [](const char* url) {
        const auto source = source_of_url(url);
        return source ? fmt::format("{} {} {}", source->name, source->port, source->addresses.size()) : "none";
    };
    EXPECT_EQ(name("https://ranges.example.com/map.json"), "ranges.example.com:443 443 0");
    EXPECT_EQ(name("https://ranges.example.com:8443?x"), "ranges.example.com:8443 8443 0");
    EXPECT_EQ(name("nats://198.51.100.9"), "198.51.100.9:4222 4222 1");
    EXPECT_EQ(name("tls://user@[2001:db8::1]:4223"), "[2001:db8::1]:4223 4223 1");
    EXPECT_EQ(name("nats://[2001:db8::1]"), "[2001:db8::1]:4222 4222 1");
    for (const char* wrong : {"", "ranges.example.com", "https://", "https://x:y", "https://x:99999", "ftp://x"})
        EXPECT_EQ(name(wrong), "none") << wrong;
}

TEST(MapSources, KeepTheAddressesOfBefore) {
    const SourceResolver resolver(
        {source_of_url("https://198.51.100.80").value(), {"nats.example.com:4222", 4222, {}}});
    const auto merged = resolver.merged(std::vector<MapSource>{{"nats.example.com:4222", 4222, {address("192.0.2.1")}},
                                                               {"gone.example.com:1", 1, {address("192.0.2.2")}}});
    ASSERT_EQ(merged.size(), 2U);
    EXPECT_EQ(merged[0].addresses, std::vector{address("198.51.100.80")});
    EXPECT_EQ(merged[1].addresses, std::vector{address("192.0.2.1")});
    EXPECT_TRUE(resolver.merged(std::nullopt)[1].addresses.empty());
}

TEST(MapSources, TheNewestAddressesStayAndWhatDoesNotFitIsTold) {
    std::vector<Address> now, older;
    for (unsigned i = 0; i < 70; ++i) {
        now.push_back(address(fmt::format("198.51.100.{}", 200 - i).c_str()));
        older.push_back(address(fmt::format("192.0.2.{}", i).c_str()));
    }
    const MapSource plain{"a:443", 443, {}};
    const MapSource full = with_addresses(plain, now, nullptr);
    EXPECT_EQ(full.addresses.size(), max_source_addresses);
    EXPECT_TRUE(std::ranges::is_sorted(full.addresses));
    EXPECT_EQ(full.left_out.size(), 6U);
    EXPECT_EQ(full.left_out.front(), address("198.51.100.131")) << "the last in the order in which they are tried";
    EXPECT_EQ(with_addresses(plain, {}, &full), full) << "not resolved: as before";

    const MapSource before{"a:443", 443, {older.begin(), older.begin() + 64}, {older.back()}};
    const MapSource changed = with_addresses(plain, {now.begin(), now.begin() + 60}, &before);
    EXPECT_EQ(changed.addresses.size(), max_source_addresses);
    EXPECT_TRUE(changed.left_out.empty()) << "all that the name has now is admitted";
    for (unsigned i = 0; i < 60; ++i)
        EXPECT_TRUE(std::ranges::binary_search(changed.addresses, now[i])) << i;
    const MapSource twice = with_addresses(plain, {now[0], now[0]}, nullptr);
    EXPECT_EQ(twice.addresses, std::vector{now[0]});
}

TEST(SshConnection, HasTwoAddressesAndTwoPorts) {
    const auto connection = parse_ssh_connection("::ffff:203.0.113.9 50022 fe80::2%eth0 22");
    ASSERT_TRUE(connection);
    EXPECT_EQ(connection->client, address("203.0.113.9"));
    EXPECT_EQ(connection->server, address("fe80::2"));
    EXPECT_EQ(connection->client_port, 50022);
    EXPECT_EQ(connection->server_port, 22);
    for (const char* wrong :
         {"", "1.2.3.4 1 5.6.7.8", "1.2.3.4 x 5.6.7.8 22", "a 1 b 2", "1.2.3.4 1 5.6.7.8 0", "1.2.3.4 1 5.6.7.8 22 9"})
        EXPECT_FALSE(parse_ssh_connection(wrong)) << wrong;
}

} // namespace
} // namespace kudo
