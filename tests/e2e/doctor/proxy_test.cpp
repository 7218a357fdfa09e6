// SPDX-License-Identifier: MIT
// A real squid (Debian's squid-openssl) between the host and the region: open, one that wants a password, one that
// refuses, one that opens TLS.
#include <filesystem>

#include <fmt/format.h>
#include <sys/stat.h>

#include "tests/e2e/doctor/fixture.h"
#include "tests/support/running_service.h"

namespace kudo::test {
namespace {

constexpr const char* squid = "/usr/sbin/squid";
constexpr const char* proxy = "http://10.77.0.1:3128";

class DoctorProxy : public DoctorTest {
protected:
    void SetUp() override {
        if (!std::filesystem::exists(squid)) GTEST_SKIP() << "there is no squid";
        DoctorTest::SetUp();
    }
    // `rules`: of access. `port`: options of http_port.
    void run_squid(const std::string& rules, const std::string& port = "", const std::string& more = "") {
        const std::string folder = test_->folder + "/squid";
        std::filesystem::create_directories(folder);
        std::filesystem::permissions(test_->folder, std::filesystem::perms(0755));
        ASSERT_EQ(chown(folder.c_str(), 13, 13), 0); // Debian's user proxy, which squid becomes
        const std::string configuration = test_->write_file(
            "squid.conf", fmt::format("http_port 10.77.0.1:3128 {}\n{}\n{}\npid_filename none\ncache deny all\n"
                                      "cache_log {}/cache.log\naccess_log none\nshutdown_lifetime 0 seconds\n"
                                      "coredump_dir {}\nhosts_file none\n",
                                      port, more, rules, folder, folder));
        // squid asks for the name itself.
        run_on_router({"dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--no-resolv", "--no-hosts",
                       "--listen-address=127.0.0.1", "--bind-interfaces", "--user=root",
                       "--pid-file=", fmt::format("--address=/kudoway.ca/{}", region)});
        run_on_router({squid, "-N", "-f", configuration});
        ASSERT_TRUE(eventually([&] { return router_shell("ss -Hlnt").find("10.77.0.1:3128") != std::string::npos; }))
            << host_shell("cat " + folder + "/cache.log");
    }
    Findings through_proxy() const { return doctor({}, {}, {fmt::format("https_proxy={}", proxy)}); }
};

TEST_F(DoctorProxy, AnOpenOnePasses) {
    run_squid("http_access allow all");
    const Findings findings = through_proxy();
    EXPECT_EQ(findings.of("proxy").result, "pass") << findings.of("proxy").all;
    EXPECT_NE(findings.of("proxy").all.find(proxy), std::string::npos);
    EXPECT_EQ(findings.troubles(), std::vector<std::string>());
}

TEST_F(DoctorProxy, OneThatWantsAPasswordFails) {
    run_squid("acl known proxy_auth REQUIRED\nhttp_access allow known\nhttp_access deny all", "",
              "auth_param basic program /bin/cat");
    const Findings findings = doctor({}, {}, {"https_proxy=http://somebody:secret@10.77.0.1:3128/"});
    EXPECT_EQ(findings.of("proxy").result, "fail") << findings.of("proxy").all;
    EXPECT_NE(findings.of("proxy").all.find("407"), std::string::npos) << findings.of("proxy").all;
    EXPECT_EQ(findings.of("proxy").all.find("secret"), std::string::npos) << findings.of("proxy").all;
    EXPECT_EQ(findings.troubles("proxy"), std::vector<std::string>());
    EXPECT_EQ(findings.status, 4);
}

TEST_F(DoctorProxy, OneThatRefusesFails) {
    run_squid("http_access deny all");
    const Findings findings = through_proxy();
    EXPECT_EQ(findings.of("proxy").result, "fail") << findings.of("proxy").all;
    EXPECT_NE(findings.of("proxy").all.find("403"), std::string::npos) << findings.of("proxy").all;
    EXPECT_EQ(findings.troubles("proxy"), std::vector<std::string>());
}

TEST_F(DoctorProxy, OneThatOpensTlsIsNamedByItsIssuer) {
    static_cast<void>(authority("inspector"));
    const std::string folder = test_->folder;
    // The authority's own key signs what is made up.
    host_shell(fmt::format("cat {0}/inspector.crt {0}/inspector.key > {0}/inspector.pem; chmod 644 {0}/inspector.pem",
                           folder));
    std::filesystem::create_directories(folder + "/squid");
    host_shell(fmt::format("/usr/lib/squid/security_file_certgen -c -s {0}/squid/certificates -M 4MB; chown -R 13:13 "
                           "{0}/squid",
                           folder));
    run_squid("http_access allow all",
              fmt::format("ssl-bump tls-cert={}/inspector.pem generate-host-certificates=on", folder),
              fmt::format("sslcrtd_program /usr/lib/squid/security_file_certgen -s {0}/squid/certificates -M 4MB\n"
                          "ssl_bump bump all\nsslproxy_cert_error allow all\n"
                          "tls_outgoing_options cafile={0}/kudo-test.crt",
                          folder));
    const Findings untrusted = through_proxy();
    EXPECT_EQ(untrusted.of("proxy").result, "fail") << untrusted.of("proxy").all;
    EXPECT_NE(untrusted.of("proxy").all.find("inspector"), std::string::npos) << untrusted.of("proxy").all;
    EXPECT_EQ(untrusted.troubles("proxy"), std::vector<std::string>());
    trust({"kudo-test", "inspector"});
    const Findings trusted = through_proxy();
    EXPECT_EQ(trusted.of("proxy").result, "warn") << trusted.of("proxy").all;
    EXPECT_NE(trusted.of("proxy").all.find("inspects TLS"), std::string::npos) << trusted.of("proxy").all;
    EXPECT_EQ(trusted.troubles("proxy"), std::vector<std::string>());
}

TEST_F(DoctorProxy, ExemptNamesAreReachedDirectly) {
    router_shell("nft add table ip t; nft 'add chain ip t c { type filter hook forward priority 0; }'; "
                 "nft 'add rule ip t c ip daddr 3.97.146.187 tcp dport 443 drop'");
    const Findings exempt = doctor({}, {}, {"https_proxy=http://10.77.0.1:3129", "no_proxy=localhost,.kudoway.ca"});
    EXPECT_EQ(exempt.of("proxy").result, "pass") << exempt.of("proxy").all;
    EXPECT_NE(exempt.of("proxy").all.find("exempt"), std::string::npos) << exempt.of("proxy").all;
    EXPECT_EQ(exempt.of("region").result, "fail") << "no proxy is for these names: " << exempt.of("region").all;
}

TEST_F(DoctorProxy, WhereOnlyTheProxyLeadsOutNothingElseFails) {
    run_squid("http_access allow all");
    router_shell("nft add table ip t; nft 'add chain ip t c { type filter hook forward priority 0; }'; "
                 "nft 'add rule ip t c ip daddr { 3.97.146.187, 3.97.146.188 } tcp dport { 443, 8445, 9444 } drop'");
    const std::vector<std::string> environment{fmt::format("https_proxy={}", proxy)};
    const Findings direct = doctor({"--teams"}, {}, environment);
    EXPECT_EQ(direct.troubles(), std::vector<std::string>());
    EXPECT_EQ(direct.of("region").result, "skip") << direct.of("region").all;
    EXPECT_EQ(direct.of("teams").result, "skip") << direct.of("teams").all;
    stop_dns();
    const Findings nameless = doctor({}, {}, environment);
    EXPECT_EQ(nameless.troubles("dns"), std::vector<std::string>());
    EXPECT_EQ(nameless.of("dns").result, "warn") << nameless.of("dns").all;
    EXPECT_EQ(nameless.status, 0);
}

// Wants a password, and sends the page for it without end.
constexpr const char* endless = R"(
import socket, threading
def serve(line):
    try:
        line.recv(4096)
        line.sendall(b"HTTP/1.1 407 no\r\nProxy-Authenticate: Basic realm=x\r\nContent-Length: 99999999999\r\n\r\n")
        while True: line.sendall(b"x" * 65536)
    except OSError: pass
listener = socket.create_server(("10.77.0.1", 3128))
while True: threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()
)";

TEST_F(DoctorProxy, OneThatAnswersWithoutEndIsToldInTime) {
    run_on_router({"python3", test_->write_file("endless.py", endless)});
    ASSERT_TRUE(eventually([&] { return router_shell("ss -Hlnt").find("10.77.0.1:3128") != std::string::npos; }));
    const Findings findings = through_proxy();
    EXPECT_LE(findings.seconds, 15.0);
    EXPECT_EQ(findings.of("proxy").result, "fail") << findings.of("proxy").all;
    EXPECT_NE(findings.of("proxy").all.find("407"), std::string::npos) << findings.of("proxy").all;
}

TEST_F(DoctorProxy, EtcEnvironmentAndBrowsersPoliciesAreRead) {
    cover_file("/etc/environment", "https_proxy=\"http://10.77.0.1:3129\"\n");
    const std::string folder = cover_folder("/etc/opt") + "/chrome/policies/managed";
    std::filesystem::create_directories(folder);
    test_->in_host(
        {"sh", "-c",
         "echo '{\"ProxyMode\": \"pac_script\", \"ProxyPacUrl\": \"http://wpad/x.pac\"}' > " + folder + "/proxy.json"});
    const Findings findings = doctor();
    const std::string all = findings.of("proxy").all;
    EXPECT_EQ(findings.of("proxy").result, "fail") << all;
    for (const char* word : {"http://10.77.0.1:3129", "/etc/environment", "http://wpad/x.pac", "proxy.json"})
        EXPECT_NE(all.find(word), std::string::npos) << word << " in " << all;
}

} // namespace
} // namespace kudo::test
