// SPDX-License-Identifier: MIT
// A host that others change at random while the service runs: qdiscs, filters, programs, routes, names, deletions, lost
// pins, full disks, kills, clock jumps, keys, range maps.
// Invariant: after each step `status` says healthy if and only if a real packet on each path arrives marked, is counted
// once, and its answer is counted once, and tc shows the queues that were asked for; an interface that carries no path
// may be complained of, which no packet can contradict; after the last `disable` the host is as before.
// KUDO_DISORDER_STEPS and KUDO_DISORDER_SEED choose; a run of 2,000 steps takes five minutes on two cores.
#include <gtest/gtest.h>

#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/mount.h>
#include <sys/wait.h>

#include <csignal>
#include <cstdlib>
#include <deque>
#include <filesystem>
#include <fstream>
#include <random>
#include <regex>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "agent/attach/in_kernel.h"
#include "tests/support/foreign_program.h"
#include "tests/support/host_test.h"
#include "tests/support/running_service.h"
#include "tests/support/test_clock.h"
#include "tests/support/traffic.h"

namespace kudo::test {
namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;

// Media addresses of the built-in map; path n leaves by uplink n unless a step says otherwise.
constexpr std::array<const char*, 3> remotes = {"3.123.12.129", "3.7.161.1", "52.200.60.17"};
constexpr uint16_t media_port = 3478;

unsigned environment_number(const char* name, unsigned otherwise) {
    const char* text = std::getenv(name);
    return text ? static_cast<unsigned>(std::strtoul(text, nullptr, 10)) : otherwise;
}

class Disorder : public HostTest {
protected:
    void SetUp() override {
        HostTest::SetUp();
        if (!test_) return;
        seed_ = environment_number("KUDO_DISORDER_SEED", 1);
        random_.seed(seed_);
        clock_.emplace(test_->folder).stop_at("2030-01-01 00:00:00");
        for (const char* key : {"net.ipv4.conf.all.rp_filter=0", "net.ipv4.conf.default.rp_filter=0"}) {
            test_->in_host({"sysctl", "-qw", key});
            test_->in_far({"sysctl", "-qw", key});
        }
        for (const char* remote : remotes)
            test_->in_far({"ip", "address", "add", std::string(remote) + "/32", "dev", "lo"});
        for (const int uplink : {1, 2, 3})
            make_uplink(uplink);
        fs::create_directories(test_->instance.state_dir);
        if (mount("tmpfs", test_->instance.state_dir.c_str(), "tmpfs", 0, "size=1m") != 0)
            throw std::runtime_error("cannot mount a tmpfs");
        for (const char* remote : remotes)
            listeners_.push_back(hearing_socket(test_->far, {remote, media_port}, 1s));
    }
    void TearDown() override {
        service_.reset();
        if (!test_) return;
        if (covered_) umount2(test_->instance.bpffs.c_str(), MNT_DETACH);
        umount2(test_->instance.state_dir.c_str(), MNT_DETACH);
    }

    // Uplinks 1 and 2 lead to the second and the third remote; 3 is a way that no option names.
    static std::string uplink_name(int uplink) { return uplink == 3 ? "vpn0" : fmt::format("eth{}", uplink); }
    void make_uplink(int uplink) const {
        const std::string name = uplink_name(uplink), far = fmt::format("far{}", uplink);
        host({"ip", "link", "add", name, "type", "veth", "peer", "name", far, "netns",
              fmt::format("/proc/{}/fd/{}", getpid(), test_->far.fd())});
        test_->in_far({"ip", "address", "add", fmt::format("10.8{}.0.1/24", uplink), "dev", far});
        test_->in_far({"ip", "link", "set", far, "up"});
        host({"ip", "address", "add", fmt::format("10.8{}.0.2/24", uplink), "dev", name});
        host({"ip", "link", "set", name, "up"});
        if (uplink != 3) route(uplink);
    }
    void route(int uplink) const {
        host({"ip", "route", "replace", std::string(remotes[static_cast<std::size_t>(uplink)]) + "/32", "via",
              fmt::format("10.8{}.0.1", uplink)});
    }
    // Whatever it says: an interface may be gone, a name taken.
    void host(const std::vector<std::string>& argv) const {
        (void)inside<Outcome>(test_->host, [&] { return run_program(argv); });
    }
    Outcome agent(const std::vector<std::string>& arguments) const {
        return test_->agent(arguments, clock_->environment());
    }

