// SPDX-License-Identifier: MIT
// Which HTTP proxies programs of this host are told to use for HTTPS: by the environment, /etc/environment, the
// desktop's settings of this user (GNOME, KDE), and the policies of browsers.
// Invariant: no password is in any text, and none is sent.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace kudo {

struct ProxySetting {
    std::string url;    // "http://proxy.example:3128", without user and password
    std::string source; // "https_proxy", "/etc/environment"
    bool has_user = false;
    // The hosts that it is not for, as that source writes them: "*", "example.com", ".example.com",
    // "*.example.com:443".
    std::vector<std::string> exceptions{};

    [[nodiscard]] bool is_for(std::string_view host) const;
};
struct ProxySettings {
    std::vector<ProxySetting> proxies; // each URL with its exceptions once
    std::vector<std::string> gaps;     // settings that could not be read or understood, each with its source and why
    std::vector<std::string> scripts;  // "URL (source)": proxy auto-configuration, which is not run here

    // Do programs perhaps reach this host by a proxy?
    [[nodiscard]] bool may_proxy(std::string_view host) const;
};
ProxySettings proxy_settings();

// "host:3128" and "http://user:secret@host:3128/" as a setting; an empty URL: it is none, and no part of it may be
// shown, since a part of what is malformed may be a password.
ProxySetting read_proxy_url(std::string_view text, std::string source);

} // namespace kudo
