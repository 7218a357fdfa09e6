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
};
struct ProxySettings {
    std::vector<ProxySetting> proxies; // each URL once
    std::vector<std::string> scripts;  // "URL (source)": proxy auto-configuration, which is not run here
};
ProxySettings proxy_settings();

// "host:3128" and "http://user:secret@host:3128/" as a setting; an empty URL: it is none.
ProxySetting read_proxy_url(std::string_view text, std::string source);

} // namespace kudo
