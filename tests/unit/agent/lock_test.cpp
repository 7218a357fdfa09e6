// SPDX-License-Identifier: MIT
// The lock of a folder.
// Invariant: each test names one behaviour.
#include <sys/stat.h>

#include <future>

#include <gtest/gtest.h>

#include "agent/system/lock.h"
#include "tests/support/temporary_folder.h"

namespace kudo {
namespace {

using std::chrono::milliseconds;

TEST(Lock, IsHeldOnceAndUntilItsDescriptorCloses) {
    const test::TemporaryFolder temporary;
    const auto folder = temporary.path() / "made/by/the lock";
    {
        const auto held = lock_folder(folder, milliseconds(0));
        ASSERT_TRUE(held) << held.error().message;
        EXPECT_EQ(lock_folder(folder, milliseconds(0)).error().number, EWOULDBLOCK);
    }
    EXPECT_TRUE(lock_folder(folder, milliseconds(0)));
    EXPECT_TRUE(std::filesystem::is_empty(folder)) << "it leaves no file";
}

TEST(Lock, SaysHowLongItWaited) {
    const test::TemporaryFolder temporary;
    const auto held = lock_folder(temporary.path(), milliseconds(0));
    ASSERT_TRUE(held) << held.error().message;
    const std::string shortly = lock_folder(temporary.path(), milliseconds(50)).error().message;
    EXPECT_NE(shortly.find("waited 50 ms"), std::string::npos) << shortly;
    const std::string longer = lock_folder(temporary.path(), milliseconds(1000)).error().message;
    EXPECT_NE(longer.find("waited 1 s"), std::string::npos) << longer;
}

TEST(Lock, OfAFolderThatWasMadeAgainIsTheNewOnes) {
    const test::TemporaryFolder temporary;
    const auto folder = temporary.path() / "state";
    auto held = std::make_unique<Result<Fd>>(lock_folder(folder, milliseconds(0)));
    ASSERT_TRUE(*held);
    auto waiter = std::async(std::launch::async, [&] { return lock_folder(folder, std::chrono::seconds(20)); });
    EXPECT_EQ(waiter.wait_for(milliseconds(100)), std::future_status::timeout);
    std::filesystem::remove(folder);
    std::filesystem::create_directory(folder);
    held.reset();
    const auto locked = waiter.get();
    ASSERT_TRUE(locked) << locked.error().message;
    struct stat mine {
    }, there{};
    ASSERT_EQ(fstat(locked->get(), &mine), 0);
    ASSERT_EQ(stat(folder.c_str(), &there), 0);
    EXPECT_EQ(mine.st_ino, there.st_ino);
}

} // namespace
} // namespace kudo
