// SPDX-License-Identifier: MIT
#include "agent/doctor/proxy_settings.h"

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <optional>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "agent/firewall/program.h"
#include "agent/system/files.h"
#include "maps/base/text.h"
#include "maps/net/prefix.h"

namespace kudo {
namespace {

constexpr std::size_t max_file = 1 << 20, max_url = 500, max_exceptions = 500;
constexpr std::chrono::milliseconds gsettings_time{500};
constexpr const char* environment_file = "/etc/environment"; // environment(5) of PAM: pam_env(8)
constexpr const char* variables[] = {"https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"};
constexpr std::string_view schemes[] = {"http", "https", "socks4", "socks4a", "socks5", "socks5h"};

std::string_view trimmed(std::string_view text, std::string_view what = " \t\r\n") {
    const auto first = text.find_first_not_of(what);
    if (first == std::string_view::npos) return {};
    return text.substr(first, text.find_last_not_of(what) - first + 1);
}

char lower(char letter) {
    return letter >= 'A' && letter <= 'Z' ? static_cast<char>(letter - 'A' + 'a') : letter;
}

// "host", "host:3128", "[2001:db8::1]:3128"
bool is_endpoint(std::string_view text) {
    std::string_view host = text, port;
    if (const auto colon = text.rfind(':'); colon != std::string_view::npos && !text.ends_with(']')) {
        host = text.substr(0, colon);
        port = text.substr(colon + 1);
        const bool is_number =
            !port.empty() && port.size() <= 5 && port.find_first_not_of("0123456789") == std::string_view::npos;
        if (!is_number) return false;
    }
    if (host.starts_with('[') && host.ends_with(']')) {
        const auto address = Address::parse(host.substr(1, host.size() - 2));
        return address && address->family == Family::IPv6;
    }
    return !host.empty() && std::ranges::all_of(host, [](char letter) {
        return (lower(letter) >= 'a' && lower(letter) <= 'z') || (letter >= '0' && letter <= '9') || letter == '.' ||
               letter == '-' || letter == '_';
    });
}

// Between commas, semicolons and blanks; GNOME's "['localhost', '*.example.com']" as well.
std::vector<std::string> exceptions_of(std::string_view text) {
    std::vector<std::string> found;
    for (std::size_t at = 0; at < text.size() && found.size() < max_exceptions;) {
        constexpr std::string_view separators = ",; \t\r\n'\"";
        const auto begin = text.find_first_not_of(separators, at);
        if (begin == std::string_view::npos) break;
        const auto end = std::min(text.find_first_of(separators, begin), text.size());
        found.emplace_back(text.substr(begin, end - begin));
        at = end;
    }
    return found;
}

bool excepts(std::string_view exception, std::string_view host) {
    if (exception == "*") return true;
    if (const auto colon = exception.find(':'); colon != std::string_view::npos) {
        if (exception.substr(colon + 1) != "443") return false;
        exception = exception.substr(0, colon);
    }
    if (exception.starts_with("*.")) exception.remove_prefix(2);
    if (exception.starts_with('.')) exception.remove_prefix(1);
    if (exception.empty() || exception.size() > host.size()) return false;
    const auto rest = host.substr(0, host.size() - exception.size());
    return (rest.empty() || rest.ends_with('.')) &&
           std::ranges::equal(exception, host.substr(rest.size()), {}, lower, lower);
}

void add(ProxySettings& settings, std::string_view text, std::string source, std::string_view exceptions = {}) {
    if (trimmed(text).empty()) return;
    ProxySetting setting = read_proxy_url(text, std::move(source));
    if (setting.url.empty()) {
        settings.gaps.push_back(setting.source + " is set to what is no proxy's address");
        return;
    }
    setting.exceptions = exceptions_of(exceptions);
    if (std::ranges::none_of(settings.proxies, [&](const ProxySetting& known) {
            return known.url == setting.url && known.exceptions == setting.exceptions;
        }))
        settings.proxies.push_back(std::move(setting));
}

void add_environment(ProxySettings& settings) {
    std::string_view exceptions;
    for (const char* name : {"NO_PROXY", "no_proxy"})
        if (const char* value = getenv(name)) exceptions = value;
    for (const char* name : variables)
        if (const char* value = getenv(name)) add(settings, value, name, exceptions);
    // sudo and services do not hand the environment on.
    const auto text = read_file(environment_file, max_file);
    if (!text) return;
    std::vector<std::string_view> proxies;
    exceptions = {};
    for (std::string_view line : split(*text, '\n')) {
        line = trimmed(line);
        if (line.starts_with("export ")) line = trimmed(line.substr(7));
        const auto equals = line.find('=');
        if (equals == std::string_view::npos) continue;
        const auto name = line.substr(0, equals), value = trimmed(line.substr(equals + 1), " \t\r\n\"'");
        if (std::ranges::find(variables, name) != std::end(variables)) proxies.push_back(value);
        if (name == "no_proxy" || name == "NO_PROXY") exceptions = value;
    }
    for (const std::string_view proxy : proxies)
        add(settings, proxy, environment_file, exceptions);
}

std::string gsetting(const std::string& schema, const std::string& key) {
    const auto output = firewall::output_of({"gsettings", "get", schema, key}, gsettings_time);
    return output ? std::string(trimmed(*output, " \t\r\n'")) : "";
}

void add_gnome(ProxySettings& settings) {
    const std::string schema = "org.gnome.system.proxy";
    const char* address = getenv("DBUS_SESSION_BUS_ADDRESS");
    if (!address || *address == '\0') return; // no desktop of this user
    const std::string mode = gsetting(schema, "mode");
    if (mode.empty()) settings.gaps.emplace_back("GNOME's settings could not be read (gsettings)");
    if (mode == "auto") settings.scripts.push_back(quoted_text(gsetting(schema, "autoconfig-url")) + " (GNOME)");
    if (mode != "manual") return;
    const std::string host = gsetting(schema + ".https", "host"), port = gsetting(schema + ".https", "port");
    std::string exceptions = gsetting(schema, "ignore-hosts");
    std::erase_if(exceptions, [](char letter) { return letter == '[' || letter == ']'; });
    if (!host.empty()) add(settings, host + ":" + port, "GNOME", exceptions);
}

// kioslaverc: "ProxyType=1" manual, 2 a script; "httpsProxy=http://host 3128".
void add_kde(ProxySettings& settings) {
    const char* home = getenv("HOME");
    if (!home) return;
    const auto text = read_file(std::filesystem::path(home) / ".config/kioslaverc", max_file);
    if (!text) return;
    std::string_view type, proxy, script, exceptions;
    for (std::string_view line : split(*text, '\n')) {
        line = trimmed(line);
        if (line.starts_with("ProxyType=")) type = line.substr(10);
        if (line.starts_with("NoProxyFor=")) exceptions = line.substr(11);
        if (line.starts_with("httpsProxy=")) proxy = line.substr(11);
        if (line.starts_with("Proxy Config Script=")) script = line.substr(20);
    }
    if (type == "2") settings.scripts.push_back(quoted_text(script) + " (KDE)");
    if (type != "1" || proxy.empty()) return;
    std::string url(proxy);
    std::ranges::replace(url, ' ', ':');
    add(settings, url, "KDE", exceptions);
}

// Chromium's "http=a:1;https=b:2" names one for each scheme.
std::string https_server(const std::string& text) {
    if (text.find('=') == std::string::npos) return text;
    std::string found;
    for (const std::string_view part : split(text, ';'))
        for (const std::string_view scheme : {"https=", "socks="})
            if (trimmed(part).starts_with(scheme) && (found.empty() || scheme == "https="))
                found = (scheme == "socks=" ? "socks5://" : "") + std::string(trimmed(part).substr(scheme.size()));
    return found;
}

// Chromium's ProxyMode, ProxyServer and ProxySettings, Firefox's Proxy.
void add_browsers(ProxySettings& settings) {
    namespace fs = std::filesystem;
    const auto read = [](const fs::path& file) {
        const auto text = read_file(file, max_file);
        return nlohmann::json::parse(text ? *text : "", nullptr, false);
    };
    const auto text_at = [](const nlohmann::json& object, const char* key) -> std::string {
        return object.is_object() && object.contains(key) && object[key].is_string() ? object[key].get<std::string>()
                                                                                     : "";
    };
    std::error_code error;
    for (const char* folder : {"/etc/chromium/policies/managed", "/etc/opt/chrome/policies/managed",
                               "/etc/opt/edge/policies/managed", "/etc/brave/policies/managed"})
        for (const auto& entry : fs::directory_iterator(folder, error)) {
            const auto policy = read(entry.path());
            const std::string source = entry.path().string();
            for (const nlohmann::json& part :
                 {policy, policy.is_object() && policy.contains("ProxySettings") ? policy["ProxySettings"]
                                                                                 : nlohmann::json()}) {
                const std::string mode = text_at(part, "ProxyMode");
                if (mode == "auto_detect") settings.scripts.push_back("found by WPAD (" + source + ")");
                if (mode == "direct" || mode == "system" || mode == "auto_detect") continue;
                add(settings, https_server(text_at(part, "ProxyServer")), source, text_at(part, "ProxyBypassList"));
                if (const std::string script = text_at(part, "ProxyPacUrl"); !script.empty())
                    settings.scripts.push_back(fmt::format("{} ({})", quoted_text(script), source));
            }
        }
    for (const char* file : {"/etc/firefox/policies/policies.json", "/usr/lib/firefox/distribution/policies.json",
                             "/usr/lib/firefox-esr/distribution/policies.json"}) {
        const auto whole = read(file);
        if (!whole.is_object() || !whole.contains("policies") || !whole["policies"].is_object() ||
            !whole["policies"].contains("Proxy"))
            continue;
        const auto& proxy = whole["policies"]["Proxy"];
        if (text_at(proxy, "Mode") == "manual") {
            const std::string own = text_at(proxy, "SSLProxy");
            add(settings, own.empty() ? text_at(proxy, "HTTPProxy") : own, file, text_at(proxy, "Passthrough"));
        }
        if (text_at(proxy, "Mode") == "autoConfig")
            settings.scripts.push_back(fmt::format("{} ({})", quoted_text(text_at(proxy, "AutoConfigURL")), file));
    }
}

} // namespace

bool ProxySetting::is_for(std::string_view host) const {
    return std::ranges::none_of(exceptions, [&](const std::string& exception) { return excepts(exception, host); });
}

bool ProxySettings::may_proxy(std::string_view host) const {
    return !scripts.empty() ||
           std::ranges::any_of(proxies, [&](const ProxySetting& proxy) { return proxy.is_for(host); });
}

ProxySetting read_proxy_url(std::string_view text, std::string source) {
    ProxySetting setting{.url = {}, .source = std::move(source)};
    text = trimmed(text);
    std::string scheme = "http";
    if (const auto at = text.find("://"); at != std::string_view::npos) {
        scheme = std::string(text.substr(0, at));
        std::ranges::transform(scheme, scheme.begin(), [](char letter) { return lower(letter); });
        text.remove_prefix(at + 3);
    }
    // A password may have any letter in it, so this comes before what ends the host.
    if (const auto at = text.rfind('@'); at != std::string_view::npos) {
        setting.has_user = true;
        text.remove_prefix(at + 1);
    }
    text = text.substr(0, text.find_first_of("/?#"));
    if (std::ranges::find(schemes, scheme) == std::end(schemes) || text.size() > max_url || !is_endpoint(text))
        return setting;
    setting.url = fmt::format("{}://{}", scheme, text);
    return setting;
}

ProxySettings proxy_settings() {
    ProxySettings settings;
    add_environment(settings);
    add_gnome(settings);
    add_kde(settings);
    add_browsers(settings);
    return settings;
}

} // namespace kudo
