// SPDX-License-Identifier: MIT
// Where flow records go from the service: a real file, and a real process that hangs.
#include <gtest/gtest.h>

#include <csignal>
#include <fstream>
#include <sstream>
#include <thread>

#include "agent/flowrecords/confined_sink.h"
#include "agent/flowrecords/json_file.h"
#include "tests/support/temporary_folder.h"

namespace kudo {
namespace {

std::string content_of(const std::filesystem::path& file) {
    std::ostringstream text;
    text << std::ifstream(file).rdbuf();
    return text.str();
}

// Whoever wrote before was killed in the middle of a line.
TEST(FlowRecordFile, BeginsALineOfItsOwnBehindAPartOfOne) {
    const test::TemporaryFolder folder;
    const auto file = folder.path() / "flows.json";
    std::ofstream(file) << "{}\n{\"part";
    std::size_t handed_over = 0;
    JsonFile sink(file, [&](std::size_t count) { handed_over += count; });
    const std::string line = json_line({}) + '\n';
    sink.send({DataRecord{}});
    sink.send({DataRecord{}});
    EXPECT_EQ(handed_over, 2U) << sink.problem();
    EXPECT_EQ(content_of(file), "{}\n{\"part\n" + line + line);
    JsonFile again(file, [](std::size_t) {});
    again.send({DataRecord{}});
    EXPECT_EQ(content_of(file), "{}\n{\"part\n" + line + line + line) << "a whole line is not ended again";
}

// Nothing is sent there: a process that is stopped does nothing.
TEST(FlowRecordProcess, OneThatHangsIsEndedAndItsBatchIsDueAgain) {
    auto loop = EventLoop::make();
    ASSERT_TRUE(loop) << loop.error().message;
    int answers = 0;
    ConfinedSink sink({.destination = *parse_flow_destination("ipfix:udp:127.0.0.1:9"),
                       .enterprise = 32473,
                       .domain = 1,
                       .templates_every = std::chrono::seconds(30),
                       .timeout = std::chrono::milliseconds(50)},
                      *loop, [&](std::size_t count) {
                          EXPECT_EQ(count, 0U);
                          answers++;
                      });
    sink.start_if_due();
    const pid_t before = sink.pid();
    ASSERT_GT(before, 0) << sink.problem();
    ASSERT_EQ(kill(before, SIGSTOP), 0);
    sink.send({DataRecord{}});
    sink.start_if_due();
    EXPECT_EQ(sink.pid(), before) << "it has time";
    std::this_thread::sleep_for(std::chrono::milliseconds(350));
    sink.start_if_due();
    EXPECT_EQ(answers, 1);
    EXPECT_NE(sink.problem().find("does not answer"), std::string::npos) << sink.problem();
    EXPECT_EQ(kill(before, 0), -1) << "it is still there";
}

} // namespace
} // namespace kudo
