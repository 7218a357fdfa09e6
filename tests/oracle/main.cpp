// SPDX-License-Identifier: MIT
// kudo_oracle: judges random frames by the kernel's programs and by the model in Python, and compares.
//   kudo_oracle [--seed N] [--seconds N | --sessions N] [--packets N] [--break RULE]
// Exit status: 0 no disagreement, 1 some, 77 BPF cannot be had here. With --break, a mistake in the model, 0 means that
// it was found.
#include <array>
#include <chrono>
#include <cstdlib>
#include <map>
#include <random>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "tests/oracle/session.h"

namespace kudo::test {
namespace {

struct Settings {
    uint64_t seed = std::random_device{}() % 1'000'000'000;
    double seconds = 20;
    uint64_t sessions = 1ull << 40;
    uint32_t packets = 4000;
    std::string broken;
};

// Well below the time limit of fragments (30 s): a busy machine must not look like a disagreement.
constexpr std::chrono::seconds max_session(8);

class Comparison {
public:
    explicit Comparison(const Settings& settings) : settings_(settings) {}
    void run();
    [[nodiscard]] bool has_failed() const { return disagreements_ != 0; }
    void print() const;

private:
    void put(const ExpectedPacket& packet);
    void report(const ExpectedPacket& packet, const std::string& difference);
    [[nodiscard]] double elapsed() const {
        return std::chrono::duration<double>(std::chrono::steady_clock::now() - began_).count();
    }

    const Settings settings_;
    const std::chrono::steady_clock::time_point began_ = std::chrono::steady_clock::now();
    std::optional<Bench> ethernet_, bare_;
    Bench* bench_ = nullptr; // of this session; null: it has failed already, and its tables differ
    nlohmann::json policy_;
    uint64_t number_ = 0; // of the packet in its session
    std::chrono::steady_clock::time_point session_began_;
    uint64_t slow_ = 0; // sessions that were left off
    uint64_t packets_ = 0, refused_ = 0, sessions_ = 0, disagreements_ = 0;
    std::map<std::string, std::array<uint64_t, 3>> seen_; // by reason and hook
    std::map<std::string, uint64_t> kinds_;               // of disagreements
};

void Comparison::report(const ExpectedPacket& packet, const std::string& difference) {
    ++disagreements_;
    bench_ = nullptr;
    ++kinds_[fmt::format("{}: {}", policy_.at("admission").get<std::string>(), difference)];
    if (disagreements_ > 20 || !settings_.broken.empty()) return;
    constexpr std::array hooks = {"kudo_xdp", "kudo_tc_ingress", "kudo_tc_egress"};
    fmt::print(
        "seed {} packet {} {} mode {} admission {} deadline {}{}{}{}\n  {}\n  {}\n", policy_.at("seed").get<uint64_t>(),
        number_, hooks.at(static_cast<std::size_t>(packet.hook)), policy_.at("mode").get<std::string>(),
        policy_.at("admission").get<std::string>(), policy_.at("deadline").get<std::string>(),
        policy_.at("bare").get<bool>() ? ", bare IP" : "",
        packet.segment_size ? fmt::format(", GSO {}", packet.segment_size) : "",
        packet.first_buffer != ExpectedPacket::whole_frame ? fmt::format(", first buffer {}", packet.first_buffer) : "",
        difference, hex_dump(packet.frame));
    std::fflush(stdout);
}

void Comparison::put(const ExpectedPacket& packet) {
    ++number_;
    if (!bench_) return;
    if (std::chrono::steady_clock::now() - session_began_ > max_session) { // the programs' own time would count
        ++slow_;
        bench_ = nullptr;
        return;
    }
    const std::optional<std::string> difference = bench_->difference(packet);
    if (!difference) {
        ++refused_;
        return;
    }
    ++packets_;
    const auto& reasons = policy_.at("reasons");
    ++seen_[reasons.at(packet.reason).get_ref<const std::string&>()].at(static_cast<std::size_t>(packet.hook));
    if (!difference->empty()) report(packet, *difference);
}

void Comparison::run() {
    Stream stream(fmt::format("exec python3 {} --seed {} --sessions {} --packets {}{}", KUDO_ORACLE_GENERATOR,
                              settings_.seed, settings_.sessions, settings_.packets,
                              settings_.broken.empty() ? "" : " --break " + settings_.broken));
    Record record;
    while (elapsed() < settings_.seconds || !std::holds_alternative<SessionEnd>(record)) {
        if (!stream.next(record)) break;
        if (const auto* packet = std::get_if<ExpectedPacket>(&record)) {
            put(*packet);
        } else if (auto* begin = std::get_if<SessionBegin>(&record)) {
            policy_ = nlohmann::json::parse(begin->policy);
            number_ = 0;
            const bool bare = policy_.at("bare");
            std::optional<Bench>& bench = bare ? bare_ : ethernet_;
            if (!bench) bench.emplace(bare ? KUDO_LINK_NONE : KUDO_LINK_ETHERNET);
            bench->begin(policy_);
            session_began_ = std::chrono::steady_clock::now();
            bench_ = &*bench;
        } else if (const auto* time = std::get_if<TimePasses>(&record)) {
            if (bench_) bench_->age(time->seconds);
        } else {
            ++sessions_;
            if (!settings_.broken.empty() && has_failed()) break;
        }
    }
}

void Comparison::print() const {
    fmt::print("{:<24} {:>12} {:>12} {:>12}\n", "reason, by the model", "xdp", "tc ingress", "tc egress");
    for (const auto& [reason, counts] : seen_)
        fmt::print("{:<24} {:>12} {:>12} {:>12}\n", reason, counts[0], counts[1], counts[2]);
    for (const auto& [kind, count] : kinds_)
        fmt::print("{} times {}\n", count, kind);
    fmt::print("seed {}: {} packets in {} sessions, {:.1f} s, {:.0f} packets/s, {} that no test run takes, {} "
               "sessions left off for slowness, {} disagreements\n",
               settings_.seed, packets_, sessions_, elapsed(), double(packets_) / elapsed(), refused_, slow_,
               disagreements_);
}

int compare(const Settings& settings) {
    Comparison comparison(settings);
    comparison.run();
    comparison.print();
    return comparison.has_failed() == settings.broken.empty() ? EXIT_FAILURE : EXIT_SUCCESS;
}

} // namespace
} // namespace kudo::test

int main(int argc, char** argv) {
    try {
        kudo::test::Settings settings;
        CLI::App app("Compares the kernel's programs with a model of docs/enforce.md in Python");
        app.add_option("--seed", settings.seed, "the first session's; each further one's is one higher");
        app.add_option("--seconds", settings.seconds, "no session begins later");
        app.add_option("--sessions", settings.sessions, "at most so many");
        app.add_option("--packets", settings.packets, "of a session");
        app.add_option("--break", settings.broken, "a mistake in the model that must be found");
        CLI11_PARSE(app, argc, argv);
        if (const std::string why = kudo::test::Datapath::missing(); !why.empty()) {
            std::fprintf(stderr, "skipped: %s\n", why.c_str());
            return 77;
        }
        return kudo::test::compare(settings);
    } catch (const std::exception& error) {
        std::fprintf(stderr, "kudo_oracle: %s\n", error.what());
        return EXIT_FAILURE;
    }
}
