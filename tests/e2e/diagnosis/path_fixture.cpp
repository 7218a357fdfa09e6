// SPDX-License-Identifier: MIT
#include "tests/e2e/diagnosis/path_fixture.h"

#include <unistd.h>

#include <stdexcept>

#include <fmt/format.h>

#include "maps/base/text.h"

namespace kudo::test {
namespace {

std::vector<std::string> words_of(const std::string& line) {
    const auto parts = split(line, ' ');
    return {parts.begin(), parts.end()};
}

} // namespace

void PathTest::SetUp() {
    LineTest::SetUp();
    if (IsSkipped() || HasFatalFailure()) return;
    auto space = NetworkNamespace::create();
    if (!space) throw std::runtime_error(space.error().message);
    server_.emplace(std::move(*space));
    // The far side has KUDO's addresses elsewhere; here it only forwards.
    in_middlebox(fmt::format("ip address del {}/32 dev eth0", media_address));
    in_middlebox(
        fmt::format("ip link add wan0 up type veth peer name eth0 netns /proc/{}/fd/{}", getpid(), server_->fd()));
    in_middlebox("ip address add 192.168.9.1/24 dev wan0");
    in_server("ip address add 192.168.9.2/24 dev eth0");
    in_server("ip link set eth0 up");
    in_server(fmt::format("ip address add {}/32 dev eth0", media_address));
    in_server("ip route add default via 192.168.9.1");
    in_middlebox(fmt::format("ip route add {} via 192.168.9.2", media_address));
    in_middlebox("sysctl -qw net.ipv4.ip_forward=1");
}

std::string PathTest::in_middlebox(const std::string& line) const {
    return test_->in_far(words_of(line));
}

std::string PathTest::in_host(const std::string& line) const {
    return test_->in_host(words_of(line));
}

std::string PathTest::in_server(const std::string& line) const {
    const Outcome outcome = inside<Outcome>(*server_, [&] { return run_program(words_of(line)); });
    if (outcome.status != 0) throw std::runtime_error(line + ": " + outcome.err);
    return outcome.out;
}

void PathTest::nft_in_middlebox(const std::string& rules) const {
    in_middlebox("nft -f " + test_->write_file("rules.nft", rules));
}

void PathTest::nft_in_host(const std::string& rules) const {
    in_host("nft -f " + test_->write_file("rules.nft", rules));
}

PathTest::Recognised PathTest::recognised() const {
    const auto verdict = test_->stats().at("verdict");
    leave_text();
    Recognised result{.where = verdict.at("where"),
                      .layer = verdict.at("layer").is_null() ? "" : verdict.at("layer"),
                      .all = verdict.dump(1)};
    for (const auto& finding : verdict.at("findings"))
        result.names.insert(finding.at("name").get<std::string>());
    return result;
}

} // namespace kudo::test
