// SPDX-License-Identifier: MIT
// A name server that answers with what is worst for whoever reads it: KUDO_CRAFTED_ANSWERS of them (default 20,000),
// with the service running. Prints what `status` and the service cost afterwards.
#include "tests/e2e/link_fixture.h"

#include <algorithm>
#include <thread>

#include "tests/support/dns_message.h"
#include "tests/support/patience.h"
#include "tests/support/running_service.h"

namespace kudo::test {
namespace {

using Clock = std::chrono::steady_clock;

class CraftedDns : public LineTest {
protected:
    // Median of 5.
    [[nodiscard]] double status_milliseconds() const {
        std::vector<double> milliseconds;
        for (int i = 0; i < 5; i++) {
            const auto start = Clock::now();
            EXPECT_EQ(test_->agent({"status", "--json"}).status, 0);
            milliseconds.push_back(std::chrono::duration<double, std::milli>(Clock::now() - start).count());
        }
        std::ranges::sort(milliseconds);
        return milliseconds[2];
    }
};

TEST_F(CraftedDns, AnswersCostLittleOnceTheyHaveCome) {
    const char* given = std::getenv("KUDO_CRAFTED_ANSWERS");
    const unsigned count = given ? static_cast<unsigned>(std::atoi(given)) : 20'000;
    quieten();
    enable();
    RunningService service(*test_, {"--reconcile-every", "1s"});
    const double usual = status_milliseconds();
    const Endpoint here{host_address, 41000}, server{stranger_address, KUDO_DNS_PORT};
    const Fd near = udp_socket(test_->host, here), far = udp_socket(test_->far, server);
    for (unsigned i = 0; i < count; i++) {
        const std::string name = "n" + std::to_string(i % 4096) + ".kudoway.ca";
        const auto id = static_cast<uint16_t>(i);
        send_datagram(near.get(), server, dns_question(name, id));
        receive_datagram(far.get());
        send_datagram(far.get(), here, dns_labyrinth(name, 64, id));
        receive_datagram(near.get());
    }
    const double crafted = status_milliseconds();
    const double before = cpu_seconds(service.pid());
    std::this_thread::sleep_for(std::chrono::seconds(5));
    // It looks every second here; without the option every 30.
    const double each = (cpu_seconds(service.pid()) - before) / 5;
    const double share = each / 30 * 100;
    printf(
        "%u crafted answers; status %.1f ms, before them %.1f (medians of 5); the service %.1f ms each time it looks, "
        "%.2f %% of a core\n",
        count, crafted, usual, each * 1000, share);
    // The machine may be busy, and is so for both.
    EXPECT_LT(crafted, patient(5 * usual + 50));
    EXPECT_LT(share, patient(1.0));
}

} // namespace
} // namespace kudo::test