    struct Counted {
        uint64_t out = 0, in = 0;
    };
    [[nodiscard]] Counted counted() const {
        const Outcome stats = agent({"stats", "--json"});
        if (stats.status != 0) return {};
        const auto media = nlohmann::json::parse(stats.out).at("services").at("media");
        return {media.at("egress").at("packets"), media.at("ingress").at("packets")};
    }

    struct Probe {
        bool right = true;
        std::string text;
    };
    // One packet and its answer on each path that there is.
    Probe probe() const {
        Probe result;
        for (std::size_t path = 0; path < remotes.size(); path++) {
            const Counted before = counted();
            const auto [sent, dsfield, answered] = exchange(path);
            if (!sent) continue; // no route: no path
            const Counted after = counted();
            const bool marked = dsfield == 34 << 2 || dsfield == 46 << 2;
            const bool right = marked && after.out == before.out + 1 && answered && after.in == before.in + 1;
            result.right &= right;
            result.text += fmt::format("{}: DS field {}, counted {} out, {} in; ", remotes[path], dsfield,
                                       after.out - before.out, after.in - before.in);
        }
        for (const char* name : {"eth0", "eth1", "eth2"})
            if (named_ && !exists(name)) result.right = false;
        return result;
    }
    struct Exchange {
        bool sent;
        int dsfield;
        bool answered;
    };
    [[nodiscard]] Exchange exchange(std::size_t path) const {
        const Fd& listener = listeners_[path];
        const auto wait = [](int fd) {
            pollfd poll{fd, POLLIN, 0};
            return ::poll(&poll, 1, 300) == 1;
        };
        while (wait_now(listener.get()))
            receive_dsfield(listener);
        const Fd near = udp_socket(test_->host, {"0.0.0.0", static_cast<uint16_t>(40000 + path)});
        const std::array<uint8_t, 4> payload{};
        try {
            send_datagram(near.get(), {remotes[path], media_port}, payload);
        } catch (const std::exception&) {
            return {false, -1, false};
        }
        if (!wait(listener.get())) return {true, -1, false};
        sockaddr_in from{};
        socklen_t size = sizeof from;
        char peeked = 0;
        recvfrom(listener.get(), &peeked, 1, MSG_PEEK, reinterpret_cast<sockaddr*>(&from), &size);
        const int dsfield = receive_dsfield(listener);
        sendto(listener.get(), payload.data(), payload.size(), 0, reinterpret_cast<const sockaddr*>(&from), size);
        return {true, dsfield, wait(near.get())};
    }
    static bool wait_now(int fd) {
        pollfd poll{fd, POLLIN, 0};
        return ::poll(&poll, 1, 0) == 1;
    }

    [[nodiscard]] bool exists(const std::string& name) const {
        return inside<bool>(test_->host, [&] { return if_nametoindex(name.c_str()) != 0; }) ||
               std::ranges::find(renamed_, name) != renamed_.end();
    }

    // --- the steps ---
    int pick(int below) { return static_cast<int>(random_() % static_cast<unsigned>(below)); }
    std::string some_interface() { return fmt::format("eth{}", pick(3)); }

