// SPDX-License-Identifier: MIT
// A host, a router, and KUDO's servers behind it: coturn at three media addresses, nginx for the region's names and
// Microsoft Teams', dnsmasq on the host. All that `doctor` looks at is as it should be.
// Invariant: files of the machine that are read (resolv.conf, certificate authorities) are covered by the test's own,
// in the test process's mounts only.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "tests/support/host_test.h"
#include "tests/support/web_server.h"

namespace kudo::test {

//   host  eth0 10.77.0.2 -- 10.77.0.1 eth0  router (the far end)  eth1 10.88.0.1 -- 10.88.0.2 eth0  servers
class DoctorTest : public HostTest {
protected:
    static constexpr const char* media[] = {"3.123.12.129", "3.127.48.225", "52.200.60.1"};
    static constexpr const char* region = "3.97.146.187";
    static constexpr const char* teams = "3.97.146.188";
    static constexpr const char* servers_address = "10.88.0.2";

    void SetUp() override;
    void TearDown() override;

    // `kudo-agent doctor --region ca --json` and more. `prefix`: what the program is run by.
    struct Finding {
        std::string result, summary, fix, all;
    };
    struct Findings {
        int status = -1;
        double seconds = 0;
        std::map<std::string, Finding> checks;
        [[nodiscard]] const Finding& of(const std::string& check) const { return checks.at(check); }
        // "queue warn: ...": those that are neither pass nor skip, but for `except`.
        [[nodiscard]] std::vector<std::string> troubles(const std::string& except = "") const;
    };
    [[nodiscard]] Findings doctor(const std::vector<std::string>& more = {},
                                  const std::vector<std::string>& prefix = {},
                                  const std::vector<std::string>& environment = {}) const;

    // A command line for a shell, in the host or on the router; throws if it fails.
    std::string host_shell(const std::string& command) const;
    std::string router_shell(const std::string& command) const;
    std::string servers_shell(const std::string& command) const;

    // Starts them anew, with other options.
    void run_turn(const std::vector<std::string>& more = {"--tls-listening-port", "443"});
    void run_dns(const std::vector<std::string>& more = {});
    void run_web(const std::string& authority = "kudo-test", const std::string& names = "");
    void stop_dns() { dns_.reset(); }
    void stop_turn() { turn_.reset(); }
    // A program there, which ends with the test.
    void run_on_router(std::vector<std::string> argv);
    void run_on_servers(std::vector<std::string> argv);

    // Puts a file of the test in this place of the machine's, or a folder of its own, until the test ends.
    void cover_file(const std::string& path, const std::string& content);
    std::string cover_folder(const std::string& path);
    void uncover(const std::string& path);
    // Also in the bundle that is trusted, as an administrator adds it.
    void trust(const std::vector<std::string>& authorities);

    [[nodiscard]] const TestAuthority& authority(const std::string& name);

private:
    std::vector<std::string> in_space(const NetworkNamespace& space, std::vector<std::string> argv) const;
    std::optional<NetworkNamespace> servers_;
    std::unique_ptr<ServerProcess> turn_, dns_, web_;
    std::vector<std::unique_ptr<ServerProcess>> others_;
    std::map<std::string, TestAuthority> authorities_;
    std::vector<std::string> covered_;
    int covers_ = 0;
};

} // namespace kudo::test
