// SPDX-License-Identifier: MIT
#include "agent/lifelines/map_sources.h"

#include <netdb.h>
#include <netinet/in.h>

#include <algorithm>
#include <charconv>
#include <map>
#include <mutex>
#include <thread>

#include <fmt/format.h>

namespace kudo {
namespace {

std::vector<Address> resolve(const std::string& host) {
    addrinfo hints{}, *found = nullptr;
    hints.ai_socktype = SOCK_STREAM;
    std::vector<Address> addresses;
    if (getaddrinfo(host.c_str(), nullptr, &hints, &found) != 0) return addresses;
    for (const addrinfo* each = found; each; each = each->ai_next) {
        if (each->ai_family == AF_INET)
            addresses.push_back(
                Address::from_bytes(Family::IPv4, &reinterpret_cast<const sockaddr_in*>(each->ai_addr)->sin_addr));
        else if (each->ai_family == AF_INET6)
            addresses.push_back(
                Address::from_bytes(Family::IPv6, &reinterpret_cast<const sockaddr_in6*>(each->ai_addr)->sin6_addr));
    }
    freeaddrinfo(found);
    return addresses;
}

// "ranges.example.com:443", "[2001:db8::1]:443"
std::string host_of(const std::string& name) {
    std::string host = name.substr(0, name.rfind(':'));
    return host.starts_with('[') ? host.substr(1, host.size() - 2) : host;
}

} // namespace

std::optional<MapSource> source_of_url(std::string_view url) {
    const auto scheme_end = url.find("://");
    if (scheme_end == std::string_view::npos) return std::nullopt;
    const std::string_view scheme = url.substr(0, scheme_end);
    std::string_view authority = url.substr(scheme_end + 3);
    authority = authority.substr(0, authority.find_first_of("/?#"));
    if (const auto at = authority.rfind('@'); at != std::string_view::npos) authority.remove_prefix(at + 1);
    uint16_t port = scheme == "https" ? 443 : scheme == "http" ? 80 : scheme == "nats" || scheme == "tls" ? 4222 : 0;
    std::string_view host = authority;
    const auto colon = authority.rfind(':');
    if (colon != std::string_view::npos && authority.find(']', colon) == std::string_view::npos) {
        const std::string_view digits = authority.substr(colon + 1);
        const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), port);
        if (error != std::errc() || end != digits.data() + digits.size()) return std::nullopt;
        host = authority.substr(0, colon);
    }
    if (host.empty() || port == 0) return std::nullopt;
    MapSource source{.name = fmt::format("{}:{}", host, port), .port = port};
    if (const auto address = Address::parse(host_of(source.name))) source.addresses = {*address};
    return source;
}

MapSource with_addresses(MapSource source, const std::vector<Address>& now, const MapSource* before) {
    const auto add = [&](const std::vector<Address>& addresses, std::vector<Address>* beyond) {
        for (const Address& address : addresses)
            if (std::ranges::find(source.addresses, address) != source.addresses.end())
                continue;
            else if (source.addresses.size() < max_source_addresses)
                source.addresses.push_back(address);
            else if (beyond)
                beyond->push_back(address);
    };
    add(now, &source.left_out);
    if (before) {
        add(before->addresses, nullptr);
        if (now.empty()) source.left_out = before->left_out;
    }
    for (auto* const list : {&source.addresses, &source.left_out}) {
        std::ranges::sort(*list);
        list->erase(std::unique(list->begin(), list->end()), list->end());
    }
    return source;
}

struct SourceResolver::Work {
    std::mutex mutex{};
    bool running = false;
    std::map<std::string, std::vector<Address>> resolved{}; // by MapSource::name
};

SourceResolver::SourceResolver(std::vector<MapSource> given)
    : sources_(std::move(given)), work_(std::make_shared<Work>()) {}
SourceResolver::~SourceResolver() = default;

void SourceResolver::start() {
    std::vector<std::string> unresolved;
    for (const MapSource& source : sources_)
        if (source.addresses.empty()) unresolved.push_back(source.name);
    const std::lock_guard guard(work_->mutex);
    if (unresolved.empty() || std::exchange(work_->running, true)) return;
    std::thread([work = work_, unresolved = std::move(unresolved)] {
        for (const std::string& name : unresolved) {
            auto addresses = resolve(host_of(name));
            const std::lock_guard while_writing(work->mutex);
            if (!addresses.empty()) work->resolved[name] = std::move(addresses);
        }
        const std::lock_guard at_the_end(work->mutex);
        work->running = false;
    }).detach();
}

std::vector<MapSource> SourceResolver::merged(const std::optional<std::vector<MapSource>>& before) const {
    std::vector<MapSource> result;
    const std::lock_guard guard(work_->mutex);
    for (const MapSource& source : sources_) {
        const auto found = work_->resolved.find(source.name);
        const MapSource* known = nullptr;
        if (before)
            for (const MapSource& each : *before)
                if (each.name == source.name) known = &each;
        result.push_back(
            with_addresses(source, found != work_->resolved.end() ? found->second : std::vector<Address>{}, known));
    }
    return result;
}

} // namespace kudo
