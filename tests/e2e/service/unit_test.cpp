// SPDX-License-Identifier: MIT
// The systemd unit: what it lets the service do, and that this is enough.
// Invariant: systemd does not run here; tests/support/as_unit applies the lines of the unit itself.
#include <gtest/gtest.h>

#include <pwd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <sstream>

#include <fmt/format.h>

#include "agent/query/socket.h"
#include "tests/support/host_test.h"
#include "tests/support/minisign_key.h"
#include "tests/support/running_service.h"
#include "tests/support/temporary_folder.h"

namespace kudo::test {
namespace {

std::string unit_text() {
    std::ostringstream text;
    text << std::ifstream(KUDO_UNIT).rdbuf();
    return text.str();
}

class UnitFile : public testing::Test {
protected:
    void SetUp() override {
        if (access(analyze, X_OK) != 0) GTEST_SKIP() << "systemd-analyze is not installed";
    }
    static constexpr const char* analyze = "/usr/bin/systemd-analyze";
};

TEST_F(UnitFile, SystemdRatesItsExposureAtMostTwo) {
    const auto rated = [](const char* unit, const char* tenths) {
        return run_program(
            {analyze, "security", "--no-pager", "--offline=true", std::string("--threshold=") + tenths, unit});
    };
    EXPECT_EQ(rated(KUDO_UNIT, "20").status, 0) << rated(KUDO_UNIT, "20").out;
    EXPECT_NE(rated(KUDO_UNIT, "10").status, 0) << "the check above cannot fail";
    // It begins as root, before there is anything of the service's user.
    EXPECT_EQ(rated(KUDO_RESTORE_UNIT, "40").status, 0) << rated(KUDO_RESTORE_UNIT, "40").out;
}

TEST_F(UnitFile, SystemdKnowsEveryLineOfIt) {
    std::string text = unit_text();
    for (const std::string setting : {"\nExecStart=", "\nExecStartPre="}) { // the program is not installed
        const auto line = text.find(setting);
        ASSERT_NE(line, std::string::npos);
        text.replace(line, text.find('\n', line + 1) - line, setting + "/bin/true");
    }
    const TemporaryFolder folder;
    const auto verify = [&](const std::string& unit) {
        return run_program({analyze, "verify", "--man=no", folder.write("kudo-agent.service", unit)});
    };
    EXPECT_EQ(verify(text).err.find("kudo-agent.service:"), std::string::npos) << verify(text).err;
    EXPECT_NE(verify(text + "[Service]\nProtectHom=yes\n").err.find("kudo-agent.service:"), std::string::npos)
        << "the check above cannot fail";
}

TEST_F(UnitFile, WrongInputIsNotTriedAgain) {
    EXPECT_NE(unit_text().find("\nRestartPreventExitStatus=2 5\n"), std::string::npos);
}

class Unit : public HostTest {
protected:
    void SetUp() override {
        HostTest::SetUp();
        if (!test_) return;
        key_.emplace(test_->folder + "/keys", "publisher");
        std::filesystem::create_directory(test_->folder + "/drop");
        for (const char* name : {"/keys", "/drop"}) // the unit has a user of its own
            std::filesystem::permissions(test_->folder + name, std::filesystem::perms(0755));
        std::filesystem::create_directory(test_->instance.state_dir); // StateDirectory=
        const Outcome tried = run_as_unit({"true"});
        if (tried.status != 0) GTEST_SKIP() << "the unit's restrictions cannot be had here: " << tried.err;
    }
    [[nodiscard]] std::vector<std::string> as_unit() const {
        return {KUDO_AS_UNIT, KUDO_UNIT, test_->instance.state_dir.string() + ":" + test_->instance.bpffs.string()};
    }
    [[nodiscard]] Outcome run_as_unit(const std::vector<std::string>& program) const {
        std::vector<std::string> argv = as_unit();
        argv.insert(argv.end(), program.begin(), program.end());
        return inside<Outcome>(test_->host, [&] { return run_program(argv); });
    }
    [[nodiscard]] std::vector<std::string> service_arguments() const {
        return {"--keys", test_->folder + "/keys", "--drop-folder", test_->folder + "/drop", "--reconcile-every", "1s"};
    }
    // Signed by the one key.
    void drop_map() const {
        const std::string file = test_->write_file("new.json", R"({"format": "kudo-range-map/1", "serial": 2022050002,
 "issued": "2022-03-01T00:00:00Z", "effective": "2022-03-01T00:00:00Z", "expires": null, "overrides": ["shrink"],
 "services": [{"name": "media", "class": "media", "regions": ["ca"], "ports": ["udp/3478"],
 "ipv4": ["3.123.12.128/28"]}]})");
        key_->sign(file);
        for (const char* suffix : {".minisig", ""})
            std::filesystem::copy_file(file + suffix, test_->folder + "/drop/new.json" + suffix);
    }
    [[nodiscard]] bool has_taken_the_map() const {
        return eventually([&] { return test_->status().at("map").at("serial") == 2022050002; });
    }
    [[nodiscard]] bool is_healthy() const { return test_->agent({"status"}).status == 0; }
    std::optional<MinisignKey> key_;
};

// Whatever the service does under as_unit would be no proof if the restrictions were not there.
TEST_F(Unit, TheRestrictionsHold) {
    const std::string others = test_->write_file("others", "x");
    ASSERT_EQ(chown(others.c_str(), 65534, 65534), 0);
    std::filesystem::permissions(others, std::filesystem::perms::owner_read);
    const auto fails = [&](const std::vector<std::string>& program) {
        const Outcome outcome = run_as_unit(program);
        EXPECT_NE(outcome.status, 0) << program[0];
        return outcome.err;
    };
    EXPECT_EQ(run_as_unit({"touch", test_->instance.state_dir.string() + "/x"}).status, 0);
    EXPECT_NE(fails({"touch", test_->folder + "/x"}).find("Read-only file system"), std::string::npos);
    EXPECT_NE(fails({"cat", others}).find("Permission denied"), std::string::npos);
    EXPECT_NE(fails({"unshare", "--net", "true"}).find("not permitted"), std::string::npos);
    EXPECT_NE(fails({"mount", "-t", "tmpfs", "x", test_->instance.state_dir}).size(), 0U);
    EXPECT_NE(fails({"python3", "-c", "import socket; socket.socket(17, 3)"}).find("not permitted"), std::string::npos)
        << "AF_PACKET";
    EXPECT_NE(run_as_unit({"grep", "CapBnd", "/proc/self/status"}).out.find("000000c000001000"), std::string::npos)
        << "CAP_NET_ADMIN, CAP_PERFMON, CAP_BPF";
}

TEST_F(Unit, TheServiceAcceptsMapsAndHealsDriftUnderItsRestrictions) {
    ASSERT_EQ(test_->agent({"enable", "--region", "ca", "--uplink", "20mbit", "--downlink", "50mbit"}).status, 0);
    RunningService service(*test_, service_arguments(), {}, as_unit());
    drop_map();
    EXPECT_TRUE(has_taken_the_map()) << service.log();

    service.signal(SIGSTOP);
    test_->in_host({"tc", "qdisc", "del", "dev", "eth0", "root"});
    for (const auto& link : std::filesystem::directory_iterator(test_->instance.layout().string() + "/links"))
        std::filesystem::remove(link.path());
    EXPECT_FALSE(is_healthy()) << "the check below cannot fail";
    service.signal(SIGCONT);
    EXPECT_TRUE(eventually([&] { return is_healthy(); })) << service.log() << test_->agent({"status"}).out;
    service.signal(SIGTERM);
    EXPECT_EQ(service.wait(), 0) << service.log();
    EXPECT_TRUE(is_healthy());
    EXPECT_EQ(test_->agent({"disable"}).status, 0);
}

TEST_F(Unit, KeyFilesThatItCannotReadTakeNothingFromTheOthers) {
    const std::string keys = test_->folder + "/keys";
    std::ofstream(keys + "/ssh.pub") << "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI admin@host\n";
    std::filesystem::create_symlink("admin@host.1", keys + "/.#publisher.pub");
    const MinisignKey other(keys, "other");
    ASSERT_EQ(chown(other.public_file.c_str(), 65534, 65534), 0);
    std::filesystem::permissions(other.public_file, std::filesystem::perms::owner_read);
    RunningService service(*test_, service_arguments(), {}, as_unit());
    drop_map();
    EXPECT_TRUE(has_taken_the_map()) << service.log();
    EXPECT_NE(service.log().find("ssh.pub: line 1: not the 56 characters"), std::string::npos) << service.log();
    EXPECT_NE(service.log().find("other.pub: cannot open: Permission denied"), std::string::npos) << service.log();
    EXPECT_EQ(service.log().find(".#publisher"), std::string::npos) << service.log();
}

TEST_F(Unit, TheServiceEnablesAgainAfterARebootUnderItsRestrictions) {
    ASSERT_EQ(test_->agent({"enable", "--region", "ca"}).status, 0);
    std::filesystem::remove_all(test_->instance.pins());
    EXPECT_FALSE(is_healthy());
    RunningService service(*test_, service_arguments(), {}, as_unit());
    EXPECT_TRUE(eventually([&] { return is_healthy(); })) << service.log();
}

// See tests/e2e/query.
TEST_F(Unit, MembersOfItsGroupAreAnsweredUnderItsRestrictions) {
    ASSERT_EQ(test_->agent({"enable", "--region", "ca"}).status, 0);
    const std::string folder = test_->folder + "/run", program = test_->folder + "/kudo-agent"; // RuntimeDirectory=
    std::filesystem::create_directory(folder);
    std::filesystem::copy_file(KUDO_AGENT_PROGRAM, program);
    for (const std::string& entered : {test_->folder, folder})
        std::filesystem::permissions(entered, std::filesystem::perms(0755));
    struct stat state {};
    ASSERT_EQ(run_as_unit({"true"}).status, 0);
    ASSERT_EQ(stat(test_->instance.state_dir.c_str(), &state), 0);
    ASSERT_NE(state.st_gid, 0U);
    ASSERT_EQ(chown(folder.c_str(), state.st_uid, state.st_gid), 0);
    std::vector<std::string> wrapper = as_unit(), arguments = service_arguments();
    wrapper.back() += ":" + folder;
    arguments.insert(arguments.end(), {"--query-socket", folder + "/query.sock"});
    RunningService service(*test_, arguments, {}, wrapper);
    const auto ask = [&](std::vector<std::string> command) {
        command.insert(command.end(), {"--query-socket", folder + "/query.sock"});
        std::vector<std::string> argv = test_->agent_argv(command);
        argv[0] = program;
        argv.insert(argv.begin(), {"setpriv", "--reuid=65534", "--regid=65534", "--bounding-set=-all",
                                   fmt::format("--groups={}", state.st_gid)});
        return inside<Outcome>(test_->host, [&] { return run_program(argv); });
    };
    for (const std::vector<std::string>& command : {std::vector<std::string>{"status"},
                                                    {"stats"},
                                                    {"stats", "--json"},
                                                    {"explain", "52.200.60.17"},
                                                    {"ranges", "show"}}) {
        const Outcome answered = ask(command);
        EXPECT_EQ(answered.status, 0) << command[0] << answered.err << service.log();
        EXPECT_NE(answered.out, "") << command[0];
        EXPECT_EQ(answered.out.find("may not read the rules"), std::string::npos) << command[0];
    }
}

#ifdef KUDO_METRICS
// See tests/e2e/metrics.
TEST_F(Unit, MetricsAreExportedUnderItsRestrictions) {
    ASSERT_EQ(test_->agent({"enable", "--region", "ca"}).status, 0);
    const std::string folder = test_->instance.state_dir.string(), socket = folder + "/metrics.sock";
    std::vector<std::string> arguments = service_arguments();
    arguments.insert(arguments.end(), {"--metrics", "unix:" + socket, "--metrics-file", folder + "/kudo-agent.prom"});
    RunningService service(*test_, arguments, {}, as_unit());
    EXPECT_TRUE(std::filesystem::exists(folder + "/kudo-agent.prom")) << service.log();
    const auto connection = connect_to(socket, SOCK_STREAM, std::chrono::seconds(5));
    ASSERT_TRUE(connection.has_value()) << connection.error().message << service.log();
    const std::string request = "GET /metrics HTTP/1.1\r\n\r\n";
    ASSERT_GT(send(connection->get(), request.data(), request.size(), MSG_NOSIGNAL), 0);
    std::string scraped;
    char buffer[65536];
    for (ssize_t got = 0; (got = recv(connection->get(), buffer, sizeof buffer, 0)) > 0;)
        scraped.append(buffer, static_cast<std::size_t>(got));
    EXPECT_NE(scraped.find("\nkudo_healthy 1\n"), std::string::npos) << scraped << service.log();
    EXPECT_NE(scraped.find("\nkudo_packets_total{reason=\"rule\",direction=\"egress\"} "), std::string::npos);
}
#endif

// What kudo-agent-restore.service does, and what ExecStartPre= of the other does first.
TEST_F(Unit, RestoringEnablesAgainAfterARebootAndGivesItToTheUser) {
    const auto restore = [&] { return test_->agent({"run", "--restore", "--user", "daemon"}); };
    const auto& bpffs = test_->instance.bpffs;
    EXPECT_EQ(restore().out, "not enabled; nothing to restore\n");
    ASSERT_EQ(test_->agent({"enable", "--region", "ca", "--interface", "eth0"}).status, 0);
    std::filesystem::permissions(bpffs, std::filesystem::perms::owner_all); // as systemd mounts it
    std::filesystem::remove_all(test_->instance.pins());
    EXPECT_FALSE(is_healthy());
    const Outcome restored = restore();
    EXPECT_EQ(restored.status, 0) << restored.err;
    EXPECT_NE(restored.out.find("restored: generation 1, 1 interface\n"), std::string::npos) << restored.out;
    EXPECT_TRUE(is_healthy());
    struct stat folder {
    }, pins{}, state{};
    ASSERT_EQ(stat(bpffs.c_str(), &folder) + stat(test_->instance.pins().c_str(), &pins) +
                  stat(test_->instance.state_dir.c_str(), &state),
              0);
    const passwd* daemon = getpwnam("daemon");
    ASSERT_NE(daemon, nullptr);
    EXPECT_EQ(folder.st_mode & 0777, 0710u);
    EXPECT_EQ(folder.st_gid, daemon->pw_gid);
    EXPECT_EQ(folder.st_uid, 0u);
    EXPECT_EQ(pins.st_uid, daemon->pw_uid);
    EXPECT_EQ(state.st_uid, daemon->pw_uid);
    EXPECT_EQ(restore().status, 0) << "nothing to do";
    EXPECT_EQ(test_->agent({"disable"}).status, 0);
}

TEST_F(Unit, RestoringWhatIsNotThereYetIsDegradedAndNamed) {
    test_->in_host({"ip", "link", "add", "late0", "type", "veth", "peer", "name", "late1"});
    ASSERT_EQ(test_->agent({"enable", "--region", "ca", "--interface", "late0", "--interface", "eth0"}).status, 0);
    std::filesystem::remove_all(test_->instance.pins());
    test_->in_host({"ip", "link", "del", "late0"});
    const Outcome restored = test_->agent({"run", "--restore", "--json"});
    EXPECT_EQ(restored.status, 4) << restored.out;
    EXPECT_NE((restored.out + restored.err).find("late0"), std::string::npos) << restored.out << restored.err;
    EXPECT_NE(restored.out.find("\"eth0\""), std::string::npos) << "the other one's trouble is not its own";
}

TEST_F(Unit, WithoutANamedInterfaceRestoresOnThoseThatLedToKudoBefore) {
    ASSERT_EQ(test_->agent({"enable", "--region", "ca"}).status, 0);
    std::filesystem::remove_all(test_->instance.pins());
    test_->in_host({"ip", "link", "set", "eth0", "down"}); // its routes are gone
    const Outcome restored = test_->agent({"run", "--restore"});
    EXPECT_EQ(restored.status, 0) << restored.err;
    EXPECT_NE(restored.out.find("restored: generation 1, 1 interface\n"), std::string::npos) << restored.out;
    EXPECT_NE(restored.err.find("attached as before: eth0"), std::string::npos) << restored.err;
    EXPECT_TRUE(is_healthy());
    ASSERT_EQ(test_->agent({"disable"}).status, 0);
    EXPECT_TRUE(std::filesystem::is_empty(test_->instance.state_dir));
}

TEST_F(Unit, PreparingNeedsAUser) {
    EXPECT_EQ(test_->agent({"run", "--prepare"}).status, 2);
    EXPECT_EQ(test_->agent({"run", "--prepare", "--user", "no-such-user"}).status, 2);
    EXPECT_EQ(test_->agent({"run", "--prepare", "--restore", "--user", "daemon"}).status, 2);
    const Outcome prepared = test_->agent({"run", "--prepare", "--user", "daemon"});
    EXPECT_EQ(prepared.status, 0) << prepared.err;
    EXPECT_EQ(prepared.out + prepared.err, "");
}

} // namespace
} // namespace kudo::test
