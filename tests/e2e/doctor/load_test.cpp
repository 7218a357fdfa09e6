// SPDX-License-Identifier: MIT
// `doctor --load`: 20 seconds of what a call sends, to a real coturn; on a good line, and through a router that
// throttles UDP as flood control does.
#include "tests/e2e/doctor/fixture.h"

namespace kudo::test {
namespace {

class DoctorLoadTest : public DoctorTest {
protected:
    Findings load() const { return doctor({"--server", media[0], "--server", media[1], "--load"}); }
};

TEST_F(DoctorLoadTest, AGoodLineCarriesACall) {
    const Findings findings = load();
    EXPECT_EQ(findings.of("load").result, "pass") << findings.of("load").all;
    EXPECT_NE(findings.of("load").all.find("4000 requests"), std::string::npos) << findings.of("load").all;
    EXPECT_EQ(findings.troubles(), std::vector<std::string>());
}

TEST_F(DoctorLoadTest, FloodControlIsNamed) {
    router_shell(
        "nft add table ip t; nft 'add chain ip t c { type filter hook forward priority 0; }'; "
        "nft 'add rule ip t c udp dport 3478 ip length > 1000 limit rate over 40/second burst 5 packets drop'");
    const Findings findings = load();
    EXPECT_EQ(findings.of("load").result, "fail") << findings.of("load").all;
    EXPECT_NE(findings.of("load").all.find("flood"), std::string::npos) << findings.of("load").all;
    EXPECT_EQ(findings.troubles("load"), std::vector<std::string>());
}

} // namespace
} // namespace kudo::test
