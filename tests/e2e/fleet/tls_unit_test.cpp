// SPDX-License-Identifier: MIT
// Under the restrictions of the systemd unit maps arrive from a real message server and a real web server.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include <fmt/format.h>

#include "tests/e2e/fleet/fixture.h"
#include "tests/support/loopback.h"
#include "tests/support/running_service.h"
#include "tests/support/web_server.h"

namespace kudo::test {
namespace {

class FleetUnit : public FleetHostTest {};

TEST_F(FleetUnit, MapsArriveOverNatsAndHttpsUnderItsRestrictions) {
    if (const std::string why = why_no_servers(); !why.empty()) GTEST_SKIP() << why;
    const std::filesystem::path folder = test_->folder;
    const TestAuthority authority(folder, "ca");
    const int port = free_port();
    std::ofstream(folder / "nginx.conf") << nginx_configuration(folder, authority.sign("server", "IP:127.0.0.1"), port,
                                                                free_port(), "");
    std::filesystem::create_directory(folder / "www");
    const ServerProcess nginx({nginx_program, "-e", folder / "error.log", "-p", folder, "-c", folder / "nginx.conf"});
    ASSERT_TRUE(listens(port, nginx));

    ASSERT_NO_FATAL_FAILURE(publish_map(2022050001, "3.123.12.128/28"));
    auto arguments = service_arguments();
    arguments.insert(arguments.end(), {"--https", fmt::format("https://127.0.0.1:{}/map.json", port), "--https-ca",
                                       authority.certificate()});
    std::filesystem::create_directories(test_->instance.state_dir); // StateDirectory=
    const std::vector<std::string> as_unit{KUDO_AS_UNIT, KUDO_UNIT,
                                           test_->instance.state_dir.string() + ":" + test_->instance.bpffs.string()};
    std::vector<std::string> nothing = as_unit;
    nothing.emplace_back("true");
    if (const Outcome tried = run_program(nothing); tried.status != 0)
        GTEST_SKIP() << "the unit's restrictions cannot be had here: " << tried.err;
    RunningService service(*test_, arguments, {}, as_unit);
    EXPECT_TRUE(comes_to(2022050001)) << service.log();
    const std::string file = signed_file("new.json", fleet_map_text(2022050002, "3.123.12.128/28"));
    for (const char* suffix : {".minisig", ""})
        std::filesystem::copy_file(file + suffix, folder / ("www/map.json" + std::string(suffix)));
    EXPECT_TRUE(comes_to(2022050002)) << service.log();
}

} // namespace
} // namespace kudo::test
