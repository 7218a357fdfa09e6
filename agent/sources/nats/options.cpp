// SPDX-License-Identifier: MIT
#include "agent/sources/nats/options.h"

#include "maps/base/text.h"

namespace kudo {

std::vector<std::string> NatsOptions::urls() const {
    std::vector<std::string> urls{""};
    for (const char c : url) {
        if (c == ',')
            urls.emplace_back();
        else
            urls.back() += c;
    }
    return urls;
}

bool NatsOptions::wants_tls() const {
    return !ca_file.empty() || !certificate.empty() || !key.empty() || url.find("tls://") != std::string::npos;
}

std::vector<NatsOptions> one_by_one(const NatsOptions& options) {
    constexpr std::string_view plain = "nats://";
    std::vector<NatsOptions> each;
    for (std::string& url : options.urls()) {
        if (options.wants_tls() && url.starts_with(plain)) url.replace(0, plain.size(), "tls://");
        each.push_back(options);
        each.back().url = std::move(url);
    }
    return each;
}

std::string redacted_url(std::string_view url) {
    std::string result;
    while (true) {
        const std::string_view one = url.substr(0, url.find(','));
        const std::size_t scheme = one.find("://");
        const std::size_t begin = scheme == std::string_view::npos ? 0 : scheme + 3;
        const std::size_t at = one.rfind('@');
        result += one.substr(0, begin);
        result += one.substr(at == std::string_view::npos || at < begin ? begin : at + 1);
        if (one.size() == url.size()) return escaped(result, 300);
        result += ',';
        url.remove_prefix(one.size() + 1);
    }
}

} // namespace kudo