    void start_service() {
        service_.reset();
        service_.emplace(*test_,
                         std::vector<std::string>{"--reconcile-every", "1s", "--keys", test_->folder + "/keys",
                                                  "--drop-folder", drop_folder()},
                         clock_->environment());
    }
    [[nodiscard]] std::string state_file(const std::string& name) const {
        return test_->instance.state_dir.string() + "/" + name;
    }
    [[nodiscard]] std::string drop_folder() const {
        fs::create_directories(test_->folder + "/drop");
        return test_->folder + "/drop";
    }
    void enable() {
        std::vector<std::string> arguments = {"enable", "--region", "ca"};
        if (pick(2) == 0)
            for (const char* name : {"eth0", "eth1", "eth2"})
                arguments.insert(arguments.end(), {"--interface", name});
        if (pick(3) == 0) arguments.insert(arguments.end(), {"--tc-hook", "clsact"});
        if (pick(2) == 0) arguments.insert(arguments.end(), {"--ingress", "xdp"});
        if (pick(3) == 0) arguments.insert(arguments.end(), {"--uplink", "50mbit"});
        if (pick(3) == 0) arguments.insert(arguments.end(), {"--downlink", "50mbit"});
        enabled_outcome_ = agent(arguments);
        named_ = interfaces_named();
        enabled_ = agent({"status"}).status != 3;
    }
    // As the state says: a refused command changes nothing.
    [[nodiscard]] bool interfaces_named() const {
        const auto state = saved_state();
        return state.is_object() && !state.at("interfaces").empty();
    }
    void attach_tcx(bool in_front) {
        const TcSide side = pick(2) == 0 ? TcSide::Ingress : TcSide::Egress;
        if (Fd link = attach_foreign_tcx(test_->host, some_interface(), side, tcx_pass, in_front))
            foreign_links_.push_back(std::move(link));
    }
    void attach_xdp() {
        if (Fd link = attach_foreign_xdp(test_->host, some_interface(), XDP_PASS))
            foreign_links_.push_back(std::move(link));
    }
    void rename() {
        if (!renamed_.empty()) return rename_back();
        const std::string name = some_interface();
        if (!exists(name)) return;
        host({"ip", "link", "set", name, "name", "lan-" + name});
        renamed_.push_back(name);
    }
    void rename_back() {
        for (const std::string& name : renamed_)
            host({"ip", "link", "set", "lan-" + name, "name", name});
        renamed_.clear();
    }
    void delete_or_make() {
        rename_back();
        const int uplink = 1 + pick(2);
        if (exists(uplink_name(uplink)))
            host({"ip", "link", "del", uplink_name(uplink)});
        else
            make_uplink(uplink);
    }
    void lose_pins() {
        std::vector<fs::path> pins;
        std::error_code error;
        for (const auto& entry : fs::recursive_directory_iterator(test_->instance.layout(), error))
            pins.push_back(entry.path());
        if (pins.empty()) return;
        if (pick(2) == 0)
            fs::remove_all(test_->instance.layout(), error);
        else
            fs::remove_all(pins[static_cast<std::size_t>(pick(static_cast<int>(pins.size())))], error);
    }
    void cover_bpffs() {
        if (covered_)
            umount2(test_->instance.bpffs.c_str(), MNT_DETACH);
        else
            mount("bpf", test_->instance.bpffs.c_str(), "bpf", 0, nullptr);
        covered_ = !covered_;
        start_service(); // which would see another mount namespace's view else
    }
    void fill_disk() {
        const fs::path filler = state_file("filler");
        if (fs::exists(filler)) {
            fs::remove(filler);
            return;
        }
        std::ofstream out(filler);
        while (out << std::string(4096, 'x') << std::flush) {
        }
    }
    void apply_map() {
        serial_ += 1 + static_cast<unsigned>(pick(3));
        std::string ranges;
        for (const char* remote : remotes)
            ranges += fmt::format("{}\"{}/32\"", ranges.empty() ? "" : ", ", remote);
        ranges += fmt::format(", \"3.{}.0.0/24\"", 8 + pick(90));
        const std::string file =
            test_->write_file("map.json", fmt::format(R"({{"format": "kudo-range-map/1", "serial": {},
 "issued": "2022-03-01T00:00:00Z", "effective": "2022-03-01T00:00:00Z", "expires": null, "overrides": ["shrink"],
 "services": [{{"name": "media", "class": "media", "regions": ["ca"], "ports": ["udp/3478", "tcp/443"],
 "ipv4": [{}]}}]}})",
                                                      serial_, ranges));
        agent(TestHost::apply_arguments(file));
    }
    void bad_key() {
        fs::create_directories(test_->folder + "/keys");
        (void)test_->write_file("keys/" + std::string(pick(2) == 0 ? "a.pub" : ".#a.pub"), "ssh-ed25519 AAAA\n");
    }
    void kill_enable() {
        const int pid = inside<int>(test_->host, [&] {
            return start_program(test_->agent_argv({"enable", "--region", "ca"}));
        });
        std::this_thread::sleep_for(std::chrono::milliseconds(pick(200)));
        kill(pid, SIGKILL);
        waitpid(pid, nullptr, 0);
        named_ = interfaces_named();
        enabled_ = agent({"status"}).status != 3;
    }
    void jump_clock() { clock_->stop_at(fmt::format("20{}-0{}-01 00:00:00", 25 + pick(10), 1 + pick(9))); }
    void other_route() {
        const int uplink = pick(3);
        const std::string range = std::string(remotes[static_cast<std::size_t>(uplink)]) + "/32";
        switch (pick(5)) {
        case 0:
            return host({"ip", "route", "replace", range, "via", "10.83.0.1"});
        case 1:
            return host({"ip", "rule", "add", "to", range, "table", "77", "pref", "77"});
        case 2:
            return host({"ip", "route", "replace", range, "via", "10.83.0.1", "table", "77"});
        default:
            return calm_routes();
        }
    }
    void calm_routes() const {
        host({"ip", "rule", "del", "pref", "77"});
        host({"ip", "route", "flush", "table", "77"});
        host({"ip", "route", "del", std::string(remotes[0]) + "/32"});
        for (const int uplink : {1, 2})
            route(uplink);
    }

    // What others did is undone; then ours must heal by itself.
    void calm() {
        foreign_links_.clear();
        rename_back();
        if (covered_) cover_bpffs();
        fs::remove(state_file("filler"));
        for (const int uplink : {1, 2})
            if (!exists(uplink_name(uplink))) make_uplink(uplink);
        calm_routes();
        for (const char* name : {"eth0", "eth1", "eth2", "vpn0"}) {
            host({"ip", "link", "set", name, "up"});
            host({"tc", "qdisc", "del", "dev", name, "root"});
            if (test_->in_host({"tc", "qdisc", "show", "dev", name}).find("qdisc ingress") != std::string::npos)
                host({"tc", "qdisc", "del", "dev", name, "ingress"});
            host({"tc", "filter", "del", "dev", name, "ingress", "pref", "9"});
            host({"tc", "filter", "del", "dev", name, "egress", "pref", "9"});
        }
        calm_routes();
    }

    struct Step {
        const char* name;
        int weight;
        std::function<void()> act;
    };
    std::vector<Step> steps() {
        const auto tc = [this](std::vector<std::string> words) {
            words.insert(words.begin(), "tc");
            return [this, words = std::move(words)] {
                auto argv = words;
                std::ranges::replace(argv, "IF", some_interface());
                host(argv);
            };
        };
        return {
            {"a foreign root qdisc", 3, tc({"qdisc", "replace", "dev", "IF", "root", "pfifo", "limit", "77"})},
            {"no root qdisc", 3, tc({"qdisc", "del", "dev", "IF", "root"})},
            {"sch_ingress", 2, tc({"qdisc", "add", "dev", "IF", "handle", "ffff:", "ingress"})},
            {"no clsact", 2, tc({"qdisc", "del", "dev", "IF", "clsact"})},
            {"no ingress qdisc", 2, tc({"qdisc", "del", "dev", "IF", "ingress"})},
            {"a foreign filter", 2,
             tc({"filter", "add", "dev", "IF", "ingress", "pref", "9", "protocol", "ip", "u32", "match", "u32", "0",
                 "0", "flowid", "1:1"})},
            {"no filters", 2, tc({"filter", "del", "dev", "IF", "egress"})},
            {"a foreign tcx program in front that ends the chain", 2, [this] { attach_tcx(true); }},
            {"a foreign tcx program behind", 2, [this] { attach_tcx(false); }},
            {"a foreign XDP program", 2, [this] { attach_xdp(); }},
            {"no foreign programs", 3, [this] { foreign_links_.clear(); }},
            {"routes", 5, [this] { other_route(); }},
            {"a rename", 3, [this] { rename(); }},
            {"an uplink deleted or made", 3, [this] { delete_or_make(); }},
            {"a link down", 1,
             [this] {
                 // eth0 would lose its IPv6 routes, which nothing here brings back.
                 host({"ip", "link", "set", uplink_name(1 + pick(2)), "down"});
             }},
            {"links up", 2, [this] { calm(); }},
            {"lost pins", 3, [this] { lose_pins(); }},
            {"a bpffs over ours, or off", 1, [this] { cover_bpffs(); }},
            {"a full disk, or not", 2, [this] { fill_disk(); }},
            {"the service killed and started", 2, [this] { start_service(); }},
            {"a killed enable", 2, [this] { kill_enable(); }},
            {"the clock set", 2, [this] { jump_clock(); }},
            {"a bad key", 1, [this] { bad_key(); }},
            {"a range map", 4, [this] { apply_map(); }},
            {"disable", 1, [this] { agent({"disable"}), enabled_ = agent({"status"}).status != 3; }},
            {"enable", 5, [this] { enable(); }},
        };
    }

    // What `status` complains of is of interfaces that carry none of the paths (their link is down, a route leads
    // elsewhere): no packet can tell.
    [[nodiscard]] bool is_only_where_no_path_leads(const nlohmann::json& status) const {
        if (!status.is_object()) return false;
        std::string ways;
        for (const char* remote : remotes)
            ways += inside<Outcome>(test_->host, [&] { return run_program({"ip", "route", "get", remote}); }).out;
        std::vector<std::string> unused;
        for (const auto& interface : status.at("interfaces")) {
            const std::string name = interface.at("name");
            if (interface.at("healthy")) continue;
            if (ways.find(" dev " + name + " ") != std::string::npos) return false;
            unused.push_back(name + ": ");
        }
        return std::ranges::all_of(status.at("drift"), [&](const std::string& line) {
            return std::ranges::any_of(unused, [&](const std::string& name) { return line.starts_with(name); });
        });
    }

    // As tc and ip show them, where the state asks for any. No program on tcx may be before the filter that marks for
    // the downlink's queue.
    [[nodiscard]] bool are_queues_right(const nlohmann::json& status) const {
        const auto state = saved_state();
        if (!status.is_object() || !state.is_object()) return true;
        const auto shows = [&](const std::vector<std::string>& argv, const std::string& words) {
            return inside<Outcome>(test_->host, [&] { return run_program(argv); }).out.find(words) != std::string::npos;
        };
        return std::ranges::all_of(status.at("interfaces"), [&](const nlohmann::json& interface) {
            const std::string name = interface.at("name");
            const unsigned index = inside<unsigned>(test_->host, [&] { return if_nametoindex(name.c_str()); });
            const std::string device = fmt::format("kudo-ifb{}", index);
            const bool up =
                state.at("uplink") == "auto" || shows({"tc", "qdisc", "show", "dev", name}, "htb 4b55: root");
            const bool down = state.at("downlink") == "auto" ||
                              (shows({"tc", "qdisc", "show", "dev", device}, "htb 4b55: root") &&
                               shows({"tc", "filter", "show", "dev", name, "ingress"}, "to device " + device) &&
                               !(shows({"tc", "filter", "show", "dev", name, "ingress"}, "kudo_tc_ingress") &&
                                 inside<bool>(test_->host, [&] { return !tcx_programs(index, true).empty(); })));
            return up && down;
        });
    }
    [[nodiscard]] nlohmann::json saved_state() const {
        std::ifstream in(state_file("state.json"));
        return nlohmann::json::parse(in, nullptr, false);
    }
    [[nodiscard]] std::string last_words() const {
        const std::string log = service_->log();
        return "the service's last words:\n" + log.substr(log.size() - std::min<std::size_t>(log.size(), 3000));
    }

    // `status` and the packets agree, once both have settled.
    void expect_truth(const std::string& history) {
        std::string text;
        for (int attempt = 0; attempt < 12; attempt++) {
            if (attempt != 0) std::this_thread::sleep_for(150ms);
            const Outcome before = agent({"status", "--json"});
            const Probe packets = probe();
            const Outcome after = agent({"status", "--json"});
            if (before.status != after.status) continue;
            const auto status = nlohmann::json::parse(after.out, nullptr, false);
            if ((before.status == 0) == (packets.right && enabled_ && are_queues_right(status))) return;
            if (before.status == 4 && packets.right && is_only_where_no_path_leads(status)) {
                unjudged_++;
                return;
            }
            text = fmt::format("status {}: {}{}\npackets: {}\n", after.status,
                               status.is_object() ? status["drift"].dump() + status["interfaces"].dump() : after.out,
                               after.err, packets.text);
        }
        ADD_FAILURE() << (named_ ? "named; " : "automatic; ") << "seed " << seed_ << "\n"
                      << history << "\n"
                      << text << last_words();
    }

    // What a person sees of the host, without numbers that a new interface changes.
    [[nodiscard]] std::string host_view() const {
        std::string view;
        for (const std::vector<std::string>& argv :
             std::vector<std::vector<std::string>>{{"ip", "-o", "address"},
                                                   {"ip", "route", "show", "table", "all"},
                                                   {"ip", "rule"},
                                                   {"ip", "-o", "link"},
                                                   {"tc", "qdisc", "show"},
                                                   {"bpftool", "net"},
                                                   {"nft", "list", "ruleset"}})
            view += test_->in_host(argv);
        for (const char* name : {"eth0", "eth1", "eth2", "vpn0"})
            for (const char* side : {"ingress", "egress"})
                view += inside<Outcome>(test_->host, [&] {
                            return run_program({"tc", "filter", "show", "dev", name, side});
                        }).out;
        view = std::regex_replace(view, std::regex(R"(fe80:\S+)"), "LINK-LOCAL");
        for (const char* volatile_part : {R"(\b\d+: )", R"(@if\d+)", R"([0-9a-f]{2}(:[0-9a-f]{2}){5})",
                                          R"(link-netnsid \d+)", R"((valid|preferred)_lft \S+)"})
            view = std::regex_replace(view, std::regex(volatile_part), "");
        std::vector<std::string> lines;
        std::istringstream in(view);
        for (std::string line; std::getline(in, line);)
            // What IPv6 makes of a link that has come up settles when it likes.
            if (line.find("LINK-LOCAL") == std::string::npos && !line.starts_with("multicast ff00::/8 "))
                lines.push_back(line);
        std::ranges::sort(lines);
        return fmt::format("{}", fmt::join(lines, "\n"));
    }

    unsigned seed_ = 0;
    std::mt19937 random_;
    std::optional<TestClock> clock_;
    std::optional<RunningService> service_;
    std::vector<Fd> listeners_, foreign_links_;
    std::vector<std::string> renamed_;
    Outcome enabled_outcome_;
    bool covered_ = false, named_ = false, enabled_ = false;
    unsigned unjudged_ = 0; // steps after which only an interface that carries no path was complained of
    uint64_t serial_ = 2022050000;
};

