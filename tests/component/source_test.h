// SPDX-License-Identifier: MIT
// The fixture of the tests of sources: serves one as the service does, and keeps what it delivers.
// Invariant: the source is only called when its descriptor is readable, as in the service.
#pragma once

#include <gtest/gtest.h>

#include <poll.h>

#include <algorithm>
#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "agent/sources/source.h"
#include "tests/support/patience.h"

namespace kudo::test {

using Documents = std::vector<std::string>;

class SourceTest : public testing::Test {
protected:
    // For what must come: healing takes seconds, and the machine may be busy.
    static constexpr std::chrono::seconds timeout{20};

    Deliver deliver() {
        return [this](Delivery delivery) { delivered_.push_back(std::move(delivery)); };
    }
    static bool never() { return false; }
    // As the service does, for this long or until it is so.
    bool serve(std::chrono::milliseconds time, const std::function<bool()>& until = never) {
        const auto end = std::chrono::steady_clock::now() + time;
        while (!until()) {
            const auto left = std::chrono::ceil<std::chrono::milliseconds>(end - std::chrono::steady_clock::now());
            if (left.count() <= 0) return false;
            pollfd wait{source_->fd(), POLLIN, 0};
            if (poll(&wait, 1, static_cast<int>(std::min<int64_t>(left.count(), 50))) == 1)
                source_->on_ready(deliver());
        }
        return true;
    }
    bool serve_until_delivered(std::size_t count) {
        return serve(patient(timeout), [&] { return delivered_.size() >= count; });
    }
    bool serve_until_problem(const std::string& part) {
        return serve(patient(timeout), [&] { return problem().find(part) != std::string::npos; });
    }
    [[nodiscard]] std::string problem() const { return source_->health().problem; }
    void read_again() { source_->read_again(deliver()); }
    // In alphabetical order.
    [[nodiscard]] Documents documents() const {
        Documents all;
        for (const Delivery& delivery : delivered_)
            all.push_back(delivery.document);
        std::sort(all.begin(), all.end());
        return all;
    }

    std::unique_ptr<Source> source_;
    std::vector<Delivery> delivered_;
};

} // namespace kudo::test
