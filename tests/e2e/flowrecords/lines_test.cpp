// SPDX-License-Identifier: MIT
// Flow records as lines of JSON: in a file that is rotated, on a full disk, in the journal; over restarts, and what no
// file is.
#include <gtest/gtest.h>

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <csignal>
#include <fstream>
#include <sstream>
#include <thread>

#include <fmt/format.h>

#include "tests/e2e/flowrecords/fixture.h"

namespace kudo::test {
namespace {

class FlowRecordLines : public FlowRecordTest {
protected:
    void SetUp() override {
        FlowRecordTest::SetUp();
        if (test_) file_ = test_->folder + "/flows.json";
    }
    [[nodiscard]] std::vector<std::string> to_file() const { return {"--flow-records", "json:" + file_}; }
    template <typename Read> void expect_equal(const RunningService& service, Read read) const {
        const FlowSums expected = sums_of_stats();
        EXPECT_GE(expected.size(), 3U);
        FlowSums last;
        EXPECT_TRUE(eventually([&] { return (last = sums_of_lines(read())) == expected; }, std::chrono::seconds(15)))
            << "read:\n"
            << text_of(last) << "stats:\n"
            << text_of(expected) << service.log();
    }
    // A mount namespace in which `command` is run before the program.
    [[nodiscard]] static std::vector<std::string> mounted(const std::string& command) {
        return {"unshare", "--mount", "sh", "-c", command + " && exec \"$@\"", "sh"};
    }
    std::string file_;
};

TEST_F(FlowRecordLines, AreWhatStatsSaysOverARotationAndRestarts) {
    const auto all = [&] { return content_of(file_ + ".1") + content_of(file_); };
    {
        const auto service = start(to_file());
        talk(40000, 6, 20);
        expect_equal(*service, all);
        struct stat about {};
        ASSERT_EQ(stat(file_.c_str(), &about), 0);
        EXPECT_EQ(about.st_mode & 0777, 0640U);
        std::filesystem::rename(file_, file_ + ".1");
        talk(40000, 6, 20);
        expect_equal(*service, all);
        EXPECT_FALSE(content_of(file_).empty());
        talk(40000, 6, 20); // in no record yet
        service->signal(SIGTERM);
        EXPECT_EQ(service->wait(), 0);
    }
    talk(40000, 6, 20); // while it does not run
    {
        const auto service = start(to_file());
        expect_equal(*service, all);
        // Killed when all is told: nothing comes twice.
        service->signal(SIGKILL);
        service->wait();
    }
    const auto service = start(to_file());
    talk(40000, 6, 20);
    expect_equal(*service, all);
    // The data path goes, and with it the flows; another one begins at zero.
    const FlowSums before = sums_of_lines(all());
    ASSERT_EQ(test_->agent({"disable"}).status, 0);
    EXPECT_TRUE(eventually([&] { return !std::filesystem::exists(test_->instance.flow_ledgers()); }));
    EXPECT_EQ(text_of(sums_of_lines(all())), text_of(before));
}

TEST_F(FlowRecordLines, AFullDiskIsToldAndLosesNothing) {
    const std::string disk = test_->folder + "/disk";
    std::filesystem::create_directory(disk);
    file_ = disk + "/flows.json";
    const auto service = start(to_file(), mounted("mount -t tmpfs -o size=64k none " + disk +
                                                  " && head -c 57344 /dev/zero >" + disk + "/filler"));
    const std::string seen = fmt::format("/proc/{}/root{}", service->pid(), disk);
    talk(40000, 60, 5); // 8 KiB are left
    EXPECT_TRUE(eventually([&] { return service->log().find("flows.json: cannot write") != std::string::npos; }))
        << service->log();
    // Between a write and the truncation behind it there is a part of a line for a moment.
    EXPECT_TRUE(eventually([&] {
        const std::string part = content_of(seen + "/flows.json");
        return part.empty() || part.back() == '\n';
    }));
    ASSERT_TRUE(std::filesystem::remove(seen + "/filler"));
    talk(40000, 3, 5);
    expect_equal(*service, [&] { return content_of(seen + "/flows.json"); });
}

TEST_F(FlowRecordLines, WhatIsNoRegularFileIsNotWrittenTo) {
    const std::string target = test_->write_file("target", "as it was"), folder = test_->folder + "/folder";
    std::filesystem::create_symlink(target, test_->folder + "/link");
    std::filesystem::create_directory(folder);
    ASSERT_EQ(mkfifo((test_->folder + "/fifo").c_str(), 0600), 0);
    const auto service =
        start({"--flow-records", "json:" + test_->folder + "/link", "--flow-records", "json:" + test_->folder + "/fifo",
               "--flow-records", "json:" + folder, "--flow-records", "json:/dev/full"});
    talk(40000, 3, 5);
    for (const char* problem : {"/link: a symbolic link, which is not followed", "/fifo: cannot open: No such device",
                                "/folder: cannot open: Is a directory", "/dev/full: not a regular file"})
        EXPECT_TRUE(eventually([&] { return service->log().find(problem) != std::string::npos; }))
            << problem << service->log();
    EXPECT_EQ(content_of(target), "as it was");
}

TEST_F(FlowRecordLines, GoToTheJournal) {
    const std::string folder = test_->folder + "/journal";
    std::filesystem::create_directory(folder);
    const Fd journal(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    sockaddr_un address{.sun_family = AF_UNIX, .sun_path = {}};
    (folder + "/socket").copy(address.sun_path, sizeof address.sun_path - 1);
    ASSERT_EQ(bind(journal.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
    const auto service = start({"--flow-records", "json:journal"},
                               mounted("mount -t tmpfs none /run && mkdir -p /run/systemd/journal && mount --bind " +
                                       folder + " /run/systemd/journal"));
    talk(40000, 6, 5);
    std::string lines;
    expect_equal(*service, [&] {
        char message[8192];
        for (ssize_t got; (got = recv(journal.get(), message, sizeof message, 0)) > 0;) {
            const std::string entry(message, static_cast<std::size_t>(got));
            EXPECT_NE(entry.find("SYSLOG_IDENTIFIER=kudo-agent-flows\n"), std::string::npos) << entry;
            const auto begin = entry.find("MESSAGE=") + 8;
            lines += entry.substr(begin, entry.find('\n', begin) - begin) + '\n';
        }
        return lines;
    });
}

uint64_t resident_kib(int pid) {
    std::istringstream lines(FlowRecordTest::content_of(fmt::format("/proc/{}/status", pid)));
    for (std::string line; std::getline(lines, line);)
        if (line.starts_with("VmRSS:")) return std::stoull(line.substr(6));
    return 0;
}

// And their packets that were sent, as ipfixDump reads them.
std::pair<std::size_t, uint64_t> records_in(const std::string& file) {
    std::pair<std::size_t, uint64_t> sum;
    std::istringstream lines(run_program({"ipfixDump", "--rfc5610", "--in", file}).out);
    constexpr std::string_view name = " packetDeltaCount : ";
    for (std::string line; std::getline(lines, line);)
        if (const auto found = line.find(name); found != std::string::npos) {
            sum.first++;
            sum.second += std::stoull(line.substr(found + name.size()));
        }
    return sum;
}

TEST_F(FlowRecordLines, OfTenThousandFlowsAreAllThere) {
    const auto collector = run_there(storing_collector(test_->folder + "/collector", 4739));
    std::vector<std::string> arguments = to_file();
    arguments.insert(arguments.end(), {"--flow-records", "ipfix:tcp:127.0.0.1:4739"});
    const auto service = start(arguments);
    const int child = std::stoi(content_of(fmt::format("/proc/{}/task/{}/children", service->pid(), service->pid())));
    const Fd far = udp_socket(test_->far, {media_address, 3478}); // what it has no room for is dropped there
    const auto cpu = [&] { return cpu_seconds(service->pid()) + cpu_seconds(child); };
    const double before = cpu();
    for (int flow = 0; flow < 10'000; flow++) {
        const Fd near = udp_socket(test_->host, {host_address, static_cast<uint16_t>(2000 + flow)});
        const uint8_t payload[] = {1};
        send_datagram(near.get(), {media_address, 3478}, payload);
    }
    expect_equal(*service, [&] { return content_of(file_); });
    const double all = cpu();
    if (std::system("command -v ipfixDump >/dev/null") == 0) {
        uint64_t sent = 0;
        for (const auto& [key, counted] : sums_of_stats())
            sent += counted[0];
        std::pair<std::size_t, uint64_t> read; // records, packets
        EXPECT_TRUE(eventually([&] {
            return (read = records_in(test_->folder + "/collector/0.ipfix")).second == sent;
        })) << read.second
            << " of " << sent;
        EXPECT_GE(read.first, 10'000U);
    }
    std::this_thread::sleep_for(std::chrono::seconds(2));
    fmt::print("10,000 records twice: {:.0f} ms of a processor; 2 s later {:.0f} ms more; resident {} and {} KiB\n",
               1000 * (all - before), 1000 * (cpu() - all), resident_kib(service->pid()), resident_kib(child));
}

TEST_F(FlowRecordLines, WrongOptionsAreRefused) {
    const auto status = [&](std::vector<std::string> options) {
        options.insert(options.begin(), {"run", "--check"});
        return test_->agent(options).status;
    };
    EXPECT_EQ(status({"--flow-records", "json:" + file_, "--flow-records", "ipfix:udp:collector:4739"}), 0);
    for (const std::vector<std::string>& wrong : std::vector<std::vector<std::string>>{
             {"--flow-records", "collector:4739"},
             {"--flow-records", "json:journal", "--flow-records", "json:journal"},
             {"--flow-records", "json:journal", "--flow-records-every", "0s"},
             {"--flow-records", "json:journal", "--flow-records-every", "1h"},
             {"--flow-records", "json:journal", "--flow-records-ca", "/etc/hostname"},
             {"--flow-records", "ipfix:tls:c:1", "--flow-records-key", "/etc/hostname"},
             {"--flow-records", "ipfix:tls:c:1", "--flow-records-ca", "/nowhere"},
             {"--flow-records", "json:/var/log/kudo-agent/f", "--flow-records", "json:/var/log/kudo-agent/./f"},
             {"--flow-records", "json:" + file_ + "/f"},
             {"--flow-records", "json:" + test_->folder},
             {"--flow-records-every", "5s"},
             {"--flow-records-domain", "5"},
             {"--flow-records", "json:journal", "--flow-records-enterprise", "0"},
             {"--flow-records", "json:journal", "--flow-records-enterprise", "29305"},
             {"--flow-records", "json:journal", "--flow-records-enterprise", "6871"},
             {"--flow-records", "json:journal", "--flow-records-domain", "-1"}})
        EXPECT_EQ(status(wrong), 2) << wrong.back();
}

} // namespace
} // namespace kudo::test
