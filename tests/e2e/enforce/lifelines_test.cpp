// SPDX-License-Identifier: MIT
// Lifelines while the host changes under a running service: name servers that are replaced, lost, too many; the stored
// range map lost.
// Invariant: what passes is told by packets: on egress the sender is told by an error what tc drops. /etc and /run are
// the test's own.
#include <netinet/in.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include <fmt/format.h>

#include "tests/e2e/enforce/enforce_fixture.h"

namespace kudo::test {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

const Endpoint here{host_address, 50001};
constexpr const char* resolv_conf = "/etc/resolv.conf";
constexpr const char* of_resolved = "/run/systemd/resolve/resolv.conf";

class LifelinesOfService : public EnforceTest {
protected:
    void SetUp() override {
        EnforceTest::SetUp();
        if (!test_) return;
        const std::string etc = test_->folder + "/etc";
        ASSERT_EQ(run_program({"cp", "-a", "/etc", etc}).status, 0);
        ASSERT_EQ(mount(etc.c_str(), "/etc", nullptr, MS_BIND, nullptr), 0);
        mounted_.emplace_back("/etc");
        ASSERT_EQ(mount("tmpfs", "/run", "tmpfs", 0, nullptr), 0);
        mounted_.emplace_back("/run");
        fs::remove(resolv_conf);
        write(resolv_conf, "nameserver 198.51.100.7\n");
    }
    void TearDown() override {
        service_.reset();
        for (auto place = mounted_.rbegin(); place != mounted_.rend(); ++place)
            umount2(place->c_str(), MNT_DETACH);
    }
    void begin(std::vector<std::string> more = {"--no-confirm"}) {
        enforce(std::move(more));
        service_.emplace(*test_, std::vector<std::string>{"--reconcile-every", "1h"});
    }

    static void write(const fs::path& file, const std::string& content) {
        fs::create_directories(file.parent_path());
        std::ofstream(file) << content;
    }
    static void replace(const fs::path& file, const std::string& content) {
        write(file.string() + ".new", content);
        fs::rename(file.string() + ".new", file);
    }
    // May the host ask this server?
    [[nodiscard]] bool asks(const std::string& server) const {
        const Fd socket = udp_socket(test_->host, here);
        const int on = 1;
        setsockopt(socket.get(), IPPROTO_IP, IP_RECVERR, &on, sizeof on); // else a drop on egress is not told
        constexpr std::array<uint8_t, 20> query{};
        try {
            send_datagram(socket.get(), {server, 53}, query);
            return true;
        } catch (const std::exception&) {
            return false;
        }
    }
    void expect_followed(const std::string& server, const char* what) const {
        const auto began = Clock::now();
        EXPECT_TRUE(eventually([&] { return asks(server); })) << what << '\n' << service_->log();
        fmt::print("{}: after {:.2f} s\n", what, std::chrono::duration<double>(Clock::now() - began).count());
    }
    [[nodiscard]] nlohmann::json lifeline(const std::string& name) const {
        const nlohmann::json status = test_->status();
        for (const auto& each : status.at("lifelines"))
            if (each.at("name") == name) return each;
        return {};
    }
    [[nodiscard]] bool says(const std::string& words) const { return service_->log().find(words) != std::string::npos; }

