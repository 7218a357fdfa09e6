// SPDX-License-Identifier: MIT
#include "agent/system/sd_notify.h"

#include <sys/socket.h>
#include <sys/un.h>
#include <systemd/sd-daemon.h>

#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <string_view>

#include "agent/system/fd.h"

namespace kudo {
namespace {

// As sd_notify() does, but for its waiting: a reader that has ten messages and takes none would stop the service.
bool say(std::string_view text) {
    const char* path = std::getenv("NOTIFY_SOCKET");
    sockaddr_un address{};
    if (!path || (path[0] != '/' && path[0] != '@') || std::strlen(path) >= sizeof address.sun_path) return false;
    address.sun_family = AF_UNIX;
    const std::size_t length = std::strlen(path);
    std::memcpy(address.sun_path, path, length);
    if (path[0] == '@') address.sun_path[0] = '\0'; // a name without a file
    const Fd socket(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    return socket && sendto(socket.get(), text.data(), text.size(), MSG_DONTWAIT | MSG_NOSIGNAL,
                            reinterpret_cast<const sockaddr*>(&address),
                            static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + length)) >= 0;
}

} // namespace

void notify_ready() {
    say("READY=1");
}

void notify_alive() {
    if (watchdog_period()) say("WATCHDOG=1");
}

void notify_stopping() {
    say("STOPPING=1");
}

void notify_status(const std::string& text) {
    static std::string said;
    if (text == said) return;
    if (say("STATUS=" + text)) said = text;
}

std::optional<std::chrono::microseconds> watchdog_period() {
    uint64_t period = 0;
    if (sd_watchdog_enabled(0, &period) <= 0) return {};
    return std::chrono::microseconds(period);
}

} // namespace kudo
