// SPDX-License-Identifier: MIT
#include "agent/doctor/proxy_settings.h"

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <optional>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "agent/firewall/program.h"
#include "agent/system/files.h"
#include "maps/base/text.h"

namespace kudo {
namespace {

constexpr std::size_t max_file = 1 << 20, max_url = 500;
constexpr const char* environment_file = "/etc/environment"; // environment(5) of PAM: pam_env(8)
constexpr const char* variables[] = {"https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"};

std::string_view trimmed(std::string_view text, std::string_view what = " \t\r\n") {
    const auto first = text.find_first_not_of(what);
    if (first == std::string_view::npos) return {};
    return text.substr(first, text.find_last_not_of(what) - first + 1);
}

void add(ProxySettings& settings, std::string_view text, std::string source) {
    ProxySetting setting = read_proxy_url(text, std::move(source));
    if (setting.url.empty()) return;
    if (std::ranges::find(settings.proxies, setting.url, &ProxySetting::url) == settings.proxies.end())
        settings.proxies.push_back(std::move(setting));
}

void add_environment(ProxySettings& settings) {
    for (const char* name : variables)
        if (const char* value = getenv(name)) add(settings, value, name);
    // sudo and services do not hand the environment on.
    const auto text = read_file(environment_file, max_file);
    if (!text) return;
    for (std::string_view line : split(*text, '\n')) {
        line = trimmed(line);
        if (line.starts_with("export ")) line = trimmed(line.substr(7));
        const auto equals = line.find('=');
        if (equals == std::string_view::npos) continue;
        if (std::ranges::find(variables, line.substr(0, equals)) != std::end(variables))
            add(settings, trimmed(line.substr(equals + 1), " \t\r\n\"'"), environment_file);
    }
}

std::string gsetting(const std::string& schema, const std::string& key) {
    const auto output = firewall::output_of({"gsettings", "get", schema, key});
    return output ? std::string(trimmed(*output, " \t\r\n'")) : "";
}

void add_gnome(ProxySettings& settings) {
    const std::string schema = "org.gnome.system.proxy";
    const char* address = getenv("DBUS_SESSION_BUS_ADDRESS");
    if (!address || *address == '\0') return; // no desktop of this user
    const std::string mode = gsetting(schema, "mode");
    if (mode == "auto") settings.scripts.push_back(quoted_text(gsetting(schema, "autoconfig-url")) + " (GNOME)");
    if (mode != "manual") return;
    const std::string host = gsetting(schema + ".https", "host"), port = gsetting(schema + ".https", "port");
    if (!host.empty()) add(settings, host + ":" + port, "GNOME");
}

// kioslaverc: "ProxyType=1" manual, 2 a script; "httpsProxy=http://host 3128".
void add_kde(ProxySettings& settings) {
    const char* home = getenv("HOME");
    if (!home) return;
    const auto text = read_file(std::filesystem::path(home) / ".config/kioslaverc", max_file);
    if (!text) return;
    std::string_view type, proxy, script;
    for (std::string_view line : split(*text, '\n')) {
        line = trimmed(line);
        if (line.starts_with("ProxyType=")) type = line.substr(10);
        if (line.starts_with("httpsProxy=")) proxy = line.substr(11);
        if (line.starts_with("Proxy Config Script=")) script = line.substr(20);
    }
    if (type == "2") settings.scripts.push_back(quoted_text(script) + " (KDE)");
    if (type != "1" || proxy.empty()) return;
    std::string url(proxy);
    std::ranges::replace(url, ' ', ':');
    add(settings, url, "KDE");
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
                add(settings, text_at(part, "ProxyServer"), source);
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
            add(settings, own.empty() ? text_at(proxy, "HTTPProxy") : own, file);
        }
        if (text_at(proxy, "Mode") == "autoConfig")
            settings.scripts.push_back(fmt::format("{} ({})", quoted_text(text_at(proxy, "AutoConfigURL")), file));
    }
}

} // namespace

ProxySetting read_proxy_url(std::string_view text, std::string source) {
    ProxySetting setting{.url = {}, .source = std::move(source)};
    text = trimmed(text);
    std::string scheme = "http";
    if (const auto at = text.find("://"); at != std::string_view::npos) {
        scheme = std::string(text.substr(0, at));
        text.remove_prefix(at + 3);
    }
    text = text.substr(0, text.find_first_of("/?#"));
    if (const auto at = text.rfind('@'); at != std::string_view::npos) {
        setting.has_user = true;
        text.remove_prefix(at + 1);
    }
    const auto is_host = [](char letter) {
        return (letter >= 'a' && letter <= 'z') || (letter >= 'A' && letter <= 'Z') ||
               (letter >= '0' && letter <= '9') || std::string_view(".-_:[]").find(letter) != std::string_view::npos;
    };
    if (text.empty() || text.size() > max_url || !std::ranges::all_of(text, is_host)) return setting;
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
