// SPDX-License-Identifier: MIT
// What the service tells systemd, and that it never waits for it.
// Invariant: each test has a socket of its own, and the environment is as before afterwards.
#include <sys/socket.h>
#include <sys/un.h>

#include <chrono>
#include <cstring>
#include <future>
#include <string>

#include <gtest/gtest.h>

#include "agent/system/fd.h"
#include "agent/system/sd_notify.h"

namespace kudo {
namespace {

class Notify : public testing::Test {
protected:
    // A name without a file, as systemd uses for containers, chosen by the kernel.
    void SetUp() override {
        reader_ = Fd(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        ASSERT_EQ(bind(reader_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address.sun_family), 0);
        socklen_t size = sizeof address;
        ASSERT_EQ(getsockname(reader_.get(), reinterpret_cast<sockaddr*>(&address), &size), 0);
        const std::size_t length = size - offsetof(sockaddr_un, sun_path);
        setenv("NOTIFY_SOCKET", ("@" + std::string(address.sun_path + 1, length - 1)).c_str(), 1);
    }
    void TearDown() override { unsetenv("NOTIFY_SOCKET"); }
    std::string next() const {
        char text[256];
        const ssize_t got = recv(reader_.get(), text, sizeof text, 0);
        return got < 0 ? "" : std::string(text, static_cast<std::size_t>(got));
    }
    Fd reader_;
};

TEST_F(Notify, TellsWhatItIsToldTo) {
    notify_ready();
    EXPECT_EQ(next(), "READY=1");
    notify_stopping();
    EXPECT_EQ(next(), "STOPPING=1");
}

TEST_F(Notify, DoesNotWaitForAReaderThatTakesNothing) {
    auto told = std::async(std::launch::async, [] {
        for (int i = 0; i < 1000; ++i)
            notify_ready();
    });
    EXPECT_EQ(told.wait_for(std::chrono::seconds(10)), std::future_status::ready);
    while (told.wait_for(std::chrono::milliseconds(1)) != std::future_status::ready)
        next(); // lets it end
    while (!next().empty()) {
    }
}

TEST_F(Notify, AStatusThatFoundNoRoomIsToldLater) {
    for (int i = 0; i < 1000; ++i)
        notify_ready();
    const std::string status = "range map 77, not enabled";
    notify_status(status);
    while (next() == "READY=1") {
    }
    notify_status(status);
    EXPECT_EQ(next(), "STATUS=range map 77, not enabled");
    notify_status(status);
    EXPECT_EQ(next(), "") << "nothing new";
}

TEST(NotifyWithoutSystemd, SaysNothing) {
    notify_ready();
    setenv("NOTIFY_SOCKET", "/nowhere/at/all", 1);
    notify_ready();
    unsetenv("NOTIFY_SOCKET");
}

} // namespace
} // namespace kudo
