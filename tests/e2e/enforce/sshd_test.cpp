// SPDX-License-Identifier: MIT
// Mode enforce given and confirmed over SSH, with OpenSSH's own server and client.
// Invariant: /etc and /run are the test's own.
#include <signal.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include <fmt/format.h>

#include "tests/e2e/enforce/enforce_fixture.h"

namespace kudo::test {
namespace {

namespace fs = std::filesystem;

constexpr const char* sshd = "/usr/sbin/sshd";

class OverSsh : public EnforceTest {
protected:
    void SetUp() override {
        if (access(sshd, X_OK) != 0) GTEST_SKIP() << "there is no " << sshd << ": install openssh-server";
        EnforceTest::SetUp();
        if (!test_) return;
        const std::string& folder = test_->folder;
        ASSERT_EQ(run_program({"cp", "-a", "/etc", folder + "/etc"}).status, 0);
        ASSERT_EQ(mount((folder + "/etc").c_str(), "/etc", nullptr, MS_BIND, nullptr), 0);
        mounted_.emplace_back("/etc");
        ASSERT_EQ(mount("tmpfs", "/run", "tmpfs", 0, "mode=0755"), 0);
        mounted_.emplace_back("/run");
        fs::create_directory("/run/sshd");
        run_program(
            {"sh", "-c", "grep -q ^sshd: /etc/passwd || echo sshd:x:65533:65534::/run/sshd:/bin/false >>/etc/passwd"});
        for (const char* name : {"/host_key", "/key"})
            ASSERT_EQ(run_program({"ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder + name}).status, 0);
        fs::copy_file((folder + "/key.pub").c_str(), (folder + "/authorized_keys").c_str());
        const std::string config = test_->write_file(
            "sshd_config",
            fmt::format("ListenAddress {}:22\nHostKey {}/host_key\nAuthorizedKeysFile {}/authorized_keys\n"
                        "StrictModes no\nUsePAM no\nPermitRootLogin yes\nPidFile none\n",
                        host_address, folder, folder));
        server_ = inside<int>(test_->host, [&] { return start_program({sshd, "-D", "-f", config}); });
        ASSERT_TRUE(eventually([this] { return ssh({"true"}).status == 0; })) << ssh({"true"}).err;
    }
    void TearDown() override {
        if (server_ > 0) {
            kill(server_, SIGKILL);
            waitpid(server_, nullptr, 0);
        }
        for (auto place = mounted_.rbegin(); place != mounted_.rend(); ++place)
            umount2(place->c_str(), MNT_DETACH);
    }
    // From the administrator's address. `options`: of the client.
    Outcome ssh(const std::vector<std::string>& command, const std::vector<std::string>& options = {}) const {
        std::vector<std::string> argv = {"ssh", "-F", "none", "-i", test_->folder + "/key", "-b", stranger_address};
        for (const char* option : {"StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "LogLevel=ERROR",
                                   "ConnectTimeout=5", "BatchMode=yes"})
            argv.insert(argv.end(), {"-o", option});
        argv.insert(argv.end(), options.begin(), options.end());
        argv.push_back(std::string("root@") + host_address);
        argv.insert(argv.end(), command.begin(), command.end());
        return inside<Outcome>(test_->far, [&] { return run_program(argv); });
    }
    [[nodiscard]] std::vector<std::string> agent(const std::vector<std::string>& arguments) const {
        return test_->agent_argv(arguments);
    }

    int server_ = -1;
    std::vector<std::string> mounted_;
};

TEST_F(OverSsh, ANewConnectionConfirmsAndTheOldOneDoesNot) {
    const std::vector<std::string> shared = {"-S", test_->folder + "/control"};
    ASSERT_EQ(ssh({"true"}, {"-M", "-S", test_->folder + "/control", "-o", "ControlPersist=120"}).status, 0);
    const Outcome enabled = ssh(agent({"enable", "--region", "ca", "--mode", "enforce"}), shared);
    ASSERT_EQ(enabled.status, 0) << enabled.err << enabled.out;
    EXPECT_FALSE(connects(test_->far, media_address, test_->host, {host_address, 23}));
    const Outcome same = ssh(agent({"confirm"}), shared);
    EXPECT_EQ(same.status, 1) << same.out;
    EXPECT_NE(same.err.find("this is the SSH connection by which enable was given"), std::string::npos) << same.err;
    std::vector<std::string> without{"env", "-u", "SSH_CONNECTION", "setsid", "--wait"};
    for (const std::string& word : agent({"confirm"}))
        without.push_back(word);
    const Outcome hidden = ssh(without, shared);
    EXPECT_EQ(hidden.status, 1) << hidden.out;
    const Outcome confirmed = ssh(agent({"confirm"})); // the lifeline lets a second connection in
    EXPECT_EQ(confirmed.status, 0) << confirmed.err;
    EXPECT_NE(confirmed.out.find("confirmed by a connection from 198.51.100.7"), std::string::npos) << confirmed.out;
    ssh({}, {"-S", test_->folder + "/control", "-O", "exit"});
}

} // namespace
} // namespace kudo::test
