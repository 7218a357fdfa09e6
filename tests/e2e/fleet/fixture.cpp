// SPDX-License-Identifier: MIT
#include "tests/e2e/fleet/fixture.h"

#include <fmt/format.h>

#include "tests/support/running_service.h"

namespace kudo::test {

std::string fleet_map_text(uint64_t serial, const std::string& range) {
    return fmt::format(R"({{"format": "kudo-range-map/1", "serial": {}, "issued": "2022-03-01T00:00:00Z",
 "effective": "2022-03-01T00:00:00Z", "expires": null, "audience": "acme", "overrides": ["shrink"], "services": [
 {{"name": "media", "class": "media", "regions": ["ca"], "ports": ["udp/3478"], "ipv4": ["{}"]}}]}})",
                       serial, range);
}

void FleetHostTest::SetUp() {
    HostTest::SetUp();
    if (!test_) return;
    network_.emplace(test_->host);
    ASSERT_EQ(network_->why_not(), "");
    server_.emplace("", "0.0.0.0");
    server_->start();
    keys_ = test_->folder + "/keys";
    key_.emplace(keys_, "operator");
    ASSERT_EQ(test_->agent({"enable", "--region", "ca"}).status, 0);
}

std::string FleetHostTest::signed_file(const std::string& name, const std::string& text) const {
    const std::string file = test_->write_file(name, text);
    key_->sign(file);
    return file;
}

Outcome FleetHostTest::fleet(std::vector<std::string> words) const {
    words.insert(words.begin(), "fleet");
    words.insert(words.end(), {"--nats", server_->url(), "--fleet", "acme", "--keys", keys_});
    if (!operator_credentials_.empty()) words.insert(words.end(), {"--nats-credentials", operator_credentials_});
    return test_->agent(words);
}

void FleetHostTest::publish_map(uint64_t serial, const std::string& range) const {
    const Outcome published =
        fleet({"publish", signed_file("map.json", fleet_map_text(serial, range)), "--ring", "canary"});
    ASSERT_EQ(published.status, 0) << published.err;
}

std::vector<std::string> FleetHostTest::service_arguments(const std::string& reread_every) const {
    return {
        "--nats", server_->url(), "--fleet",           "acme", "--ring",         "canary",    "--host-name", "web-1",
        "--keys", keys_,          "--reconcile-every", "1s",   "--reread-every", reread_every};
}

bool FleetHostTest::comes_to(uint64_t wanted) const {
    return eventually([&] { return serial() == wanted; }, std::chrono::seconds(20));
}

} // namespace kudo::test
