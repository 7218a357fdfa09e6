// SPDX-License-Identifier: MIT
#include "tests/support/test_host.h"
#include "tests/support/patience.h"

#include <bpf/bpf.h>
#include <linux/bpf.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <thread>

#include <fmt/format.h>

namespace kudo::test {

namespace {

std::string run_in(const NetworkNamespace& space, const std::vector<std::string>& argv) {
    return inside<std::string>(space, [&] {
        const Outcome outcome = run_program(argv);
        if (outcome.status != 0)
            throw std::runtime_error(
                fmt::format("{} exited with {}: {}{}", argv[0], outcome.status, outcome.out, outcome.err));
        return outcome.out;
    });
}

std::vector<std::string> words(const std::string& line) {
    std::vector<std::string> result;
    for (std::size_t begin = 0; begin < line.size();) {
        const std::size_t end = std::min(line.find(' ', begin), line.size());
        result.push_back(line.substr(begin, end - begin));
        begin = end + 1;
    }
    return result;
}

// One private mount namespace for the whole test process, made once and before any thread.
Result<void> enter_private_mounts() {
    static const Result<void> entered = []() -> Result<void> {
        if (unshare(CLONE_NEWNS) != 0) return fail_errno("unshare(CLONE_NEWNS)");
        if (mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) return fail_errno("private mounts");
        return {};
    }();
    return entered;
}

} // namespace

Result<TestHost> TestHost::build() {
    KUDO_TRY(enter_private_mounts());
    auto host = NetworkNamespace::create(), far = NetworkNamespace::create();
    if (!host) return fail(std::move(host.error()));
    if (!far) return fail(std::move(far.error()));
    TestHost test(std::move(*host), std::move(*far));
    std::string pattern = (std::filesystem::temp_directory_path() / "kudo-test-XXXXXX").string();
    if (!mkdtemp(pattern.data())) return fail_errno("mkdtemp");
    test.folder = pattern;
    if (mount("tmpfs", test.folder.c_str(), "tmpfs", 0, "mode=0755") != 0) return fail_errno("mount tmpfs");
    const std::string bpffs = test.folder + "/bpf";
    if (mkdir(bpffs.c_str(), 0700) != 0 || mount("bpf", bpffs.c_str(), "bpf", 0, nullptr) != 0)
        return fail_errno("mount bpf");
    test.instance.bpffs = bpffs;
    test.instance.state_dir = test.folder + "/state";
    test.in_host(
        words(fmt::format("ip link add eth0 type veth peer name eth0 netns /proc/{}/fd/{}", getpid(), test.far.fd())));
    for (const char* line :
         {"ip address add 10.77.0.2/24 dev eth0", "ip -6 address add fd77::2/64 dev eth0 nodad", "ip link set eth0 up"})
        test.in_host(words(line));
    for (const char* line :
         {"ip address add 10.77.0.1/24 dev eth0", "ip -6 address add fd77::1/64 dev eth0 nodad", "ip link set eth0 up"})
        test.in_far(words(line));
    test.in_host(words("ip route add default via 10.77.0.1"));
    test.in_host(words("ip -6 route add default via fd77::1"));
    return test;
}

TestHost::~TestHost() {
    if (folder.empty()) return;
    umount2((folder + "/bpf").c_str(), MNT_DETACH);
    umount2(folder.c_str(), MNT_DETACH);
    rmdir(folder.c_str());
}

std::vector<std::string> TestHost::agent_argv(std::vector<std::string> arguments) const {
    std::vector<std::string> argv{KUDO_AGENT_PROGRAM, "--bpffs", instance.bpffs, "--state-dir", instance.state_dir};
    argv.insert(argv.end(), arguments.begin(), arguments.end());
    return argv;
}

Outcome TestHost::agent(std::vector<std::string> arguments, std::vector<std::string> environment) const {
    std::vector<std::string> argv = agent_argv(std::move(arguments));
    if (!environment.empty()) {
        environment.insert(environment.begin(), "env");
        argv.insert(argv.begin(), environment.begin(), environment.end());
    }
    return inside<Outcome>(host, [&] { return run_program(argv); });
}

nlohmann::json TestHost::stats() const {
    const Outcome outcome = agent({"stats", "--json", "--flows"});
    if (outcome.status != 0) throw std::runtime_error("stats: " + outcome.err);
    return nlohmann::json::parse(outcome.out);
}

nlohmann::json TestHost::status() const {
    return nlohmann::json::parse(agent({"status", "--json"}).out);
}

std::string TestHost::in_host(std::vector<std::string> argv) const {
    return run_in(host, argv);
}
std::string TestHost::in_far(std::vector<std::string> argv) const {
    return run_in(far, argv);
}

void TestHost::add_far_address(const std::string& address) const {
    if (address.find(':') == std::string::npos)
        in_far({"ip", "address", "add", address, "dev", "eth0"});
    else
        in_far({"ip", "-6", "address", "add", address, "dev", "eth0", "nodad"});
}

void TestHost::wait_for_carrier() const {
    const auto deadline = std::chrono::steady_clock::now() + patient(std::chrono::seconds(5));
    while (in_host({"ip", "link"}).find("NO-CARRIER") != std::string::npos &&
           std::chrono::steady_clock::now() < deadline)
        std::this_thread::sleep_for(std::chrono::milliseconds(50));
}

std::string TestHost::write_file(const std::string& name, const std::string& content) const {
    const std::string path = folder + "/" + name;
    std::ofstream(path, std::ios::binary) << content;
    return path;
}

std::vector<std::string> TestHost::apply_arguments(const std::string& file) {
    return {"ranges", "apply", file, "--allow-unsigned", "--grace", "0"};
}

Outcome TestHost::apply(const std::string& file) const {
    return agent(apply_arguments(file));
}

std::string with_serial(const std::string& map, uint64_t serial) {
    const std::string field = "\"serial\": ";
    const auto begin = map.find(field) + field.size();
    return std::string(map).replace(begin, map.find(',', begin) - begin, std::to_string(serial));
}

bool kernel_has_tcx() {
    static const bool has = [] {
        const bpf_insn pass[] = {{.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = 0, .src_reg = 0, .off = 0, .imm = -1},
                                 {.code = BPF_JMP | BPF_EXIT, .dst_reg = 0, .src_reg = 0, .off = 0, .imm = 0}};
        const Fd program(bpf_prog_load(BPF_PROG_TYPE_SCHED_CLS, "kudo_test", "GPL", pass, std::size(pass), nullptr));
        // There is no interface 0: with tcx that is the error.
        return program && bpf_link_create(program.get(), 0, static_cast<bpf_attach_type>(47), nullptr) < 0 &&
               errno == ENODEV;
    }();
    return has;
}

std::string tc_hook_name() {
    return kernel_has_tcx() ? "tcx" : "tc";
}

std::string why_no_bpf() {
    if (geteuid() != 0) return "not root";
    auto test = TestHost::build();
    return test ? "" : test.error().message;
}

} // namespace kudo::test
