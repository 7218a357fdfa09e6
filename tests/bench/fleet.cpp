// SPDX-License-Identifier: MIT
// kudo_fleet_bench [--agents N] [--leaves N] [--rounds N] [--spread MS] [--bytes N] [--json FILE]: many hosts of one
// ring, each with the real source, against one real nats-server or as many leaf nodes of it: how long from a
// publication until it was delivered to all of them, and until their reports of it were stored; and what it costs in
// memory.
#include <sys/epoll.h>
#include <sys/resource.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstring>
#include <fstream>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <string_view>
#include <thread>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "agent/acceptance/acceptance.h"
#include "agent/fleet/layout.h"
#include "agent/sources/nats/connection.h"
#include "agent/sources/nats/source.h"
#include "maps/base/hash.h"
#include "maps/document/built_in.h"
#include "maps/document/write_range_map.h"
#include "maps/trust/bundle.h"
#include "tests/support/minisign_key.h"
#include "tests/support/nats_server.h"

namespace kudo::bench {
namespace {

using Clock = std::chrono::steady_clock;
using Milliseconds = std::chrono::duration<double, std::milli>;
using test::NatsServer;

struct FleetOptions {
    int agents = 1000, rounds = 10, leaves = 0;
    std::chrono::milliseconds spread{0};
    std::size_t bytes = 8000; // of the document: the built-in map has about as many
    std::string accept;       // a folder for the hosts' state: they verify and accept real maps as the service does
    std::string json;
};

constexpr uint64_t first_serial = 2022050000;

// What a host does with a delivery, and what it then says of itself. Here: nothing but to believe it.
using Handle = std::function<HostReport(int agent, const Delivery& delivery, uint64_t round)>;

HostReport believe(int agent, const Delivery& delivery, uint64_t round) {
    HostReport report;
    report.host = fmt::format("host-{}", agent);
    report.fleet = "bench";
    report.ring = "canary";
    report.serial = round;
    report.content_hash = content_hash(delivery.document);
    report.mode = "prioritise";
    report.health = health_good;
    report.version = "bench";
    report.time = std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now());
    return report;
}

// A host that is not enabled, with a state folder of its own: verifies, judges, stores and remembers the map.
Handle accept_below(const std::string& folder) {
    return [folder](int agent, const Delivery& delivery, uint64_t round) {
        const Instance instance{.bpffs = folder + "/bpffs", .state_dir = fmt::format("{}/host-{}", folder, agent)};
        AcceptanceSettings settings;
        settings.keys_folder = folder + "/keys";
        settings.fleet = "bench";
        settings.ring = "canary";
        const auto acceptance = accept(instance, settings, delivery);
        if (!acceptance) throw std::runtime_error(acceptance.error().message);
        HostReport report = believe(agent, delivery, round);
        report.serial = acceptance->serial - first_serial;
        return report;
    };
}

template <typename T> T value_of(Result<T> result) {
    if (!result) throw std::runtime_error(result.error().message);
    if constexpr (!std::is_void_v<T>) return std::move(*result);
}

// Kilobytes, of /proc/PID/status.
double memory_of(const std::string& process) {
    std::ifstream file("/proc/" + process + "/status");
    for (std::string line; std::getline(file, line);)
        if (line.starts_with("VmRSS:")) return std::stod(line.substr(6));
    return 0;
}

std::size_t connections_of(int process) {
    std::size_t sockets = 0;
    for (const auto& entry : std::filesystem::directory_iterator(fmt::format("/proc/{}/fd", process))) {
        std::error_code ignored;
        sockets += std::filesystem::read_symlink(entry, ignored).string().starts_with("socket:");
    }
    return sockets;
}

double percentile(std::vector<double> values, double part) {
    if (values.empty()) return NAN;
    std::ranges::sort(values);
    return values[static_cast<std::size_t>(std::ceil(part * static_cast<double>(values.size()))) - 1];
}

class FleetBench {
public:
    explicit FleetBench(const FleetOptions& options, Handle handle) : options_(options), handle_(std::move(handle)) {
        if (!options.accept.empty()) key_.emplace(options.accept + "/keys", "operator");
        server_.configure(server_.hub_configuration());
        server_.start();
        for (int i = 0; i < options.leaves; ++i) {
            leaves_.push_back(NatsServer::leaf_of(server_));
            leaves_.back()->start();
        }
        nats_.url = server_.url();
        nats_.fleet = "bench";
        nats_.ring = "canary";
        nats_.host = "operator";
        nats_.notification_spread = options.spread;
        nats_.answer_wait = nats_.connect_wait = std::chrono::seconds(30); // all connect at once
        epoll_ = Fd(epoll_create1(EPOLL_CLOEXEC));
    }

