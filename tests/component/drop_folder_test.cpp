// SPDX-License-Identifier: MIT
// A folder of range maps: what is delivered, when, and what never is.
// Only the test that mounts needs root. Invariant: real files and the kernel's own events; what must not be delivered
// is waited for longer than it would take.
#include <gtest/gtest.h>

#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include <algorithm>
#include <fstream>
#include <thread>

#include <fmt/format.h>

#include "agent/sources/drop_folder.h"
#include "maps/trust/minisign.h"
#include "tests/component/source_test.h"
#include "tests/support/temporary_folder.h"

namespace kudo::test {
namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;

constexpr auto settle = 150ms;
constexpr auto long_after = 600ms; // four times the settle time: what was to come has come

class Folder : public SourceTest {
protected:
    Folder() { fs::create_directory(folder_); }
    ~Folder() override { source_.reset(); }
    void start(std::chrono::milliseconds settle_time = settle) {
        auto opened = DropFolder::open(folder_, settle_time);
        ASSERT_TRUE(opened) << opened.error().message;
        source_ = std::move(*opened);
        source_->read_again(deliver());
    }
    void write(const std::string& name, const std::string& content) const {
        std::ofstream file(folder_ / name, std::ios::trunc);
        file << content;
        ASSERT_TRUE(file.flush().good());
    }
    void write_pair(const std::string& name, const std::string& content) const {
        write(name, content);
        write(name + ".minisig", "signature of " + content);
    }
    const TemporaryFolder temporary_;
    const fs::path base_ = temporary_.path();
    fs::path folder_ = base_ / "maps";
};

TEST_F(Folder, DeliversWhatIsThereAtTheStart) {
    write_pair("a.json", "one");
    start();
    ASSERT_EQ(delivered_.size(), 1U) << problem();
    EXPECT_EQ(delivered_[0].source, (folder_ / "a.json").string());
    EXPECT_EQ(delivered_[0].document, "one");
    EXPECT_EQ(delivered_[0].signatures, "signature of one");
    EXPECT_FALSE(delivered_[0].trust_transport);
    EXPECT_EQ(problem(), "");
    EXPECT_TRUE(source_->health().last_read.has_value());
    serve(long_after);
    EXPECT_EQ(delivered_.size(), 1U);
}

TEST_F(Folder, DeliversAMapOnceItsSignatureHasFollowed) {
    start();
    write("a.json", "one");
    serve(settle / 2);
    write("a.json.minisig", "signature");
    ASSERT_TRUE(serve_until_delivered(1)) << problem();
    serve(long_after);
    EXPECT_EQ(delivered_.size(), 1U);
    EXPECT_EQ(delivered_[0].signatures, "signature");
    EXPECT_EQ(problem(), "");
}

TEST_F(Folder, TakesASignatureThatComesFirst) {
    start();
    write("a.json.minisig", "signature");
    serve(long_after);
    EXPECT_EQ(problem(), "");
    write("a.json", "one");
    ASSERT_TRUE(serve_until_delivered(1)) << problem();
}

TEST_F(Folder, SaysThatASignatureIsMissingAndDeliversNothing) {
    start();
    write("a.json", "one");
    ASSERT_TRUE(serve_until_problem("its signature a.json.minisig is missing")) << problem();
    EXPECT_TRUE(delivered_.empty());
    write("a.json.minisig", "signature");
    ASSERT_TRUE(serve_until_delivered(1));
    EXPECT_EQ(problem(), "");
}

TEST_F(Folder, LeavesAFileThatIsBeingWrittenAloneUntilItIsWhole) {
    start(3s); // a busy machine may pause the test for less
    write("a.json.minisig", "signature");
    std::ofstream file(folder_ / "a.json");
    for (int i = 0; i < 10; i++) {
        file << i << std::flush;
        serve(settle / 3);
        EXPECT_TRUE(delivered_.empty()) << "after " << i;
    }
    file.close();
    ASSERT_TRUE(serve_until_delivered(1));
    EXPECT_EQ(documents(), Documents{"0123456789"});
}

TEST_F(Folder, ReadsAFileThatNeverStopsGrowing) {
    start();
    write("a.json.minisig", "signature");
    std::ofstream file(folder_ / "a.json");
    EXPECT_TRUE(serve(patient(timeout), [&] {
        file << "." << std::flush;
        return !delivered_.empty();
    }));
}

TEST_F(Folder, DeliversAMapThatIsRenamedOverTheOldOne) {
    write_pair("a.json", "one");
    start();
    ASSERT_EQ(delivered_.size(), 1U);
    write("a.json.tmp", "two");
    write(".a.json.minisig.Xy3", "signature of two");
    serve(long_after);
    ASSERT_EQ(delivered_.size(), 1U) << "a temporary file was taken for a map";
    fs::rename(folder_ / "a.json.tmp", folder_ / "a.json");
    fs::rename(folder_ / ".a.json.minisig.Xy3", folder_ / "a.json.minisig");
    ASSERT_TRUE(serve_until_delivered(2));
    serve(long_after);
    ASSERT_EQ(delivered_.size(), 2U);
    EXPECT_EQ(delivered_[1].document, "two");
    EXPECT_EQ(delivered_[1].signatures, "signature of two");
}

TEST_F(Folder, DeliversAMapWhoseSignatureAloneHasChanged) {
    write_pair("a.json", "one");
    start();
    write("a.json.minisig", "signed by two");
    ASSERT_TRUE(serve_until_delivered(2));
    EXPECT_EQ(delivered_[1].document, "one");
    EXPECT_EQ(delivered_[1].signatures, "signed by two");
}

TEST_F(Folder, DeliversTheSameAgainOnlyWhenAskedTo) {
    write_pair("a.json", "one");
    write_pair("b.json", "two");
    start();
    write_pair("a.json", "one");
    fs::permissions(folder_ / "b.json", fs::perms::owner_read);
    serve(long_after);
    EXPECT_EQ(documents(), (Documents{"one", "two"}));
    source_->read_again(deliver());
    EXPECT_EQ(documents(), (Documents{"one", "one", "two", "two"}));
}

TEST_F(Folder, ReadingAgainLeavesWhatIsBeingWrittenToSettle) {
    write_pair("a.json", "one");
    start(3s);
    write("a.json", "t");
    serve(settle / 3);
    read_again();
    write_pair("a.json", "two");
    ASSERT_TRUE(serve_until_delivered(2));
    serve(long_after);
    EXPECT_EQ(documents(), (Documents{"one", "two"}));
    EXPECT_EQ(problem(), "");
}

TEST_F(Folder, ForgetsAMapThatWasTakenAway) {
    write_pair("a.json", "one");
    start();
    fs::remove(folder_ / "a.json");
    fs::remove(folder_ / "a.json.minisig");
    serve(long_after);
    EXPECT_EQ(problem(), "");
    write_pair("a.json", "one");
    EXPECT_TRUE(serve_until_delivered(2));
}

TEST_F(Folder, TakesNoHiddenFileAndNoOtherKind) {
    for (const char* name : {".a.json", "a.txt", "json", "a.json.bak", "a.json.minisig.json.bak"})
        write_pair(name, "no");
    start();
    write_pair(".b.json", "no");
    serve(long_after);
    EXPECT_TRUE(delivered_.empty());
    EXPECT_EQ(problem(), "");
}

TEST_F(Folder, RefusesASymbolicLinkInPlaceOfAMap) {
    std::ofstream(base_ / "secret.json") << "secret";
    write("a.json.minisig", "signature");
    fs::create_symlink(base_ / "secret.json", folder_ / "a.json");
    start();
    EXPECT_NE(problem().find("a.json: a symbolic link"), std::string::npos) << problem();
    fs::create_symlink(base_ / "secret.json", folder_ / "b.json");
    write("b.json.minisig", "signature");
    write_pair("c.json", "one");
    ASSERT_TRUE(serve_until_delivered(1));
    serve(long_after);
    EXPECT_EQ(documents(), Documents{"one"});
    EXPECT_NE(problem().find("(and 1 more"), std::string::npos) << problem();
    fs::remove(folder_ / "a.json");
    fs::remove(folder_ / "b.json");
    EXPECT_TRUE(serve(patient(timeout), [&] { return problem().empty(); })) << problem();
}

TEST_F(Folder, RefusesASymbolicLinkInPlaceOfASignature) {
    std::ofstream(base_ / "secret") << "secret";
    fs::create_symlink(base_ / "secret", folder_ / "a.json.minisig");
    write("a.json", "one");
    start();
    serve(long_after);
    EXPECT_TRUE(delivered_.empty());
    EXPECT_NE(problem().find("a.json.minisig: a symbolic link"), std::string::npos) << problem();
}

TEST_F(Folder, NeverWaitsForAFifoNorReadsAFolder) {
    write("a.json.minisig", "signature");
    ASSERT_EQ(mkfifo((folder_ / "a.json").c_str(), 0600), 0);
    write("b.json", "one");
    ASSERT_EQ(mkfifo((folder_ / "b.json.minisig").c_str(), 0600), 0);
    write("c.json.minisig", "signature");
    fs::create_directory(folder_ / "c.json");
    const auto begin = std::chrono::steady_clock::now();
    start();
    EXPECT_LT(std::chrono::steady_clock::now() - begin, 5s);
    EXPECT_TRUE(delivered_.empty());
    EXPECT_NE(problem().find("a.json: not a regular file (and 2 more"), std::string::npos) << problem();
    fs::remove(folder_ / "a.json");
    EXPECT_TRUE(serve_until_problem("b.json.minisig: not a regular file")) << problem();
    fs::remove(folder_ / "b.json");
    EXPECT_TRUE(serve_until_problem("c.json: not a regular file")) << problem();
}

TEST_F(Folder, RefusesWhatIsTooLarge) {
    write_pair("a.json", std::string(range_map_max_bytes, 'x'));
    write_pair("b.json", std::string(range_map_max_bytes + 1, 'x'));
    write("c.json", "one");
    write("c.json.minisig", std::string(signatures_max_bytes + 1, 'x'));
    // Larger than memory, were it read: only its length is.
    write_pair("d.json", "");
    fs::resize_file(folder_ / "d.json", uintmax_t{1} << 40);
    start();
    // The signature that write_pair() makes is longer than the map: none of them fits.
    EXPECT_TRUE(delivered_.empty());
    EXPECT_NE(problem().find("(and 3 more"), std::string::npos) << problem();
    write("a.json.minisig", "signature");
    ASSERT_TRUE(serve_until_delivered(1));
    EXPECT_EQ(delivered_[0].document.size(), range_map_max_bytes);
    EXPECT_NE(problem().find(fmt::format("b.json: larger than {} bytes", range_map_max_bytes)), std::string::npos)
        << problem();
    fs::remove(folder_ / "b.json");
    EXPECT_TRUE(serve_until_problem(fmt::format("c.json.minisig: larger than {} bytes", signatures_max_bytes)));
}

TEST_F(Folder, ThatIsNotThereYetIsAProblemThatHeals) {
    fs::remove(folder_);
    start();
    EXPECT_EQ(problem(), folder_.string() + ": No such file or directory");
    EXPECT_FALSE(source_->health().last_read.has_value());
    fs::create_directory(folder_);
    write_pair("a.json", "one");
    ASSERT_TRUE(serve_until_delivered(1)) << problem();
    EXPECT_EQ(problem(), "");
    EXPECT_TRUE(source_->health().last_read.has_value());
}

TEST_F(Folder, RemovedAndMadeAgainIsReadAgain) {
    write_pair("a.json", "one");
    start();
    fs::remove_all(folder_);
    ASSERT_TRUE(serve_until_problem("No such file or directory")) << problem();
    fs::create_directory(folder_);
    write_pair("a.json", "two");
    ASSERT_TRUE(serve_until_delivered(2)) << problem();
    EXPECT_EQ(delivered_[1].document, "two");
    write_pair("a.json", "three"); // the new one is watched, too
    ASSERT_TRUE(serve_until_delivered(3)) << problem();
    EXPECT_EQ(problem(), "");
}

TEST_F(Folder, ReplacedByAnotherIsFollowed) {
    write_pair("a.json", "one");
    start();
    fs::rename(folder_, base_ / "old");
    fs::create_directory(folder_);
    write_pair("a.json", "two");
    ASSERT_TRUE(serve_until_delivered(2)) << problem();
    EXPECT_EQ(delivered_[1].document, "two");
    std::ofstream(base_ / "old" / "a.json") << "of the old folder";
    serve(long_after);
    EXPECT_EQ(delivered_.size(), 2U);
}

TEST_F(Folder, BehindATurnedSymbolicLinkIsFollowed) {
    const fs::path first = folder_, second = base_ / "second", link = base_ / "current";
    write_pair("a.json", "one");
    fs::create_directory(second);
    fs::create_symlink(first, link);
    folder_ = link;
    start();
    ASSERT_EQ(delivered_.size(), 1U);
    fs::create_symlink(second, base_ / "next");
    fs::rename(base_ / "next", link);
    write_pair("a.json", "two"); // no event of the folder that was watched
    ASSERT_TRUE(serve_until_delivered(2)) << problem();
    EXPECT_EQ(delivered_[1].document, "two");
}

TEST_F(Folder, ThatIsAFileIsAProblem) {
    fs::remove(folder_);
    std::ofstream{folder_} << "no folder";
    start();
    EXPECT_EQ(problem(), folder_.string() + ": Not a directory");
}

TEST_F(Folder, UnmountedIsAProblemUntilThereIsAMapAgain) {
    // In a mount namespace of this thread alone; the folder must not be read by any other thread.
    std::string skipped;
    std::thread([&] {
        if (unshare(CLONE_FS | CLONE_NEWNS) != 0 || mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0 ||
            mount("kudo-test", folder_.c_str(), "tmpfs", 0, nullptr) != 0) {
            skipped = std::string("cannot mount: ") + strerror(errno);
            return;
        }
        write_pair("a.json", "one");
        start();
        EXPECT_EQ(delivered_.size(), 1U);
        serve(long_after);
        EXPECT_EQ(umount(folder_.c_str()), 0) << "kept busy: " << strerror(errno);
        EXPECT_TRUE(serve_until_problem("was unmounted")) << problem();
        EXPECT_FALSE(serve(long_after, [&] { return problem().empty(); }));
        // Mounted over the folder that is watched now: nothing tells of it.
        EXPECT_EQ(mount("kudo-test", folder_.c_str(), "tmpfs", 0, nullptr), 0);
        write_pair("a.json", "two");
        EXPECT_TRUE(serve_until_delivered(2)) << problem();
        EXPECT_EQ(problem(), "");
        source_.reset();
        umount(folder_.c_str());
    }).join();
    if (!skipped.empty()) GTEST_SKIP() << skipped;
}

TEST_F(Folder, ManyEventsLoseNothing) {
    // More than the kernel's queue holds, while nobody reads it.
    std::size_t queue = 16384;
    std::ifstream("/proc/sys/fs/inotify/max_queued_events") >> queue;
    if (queue > 100'000) GTEST_SKIP() << "the kernel's queue of events holds " << queue;
    start();
    for (std::size_t i = 0; i <= queue / 2; i++) {
        // Two names in turn: events alike, one behind the other, are one.
        const fs::path name = folder_ / (i % 2 == 0 ? ".x" : ".y");
        std::ofstream{name} << i;
    }
    write_pair("a.json", "one"); // the queue has no room for this
    ASSERT_TRUE(serve_until_delivered(1)) << problem();
    EXPECT_EQ(documents(), Documents{"one"});
}

TEST_F(Folder, TwoHundredFilesAreDeliveredEachOnceWithoutALongTurn) {
    Documents wanted;
    for (int i = 0; i < 200; i++) {
        write_pair(fmt::format("{}.json", i), fmt::format("map {}", i));
        wanted.push_back(fmt::format("map {}", i));
    }
    std::sort(wanted.begin(), wanted.end());
    start();
    EXPECT_LT(delivered_.size(), 200U) << "all in one turn: nothing else was served";
    ASSERT_TRUE(serve_until_delivered(200));
    serve(long_after);
    EXPECT_EQ(documents(), wanted);
    EXPECT_TRUE(source_->health().last_read.has_value());
    write_pair("77.json", "changed");
    ASSERT_TRUE(serve_until_delivered(201));
    serve(long_after);
    EXPECT_EQ(delivered_.size(), 201U);
    EXPECT_EQ(delivered_.back().document, "changed");
}

TEST_F(Folder, OfFarTooManyMapsReadsSomeAndSaysSo) {
    for (int i = 0; i < 1100; i++)
        write_pair(fmt::format("{}.json", i), "map");
    start();
    ASSERT_TRUE(serve_until_delivered(1024));
    serve(long_after);
    EXPECT_EQ(delivered_.size(), 1024U);
    EXPECT_NE(problem().find("contains more than 1024 range maps"), std::string::npos) << problem();
}

TEST_F(Folder, ShowsNamesInPrintableAscii) {
    write("\xff\n.json", "one");
    start();
    EXPECT_NE(problem().find("\\x"), std::string::npos) << problem();
    EXPECT_TRUE(std::ranges::all_of(problem(), [](char c) { return c >= ' ' && c <= '~'; }));
}

} // namespace
} // namespace kudo::test
