// SPDX-License-Identifier: MIT
#include "tests/e2e/doctor/fixture.h"

#include <sys/mount.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <sstream>
#include <stdexcept>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "agent/system/fd.h"
#include "tests/support/running_service.h"

namespace kudo::test {
namespace {

// As the built-in map, with fewer media ranges: every one of them is asked.
constexpr const char* range_map = R"({
  "format": "kudo-range-map/1", "serial": 2022030101,
  "issued": "2022-03-02T00:00:00Z", "effective": "2022-03-02T00:00:00Z", "expires": null, "overrides": ["shrink"],
  "services": [
    {"name": "media", "class": "media", "regions": ["*"], "ports": ["udp/3478", "tcp/443"],
     "ipv4": ["3.123.12.128/28", "3.127.48.224/28", "52.200.60.0/26"]},
    {"name": "region-ca", "class": "control", "regions": ["ca"], "ports": ["tcp/443"], "ipv4": ["3.97.146.187"],
     "domains": ["*.kudoway.ca", "live.kudoway.ca", "api.kudoway.ca"]},
    {"name": "region-cn", "class": "control", "regions": ["cn"], "ports": ["tcp/443"], "ipv4": ["3.97.146.188"]},
    {"name": "teams", "class": "control", "regions": ["*"], "optional": true,
     "ports": ["tcp/443", "tcp/8445", "tcp/9444"], "domains": ["teams-bot.kudoway.com"]}
  ]
})";

std::string read_whole(const std::string& path) {
    std::ifstream file(path);
    std::stringstream text;
    text << file.rdbuf();
    return text.str();
}

} // namespace

std::vector<std::string> DoctorTest::in_space(const NetworkNamespace& space, std::vector<std::string> argv) const {
    argv.insert(argv.begin(), {"nsenter", fmt::format("--net=/proc/{}/fd/{}", getpid(), space.fd())});
    return argv;
}

std::string DoctorTest::host_shell(const std::string& command) const {
    return test_->in_host({"sh", "-ec", command});
}
std::string DoctorTest::router_shell(const std::string& command) const {
    return test_->in_far({"sh", "-ec", command});
}
std::string DoctorTest::servers_shell(const std::string& command) const {
    const Outcome outcome = inside<Outcome>(*servers_, [&] { return run_program({"sh", "-ec", command}); });
    if (outcome.status != 0) throw std::runtime_error(command + ": " + outcome.out + outcome.err);
    return outcome.out;
}

const TestAuthority& DoctorTest::authority(const std::string& name) {
    const auto found = authorities_.find(name);
    if (found != authorities_.end()) return found->second;
    return authorities_.emplace(name, TestAuthority(test_->folder, name)).first->second;
}

void DoctorTest::cover_file(const std::string& path, const std::string& content) {
    const std::string file = test_->write_file(fmt::format("cover{}", covers_++), content);
    if (inside<int>(test_->host, [&] { return mount(file.c_str(), path.c_str(), nullptr, MS_BIND, nullptr); }) != 0)
        throw std::system_error(errno, std::generic_category(), "cover " + path);
    covered_.push_back(path);
}

std::string DoctorTest::cover_folder(const std::string& path) {
    const std::string folder = test_->folder + fmt::format("/cover{}", covers_++);
    std::filesystem::create_directory(folder);
    if (inside<int>(test_->host, [&] { return mount(folder.c_str(), path.c_str(), nullptr, MS_BIND, nullptr); }) != 0)
        throw std::system_error(errno, std::generic_category(), "cover " + path);
    covered_.push_back(path);
    return folder;
}

void DoctorTest::uncover(const std::string& path) {
    // Paths below /proc/sys/net are others in each network namespace.
    inside<int>(test_->host, [&] { return umount2(path.c_str(), MNT_DETACH); });
    covered_.erase(std::ranges::find(covered_, path));
}

void DoctorTest::trust(const std::vector<std::string>& authorities) {
    const std::string bundle = "/etc/ssl/certs/ca-certificates.crt";
    if (std::ranges::find(covered_, bundle) != covered_.end()) uncover(bundle);
    std::string all;
    for (const std::string& name : authorities)
        all += read_whole(authority(name).certificate());
    cover_file(bundle, all);
}