TEST_F(Disorder, StatusAndPacketsAgreeAfterEveryStep) {
    const unsigned count = environment_number("KUDO_DISORDER_STEPS", 100);
    calm();
    const std::string before = host_view();
    enable();
    start_service();
    std::vector<Step> all = steps();
    std::vector<int> weights;
    for (const Step& step : all)
        weights.push_back(step.weight);
    std::discrete_distribution<std::size_t> which(weights.begin(), weights.end());
    std::deque<std::string> history;
    for (unsigned i = 0; i < count && !HasFailure(); i++) {
        const Step& step = all[which(random_)];
        history.push_back(fmt::format("step {}: {}", i, step.name));
        if (history.size() > 12) history.pop_front();
        step.act();
        if (!service_->is_running()) ADD_FAILURE() << "the service has ended: " << service_->log();
        expect_truth(fmt::format("{}", fmt::join(history, "\n")));
        if (i % 50 != 49) continue;
        calm();
        enable();
        EXPECT_TRUE(eventually([&] { return agent({"status"}).status == 0; }))
            << "it does not heal: " << agent({"status"}).out << "seed " << seed_ << "\n"
            << fmt::format("{}\n", fmt::join(history, "\n")) << "enable: " << enabled_outcome_.status << " "
            << enabled_outcome_.err << last_words();
    }
    printf("%u steps, seed %u; after %u of them only interfaces without a path were complained of\n", count, seed_,
           unjudged_);
    calm();
    service_.reset();
    const Outcome disabled = agent({"disable"});
    EXPECT_EQ(disabled.status, 0) << disabled.err;
    EXPECT_EQ(host_view(), before) << "seed " << seed_;
}

} // namespace
} // namespace kudo::test
