// SPDX-License-Identifier: MIT
#include "agent/netlink/offloads.h"

#include <linux/ethtool.h>
#include <linux/if.h>
#include <linux/sockios.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <cstring>

#include "agent/system/fd.h"

namespace kudo {
namespace {

bool ask(int socket, const std::string& interface, void* command) {
    ifreq request{};
    if (interface.size() >= sizeof request.ifr_name) return false;
    std::memcpy(request.ifr_name, interface.data(), interface.size());
    request.ifr_data = static_cast<char*>(command);
    return ioctl(socket, SIOCETHTOOL, &request) == 0;
}

} // namespace

Offloads read_offloads(const std::string& interface) {
    Offloads offloads;
    const Fd socket_fd(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    if (!socket_fd) return offloads;
    ethtool_drvinfo driver{};
    driver.cmd = ETHTOOL_GDRVINFO;
    if (ask(socket_fd.get(), interface, &driver))
        offloads.driver.assign(driver.driver, strnlen(driver.driver, sizeof driver.driver));
    ethtool_value value{};
    value.cmd = ETHTOOL_GGRO;
    if (ask(socket_fd.get(), interface, &value)) offloads.gro = value.data != 0;
    value = {};
    value.cmd = ETHTOOL_GFLAGS;
    if (ask(socket_fd.get(), interface, &value)) offloads.lro = (value.data & ETH_FLAG_LRO) != 0;
    return offloads;
}

} // namespace kudo
