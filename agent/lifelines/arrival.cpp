// SPDX-License-Identifier: MIT
#include "agent/lifelines/arrival.h"

#include <netinet/in.h>

#include <algorithm>

#include <fmt/format.h>

#include "agent/lifelines/lifelines.h"

namespace kudo {
namespace {

constexpr const char* older = "this session is older than what it is to confirm";

// net/tcp_states.h
constexpr uint8_t established = 1, listening = 10;

bool is_any(const Address& address) {
    return std::ranges::all_of(address.bytes, [](uint8_t byte) { return byte == 0; });
}

// Is there a server to which a connection like this one can be made now?
bool has_listener(const Socket& connection, std::span<const Socket> sockets) {
    return std::ranges::any_of(sockets, [&](const Socket& socket) {
        return socket.protocol == IPPROTO_TCP && socket.state == listening &&
               socket.local_port == connection.local_port && (is_any(socket.local) || socket.local == connection.local);
    });
}

struct Connections {
    const Ancestor* holder = nullptr; // the outermost process with one that shows something
    const Socket* shows = nullptr;
    const Socket* own = nullptr;      // from this host itself
    const Socket* orphan = nullptr;   // no new one can be made
    const Ancestor* hidden = nullptr; // farther out: what it has open is not known
};

Connections find_connections(const Ancestry& ancestry, std::span<const Socket> tcp,
                             const std::function<bool(const Address&)>& is_own) {
    Connections found;
    for (const Ancestor& ancestor : ancestry.processes) {
        if (!ancestor.sockets) {
            found.hidden = &ancestor;
            continue;
        }
        for (const Socket& socket : tcp) {
            if (socket.protocol != IPPROTO_TCP || socket.state != established || socket.inode == 0 ||
                !ancestor.sockets->contains(socket.inode))
                continue;
            // One that this host has opened has no listener either.
            if (!has_listener(socket, tcp)) {
                found.orphan = &socket;
            } else if (is_own(socket.remote) || is_on_loopback(socket.remote)) {
                found.own = &socket;
            } else {
                found.holder = &ancestor;
                found.shows = &socket;
                found.hidden = nullptr;
            }
        }
    }
    return found;
}

// proc(5), tty_nr; Documentation/admin-guide/devices.txt: pseudo-terminals, of BSD and of Unix 98.
bool is_console(uint32_t terminal) {
    const uint32_t major = (terminal >> 8) & 0xfff;
    return terminal != 0 && major != 2 && major != 3 && (major < 136 || major > 143);
}

// The kernel counts logins.
Arrival by_counted_login(const Ancestry& ancestry, uint32_t login, std::optional<uint32_t> last_login) {
    if (login == no_login_number) return {};
    if (!last_login)
        return {.why_not = "this login may be older than what it is to confirm: not all logins of then are known"};
    if (login <= *last_login) return {.why_not = older};
    bool terminal = false, console = false, made_by_first = false;
    for (std::size_t i = 0; i < ancestry.processes.size(); ++i) {
        const Ancestor& ancestor = ancestry.processes[i];
        if (ancestor.login != login) break;
        terminal |= ancestor.stat.terminal != 0;
        console |= is_console(ancestor.stat.terminal);
        made_by_first = i + 1 == ancestry.processes.size();
    }
    if (!terminal) return {.why_not = "this login has no terminal, as those of cron and at: nobody has come in by it"};
    if (!console && made_by_first)
        return {.why_not = "this terminal hangs on no connection and no login program, as those of tmux, mosh, "
                           "machinectl and desktops do, so it does not show that anybody has come in"};
    return {.by = fmt::format("login {}", login)};
}

// login(1) runs what it starts in a session of its own, on the terminal that getty has opened.
Arrival by_console(const Ancestry& ancestry, uint64_t since) {
    const auto& processes = ancestry.processes;
    for (std::size_t i = 1; i < processes.size(); ++i) {
        if (processes[i].stat.name != "login" || !is_console(processes[i - 1].stat.terminal)) continue;
        if (processes[i - 1].stat.started < since) return {.why_not = older};
        return {.by = "a login on a console"};
    }
    return {};
}

} // namespace

Arrival find_arrival(const Ancestry& ancestry, std::span<const Socket> tcp, uint64_t since,
                     std::optional<uint32_t> last_login, const std::function<bool(const Address&)>& is_own) {
    if (ancestry.processes.empty() || ancestry.end == Ancestry::End::Unknown)
        return {.why_not = "this command's origin is not known: /proc does not show all processes above it"};
    const Connections found = find_connections(ancestry, tcp, is_own);
    if (found.shows) {
        // What began within the same tick may be older or younger.
        if (found.holder->stat.started < since) return {.why_not = older};
        if (found.hidden)
            return {.why_not =
                        fmt::format("this connection may be older than what it is to confirm: which ones process "
                                    "{} ({}) has open may not be read; root may",
                                    found.hidden->pid, found.hidden->stat.name)};
        return {.by = "a connection from " + found.shows->remote.text()};
    }
    if (found.own)
        return {.why_not = fmt::format("this connection comes from this host itself ({}), which the rules do not "
                                       "concern",
                                       found.own->remote.text())};
    if (found.hidden)
        return {.why_not = fmt::format("this command's origin is not known: which connections process {} ({}) has open "
                                       "may not be read; root may",
                                       found.hidden->pid, found.hidden->stat.name)};
    if (ancestry.end == Ancestry::End::Outside)
        return {.why_not = "this was started in a container from outside of it, which shows no new login"};
    const auto login = ancestry.processes.front().login;
    Arrival arrival = login ? by_counted_login(ancestry, *login, last_login) : by_console(ancestry, since);
    if (!arrival.by.empty() || !arrival.why_not.empty()) return arrival;
    if (found.orphan)
        return {.why_not = fmt::format("this hangs on a connection with {}, but no server takes new ones at its port "
                                       "now",
                                       found.orphan->remote.text())};
    return {.why_not = fmt::format("this hangs on no connection from elsewhere and on no login, like what setsid, "
                                   "nohup, tmux, cron, at or a service has started (outermost process: {})",
                                   ancestry.processes.back().stat.name)};
}

} // namespace kudo
