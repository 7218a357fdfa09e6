// SPDX-License-Identifier: MIT
#include "agent/lifelines/session.h"

#include <unistd.h>

#include <charconv>
#include <vector>

#include "agent/system/files.h"
#include "maps/base/text.h"

namespace kudo {
namespace {

constexpr std::size_t max_environment = 2 * 1024 * 1024; // what a process may have: _STK_LIM / 4
constexpr int max_ancestors = 64;

template <typename T> std::optional<T> whole_number(std::string_view text) {
    T value{};
    const auto [rest, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (text.empty() || error != std::errc() || rest != text.data() + text.size()) return std::nullopt;
    return value;
}

// The fields of /proc/PID/stat behind the command, which may hold blanks and parentheses itself: proc(5), from field 3.
std::vector<std::string_view> stat_fields(std::string_view stat) {
    const auto name_end = stat.rfind(") ");
    if (name_end == std::string_view::npos) return {};
    stat.remove_prefix(name_end + 2);
    if (stat.ends_with('\n')) stat.remove_suffix(1);
    return split(stat, ' ');
}

// Field `number` of proc(5); nothing: no such process.
std::optional<uint64_t> stat_field(const std::filesystem::path& proc, const std::string& pid, std::size_t number) {
    const auto stat = read_file(proc / pid / "stat", 4096);
    if (!stat) return std::nullopt;
    const auto fields = stat_fields(*stat);
    return fields.size() + 3 > number ? whole_number<uint64_t>(fields[number - 3]) : std::nullopt;
}

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
    constexpr std::size_t parent = 4, started = 22; // proc(5)
    Session session;
    std::string pid = std::to_string(getpid());
    for (int i = 0; i < max_ancestors; ++i) {
        const std::string ssh = ssh_of(proc, pid);
        if (parse_ssh_connection(ssh)) {
            if (session.ssh.empty())
                session.ssh = ssh;
            else if (ssh != session.ssh)
                session.ssh_above.push_back(ssh);
        }
        const auto next = stat_field(proc, pid, parent);
        if (!next || *next == 0) break;
        pid = std::to_string(*next);
    }
    session.leader = std::max(0, static_cast<int>(getsid(0)));
    if (session.leader > 0)
        if (const auto ticks = stat_field(proc, std::to_string(session.leader), started))
            session.leader_started = *ticks * Session::start_resolution;
    if (const auto login = read_file(proc / "self" / "sessionid", 32))
        session.login = whole_number<uint32_t>(*login).value_or(Session::no_login);
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
