// SPDX-License-Identifier: MIT
#include "agent/lifelines/session.h"

#include <unistd.h>

#include <vector>

#include "agent/system/files.h"
#include "agent/system/whole_number.h"
#include "maps/base/text.h"

namespace kudo {
namespace {

constexpr std::size_t max_environment = 2 * 1024 * 1024; // what a process may have: _STK_LIM / 4
constexpr int max_processes = 64;

std::string ssh_of(const std::filesystem::path& proc, const std::string& pid) {
    constexpr std::string_view variable = "SSH_CONNECTION=";
    const auto environment = read_file(proc / pid / "environ", max_environment);
    if (!environment) return "";
    for (const std::string_view entry : split(*environment, '\0'))
        if (entry.starts_with(variable)) return std::string(entry.substr(variable.size()));
    return "";
}

} // namespace

Session own_session(const std::filesystem::path& proc) {
    Session session;
    int pid = getpid();
    for (int i = 0; i < max_processes; ++i) {
        const std::string ssh = ssh_of(proc, std::to_string(pid));
        if (parse_ssh_connection(ssh)) {
            if (session.ssh.empty())
                session.ssh = ssh;
            else if (ssh != session.ssh)
                session.ssh_above.push_back(ssh);
        }
        const auto stat = read_process_stat(proc, pid);
        if (!stat || stat->parent == 0) break;
        pid = stat->parent;
    }
    session.leader = std::max(0, static_cast<int>(getsid(0)));
    if (session.leader > 0)
        if (const auto leader = read_process_stat(proc, session.leader)) session.leader_started = leader->started;
    session.login = read_login(proc, getpid()).value_or(Session::no_login);
    return session;
}

std::optional<SshConnection> parse_ssh_connection(std::string_view text) {
    const auto words = split(text, ' ');
    if (words.size() != 4) return std::nullopt;
    const auto address = [](std::string_view word) -> std::optional<Address> {
        const auto parsed = Address::parse(word.substr(0, word.find('%'))); // a link-local one has its interface
        if (!parsed) return std::nullopt;
        return ipv4_of_mapped(*parsed).value_or(*parsed);
    };
    const auto client = address(words[0]), server = address(words[2]);
    const auto client_port = whole_number<uint16_t>(words[1]), server_port = whole_number<uint16_t>(words[3]);
    if (!client || !server || !client_port || !server_port || *server_port == 0) return std::nullopt;
    return SshConnection{*client, *server, *client_port, *server_port};
}

} // namespace kudo
