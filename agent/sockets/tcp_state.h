// SPDX-License-Identifier: MIT
// struct tcp_info (linux/tcp.h), of which older kernels send less.
#pragma once

#include <cstddef>

#include "agent/sockets/sockets.h"

namespace kudo {

TcpState read_tcp_info(const void* info, std::size_t size);

} // namespace kudo