void DoctorTest::SetUp() {
    for (const char* program : {"/usr/bin/turnserver", "/usr/sbin/dnsmasq", nginx_program})
        if (!std::filesystem::exists(program)) GTEST_SKIP() << "there is no " << program;
    HostTest::SetUp();
    if (!test_) return;
    auto made = NetworkNamespace::create();
    ASSERT_TRUE(made) << made.error().message;
    servers_.emplace(std::move(*made));
    test_->in_far({"ip", "link", "add", "eth1", "type", "veth", "peer", "name", "eth0", "netns",
                   fmt::format("/proc/{}/fd/{}", getpid(), servers_->fd())});
    router_shell("sysctl -qw net.ipv4.ip_forward=1; ip address add 10.88.0.1/24 dev eth1; ip link set eth1 up;"
                 "ip route add default via 10.88.0.2");
    std::string addresses = "ip address add 10.88.0.2/24 dev eth0; ip link set eth0 up;"
                            "ip route add default via 10.88.0.1;";
    for (const char* address : {media[0], media[1], media[2], region, teams})
        addresses += fmt::format("ip address add {}/32 dev eth0;", address);
    servers_shell(addresses);
    // An authority that the distribution has, and the machine's own authorities out of sight.
    const std::string distribution = cover_folder("/usr/share/ca-certificates");
    std::filesystem::copy_file(authority("kudo-test").certificate(), distribution + "/kudo-test.crt");
    cover_folder("/etc/ssl/certs");
    std::ofstream(covered_.back() + "/ca-certificates.crt") << "";
    trust({"kudo-test"});
    cover_file("/etc/resolv.conf", "nameserver 127.0.0.1\n");
    const Outcome applied = test_->apply(test_->write_file("map.json", range_map));
    ASSERT_EQ(applied.status, 0) << applied.err;
    run_dns();
    run_web();
    run_turn();
}

void DoctorTest::TearDown() {
    for (auto path = covered_.rbegin(); path != covered_.rend(); ++path)
        inside<int>(test_->host, [&] { return umount2(path->c_str(), MNT_DETACH); });
    turn_.reset();
    dns_.reset();
    web_.reset();
    others_.clear();
}

void DoctorTest::run_turn(const std::vector<std::string>& more) {
    turn_.reset();
    const auto pair = authority("kudo-test").sign("turn", "DNS:turn.example");
    std::vector<std::string> argv{"turnserver", "-n", "-m", "1"};
    for (const char* address : media)
        argv.insert(argv.end(), {"--listening-ip", address});
    argv.insert(argv.end(), {"--relay-ip",
                             media[0],
                             "--lt-cred-mech",
                             "--user",
                             "somebody:secret",
                             "--realm",
                             "kudo.example",
                             "--cert",
                             pair.certificate,
                             "--pkey",
                             pair.key,
                             "--no-cli",
                             "--no-stdout-log",
                             "--log-file",
                             test_->folder + "/turn.log",
                             "--simple-log",
                             "--pidfile",
                             test_->folder + "/turn.pid",
                             "--userdb",
                             test_->folder + "/turn.db"});
    argv.insert(argv.end(), more.begin(), more.end());
    turn_ = std::make_unique<ServerProcess>(in_space(*servers_, argv));
    const bool has_tcp = std::ranges::find(more, "443") != more.end();
    ASSERT_TRUE(eventually([&] {
        const std::string sockets = servers_shell("ss -Hulnt");
        return std::ranges::all_of(media, [&](const char* address) {
            return sockets.find(fmt::format("{}:3478", address)) != std::string::npos &&
                   (!has_tcp || sockets.find(fmt::format("{}:443", address)) != std::string::npos);
        });
    })) << read_whole(test_->folder + "/turn.log");
}

void DoctorTest::run_dns(const std::vector<std::string>& more) {
    dns_.reset();
    std::vector<std::string> argv{
        "dnsmasq",           "--keep-in-foreground", "--conf-file=/dev/null",
        "--no-resolv",       "--no-hosts",           "--listen-address=127.0.0.1",
        "--bind-interfaces", "--user=root",          "--pid-file=" + test_->folder + "/dns.pid"};
    const std::vector<std::string> names{fmt::format("--address=/kudoway.ca/{}", region),
                                         fmt::format("--address=/kudoway.com/{}", teams)};
    argv.insert(argv.end(), more.begin(), more.end());
    if (more.empty() || !more.front().starts_with("--address=")) argv.insert(argv.end(), names.begin(), names.end());
    dns_ = std::make_unique<ServerProcess>(in_space(test_->host, argv));
    ASSERT_TRUE(eventually([&] { return host_shell("ss -Huln").find("127.0.0.1:53") != std::string::npos; }));
}