    nlohmann::ordered_json run() {
        auto connection = value_of(NatsConnection::open(nats_));
        value_of(connection.make_bucket(maps_bucket("bench"), maps_history, NatsConnection::Notify::Value));
        value_of(connection.make_bucket(hosts_bucket("bench"), 1));
        watch_reports();
        sign(0);
        publish(connection, 0);
        const double leaf_before = leaves_.empty() ? 0 : memory_of(std::to_string(leaves_[0]->process()));
        const double server_before = memory_of(std::to_string(server_.process()));
        const double agents_before = memory_of("self");
        const auto start = Clock::now();
        start_agents();
        serve_round(0, start);
        const double connect_ms = Milliseconds(Clock::now() - start).count();
        std::this_thread::sleep_for(std::chrono::seconds(1));
        const double leaf_connected = leaves_.empty() ? 0 : memory_of(std::to_string(leaves_[0]->process()));
        const double server_connected = memory_of(std::to_string(server_.process()));
        const double agents_connected = memory_of("self");
        const std::size_t sockets = connections_of(server_.process());

        std::vector<double> delivered, reported, all_delivered, all_reported;
        for (uint64_t round = 1; round <= static_cast<uint64_t>(options_.rounds); ++round) {
            sign(round);
            const auto published = Clock::now();
            publish(connection, round);
            serve_round(round, published);
            delivered.insert(delivered.end(), delivered_.begin(), delivered_.end());
            reported.insert(reported.end(), reported_.begin(), reported_.end());
            all_delivered.push_back(percentile(delivered_, 1));
            all_reported.push_back(percentile(reported_, 1));
        }
        const auto counting = Clock::now();
        const std::size_t stored = count_reports(connection, static_cast<uint64_t>(options_.rounds));
        const double count_ms = Milliseconds(Clock::now() - counting).count();
        const double server_after = memory_of(std::to_string(server_.process()));
        return {{"agents", options_.agents},
                {"leaves", options_.leaves},
                {"rounds", options_.rounds},
                {"document_bytes", options_.bytes},
                {"doorbell_spread_ms", options_.spread.count()},
                {"wrong", wrong_},
                {"reports_stored", stored},
                {"read_all_reports_ms", count_ms},
                {"report_bytes", to_json(believe(options_.agents, Delivery{}, 1)).size()},
                {"start_to_all_reported_ms", connect_ms},
                {"publish_to_delivered_ms", times_json(delivered, all_delivered)},
                {"publish_to_reported_ms", times_json(reported, all_reported)},
                {"server_sockets", sockets},
                {"server_rss_kb", {{"empty", server_before}, {"connected", server_connected}, {"end", server_after}}},
                {"server_kb_per_agent", (server_connected - server_before) / options_.agents},
                {"server_kb_per_agent_end", (server_after - server_before) / options_.agents},
                {"leaf_rss_kb", {{"empty", leaf_before}, {"connected", leaf_connected}}},
                {"agent_kb_each", (agents_connected - agents_before) / options_.agents}};
    }

private:
    static nlohmann::ordered_json times_json(const std::vector<double>& each, const std::vector<double>& last) {
        return {{"p50", percentile(each, 0.5)},
                {"p99", percentile(each, 0.99)},
                {"all_p50", percentile(last, 0.5)},
                {"all_max", percentile(last, 1)}};
    }

    [[nodiscard]] std::string document(uint64_t round) const {
        if (key_) {
            RangeMap map = built_in_range_map();
            map.serial = first_serial + round;
            return to_json(map);
        }
        std::string text = fmt::format("{} ", round);
        text.resize(std::max(options_.bytes, text.size()), 'x');
        return text;
    }

    void sign(uint64_t round) {
        if (!key_) return;
        const std::string file = options_.accept + "/map.json";
        std::ofstream(file) << document(round);
        key_->sign(file);
        std::ifstream signature(file + ".minisig");
        signatures_.assign(std::istreambuf_iterator<char>(signature), {});
    }

