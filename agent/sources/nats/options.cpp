// SPDX-License-Identifier: MIT
#include "agent/sources/nats/options.h"

#include <fmt/ranges.h>

#include "maps/base/text.h"

namespace kudo {

std::vector<std::string> NatsOptions::urls() const {
    const auto parts = split(url);
    return std::vector<std::string>(parts.begin(), parts.end());
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

std::string redacted_url(std::string_view urls) {
    std::vector<std::string> each;
    for (const std::string_view part : split(urls)) {
        std::string& url = each.emplace_back(part);
        const std::size_t scheme = url.find("://"), at = url.rfind('@');
        const std::size_t begin = scheme == std::string::npos ? 0 : scheme + 3;
        if (at != std::string::npos && at >= begin) url.erase(begin, at + 1 - begin);
    }
    return escaped(fmt::format("{}", fmt::join(each, ",")), 300);
}

} // namespace kudo
