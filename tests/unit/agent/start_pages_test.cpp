// SPDX-License-Identifier: MIT
#include <fstream>
#include <string>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "agent/system/start_pages.h"

namespace kudo {
namespace {

// kB of files' pages that are mapped in.
unsigned long resident_of_files() {
    std::ifstream status("/proc/self/status");
    for (std::string line; std::getline(status, line);)
        if (line.starts_with("RssFile:")) return std::stoul(line.substr(8));
    return 0;
}

// Written while the program starts: it is relocated.
const char* const volatile words[] = {"ranges", "ports"};

TEST(StartPages, GoAndComeBack) {
    const auto before = resident_of_files();
    ASSERT_GT(before, 0);
    release_start_pages();
    const auto after = resident_of_files();
    EXPECT_LT(after, before / 2) << "kB";
    EXPECT_EQ(fmt::format("{} {}", words[0], words[1]), "ranges ports");
    EXPECT_THROW(static_cast<void>(std::stoul("none")), std::invalid_argument); // unwinding reads what is mapped anew
}

} // namespace
} // namespace kudo