    void publish(NatsConnection& connection, uint64_t round) {
        const Bundle bundle{signatures_, document(round)};
        auto bucket = value_of(connection.bucket(maps_bucket("bench")));
        value_of(bucket.put(ring_map_key("canary"), value_of(join(bundle))));
    }

    // Every report that was stored rings here.
    void watch_reports() {
        watcher_.emplace(value_of(NatsConnection::open(nats_, [this](const NatsEvent& event) {
            const std::lock_guard lock(mutex_);
            if (!event.closed) arrivals_.push_back(Clock::now());
        })));
        value_of(watcher_->listen(notification_subject(hosts_bucket("bench"), "host.>")));
        value_of(watcher_->round_trip());
    }

    void start_agents() {
        for (int i = 0; i < options_.agents; ++i) {
            NatsOptions mine = nats_;
            mine.host = fmt::format("host-{}", i);
            if (!leaves_.empty()) mine.url = leaves_[static_cast<std::size_t>(i) % leaves_.size()]->url();
            agents_.push_back(std::make_unique<NatsSource>(mine));
            epoll_event wish{};
            wish.events = EPOLLIN;
            wish.data.u32 = static_cast<uint32_t>(i);
            if (epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, agents_.back()->fd(), &wish) != 0)
                throw std::runtime_error(fmt::format("agent {}: epoll_ctl: {}; {}", i, strerror(errno),
                                                     agents_.back()->fd() < 0
                                                         ? "no descriptor left: raise RLIMIT_NOFILE (ulimit -n)"
                                                         : "raise fs.epoll.max_user_watches"));
            agents_.back()->read_again([](Delivery) {});
        }
    }

    // Until every agent has delivered this round's document and its report was seen.
    void serve_round(uint64_t round, Clock::time_point published) {
        const std::string wanted = document(round);
        delivered_.clear();
        reported_.clear();
        const auto deadline = Clock::now() + std::chrono::minutes(2);
        const auto all = static_cast<std::size_t>(options_.agents);
        while (delivered_.size() < all || reported_.size() < all) {
            if (Clock::now() > deadline)
                throw std::runtime_error(fmt::format("round {}: only {} delivered, {} reported; {}", round,
                                                     delivered_.size(), reported_.size(),
                                                     agents_[0]->health().problem));
            epoll_event events[64];
            const int ready = epoll_wait(epoll_.get(), events, std::size(events), 5);
            for (int i = 0; i < ready; ++i) {
                const int agent = static_cast<int>(events[i].data.u32);
                NatsSource& source = *agents_[events[i].data.u32];
                source.on_ready([&](const Delivery& delivery) {
                    wrong_ += delivery.document != wanted;
                    delivered_.push_back(Milliseconds(Clock::now() - published).count());
                    source.report(handle_(agent, delivery, round));
                });
            }
            const std::lock_guard lock(mutex_);
            for (const auto& arrival : arrivals_)
                reported_.push_back(Milliseconds(arrival - published).count());
            arrivals_.clear();
        }
    }

    static std::size_t count_reports(NatsConnection& connection, uint64_t round) {
        std::size_t count = 0;
        value_of(value_of(connection.bucket(hosts_bucket("bench"))).for_each("host.>", [&](const NatsEntry& entry) {
            const auto report = parse_host_report(entry.value, entry.key);
            count += report && report->serial == round;
        }));
        return count;
    }

    FleetOptions options_;
    Handle handle_;
    std::optional<test::MinisignKey> key_;
    std::string signatures_ = std::string(300, 's') + "\n";
    NatsServer server_;
    std::vector<std::unique_ptr<NatsServer>> leaves_;
    NatsOptions nats_;
    Fd epoll_;
    std::mutex mutex_;
    std::vector<Clock::time_point> arrivals_; // guarded by mutex_
    std::optional<NatsConnection> watcher_;
    std::vector<std::unique_ptr<NatsSource>> agents_;
    std::vector<double> delivered_, reported_;
    std::size_t wrong_ = 0;
};

