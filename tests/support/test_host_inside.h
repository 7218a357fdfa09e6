// SPDX-License-Identifier: MIT
// The template of test_host.h.
#pragma once

#include <exception>
#include <optional>
#include <stdexcept>

namespace kudo::test {

template <typename T> T inside(const NetworkNamespace& space, const std::function<T()>& work) {
    std::optional<T> value;
    std::exception_ptr thrown;
    const auto entered = space.run([&]() -> Result<void> {
        try {
            value = work();
        } catch (...) {
            thrown = std::current_exception();
        }
        return {};
    });
    if (!entered) throw std::runtime_error(entered.error().message);
    if (thrown) std::rethrow_exception(thrown);
    return std::move(*value);
}

} // namespace kudo::test