    std::vector<std::string> mounted_;
    std::optional<RunningService> service_;
};

TEST_F(LifelinesOfService, FollowTheNameServersHoweverTheyAreReplaced) {
    begin();
    EXPECT_TRUE(asks("198.51.100.7"));
    EXPECT_FALSE(asks("10.77.0.1"));
    replace(resolv_conf, "nameserver 10.77.0.1\n");
    expect_followed("10.77.0.1", "replaced by rename");
    EXPECT_TRUE(eventually([&] { return !asks("198.51.100.7"); })) << "the old one goes";
    write(resolv_conf, "nameserver 198.51.100.7\n");
    expect_followed("198.51.100.7", "written in place");
    // systemd-resolved takes over.
    write("/run/systemd/resolve/stub-resolv.conf", "nameserver 127.0.0.53\n");
    write(of_resolved, "nameserver 10.77.0.1\n");
    fs::remove(resolv_conf);
    fs::create_symlink("../run/systemd/resolve/stub-resolv.conf", resolv_conf);
    expect_followed("10.77.0.1", "replaced by a symbolic link");
    replace(of_resolved, "nameserver 198.51.100.7\n");
    expect_followed("198.51.100.7", "the file behind the stub replaced");
    // A link into a folder that does not exist yet, which is made and then filled.
    fs::remove(resolv_conf);
    fs::create_symlink("/run/resolvconf/resolv.conf", resolv_conf);
    std::this_thread::sleep_for(std::chrono::milliseconds(700));
    EXPECT_TRUE(asks("198.51.100.7")) << "the last known one is kept";
    write("/run/resolvconf/resolv.conf", "nameserver 10.77.0.1\n");
    expect_followed("10.77.0.1", "written where a link leads to");
    EXPECT_EQ(lifeline("dns").at("rules").at(0), "udp/53 to 10.77.0.1");
    EXPECT_EQ(test_->agent({"status"}).status, 0);
}

TEST_F(LifelinesOfService, OfAResolverOnThisHostNeedToKnowWhomItAsks) {
    write(resolv_conf, "nameserver 127.0.0.1\n"); // dnsmasq, unbound
    const std::vector<std::string> by_default = {"enable", "--region", "ca", "--mode", "enforce", "--no-confirm"};
    const Outcome unknown = test_->agent(by_default);
    EXPECT_EQ(unknown.status, 4) << unknown.out;
    EXPECT_NE(unknown.out.find("its queries are dropped. --lifeline dns=ADDRESS"), std::string::npos) << unknown.out;
    EXPECT_TRUE(eventually([&] { return !asks("198.51.100.7"); })) << "the first may wait for its neighbour";
    const Outcome told = test_->agent({"status"});
    EXPECT_EQ(told.status, 4);
    EXPECT_NE(told.out.find("its queries are dropped. --lifeline dns=ADDRESS"), std::string::npos) << told.out;
    begin({"--no-confirm", "--allow", "udp/53 to 198.51.100.7"});
    EXPECT_TRUE(asks("198.51.100.7"));
    EXPECT_EQ(test_->agent({"status"}).status, 0);
    enforce({"--no-confirm", "--lifeline", "dns=10.77.0.1"});
    EXPECT_TRUE(asks("10.77.0.1"));
    EXPECT_FALSE(asks("198.51.100.7"));
    EXPECT_EQ(test_->agent({"status"}).status, 0);
    // NetworkManager says whom its dnsmasq asks.
    EXPECT_EQ(test_->agent(by_default).status, 4);
    write("/run/NetworkManager/no-stub-resolv.conf", "nameserver 198.51.100.7\n");
    expect_followed("198.51.100.7", "by NetworkManager's file");
    EXPECT_EQ(test_->agent({"status"}).status, 0);
}

TEST_F(LifelinesOfService, KeepTheNameServersOfBeforeWhereTheFileIsLost) {
    begin();
    const std::vector<std::pair<std::string, std::function<void()>>> losses = {
        {"No such file", [] { fs::remove(resolv_conf); }},
        {"not a regular file", [] { fs::create_directory(resolv_conf); }},
        {"larger than", [] { fs::remove(resolv_conf), write(resolv_conf, std::string(100'000, '#')); }},
        {"No such file",
         [] {
             fs::remove(resolv_conf);
             fs::create_symlink("nowhere/at/all", resolv_conf);
         }},
        {of_resolved, [] { fs::remove(resolv_conf), write(resolv_conf, "nameserver 127.0.0.53\n"); }}};
    for (const auto& [words, lose] : losses) {
        lose();
        EXPECT_TRUE(eventually([&, &what = words] {
            return says("the name servers of before are kept") && says(what);
        })) << words
            << service_->log();
        EXPECT_TRUE(asks("198.51.100.7")) << words;
        const auto dns = lifeline("dns");
        EXPECT_EQ(dns.at("rules").at(0), "udp/53 to 198.51.100.7");
        EXPECT_NE(dns.at("note").get<std::string>().find("of before are kept"), std::string::npos) << dns;
        EXPECT_EQ(test_->agent({"status"}).status, 0) << "said, and all is as it should be";
    }
    // Also what begins then, and over a new command.
    EXPECT_NE(enforce({"--no-confirm", "--allow", "icmp"}).out.find("of before are kept"), std::string::npos);
    EXPECT_TRUE(asks("198.51.100.7"));
    replace(resolv_conf, "nameserver 10.77.0.1\n");
    expect_followed("10.77.0.1", "the file is back");
    EXPECT_EQ(lifeline("dns").at("note"), nullptr);
}

TEST_F(LifelinesOfService, MoreThanFitAreDegradedAndNamed) {
    begin();
    std::string many;
    for (int i = 1; i <= 19; ++i)
        many += fmt::format("nameserver 198.51.100.{}\n", 100 + i);
    replace(resolv_conf, many);
    expect_followed("198.51.100.116", "the last that fits");
    EXPECT_FALSE(asks("198.51.100.117"));
    EXPECT_TRUE(eventually([&] { return says("lifeline dns: 3 name servers beyond the first 16 left out"); }));
    const Outcome told = test_->agent({"status"});
    EXPECT_EQ(told.status, 4);
    EXPECT_NE(told.out.find("3 name servers beyond the first 16 left out"), std::string::npos) << told.out;
}

// 16 rules at most may hold one address: docs/enforce.md.
TEST_F(LifelinesOfService, ThatDoNotFitLeaveThePolicyAsItIsAndAreNamed) {
    std::vector<std::string> options{"--no-confirm"};
    for (int port = 1; port <= 10; ++port)
        options.insert(options.end(), {"--allow", fmt::format("tcp/{} from 10.77.0.1", port)});
    begin(std::move(options));
    replace(resolv_conf, "nameserver 10.77.0.1\n");
    EXPECT_TRUE(eventually([&] { return says("allow rules and lifelines cover 10.77.0.1"); })) << service_->log();
    EXPECT_TRUE(asks("198.51.100.7")) << "the policy of before";
    EXPECT_FALSE(strangers_pass());
    const Outcome told = test_->agent({"status"});
    EXPECT_EQ(told.status, 4) << told.out;
    EXPECT_NE(told.out.find("allow rules and lifelines cover 10.77.0.1"), std::string::npos) << told.out;
    EXPECT_EQ(lifeline("dns").at("rules").at(0), "udp/53 to 198.51.100.7") << "as the kernel has it";
    EXPECT_EQ(lifeline("dns").at("desired").at(0), "udp/53 to 10.77.0.1");
}

TEST_F(LifelinesOfService, ALostRangeMapLeavesWhatIsEnforcedAsItIs) {
    apply_map_with_ipv6();
    begin({"--confirm-within", "1h"});
    EXPECT_TRUE(answers(here, {media_address, 3478}));
    fs::remove_all(test_->instance.state_dir.string() + "/range-maps");
    replace(resolv_conf, "nameserver 10.77.0.1\n");
    EXPECT_TRUE(eventually([&] { return says("is lost"); })) << service_->log();
    EXPECT_TRUE(answers(here, {media_address, 3478}));
    EXPECT_FALSE(strangers_pass());
    EXPECT_FALSE(asks("10.77.0.1")) << "nothing can be compiled anew";
    const Outcome told = test_->agent({"status"});
    EXPECT_NE(told.out.find("is lost"), std::string::npos) << told.out;
    EXPECT_NE(told.out.find("lifeline dns: not in the kernel: udp/53 to 10.77.0.1"), std::string::npos) << told.out;
    EXPECT_EQ(told.status, 4);
    const LoginServer server(test_->host, {host_address, 22});
    const Outcome refused = confirm_by(server);
    EXPECT_EQ(refused.status, 4) << refused.out;
    EXPECT_NE(refused.err.find("is lost"), std::string::npos) << refused.err;
    EXPECT_EQ(test_->status().at("enforcement").at("confirmed"), false);
    apply_map_with_ipv6(); // the same again
    expect_followed("10.77.0.1", "the range map is back");
    EXPECT_EQ(confirm_by(server).status, 0);
}

} // namespace
} // namespace kudo::test