void print_table(const nlohmann::ordered_json& result) {
    fmt::print("{} agents, {} leaf nodes, {} rounds, documents of {} bytes, doorbell spread {} ms\n",
               result["agents"].get<int>(), result["leaves"].get<int>(), result["rounds"].get<int>(),
               result["document_bytes"].get<int>(), result["doorbell_spread_ms"].get<int>());
    const auto times = [&](const char* name, const nlohmann::ordered_json& row) {
        fmt::print("  {:<24} p50 {:8.1f} ms   p99 {:8.1f} ms   all: p50 {:8.1f} ms, longest {:8.1f} ms\n", name,
                   row["p50"].get<double>(), row["p99"].get<double>(), row["all_p50"].get<double>(),
                   row["all_max"].get<double>());
    };
    times("publish to delivered", result["publish_to_delivered_ms"]);
    times("publish to reported", result["publish_to_reported_ms"]);
    const auto line = [](const char* name, double value, const char* unit) {
        fmt::print("  {:<24} {:12.1f} {}\n", name, value, unit);
    };
    line("start to all reported", result["start_to_all_reported_ms"].get<double>(), "ms");
    line("server, empty", result["server_rss_kb"]["empty"].get<double>() / 1024, "MiB");
    line("server, connected", result["server_rss_kb"]["connected"].get<double>() / 1024, "MiB");
    line("server, at the end", result["server_rss_kb"]["end"].get<double>() / 1024, "MiB");
    line("server, for each agent", result["server_kb_per_agent"].get<double>(), "KiB");
    line("a leaf node, empty", result["leaf_rss_kb"]["empty"].get<double>() / 1024, "MiB");
    line("a leaf node, connected", result["leaf_rss_kb"]["connected"].get<double>() / 1024, "MiB");
    line("agent, each", result["agent_kb_each"].get<double>(), "KiB");
    line("sockets of the server", result["server_sockets"].get<double>(), "");
    line("a report", result["report_bytes"].get<double>(), "bytes");
    line("to read all reports", result["read_all_reports_ms"].get<double>(), "ms");
    line("reports stored", result["reports_stored"].get<double>(), "");
    line("wrong documents", result["wrong"].get<double>(), "");
}

int usage() {
    fmt::print(stderr, "usage: kudo_fleet_bench [--agents N] [--leaves N] [--rounds N] [--spread MS] [--bytes N] "
                       "[--accept FOLDER] [--json FILE]\n");
    return 2;
}

} // namespace

int run(int argc, char** argv) {
    FleetOptions options;
    for (int i = 1; i < argc; i += 2) {
        const std::string_view word = argv[i];
        if (i + 1 == argc) return usage();
        if (word == "--agents")
            options.agents = std::stoi(argv[i + 1]);
        else if (word == "--leaves")
            options.leaves = std::stoi(argv[i + 1]);
        else if (word == "--rounds")
            options.rounds = std::stoi(argv[i + 1]);
        else if (word == "--spread")
            options.spread = std::chrono::milliseconds(std::stoi(argv[i + 1]));
        else if (word == "--bytes")
            options.bytes = std::stoul(argv[i + 1]);
        else if (word == "--accept")
            options.accept = argv[i + 1];
        else if (word == "--json")
            options.json = argv[i + 1];
        else
            return usage();
    }
    // Two descriptors for each agent here, one in the server, which inherits this.
    rlimit limit{};
    getrlimit(RLIMIT_NOFILE, &limit);
    const auto wanted = 3 * static_cast<rlim_t>(options.agents) + 1000;
    rlimit raised{wanted, std::max(wanted, limit.rlim_max)};
    if (limit.rlim_max < wanted && setrlimit(RLIMIT_NOFILE, &raised) != 0)
        fmt::print(stderr, "RLIMIT_NOFILE is {}, and {} agents need {}: raise it (ulimit -Hn)\n", limit.rlim_max,
                   options.agents, wanted);
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    const nlohmann::ordered_json result =
        FleetBench(options, options.accept.empty() ? Handle(believe) : accept_below(options.accept)).run();
    print_table(result);
    if (!options.json.empty()) std::ofstream(options.json) << result.dump(2) << "\n";
    return result["wrong"] == 0 && result["reports_stored"] == options.agents ? 0 : 1;
}

} // namespace kudo::bench

int main(int argc, char** argv) {
    try {
        return kudo::bench::run(argc, argv);
    } catch (const std::exception& error) {
        fmt::print(stderr, "kudo_fleet_bench: {}\n", error.what());
        return 1;
    }
}