void DoctorTest::run_web(const std::string& by, const std::string& names) {
    web_.reset();
    const auto pair = authority(by).sign("web-" + by, names.empty() ? "DNS:*.kudoway.ca,DNS:*.kudoway.com" : names);
    std::string servers;
    for (const std::string& endpoint : {fmt::format("{}:443", region), fmt::format("{}:443", teams),
                                        fmt::format("{}:8445", teams), fmt::format("{}:9444", teams)})
        servers += fmt::format("listen {} ssl; ", endpoint);
    const std::string configuration = test_->write_file(
        "nginx.conf",
        fmt::format("daemon off; master_process off; pid {0}/nginx.pid; error_log {0}/nginx.log;\n"
                    "events {{}}\nhttp {{ access_log off; client_body_temp_path {0}/body;\n"
                    "proxy_temp_path {0}/proxy; fastcgi_temp_path {0}/fastcgi; uwsgi_temp_path {0}/uwsgi;\n"
                    "scgi_temp_path {0}/scgi; server {{ {1} ssl_certificate {2};\n"
                    "ssl_certificate_key {3}; return 200 ok; }} }}\n",
                    test_->folder, servers, pair.certificate.string(), pair.key.string()));
    web_ = std::make_unique<ServerProcess>(in_space(*servers_, {nginx_program, "-c", configuration}));
    ASSERT_TRUE(eventually([&] {
        return servers_shell("ss -Hlnt").find(fmt::format("{}:9444", teams)) != std::string::npos;
    })) << read_whole(test_->folder + "/nginx.log");
}

void DoctorTest::run_on_router(std::vector<std::string> argv) {
    others_.push_back(std::make_unique<ServerProcess>(in_space(test_->far, std::move(argv))));
}

void DoctorTest::run_on_servers(std::vector<std::string> argv) {
    others_.push_back(std::make_unique<ServerProcess>(in_space(*servers_, std::move(argv))));
}

DoctorTest::Findings DoctorTest::doctor(const std::vector<std::string>& more, const std::vector<std::string>& prefix,
                                        const std::vector<std::string>& environment) const {
    std::vector<std::string> arguments{"doctor", "--json"};
    if (std::ranges::find(more, "--region") == more.end()) arguments.insert(arguments.end(), {"--region", "ca"});
    arguments.insert(arguments.end(), more.begin(), more.end());
    std::vector<std::string> argv = test_->agent_argv(arguments);
    argv.insert(argv.begin(), prefix.begin(), prefix.end());
    // Nothing of the machine's own.
    std::vector<std::string> begin{"env", "-u",        "https_proxy", "-u",        "HTTPS_PROXY",
                                   "-u",  "all_proxy", "-u",          "ALL_PROXY", "HOME=" + test_->folder};
    begin.insert(begin.end(), environment.begin(), environment.end());
    argv.insert(argv.begin(), begin.begin(), begin.end());
    const Outcome outcome = inside<Outcome>(test_->host, [&] { return run_program(argv); });
    Findings findings;
    findings.status = outcome.status;
    const auto document = nlohmann::json::parse(outcome.out, nullptr, false);
    if (document.is_discarded()) throw std::runtime_error("doctor: " + outcome.out + outcome.err);
    findings.seconds = document.at("milliseconds").get<double>() / 1000;
    for (const auto& check : document.at("checks"))
        findings.checks[check.at("name")] = {check.at("result"), check.at("summary"),
                                             check.at("fix").is_null() ? "" : check.at("fix").get<std::string>(),
                                             check.dump(2)};
    return findings;
}

std::vector<std::string> DoctorTest::Findings::troubles(const std::string& except) const {
    std::vector<std::string> found;
    for (const auto& [name, finding] : checks)
        if (name != except && finding.result != "pass" && finding.result != "skip") found.push_back(finding.all);
    return found;
}

} // namespace kudo::test
